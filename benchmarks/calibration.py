"""Geometry calibration on simulated spot lists: how far from the truth, and how sure of it.

python benchmarks/calibration.py [--seeds 5]

prints a row for each simulation. The calibrant starts 0.5 mm and
5 px off; the sample starts 5 px off, and its cell is 0.5 % smaller than the one declared. Targets:
distance within 20 um, center within 0.2 px; the sample's distance does not move, and the change is
reported as the cell's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _cells import table

from autosteer.analysis.calibration import GeometryCalibration, Quantity
from autosteer.analysis.calibration_geometry import GeometryCalibrator
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import Detector, UnitCell
from autosteer.sims.crystals import LYSOZYME
from autosteer.sims.spot_positions import simulate_spot_positions

N_FRAMES = 50
WAVELENGTH = 1.3
PIXEL_MM = 0.1
DISTANCE_MM = 100.0
OFF_PX = (3.0, -4.0)
OFF_MM = 0.5
SHRINKAGE = 0.005


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated, and how it is calibrated."""

    name: str
    calibrant: bool
    cell_scale: float
    cell_spread: float


CASES = (
    Case("calibrant", calibrant=True, cell_scale=1.0, cell_spread=0.0),
    Case("calibrant, cells spread 0.1 %", calibrant=True, cell_scale=1.0, cell_spread=0.001),
    Case("sample shrunk by 0.5 %", calibrant=False, cell_scale=1 - SHRINKAGE, cell_spread=0.001),
)


def detector(distance_mm: float, off_px: tuple[float, float]) -> Detector:
    """Make a flat detector of 4 Mpx, its beam center off by so many pixels (slow, fast)."""
    center = (999.5 + off_px[0], 999.5 + off_px[1])
    return Detector.flat((2000, 2000), PIXEL_MM, distance_mm, center)


def calibrate(case: Case, seed: int) -> GeometryCalibration:
    """Simulate the frames of a case and calibrate with their spots alone."""
    a, b, c = (case.cell_scale * length for length in LYSOZYME.lengths)
    cell = UnitCell(a, b, c, *LYSOZYME.angles)
    found = simulate_spot_positions(
        detector(DISTANCE_MM, (0.0, 0.0)),
        WAVELENGTH,
        N_FRAMES,
        cell=cell,
        crystals=SimulatedCrystals(cell_spread=case.cell_spread),
        seed=seed,
    )
    start = detector(DISTANCE_MM + OFF_MM * case.calibrant, OFF_PX)
    geometry = FileGeometry.of_panels(start, np.array([WAVELENGTH]))
    calibrator = GeometryCalibrator(Indexer(LYSOZYME), geometry, calibrant=case.calibrant)
    wavelengths = np.full(N_FRAMES, WAVELENGTH)
    calibrator.add(
        SpotPositions(found.frame, found.panel, found.slow_px, found.fast_px, wavelengths)
    )
    return calibrator.calibrate()


def row(case: Case, seed: int) -> dict[str, Any]:
    """Calibrate and compare with the truth."""
    begin = time.perf_counter()
    calibration = calibrate(case, seed)
    took = time.perf_counter() - begin
    off = calibration.geometry.detector.origin_mm[0] - detector(DISTANCE_MM, (0.0, 0.0)).origin_mm
    x, y, z = off[0]
    center_px = float(np.hypot(x, y)) / PIXEL_MM
    sigma_px = calibration.find(Quantity.SHIFT_X).sigma / PIXEL_MM
    cells: dict[str, Any] = {
        "case": case.name,
        "seed": seed,
        "indexed": calibration.n_frames,
        "center off [px]": center_px,
        "sigma [px]": sigma_px,
        "distance off [um]": 1000 * float(z),
        "distance sigma [um]": "held",
        "cell [%]": "held",
        "cell sigma [%]": "",
        "trust": calibration.trust.name.lower(),
        "time [s]": took,
    }
    if case.calibrant:
        cells["distance sigma [um]"] = 1000 * calibration.find(Quantity.SHIFT_Z).sigma
    else:
        scale = calibration.find(Quantity.CELL_SCALE)
        cells["cell [%]"], cells["cell sigma [%]"] = 100 * scale.value, 100 * scale.sigma
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="simulations of each case")
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    rows = [row(case, seed) for case in CASES for seed in range(seeds)]
    print(table(rows))
    for case in CASES:
        own = [one for one in rows if one["case"] == case.name]
        center = max(one["center off [px]"] for one in own)
        distance = np.array([one["distance off [um]"] for one in own])
        print(
            f"{case.name}: center off by at most {center:.3f} px, distance by "
            f"{np.sqrt((distance**2).mean()):.1f} um rms and {np.abs(distance).max():.1f} um at "
            f"most, of {len(own)} simulations"
        )


if __name__ == "__main__":
    main()
