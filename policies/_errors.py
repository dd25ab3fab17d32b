"""Errors of measured quantities: what is not given is filled in from what is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from autosteer.policies._ledger import Table

Float = NDArray[np.float64]

# Smallest standard error that is believed, relative to the spread of the means.
_SMALLEST_RELATIVE_SEM = 1e-3


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


def filled_errors(table: Table) -> Float | None:
    """Return standard errors, the typical one where a point has none.

    Parameters
    ----------
    table : Table
        What was measured.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None where no point has one.
    """
    known = np.isfinite(table.sem)
    if not known.any():
        return None
    floor = _SMALLEST_RELATIVE_SEM * max(float(np.ptp(table.mean)), 1e-12)
    return np.maximum(np.where(known, table.sem, np.median(table.sem[known])), floor)


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
