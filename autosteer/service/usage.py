"""Processor time and memory of the processes of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import psutil

_MIB = 1024 * 1024


class UsageMeter:
    """Keeps the processor time and the largest memory of processes, by name.

    A process that was started anew counts on under its name.
    """

    def __init__(self) -> None:
        self._cpu_s: dict[tuple[str, int], float] = {}
        self._before_s: dict[tuple[str, int], float] = {}
        self._memory_mib: dict[str, float] = {}

    def sample(self, pids: Mapping[str, int | None]) -> None:
        """Look at the processes.

        Parameters
        ----------
        pids : mapping of str to int
            Process numbers by name; None for one that does not run.
        """
        for name, pid in pids.items():
            if pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                times = process.cpu_times()
                used_s = times.user + times.system
                self._before_s.setdefault((name, pid), used_s)
                self._cpu_s[name, pid] = used_s
                used = process.memory_info().rss / _MIB
                self._memory_mib[name] = max(self._memory_mib.get(name, 0.0), used)

    @property
    def cpu_s(self) -> dict[str, float]:
        """Processor time by name, since each process began [s]."""
        return self._totals(self._cpu_s)

    @property
    def run_cpu_s(self) -> dict[str, float]:
        """Processor time by name, since each process was first looked at [s]."""
        return self._totals({key: used - self._before_s[key] for key, used in self._cpu_s.items()})

    @staticmethod
    def _totals(used_s: Mapping[tuple[str, int], float]) -> dict[str, float]:
        totals: dict[str, float] = {}
        for (name, _), used in used_s.items():
            totals[name] = round(totals.get(name, 0.0) + used, 2)
        return totals

    @property
    def memory_mib(self) -> dict[str, float]:
        """Largest resident memory by name [MiB]."""
        return {name: round(used, 1) for name, used in self._memory_mib.items()}
