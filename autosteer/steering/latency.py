"""Latencies in a histogram of fixed size, from a tenth of a millisecond to a quarter of an hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LOWEST_S = 1e-4
_RATIO = 1.02
_BINS = 810


class LatencyHistogram:
    """Counts of latencies in bins that are 2 % wide, so that quantiles are good to 2 %."""

    def __init__(self) -> None:
        # Bin 0 holds all below the lowest edge, the last one all above the highest.
        self._counts = np.zeros(_BINS + 1, np.int64)

    def add(self, latencies_s: ArrayLike) -> None:
        """Count latencies.

        Parameters
        ----------
        latencies_s : array_like of float, shape (n,)
            Latencies [s]; negative ones (clocks that disagree) fall into the lowest bin.
        """
        values = np.maximum(np.asarray(latencies_s, np.float64), _LOWEST_S)
        index = np.ceil(np.log(values / _LOWEST_S) / np.log(_RATIO)).astype(np.intp)
        self._counts += np.bincount(np.clip(index, 0, _BINS), minlength=_BINS + 1)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def quantile(self, q: float) -> float:
        """Return a quantile.

        Parameters
        ----------
        q : float
            Which one, in (0, 1].

        Returns
        -------
        float
            Upper edge of the bin that holds it [s]; NaN if nothing was counted.
        """
        total = len(self)
        if total == 0:
            return float("nan")
        rank = max(int(np.ceil(q * total)), 1)
        return float(_LOWEST_S * _RATIO ** int(np.searchsorted(np.cumsum(self._counts), rank)))

    def counts(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the histogram for plotting.

        Returns
        -------
        edges_s : ndarray of float64, shape (n_bins + 1,)
            Edges of the bins that hold anything, and of those between [s].
        counts : ndarray of int64, shape (n_bins,)
            Latencies in each.
        """
        used = np.flatnonzero(self._counts)
        if len(used) == 0:
            return np.array([_LOWEST_S, _LOWEST_S * _RATIO]), np.zeros(1, np.int64)
        first, last = int(used[0]), int(used[-1])
        edges = _LOWEST_S * _RATIO ** np.arange(first - 1, last + 1, dtype=np.float64)
        return edges, self._counts[first : last + 1]
