"""How much fits take noise out of sinograms, by structural similarity."""

from __future__ import annotations

import numpy as np
from _pulse_scores import N_CLASSES, shots_of
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from autosteer.analysis.pulses.estimators import default_calibration
from autosteer.analysis.pulses.matched import MatchedEstimator
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.similarity import structural_similarity
from autosteer.physics.sinogram_model import expected_rates
from autosteer.sims.mrco import MrcoSimulator

Float = NDArray[np.float64]
_FLOOR_SD_BINS = 0.8


def images(n_shots: int, seed: int) -> list[dict[str, float | str]]:
    """Compare sinograms, and what is made of them, with the noiseless ones."""
    config = SimulatedMrco(class_mix=(0.0, 0.25, 0.25, 0.25, 0.25))
    shots = shots_of(config, n_shots, seed, None)
    clean = expected_rates(shots.truth, MrcoSimulator(config).law)
    counts = shots.sinograms.astype(np.float64)
    # Counts stand a bin below the lines.
    moved = np.roll(counts, 1, axis=2)
    estimator = MatchedEstimator(default_calibration())
    fitted = np.zeros_like(counts)
    for rows, streaks in estimator.fits(shots.sinograms.astype(np.float32), most=N_CLASSES - 1):
        fitted[rows] = np.roll(estimator.model.expected(streaks).numpy(), 1, axis=2)
    made = {
        "counts": counts,
        "counts moved by a bin and smoothed": gaussian_filter1d(moved, _FLOOR_SD_BINS, axis=2),
        "rates fitted by matched": fitted,
    }
    before = structural_similarity(counts, clean)
    number = np.minimum(shots.truth.n_spikes, N_CLASSES - 1)
    rows_of_table: list[dict[str, float | str]] = []
    for name, values in made.items():
        similarity = structural_similarity(values, clean)
        gain = similarity / before - 1
        error = ((_scaled(values) - _scaled(clean)) ** 2).mean(axis=(1, 2))
        rows_of_table.append({
            "image": name,
            "similarity": float(similarity.mean()),
            "SSIM-G [%]": 100 * float(gain.mean()),
            **{
                f"{'4+' if of == N_CLASSES - 1 else of} [%]": 100 * float(gain[number == of].mean())
                for of in range(1, N_CLASSES)
            },
            "mean square error": float(error.mean()),
        })
    return rows_of_table


def _scaled(values: Float) -> Float:
    """Scale each image to [0, 1]."""
    low, high = (of(axis=(1, 2), keepdims=True) for of in (values.min, values.max))
    return np.asarray((values - low) / np.maximum(high - low, 1e-12))
