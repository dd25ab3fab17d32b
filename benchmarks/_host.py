"""Watches the machine itself: a stall that no process of ours can help shows here."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

_NAP_S = 0.01
_STALL_S = 0.1


class HostWatch:
    """Naps in a thread and notes how much too late it wakes; use it as a context manager.

    A thread that naps is woken within some milliseconds even while all cores are busy. Where it
    is not, the machine has stood still for everybody.

    Attributes
    ----------
    longest_s : float
        Longest stall [s].
    total_s : float
        Sum of the stalls of more than 0.1 s [s].
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.total_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.is_set():
            begin_s = time.perf_counter()
            time.sleep(_NAP_S)
            late_s = time.perf_counter() - begin_s - _NAP_S
            self.longest_s = max(self.longest_s, late_s)
            if late_s > _STALL_S:
                self.total_s += late_s

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
