"""Where a knob was, and when: the time-stamped history of a motor's readback."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_FOREVER_NS = 2**62
_CAPACITY = 8192
_LONGEST_GAP_NS = 500_000_000


class ReadbackHistory:
    """Positions of one knob with the time stamps that the device gave them.

    A value holds from its time stamp until the next one: a motor at rest posts nothing.

    Parameters
    ----------
    capacity : int
        Entries kept; when they are used up, the older half is forgotten.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._times = np.zeros(capacity, np.int64)
        self._values = np.zeros(capacity)
        self._moving = np.zeros(capacity, np.bool_)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, t_ns: int, value: float, moving: bool) -> None:
        """Append a readback.

        Parameters
        ----------
        t_ns : int
            The device's time stamp [ns UTC]; one that goes back is taken as the newest so far.
        value : float
            Position.
        moving : bool
            Whether the motor says that it moves.
        """
        if self._count == len(self._times):
            half = self._count // 2
            for array in (self._times, self._values, self._moving):
                array[: self._count - half] = array[half : self._count].copy()
            self._count -= half
        if self._count:
            t_ns = max(t_ns, int(self._times[self._count - 1]))
        self._times[self._count] = t_ns
        self._values[self._count] = value
        self._moving[self._count] = moving
        self._count += 1

    @property
    def value(self) -> float:
        """The newest position; NaN before the first."""
        return float(self._values[self._count - 1]) if self._count else float("nan")

    @property
    def moving(self) -> bool:
        """Whether the knob moves, as far as known."""
        return bool(self._moving[self._count - 1]) if self._count else False

    @property
    def time_ns(self) -> int:
        """Time stamp of the newest entry [ns UTC]; 0 before the first."""
        return int(self._times[self._count - 1]) if self._count else 0

    def in_position(
        self, times_ns: Int, target: float, tolerance: float, hold_ns: int, margin_ns: int
    ) -> Bool:
        """Tell at which times the knob stood at a place, and had stood there long enough.

        Parameters
        ----------
        times_ns : ndarray of int64, shape (n,)
            Times to judge [ns UTC].
        target, tolerance : float
            The place, and how near is there, in the knob's unit.
        hold_ns : int
            How long it must have been there, at rest [ns].
        margin_ns : int
            Uncertainty of the times: kept from arrival as well as from departure [ns].

        Returns
        -------
        ndarray of bool, shape (n,)
            True where the knob was in position.
        """
        n = self._count
        if n == 0:
            return np.zeros(len(times_ns), np.bool_)
        times = self._times[:n]
        there = (np.abs(self._values[:n] - target) <= tolerance) & ~self._moving[:n]
        index = np.arange(n)
        last_away = np.maximum.accumulate(np.where(there, -1, index))
        next_away = np.minimum.accumulate(np.where(there, n, index)[::-1])[::-1]
        arrived = times[np.minimum(last_away + 1, n - 1)]
        departs = np.where(next_away < n, times[np.minimum(next_away, n - 1)], _FOREVER_NS)
        at = np.searchsorted(times, times_ns, side="right") - 1
        known = at >= 0
        at = np.maximum(at, 0)
        result: Bool = (
            known
            & there[at]
            & (times_ns - arrived[at] >= hold_ns + margin_ns)
            & (times_ns + margin_ns < departs[at])
        )
        return result

    def interpolated(self, times_ns: Int) -> NDArray[np.float64]:
        """Return where the knob was, by interpolation between readbacks.

        Parameters
        ----------
        times_ns : ndarray of int64, shape (n,)
            Times [ns UTC].

        Returns
        -------
        ndarray of float64, shape (n,)
            Positions. At rest a value holds until the next; NaN before the first readback, and in
            motion where the neighbouring readbacks are too far apart in time to tell.
        """
        n = self._count
        if n == 0:
            return np.full(len(times_ns), np.nan)
        times, values = self._times[:n], self._values[:n]
        before = np.searchsorted(times, times_ns, side="right") - 1
        known = before >= 0
        before = np.maximum(before, 0)
        after = np.minimum(before + 1, n - 1)
        span = np.maximum(times[after] - times[before], 1)
        share = np.where(after > before, (times_ns - times[before]) / span, 0.0)
        moving = self._moving[:n][before]
        known &= ~moving | ((after > before) & (span <= _LONGEST_GAP_NS))
        # A motor at rest posts nothing until it moves.
        positions = values[before] + np.where(moving, share, 0.0) * (values[after] - values[before])
        return np.where(known, positions, np.nan)
