"""Pulses: phases against the Cramer-Rao bound, counts, other settings, images, and speed.

python benchmarks/pulses.py [--shots 2000] [--seed 1] [--speed-s 5] [--only TABLE ...]
    [--figure PNG]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Cells, table
from _pulse_errors import errors
from _pulse_figures import draw
from _pulse_images import images
from _pulse_scores import (
    N_CLASSES,
    SWEEPS,
    counts,
    floor_of_counts,
    phases,
    robustness,
    robustness_of_network,
)
from _pulse_speed import CASES, speed, two_processes

from autosteer.physics.streaking import delay_as

WAVELENGTHS_UM = (0.8, 1.2, 1.3, 2.0, 4.0, 5.0, 10.6)
PUBLISHED_RAD = 0.0465
"""Error of the published network, after some shots had been left out [rad]."""
PUBLISHED_US = 168.3
"""Published latency of DCIPHR on other hardware, the longest way [us]."""
ESTIMATORS = ("matched", "dciphr-small")

Get = Callable[..., Any]


def print_phases(get: Get, arguments: argparse.Namespace) -> None:
    """Print how well phases are known."""
    found = {
        name: get(partial(phases, name, arguments.shots, arguments.seed), what=f"phases, {name}")
        for name in ESTIMATORS
    }
    print(
        f"\nPhase between two sub-spikes, {arguments.shots} shots, none dropped, number not given\n"
    )
    print(table([{"estimator": name, **_row(one)} for name, one in found.items()]))
    print("\nThe root mean square as a delay\n")
    print(table([
        {
            "laser [um]": wavelength,
            **{
                f"{name} [as]": float(delay_as(one["rms_mrad"] / 1e3, wavelength))
                for name, one in found.items()
            },
            "published network, 46.5 mrad [as]": float(delay_as(PUBLISHED_RAD, wavelength)),
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
        "rms, not flagged [mrad]": found["rms_kept_mrad"],
        "within 10 mrad": found["within_10"],
        "beyond 50, not flagged": found["outliers"],
        "rms over bound": found["over_bound"],
        "pull": found["pull"],
        "median bound [mrad]": found["bound_median_mrad"],
    }


def print_errors(get: Get, arguments: argparse.Namespace) -> None:
    """Print errors of phases by what makes shots hard."""
    found = get(partial(errors, ESTIMATORS, arguments.shots, arguments.seed), what="errors")
    for what, rows in found.items():
        print(f"\nErrors by {what}\n")
        print(table(rows))


def print_counts(get: Get, arguments: argparse.Namespace) -> None:
    """Print confusion matrices."""
    hard = {"draw_scale_range": (0.25, 4.0), "poisson_counts": True}
    shots, seed = arguments.shots, arguments.seed
    cases: list[tuple[str, Callable[[], Any]]] = [
        (f"{name}{words}", partial(counts, name, changes, shots, seed))
        for name in ESTIMATORS
        for words, changes in (("", {}), (", electrons x 1/4 to 4, Poisson", hard))
    ]
    cases.append(("electrons counted, no more", partial(floor_of_counts, shots, seed)))
    for name, make in cases:
        matrix = np.array(get(make, what=f"counts, {name}"))
        right = np.diag(matrix).sum() / matrix.sum()
        print(f"\nNumber of sub-spikes, {name}: {100 * right:.1f} % right\n")
        names = ["0", "1", "2", "3", "4+", "abstained"]
        print(table([
            {"truth": names[row], **dict(zip(names, map(int, matrix[row]), strict=True)),
             "right [%]": 100 * matrix[row, row] / max(matrix[row].sum(), 1)}
            for row in range(N_CLASSES)
        ]))  # fmt: skip


def print_robustness(get: Get, arguments: argparse.Namespace) -> None:
    """Print what changed settings do to the matched estimator."""
    print(
        "\nmatched, other settings: with the built-in calibration, and with one of 1500 of their "
        "shots\n"
    )
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


def print_network_robustness(get: Get, arguments: argparse.Namespace) -> None:
    """Print what changed settings do to the small network."""
    print("\ndciphr-small, other settings, with the weights of the package\n")
    rows = []
    for name in SWEEPS:
        make = partial(robustness_of_network, name, max(arguments.shots // 4, 100), arguments.seed)
        found = get(make, what=f"robustness of dciphr-small, {name}")
        rows.append({
            "settings": name,
            "coverage": found["coverage"],
            "median [mrad]": found["median_mrad"],
            "rms [mrad]": found["rms_mrad"],
            "flagged": found["flagged"],
            "unfamiliar": found["unfamiliar"],
            "rms, not flagged [mrad]": found["rms_kept_mrad"],
            "counted right": found["count"],
        })
    print(table(rows))


def print_images(get: Get, arguments: argparse.Namespace) -> None:
    """Print how similar sinograms and fits are to the noiseless sinograms."""
    print("\nSinograms against noiseless ones, shots with one sub-spike or more\n")
    n_shots = max(arguments.shots // 2, 100)
    print(table(get(partial(images, n_shots, arguments.seed), what="images")))


def print_speed(_: Get, arguments: argparse.Namespace) -> None:
    """Print shots per second, which are measured anew each time."""
    print(f"\nSpeed, {torch.get_num_threads()} thread\n")
    rows: list[dict[str, Any]] = []
    for name, cases in CASES.items():
        for device, n_spikes, batch in cases:
            found: dict[str, Any] = {"shots_per_s": "not measured: no CUDA device"}
            if device == "cpu" or torch.cuda.is_available():
                found = speed(name, n_spikes, batch, device, arguments.speed_s)
            rows.append({
                "estimator": name + (", random weights" if name == "dciphr" else ""),
                "device": device,
                "sub-spikes": "even mix" if n_spikes is None else n_spikes,
                "batch": batch,
                "shots/s": found["shots_per_s"],
                "a call, p50 [ms]": found.get("p50_ms", "-"),
                "p99 [ms]": found.get("p99_ms", "-"),
            })
    print(table(rows))
    print(f"\nPublished for DCIPHR on its own hardware: {PUBLISHED_US} us for a shot.")
    print("\nTwo processes, one thread each, even mix\n")
    print(table([
        {"estimator": name, "batch": 128, "shots/s": two_processes(name, 128, arguments.speed_s)}
        for name in ESTIMATORS
    ]))  # fmt: skip


TABLES: dict[str, Callable[[Get, argparse.Namespace], None]] = {
    "phases": print_phases,
    "errors": print_errors,
    "counts": print_counts,
    "robustness": print_robustness,
    "network-robustness": print_network_robustness,
    "images": print_images,
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
    parser.add_argument("--figure", type=Path, help="PNG file for errors and counts")
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
    if arguments.figure is not None:
        draw(arguments.figure, arguments.shots, arguments.seed, PUBLISHED_RAD)
        print(f"\nwrote {arguments.figure}")


if __name__ == "__main__":
    main()
