"""When a pulse was: a straight line fitted through pulse ids and time stamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt = NDArray[np.uint64]
Int = NDArray[np.int64]

_POINTS = 256
_REFIT_EVERY = 16


class PulseClock:
    """Relation between pulse id and time, fitted over the newest shots.

    Time stamps jitter, pulse ids do not: the line takes the jitter out, and the scatter about it is
    the uncertainty with which a shot can be compared with a motor's time stamp.

    Parameters
    ----------
    points : int
        Shots that the fit covers.
    """

    def __init__(self, points: int = _POINTS) -> None:
        self._ids = np.zeros(points)
        self._times = np.zeros(points)
        self._count = 0
        self._since_fit = 0
        self._origin_id = 0
        self._origin_ns = 0
        self._line: tuple[float, float] | None = None
        self.sigma_ns = 0.0
        """Standard deviation of the time stamps about the line [ns]."""

    def update(self, pulse_id: UInt, timestamp_ns: Int) -> None:
        """Take newer shots into the fit.

        Parameters
        ----------
        pulse_id : ndarray of uint64, shape (n,)
            Pulse ids.
        timestamp_ns : ndarray of int64, shape (n,)
            Their time stamps [ns UTC].
        """
        if len(pulse_id) == 0:
            return
        if self._count == 0 or abs(int(pulse_id[-1]) - self._origin_id) > 10**12:
            self._origin_id, self._origin_ns = int(pulse_id[0]), int(timestamp_ns[0])
            self._count = 0
        points = len(self._ids)
        ids = pulse_id[-points:].astype(np.float64) - self._origin_id
        times = (timestamp_ns[-points:] - self._origin_ns).astype(np.float64)
        self._ids = np.concatenate([self._ids, ids])[-points:]
        self._times = np.concatenate([self._times, times])[-points:]
        self._count = min(self._count + len(ids), points)
        self._since_fit += len(ids)
        if self._line is None or self._since_fit >= _REFIT_EVERY:
            self._fit()

    def _fit(self) -> None:
        self._since_fit = 0
        ids, times = self._ids[-self._count :], self._times[-self._count :]
        if self._count < 3 or ids.max() == ids.min():
            return
        centre_id, centre_time = ids.mean(), times.mean()
        d_ids, d_times = ids - centre_id, times - centre_time
        slope = float(d_ids @ d_times / (d_ids @ d_ids))
        residuals = d_times - slope * d_ids
        self._line = (slope, float(centre_time - slope * centre_id))
        self.sigma_ns = float(np.sqrt(residuals @ residuals / max(self._count - 2, 1)))

    def time_ns(self, pulse_id: UInt, timestamp_ns: Int) -> Int:
        """Return the times of pulses.

        Parameters
        ----------
        pulse_id : ndarray of uint64, shape (n,)
            Pulse ids.
        timestamp_ns : ndarray of int64, shape (n,)
            Their own time stamps, taken as they are until the line is known [ns UTC].

        Returns
        -------
        ndarray of int64, shape (n,)
            Times [ns UTC].
        """
        if self._line is None:
            return timestamp_ns
        slope, offset = self._line
        ids = pulse_id.astype(np.float64) - self._origin_id
        times: Int = np.rint(slope * ids + offset).astype(np.int64) + self._origin_ns
        return times
