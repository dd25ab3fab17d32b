"""Clocks: the wall's, and one that stands still until it is told to move."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

SECOND_NS = 1_000_000_000


class RealClock:
    """The clock of this machine."""

    def time_ns(self) -> int:
        """Return the time, UTC since 1970 [ns]."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Return a time that never goes back [s]."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait [s]."""
        await asyncio.sleep(delay_s)


class VirtualClock:
    """A clock that only `advance` moves; sleepers wake in the order of their times.

    Parameters
    ----------
    start_ns : int, default 0
        Time at the beginning, UTC since 1970 [ns].

    Examples
    --------
    >>> clock = VirtualClock()
    >>> clock.advance(1.5)
    >>> clock.time_ns()
    1500000000
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time_ns(self) -> int:
        """Return the time, UTC since 1970 [ns]."""
        return self._now_ns

    def monotonic_s(self) -> float:
        """Return the time since the start [s]."""
        return (self._now_ns - self._start_ns) / SECOND_NS

    async def sleep(self, delay_s: float) -> None:
        """Wait until `advance` has passed the delay [s]."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wake_ns = self._now_ns + round(delay_s * SECOND_NS)
        heapq.heappush(self._sleepers, (wake_ns, next(self._order), future))
        await future

    def advance(self, delay_s: float) -> None:
        """Move the time on and wake whoever is due.

        Parameters
        ----------
        delay_s : float
            How far [s]; not negative.

        Raises
        ------
        ValueError
            If the delay is negative.
        """
        if delay_s < 0:
            raise ValueError(f"a clock cannot go back by {-delay_s} s")
        self._now_ns += round(delay_s * SECOND_NS)
        while self._sleepers and self._sleepers[0][0] <= self._now_ns:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
