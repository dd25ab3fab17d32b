"""How well an estimator does on shots whose truth is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.pulses.result import N_CLASSES, PulseResult
from autosteer.physics.streaking import fold_phase

Float = NDArray[np.float64]


def count_scores(true: NDArray[np.int64], result: PulseResult) -> dict[str, float]:
    """Score numbers of sub-spikes.

    Parameters
    ----------
    true : ndarray of int64, shape (n,)
        True numbers.
    result : PulseResult
        What an estimator says; an abstention counts as wrong.

    Returns
    -------
    dict of str to float
        Share of right ones, of each class as well, of flagged ones, and the calibration error: the
        mean difference between probability and share of right ones over ten equal parts.
    """
    classes = np.minimum(true, N_CLASSES - 1)
    right = result.n_spikes == classes
    scores = {"right": float(right.mean())}
    for number in range(N_CLASSES):
        some = classes == number
        scores[f"right_{number}"] = float(right[some].mean()) if some.any() else np.nan
    said = result.n_spikes >= 0
    sure = np.nan_to_num(result.probabilities[said].max(axis=1, initial=0))
    order = np.argsort(sure)
    parts = [part for part in np.array_split(order, 10) if len(part)]
    off = [abs(sure[part].mean() - right[said][part].mean()) for part in parts]
    scores["calibration_error"] = float(np.mean(off)) if off else np.nan
    scores["flagged"] = float(result.ambiguous.mean())
    scores["abstained"] = float((~said).mean())
    return scores


def pair_scores(delta_phase: Float, result: PulseResult) -> dict[str, float]:
    """Score phases between two sub-spikes.

    Parameters
    ----------
    delta_phase : ndarray of float64, shape (n,)
        True ones, of shots that all have two sub-spikes [rad].
    result : PulseResult
        What an estimator says.

    Returns
    -------
    dict of str to float
        Share of shots that were called two, root mean square, median and 95 % quantile of their
        errors [mrad], the same of shots that were not flagged, and the spread of the error over its
        standard deviation for the middle 68 and 95 % of shots.
    """
    called = np.isfinite(result.delta_phase)
    sure = called & ~result.ambiguous
    error = np.abs(result.delta_phase - delta_phase)
    pull = error / result.delta_phase_sigma
    return {
        "coverage": float(called.mean()),
        "rms_mrad": 1e3 * _rms(error[called]),
        "median_mrad": 1e3 * _quantile(error[called], 0.5),
        "q95_mrad": 1e3 * _quantile(error[called], 0.95),
        "flagged": float((called & result.ambiguous).mean()),
        "rms_not_flagged_mrad": 1e3 * _rms(error[sure]),
        "pull_68": _quantile(pull[called], 0.6827),
        "pull_95": _quantile(pull[called], 0.9545) / 2,
    }


def strongest_scores(
    phase: Float, n_spikes: NDArray[np.int64], result: PulseResult
) -> dict[str, float]:
    """Score phases of the strongest sub-spike of shots with one.

    Parameters
    ----------
    phase : ndarray of float64, shape (n,)
        True ones [rad].
    n_spikes : ndarray of int64, shape (n,)
        True numbers of sub-spikes.
    result : PulseResult
        What an estimator says.

    Returns
    -------
    dict of str to float
        Median and root mean square of the error round the circle [mrad].
    """
    one = (n_spikes == 1) & np.isfinite(result.phase)
    error = fold_phase(result.phase[one] - phase[one])
    return {"median_mrad": 1e3 * _quantile(error, 0.5), "rms_mrad": 1e3 * _rms(error)}


def _rms(values: Float) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def _quantile(values: Float, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")
