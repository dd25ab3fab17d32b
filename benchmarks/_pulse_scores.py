"""Scores of estimators of pulses on simulated shots: phases, numbers, and other settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.pulses import Abstained, PulseEstimator, PulseResult, load_estimator
from autosteer.analysis.pulses.fit_calibration import fit_calibration
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.sinogram_model import delta_phase_sigma
from autosteer.sims.mrco import MrcoSimulator, PulseShots

OUTLIER_RAD = 0.05
NEAR_RAD = 0.01
# Shots of which the simulator of the calibration knows nothing.
_FIRST_PULSE = 1_000_000
N_CLASSES = 5

SWEEPS: dict[str, dict[str, Any]] = {
    "as calibrated": {},
    "electrons x 1/4": {"draw_scale": 1.0},
    "electrons x 1/2": {"draw_scale": 2.0},
    "electrons x 2": {"draw_scale": 8.0},
    "electrons x 4": {"draw_scale": 16.0},
    "electrons x 1/4 to 4, Poisson counts": {
        "draw_scale_range": (0.25, 4.0),
        "poisson_counts": True,
    },
    "Poisson counts": {"poisson_counts": True},
    "dark rate x 10": {"dark_scale": 0.005},
    "time of flight 0.5 bins": {"response_bins": 0.5},
    "lines twice as wide": {"line_half_width_bins": 6.0},
    "a dead channel": {"dead_channels": (5,)},
    "gain errors of 10 %": {"gain_spread": 0.1},
    "centers off by 10 bins": {"center_bin": 266.0},
    "kick of 100 bins": {"kick_bins": 100.0},
    "circular polarisation": {"polarized": False},
    "kick wanders by 20 bins": {"kick_wander_bins": 20.0, "wander_pulses": 100.0},
    "centers wander by 10 bins": {"center_wander_bins": 10.0, "wander_pulses": 100.0},
}
"""Settings of the simulator that differ from those of the built-in calibration."""


def shots_of(config: SimulatedMrco, n_shots: int, seed: int, n_spikes: int | None) -> PulseShots:
    """Make shots that no calibration was made from."""
    pulses = np.arange(_FIRST_PULSE, _FIRST_PULSE + n_shots, dtype=np.uint64)
    return MrcoSimulator(config, seed).shots(pulses, n_spikes)


def phases(estimator: str, n_shots: int, seed: int) -> dict[str, float]:
    """Score phases between two sub-spikes, none of the shots dropped, their number not given."""
    shots = shots_of(SimulatedMrco(), n_shots, seed, 2)
    result = load_estimator(estimator).characterize(shots.sinograms)
    bound = delta_phase_sigma(shots.truth, MrcoSimulator().law)
    return phase_scores(shots, result, bound)


def phase_scores(
    shots: PulseShots, result: PulseResult, bound: NDArray[np.float64]
) -> dict[str, float]:
    """Compare phases with the truth and with the bound."""
    error = np.abs(result.delta_phase - shots.delta_phase_rad)
    called = np.isfinite(error)
    near = called & (error < OUTLIER_RAD)
    kept = called & ~result.ambiguous
    sure = near & kept
    return {
        "coverage": float(called.mean()),
        "flagged": float(result.ambiguous.mean()),
        "median_mrad": 1e3 * float(np.median(error[called])),
        "q68_mrad": 1e3 * float(np.quantile(error[called], 0.68)),
        "q95_mrad": 1e3 * float(np.quantile(error[called], 0.95)),
        "rms_mrad": 1e3 * _rms(error[called]),
        "rms_kept_mrad": 1e3 * _rms(error[kept]),
        "within_10": float((error < NEAR_RAD).mean()),
        "outliers": float((called & ~near & ~result.ambiguous).mean()),
        "over_bound": _rms((error / bound)[sure]),
        "pull": _rms((error / result.delta_phase_sigma)[sure]),
        "bound_median_mrad": 1e3 * float(np.median(bound)),
    }


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def counts(estimator: str, changes: dict[str, Any], n_shots: int, seed: int) -> list[list[int]]:
    """Return the confusion matrix of counts, truth by rows."""
    shots = shots_of(SimulatedMrco(**changes), n_shots, seed, None)
    result = load_estimator(estimator).characterize(shots.sinograms)
    true = np.minimum(shots.truth.n_spikes, N_CLASSES - 1)
    return confusion(true, result.n_spikes)


def confusion(true: NDArray[np.int64], called: NDArray[np.int64]) -> list[list[int]]:
    """Count shots by truth and by what they were called; the last column is for abstentions."""
    matrix = np.zeros((N_CLASSES, N_CLASSES + 1), dtype=int)
    np.add.at(matrix, (true, np.where(called < 0, N_CLASSES, called)), 1)
    return [list(map(int, row)) for row in matrix]


def floor_of_counts(n_shots: int, seed: int) -> list[list[int]]:
    """Return the confusion matrix of guessing by the number of electrons alone."""
    config = SimulatedMrco()
    learned, judged = (shots_of(config, n_shots, seed + step, None) for step in (1, 0))
    electrons = [shots.sinograms.sum(axis=(1, 2), dtype=np.int64) for shots in (learned, judged)]
    true = [np.minimum(shots.truth.n_spikes, N_CLASSES - 1) for shots in (learned, judged)]
    edges = np.append(np.arange(0, 1500, 20), 100_000)
    by_class = np.stack([
        np.histogram(electrons[0][true[0] == number], edges)[0] for number in range(N_CLASSES)
    ])
    best = by_class.argmax(axis=0)
    return confusion(true[1], best[np.digitize(electrons[1], edges) - 1])


def robustness(name: str, n_shots: int, seed: int) -> dict[str, float]:
    """Score shots of changed settings, with the built-in calibration and with one of their own."""
    config = SimulatedMrco(**SWEEPS[name])
    simulator = MrcoSimulator(config, seed)
    own = fit_calibration(simulator.shots(np.arange(1500, dtype=np.uint64)).sinograms, name)
    scores: dict[str, float] = {}
    two, mixed = (shots_of(config, n_shots, seed, number) for number in (2, None))
    bound = delta_phase_sigma(two.truth, simulator.law)
    scores["bound_median_mrad"] = 1e3 * float(np.median(bound))
    for which, calibration in (("", None), ("own_", own)):
        found = _of_settings(load_estimator("matched", calibration), two, mixed, bound)
        scores |= {f"{which}{key}": value for key, value in found.items()}
    return scores


def robustness_of_network(name: str, n_shots: int, seed: int) -> dict[str, float]:
    """Score shots of changed settings with the weights that come with the package."""
    config = SimulatedMrco(**SWEEPS[name])
    two, mixed = (shots_of(config, n_shots, seed, number) for number in (2, None))
    bound = delta_phase_sigma(two.truth, MrcoSimulator(config, seed).law)
    return _of_settings(load_estimator("dciphr-small"), two, mixed, bound)


def _of_settings(
    estimator: PulseEstimator, two: PulseShots, mixed: PulseShots, bound: NDArray[np.float64]
) -> dict[str, float]:
    of_two, of_mixed = (estimator.characterize(shots.sinograms) for shots in (two, mixed))
    found = phase_scores(two, of_two, bound)
    true = np.minimum(mixed.truth.n_spikes, N_CLASSES - 1)
    keys = ("coverage", "median_mrad", "rms_mrad", "rms_kept_mrad", "flagged")
    return {
        **{key: found[key] for key in keys},
        "count": float((of_mixed.n_spikes == true).mean()),
        "unfamiliar": float((of_two.abstained == Abstained.UNFAMILIAR).mean()),
    }
