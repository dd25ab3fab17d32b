"""Errors of phase differences, by what makes shots hard."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from _pulse_scores import shots_of
from numpy.typing import NDArray

from autosteer.analysis.pulses import load_estimator
from autosteer.contracts.pulse_simulation import SimulatedMrco

_EDGES = {
    "phase difference [rad]": (0.0, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, np.pi),
    "weaker amplitude": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 3.0),
    "distance of the energies [bins]": (0.0, 1.0, 2.0, 5.0, 10.0, 40.0),
}


def errors(
    estimators: tuple[str, ...], n_shots: int, seed: int
) -> dict[str, list[dict[str, float]]]:
    """Score phases of two sub-spikes in ranges of what makes them hard."""
    shots = shots_of(SimulatedMrco(), n_shots, seed, 2)
    of: dict[str, NDArray[np.float64]] = {
        "phase difference [rad]": shots.delta_phase_rad,
        "weaker amplitude": shots.truth.amplitude.min(axis=1),
        "distance of the energies [bins]": np.abs(np.diff(shots.truth.center_bins, axis=1))[:, 0],
    }
    found = {
        name: load_estimator(name).characterize(shots.sinograms).delta_phase for name in estimators
    }
    tables: dict[str, list[dict[str, float]]] = {}
    for what, values in of.items():
        rows = tables.setdefault(what, [])
        edges = _EDGES[what]
        for low, high in pairwise(edges):
            some = (values >= low) & (values < high)
            row: dict[str, float] = {"from": low, "to": high, "shots": int(some.sum())}
            for name, phase in found.items():
                error = 1e3 * np.abs(phase - shots.delta_phase_rad)[some]
                called = error[np.isfinite(error)]
                row[f"{name}: coverage"] = len(called) / max(len(error), 1)
                row[f"{name}: median [mrad]"] = _or_nan(np.median, called)
                row[f"{name}: rms [mrad]"] = _or_nan(_rms, called)
            rows.append(row)
    return tables


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _or_nan(of: object, values: NDArray[np.float64]) -> float:
    return float(of(values)) if len(values) and callable(of) else float("nan")
