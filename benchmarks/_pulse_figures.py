"""Draws how well pulses are characterised: errors against the bound, and counts by class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from _pulse_scores import N_CLASSES, confusion, floor_of_counts, shots_of
from numpy.typing import NDArray
from scipy.special import erf

from autosteer.analysis.pulses import load_estimator
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.sinogram_model import delta_phase_sigma
from autosteer.sims.mrco import MrcoSimulator

_COLORS = {"matched": "tab:blue", "dciphr-small": "tab:orange"}
_BINS = 12


def draw(path: Path, n_shots: int, seed: int, published_rad: float) -> None:
    """Draw errors and counts of all estimators on the same fresh shots.

    Parameters
    ----------
    path : Path
        PNG file.
    n_shots : int
        Shots of two sub-spikes, and as many of an even mix.
    seed : int
        Seed of the simulator.
    published_rad : float
        Error of the published network, to be marked [rad].
    """
    config = SimulatedMrco()
    two, mixed = (shots_of(config, n_shots, seed, number) for number in (2, None))
    bound = delta_phase_sigma(two.truth, MrcoSimulator(config, seed).law)
    true = np.minimum(mixed.truth.n_spikes, N_CLASSES - 1)
    right = {"electrons alone": _right(np.array(floor_of_counts(n_shots, seed)))}
    figure, (errors, folds, counts) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for name, color in _COLORS.items():
        estimator = load_estimator(name)
        found = estimator.characterize(two.sinograms).delta_phase
        error = 1e3 * np.abs(found - two.delta_phase_rad)
        called = np.sort(error[np.isfinite(error)])
        shares = np.arange(1, len(called) + 1) / n_shots
        errors.plot(called, shares, color=color, label=name)
        _by_phase(folds, two.delta_phase_rad, error, color)
        counted = estimator.characterize(mixed.sinograms).n_spikes
        right[name] = _right(np.array(confusion(true, counted)))
    _show_bound(errors, 1e3 * bound, 1e3 * published_rad)
    folds.set(xlabel="phase difference [rad]", ylabel="|error| [mrad]", yscale="log")
    folds.set_title("median (line) and 95 % (dots) of the error")
    _show_counts(counts, right)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _show_bound(axes: Any, bound_mrad: NDArray[np.float64], published_mrad: float) -> None:
    """Draw what the Cramer-Rao bound leads to expect, and the published error."""
    at = np.geomspace(0.05, 1000, 200)
    expected = erf(at[:, None] / (np.sqrt(2) * bound_mrad)).mean(axis=1)
    axes.plot(at, expected, "k--", lw=1, label="Cramer-Rao bound")
    axes.axvline(published_mrad, color="gray", ls=":", label=f"published, {published_mrad:g} mrad")
    axes.set(xlabel="|error of the phase difference| [mrad]", ylabel="share of all shots")
    axes.set(xscale="log", xlim=(0.1, 1000), ylim=(0, 1.02))
    axes.set_title("two sub-spikes, none dropped")
    axes.legend(fontsize="small", loc="lower right")


def _by_phase(
    axes: Any, phase: NDArray[np.float64], error: NDArray[np.float64], color: str
) -> None:
    """Draw the error over the phase difference."""
    edges = np.linspace(0, np.pi, _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    place = np.clip(np.digitize(phase, edges) - 1, 0, _BINS - 1)
    for share, style in ((0.5, "-"), (0.95, "o")):
        values = [np.nanquantile(error[place == number], share) for number in range(_BINS)]
        axes.plot(middles, values, style, color=color, ms=4)


def _show_counts(axes: Any, right: dict[str, NDArray[np.float64]]) -> None:
    """Draw the share of right counts by class."""
    width = 0.8 / len(right)
    for number, (name, shares) in enumerate(right.items()):
        places = np.arange(N_CLASSES) + (number - (len(right) - 1) / 2) * width
        axes.bar(places, shares, width, color=_COLORS.get(name, "lightgray"), label=name)
    axes.set_xticks(range(N_CLASSES), ["0", "1", "2", "3", "4+"])
    axes.set(xlabel="sub-spikes", ylabel="counted right", ylim=(0.4, 1.01))
    axes.set_title("even mix")
    axes.legend(fontsize="small", loc="lower left")


def _right(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.diag(matrix[:, :N_CLASSES]) / matrix.sum(axis=1)
    return shares
