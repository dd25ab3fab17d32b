"""Tables of measurements for the tests of what policies are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autosteer.policies._ledger import Table

Float = NDArray[np.float64]


def table(x: Float, mean: Float, sem: Float | float = np.nan, n: Float | float = np.nan) -> Table:
    """Give a table of one quantity."""
    x = np.asarray(x, np.float64).reshape(len(mean), -1)
    nothing = np.full(len(mean), np.nan)
    return Table(
        x=x,
        mean=np.asarray(mean, np.float64),
        sem=np.broadcast_to(np.asarray(sem, np.float64), nothing.shape),
        n=np.broadcast_to(np.asarray(n, np.float64), nothing.shape),
        t_s=nothing,
        context=np.zeros((len(mean), 0)),
    )


def hits(x: Float, share: Float, n: Float | int, seed: int = 0) -> Table:
    """Give counted hits at places with true shares."""
    counts = np.broadcast_to(np.asarray(n), share.shape)
    k = np.random.default_rng(seed).binomial(counts, share)
    sem = np.sqrt((k + 0.5) * (counts - k + 0.5) / (counts + 2)) / (counts + 1)
    return table(x, k / counts, sem, counts.astype(np.float64))
