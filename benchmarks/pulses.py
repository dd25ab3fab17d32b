"""Pulses: phases against the Cramer-Rao bound, counts, robustness, and speed.

python benchmarks/pulses.py [--shots 2000] [--seed 1] [--speed-s 5] [--only TABLE ...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from _cells import Cells, table
from numpy.typing import NDArray

from autosteer.analysis.pulses import PulseCalibration, PulseResult, load_estimator
from autosteer.analysis.pulses.fit_calibration import fit_calibration
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.sinogram_model import delta_phase_sigma
from autosteer.physics.streaking import delay_as
from autosteer.sims.mrco import MrcoSimulator, PulseShots

OUTLIER_RAD = 0.05
NEAR_RAD = 0.01
WAVELENGTHS_UM = (0.8, 1.2, 1.3, 2.0, 4.0, 5.0, 10.6)
# Shots of which the simulator of the calibration knows nothing.
_FIRST_PULSE = 1_000_000
_N_CLASSES = 5

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
}
"""Settings of the simulator that differ from those of the built-in calibration."""


def shots_of(config: SimulatedMrco, n_shots: int, seed: int, n_spikes: int | None) -> PulseShots:
    """Make shots that no calibration was made from."""
    pulses = np.arange(_FIRST_PULSE, _FIRST_PULSE + n_shots, dtype=np.uint64)
    return MrcoSimulator(config, seed).shots(pulses, n_spikes)


def phases(n_shots: int, seed: int) -> dict[str, float]:
    """Score phases between two sub-spikes, none of the shots dropped, their number not given."""
    shots = shots_of(SimulatedMrco(), n_shots, seed, 2)
    result = load_estimator("matched").characterize(shots.sinograms)
    bound = delta_phase_sigma(shots.truth, MrcoSimulator().law)
    return phase_scores(shots, result, bound)


def phase_scores(
    shots: PulseShots, result: PulseResult, bound: NDArray[np.float64]
) -> dict[str, float]:
    """Compare phases with the truth and with the bound."""
    error = np.abs(result.delta_phase - shots.delta_phase_rad)
    called = np.isfinite(error)
    near = called & (error < OUTLIER_RAD)
    sure = near & ~result.ambiguous
    return {
        "coverage": float(called.mean()),
        "flagged": float(result.ambiguous.mean()),
        "median_mrad": 1e3 * float(np.median(error[called])),
        "q68_mrad": 1e3 * float(np.quantile(error[called], 0.68)),
        "q95_mrad": 1e3 * float(np.quantile(error[called], 0.95)),
        "rms_mrad": 1e3 * float(np.sqrt(np.mean(error[called] ** 2))),
        "within_10": float((error < NEAR_RAD).mean()),
        "outliers": float((called & ~near & ~result.ambiguous).mean()),
        "over_bound": float(np.sqrt(np.mean((error / bound)[sure] ** 2))),
        "pull": float(np.sqrt(np.mean((error / result.delta_phase_sigma)[sure] ** 2))),
        "bound_median_mrad": 1e3 * float(np.median(bound)),
    }


def counts(changes: dict[str, Any], n_shots: int, seed: int) -> list[list[int]]:
    """Return the confusion matrix of counts, truth by rows."""
    shots = shots_of(SimulatedMrco(**changes), n_shots, seed, None)
    result = load_estimator("matched").characterize(shots.sinograms)
    true = np.minimum(shots.truth.n_spikes, _N_CLASSES - 1)
    return confusion(true, result.n_spikes)


def confusion(true: NDArray[np.int64], called: NDArray[np.int64]) -> list[list[int]]:
    """Count shots by truth and by what they were called; the last column is for abstentions."""
    matrix = np.zeros((_N_CLASSES, _N_CLASSES + 1), dtype=int)
    np.add.at(matrix, (true, np.where(called < 0, _N_CLASSES, called)), 1)
    return [list(map(int, row)) for row in matrix]


def floor_of_counts(n_shots: int, seed: int) -> list[list[int]]:
    """Return the confusion matrix of guessing by the number of electrons alone."""
    config = SimulatedMrco()
    learned, judged = (shots_of(config, n_shots, seed + step, None) for step in (1, 0))
    electrons = [shots.sinograms.sum(axis=(1, 2), dtype=np.int64) for shots in (learned, judged)]
    true = [np.minimum(shots.truth.n_spikes, _N_CLASSES - 1) for shots in (learned, judged)]
    edges = np.append(np.arange(0, 1500, 20), 100_000)
    by_class = np.stack([
        np.histogram(electrons[0][true[0] == number], edges)[0] for number in range(_N_CLASSES)
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
        of_two, of_mixed = _both(two, mixed, calibration)
        found = phase_scores(two, of_two, bound)
        scores |= {f"{which}{key}": found[key] for key in ("coverage", "median_mrad", "rms_mrad")}
        true = np.minimum(mixed.truth.n_spikes, _N_CLASSES - 1)
        scores[f"{which}count"] = float((of_mixed.n_spikes == true).mean())
    return scores


def _both(
    two: PulseShots, mixed: PulseShots, calibration: PulseCalibration | None
) -> tuple[PulseResult, PulseResult]:
    estimator = load_estimator("matched", calibration)
    return estimator.characterize(two.sinograms), estimator.characterize(mixed.sinograms)


def speed(n_spikes: int | None, batch: int, device: str, seconds: float) -> dict[str, float]:
    """Time calls, input from and output to memory of the processor."""
    shots = shots_of(SimulatedMrco(), max(batch, 512), 1, n_spikes).sinograms
    estimator = load_estimator("matched", device=device)
    estimator.characterize(shots[:batch])
    times: list[float] = []
    start = 0
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(times) < 3:
        some = np.take(shots, range(start, start + batch), axis=0, mode="wrap")
        start += batch
        begin_s = time.perf_counter()
        estimator.characterize(some)
        times.append(time.perf_counter() - begin_s)
    return {
        "shots_per_s": batch / float(np.mean(times)),
        "p50_ms": 1e3 * float(np.quantile(times, 0.5)),
        "p99_ms": 1e3 * float(np.quantile(times, 0.99)),
    }


def print_phases(get: Callable[..., Any], arguments: argparse.Namespace) -> None:
    """Print how well phases are known."""
    found = get(partial(phases, arguments.shots, arguments.seed), what="phases")
    print(
        f"\nPhase between two sub-spikes, {arguments.shots} shots, none dropped, number not given\n"
    )
    print(table([{"estimator": "matched", **_row(found)}]))
    print("\nThe root mean square as a delay\n")
    print(table([
        {
            "laser [um]": wavelength,
            "matched [as]": float(delay_as(found["rms_mrad"] / 1e3, wavelength)),
            "published network [as]": float(delay_as(0.0465, wavelength)),
        }
        for wavelength in WAVELENGTHS_UM
    ]))  # fmt: skip


def _row(found: dict[str, float]) -> dict[str, float]:
    return {
        "coverage": found["coverage"],
        "flagged": found["flagged"],
        "median [mrad]": found["median_mrad"],
        "68 % [mrad]": found["q68_mrad"],
        "95 % [mrad]": found["q95_mrad"],
        "rms [mrad]": found["rms_mrad"],
        "within 10 mrad": found["within_10"],
        "beyond 50, not flagged": found["outliers"],
        "rms over bound": found["over_bound"],
        "pull": found["pull"],
        "median bound [mrad]": found["bound_median_mrad"],
    }


def print_counts(get: Callable[..., Any], arguments: argparse.Namespace) -> None:
    """Print confusion matrices."""
    hard = {"draw_scale_range": (0.25, 4.0), "poisson_counts": True}
    for name, make in (
        ("matched", partial(counts, {}, arguments.shots, arguments.seed)),
        ("matched, electrons x 1/4 to 4, Poisson", partial(counts, hard, arguments.shots, 1)),
        ("electrons counted, no more", partial(floor_of_counts, arguments.shots, arguments.seed)),
    ):
        matrix = np.array(get(make, what=f"counts, {name}"))
        right = np.diag(matrix).sum() / matrix.sum()
        print(f"\nNumber of sub-spikes, {name}: {100 * right:.1f} % right\n")
        names = ["0", "1", "2", "3", "4+", "abstained"]
        print(table([
            {"truth": names[row], **dict(zip(names, map(int, matrix[row]), strict=True)),
             "right [%]": 100 * matrix[row, row] / max(matrix[row].sum(), 1)}
            for row in range(_N_CLASSES)
        ]))  # fmt: skip


def print_robustness(get: Callable[..., Any], arguments: argparse.Namespace) -> None:
    """Print what changed settings do."""
    print("\nOther settings: with the built-in calibration, and with one of 1500 of their shots\n")
    rows = []
    for name in SWEEPS:
        make = partial(robustness, name, max(arguments.shots // 4, 100), arguments.seed)
        found = get(make, what=f"robustness, {name}")
        rows.append({
            "settings": name,
            "bound [mrad]": found["bound_median_mrad"],
            "coverage": found["coverage"],
            "median [mrad]": found["median_mrad"],
            "counted right": found["count"],
            "own: coverage": found["own_coverage"],
            "own: median [mrad]": found["own_median_mrad"],
            "own: counted right": found["own_count"],
        })
    print(table(rows))


def print_speed(_: Callable[..., Any], arguments: argparse.Namespace) -> None:
    """Print shots per second, which are measured anew each time."""
    print(f"\nSpeed, {torch.get_num_threads()} thread, float64\n")
    rows: list[dict[str, Any]] = []
    devices = ["cpu", "cuda"]
    for device in devices:
        for n_spikes, batch in ((2, 1), (2, 16), (2, 64), (2, 256), (2, 1024), (None, 256)):
            row = {
                "estimator": "matched",
                "device": device,
                "sub-spikes": "even mix" if n_spikes is None else n_spikes,
                "batch": batch,
            }
            found: dict[str, Any] = {"shots_per_s": "not measured: no CUDA device"}
            if device == "cpu" or torch.cuda.is_available():
                found = speed(n_spikes, batch, device, arguments.speed_s)
            rows.append({
                **row,
                "shots/s": found["shots_per_s"],
                "a call, p50 [ms]": found.get("p50_ms", "-"),
                "p99 [ms]": found.get("p99_ms", "-"),
            })
    print(table(rows))


TABLES: dict[str, Callable[[Callable[..., Any], argparse.Namespace], None]] = {
    "phases": print_phases,
    "counts": print_counts,
    "robustness": print_robustness,
    "speed": print_speed,
}


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=2000, help="shots of a table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed-s", type=float, default=5.0, help="seconds of each speed")
    parser.add_argument("--budget-s", type=float, default=3600.0)
    parser.add_argument("--only", nargs="*", choices=sorted(TABLES), default=sorted(TABLES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells("pulses", arguments.budget_s)

    def get(make: Callable[[], Any], what: str) -> Any:
        value = cells.get(make, what=what, shots=arguments.shots, seed=arguments.seed)
        if value is None:
            raise SystemExit("the budget is used up: run again to go on")
        return value

    for name, show in TABLES.items():
        if name in arguments.only:
            show(get, arguments)


if __name__ == "__main__":
    main()
