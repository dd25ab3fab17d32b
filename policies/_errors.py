"""Errors of measured quantities: what is not given is filled in from what is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, nnls
from scipy.special import digamma, polygamma

from autosteer.policies._ledger import Table

Float = NDArray[np.float64]

# Smallest standard error that is believed, relative to the spread of the means.
_SMALLEST_RELATIVE_SEM = 1e-3
# With fewer points than this, each stands for itself.
_FEWEST_TO_LEARN_FROM = 8
# The law of all points counts as much as so many shots at most.
_MOST_OF_LAW = 1000.0


def usual_shots(known: Float, shots: Float | None) -> Float:
    """Return shots as they are given, or as many as there usually are.

    Parameters
    ----------
    known : ndarray of float64, shape (n,)
        Shots of what was measured.
    shots : ndarray of float64, optional
        Shots that are asked about.

    Returns
    -------
    ndarray of float64
        The shots.
    """
    return np.asarray(np.median(known)) if shots is None else shots


def variance_law(mean: Float, sem: Float, shots: Float) -> tuple[float, float]:
    """Fit the variance of a shot as a constant and a multiple of the mean, both not negative.

    Parameters
    ----------
    mean, sem, shots : ndarray of float64, shape (n,)
        Measured means, their standard errors, and the shots behind them.

    Returns
    -------
    constant, slope : float
        Variance at a mean of zero, and how it grows with the mean.
    """
    weight = np.sqrt(shots)
    design = np.stack([np.ones(len(mean)), np.maximum(mean, 0.0)], axis=1)
    (constant, slope), _ = nnls(design * weight[:, None], sem**2 * shots * weight)
    # Something must be left where next to nothing is expected.
    least = 1e-3 * float(np.median(sem**2 * shots))
    return max(float(constant), least), float(slope)


def filled_errors(table: Table) -> Float | None:
    """Return standard errors, the typical one where a point has none.

    The spread of a few shots says little of their error: by chance they agree, and then a point
    would be believed far too much. So each is moderated by what all points together say, as far as
    the points differ no more than they would by chance [1]_.

    Parameters
    ----------
    table : Table
        What was measured.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None where no point has one.

    References
    ----------
    .. [1] G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), doi:10.2202/1544-6115.1027.
    """
    known = np.isfinite(table.sem)
    if not known.any():
        return None
    sem = _moderated(table)
    floor = _SMALLEST_RELATIVE_SEM * max(float(np.ptp(table.mean)), 1e-12)
    return np.maximum(np.where(known, sem, np.median(sem[known])), floor)


def _moderated(table: Table) -> Float:
    """Draw errors towards the law that all points follow."""
    free = table.n - 1
    spread = np.isfinite(table.sem) & (table.sem > 0) & (free >= 1)
    if np.count_nonzero(spread) < _FEWEST_TO_LEARN_FROM:
        return table.sem
    mean, sem, n = table.mean[spread], table.sem[spread], table.n[spread]
    constant, slope = variance_law(mean, sem, n)
    law = constant + slope * np.maximum(table.mean, 0.0)
    half = free[spread] / 2
    excess = np.log(sem**2 * n / law[spread]) - digamma(half) + np.log(half)
    beyond_chance = float(np.var(excess) - np.mean(polygamma(1, half)))
    of_law = _MOST_OF_LAW
    if beyond_chance > polygamma(1, _MOST_OF_LAW / 2):
        of_law = 2 * brentq(lambda y: polygamma(1, y) - beyond_chance, 1e-3, _MOST_OF_LAW / 2)
    typical = law * np.exp(np.mean(excess) + digamma(of_law / 2) - np.log(of_law / 2))
    moderated = (free * table.sem**2 * table.n + of_law * typical) / (free + of_law)
    return np.where(np.isfinite(table.sem) & (free >= 1), np.sqrt(moderated / table.n), table.sem)


def variance_per_shot(table: Table, sem: Float | None) -> float | None:
    """Return the typical variance of a single shot.

    Parameters
    ----------
    table : Table
        What was measured.
    sem : ndarray of float64, shape (n,), or None
        Its standard errors.

    Returns
    -------
    float or None
        None where shots or errors are not known.
    """
    if sem is None or not np.isfinite(table.n).any():
        return None
    return float(np.nanmedian(sem**2 * table.n))
