"""Statistics of benchmarks: how sure a fraction or a ratio is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import beta

Statistic = Callable[..., Any]


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return Clopper's and Pearson's upper bound of a fraction (doi:10.1093/biomet/26.4.404)."""
    if successes == trials:
        return 1.0
    return float(beta.ppf(confidence, successes + 1, trials - successes))


def bootstrap_ratio(
    above: Sequence[float], below: Sequence[float], statistic: Statistic, draws: int = 10_000
) -> tuple[float, float, float]:
    """Return the ratio of a statistic of two samples, with its bootstrap 95 % interval.

    Parameters
    ----------
    above, below : sequence of float
        The samples; each is drawn anew by itself.
    statistic : callable
        For example ``numpy.median``.
    draws : int, default 10000
        Draws of the bootstrap.

    Returns
    -------
    ratio, low, high : float
        The ratio and its interval.
    """
    rng = np.random.default_rng(0)
    tops, bottoms = (
        statistic(rng.choice(np.asarray(sample, np.float64), (draws, len(sample))), axis=1)
        for sample in (above, below)
    )
    low, high = np.quantile(tops / bottoms, [0.025, 0.975])
    return float(statistic(above) / statistic(below)), float(low), float(high)
