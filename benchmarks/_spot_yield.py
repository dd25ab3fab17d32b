"""Indexing yield with spots of the finder, and with those above fixed thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autosteer.analysis.indexing import Indexer
from autosteer.analysis.spots import SpotFinder
from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import Detector
from autosteer.sims import LYSOZYME, CrystalSimulator, highest_resolution
from autosteer.sims._spot_patches import PlacedSpots
from autosteer.sims.detector_kinds import (
    BackgroundKind,
    DetectorKind,
    KindSimulator,
)

Float = NDArray[np.float64]
Frames = NDArray[np.generic]

FIXED_PHOTONS = (5, 20, 80)
"""Thresholds of single pixels above the pedestal [photons]."""

WAVELENGTH_ANGSTROM = 1.3
DISTANCE_MM = 90.0
_SIGMA_PX = 1.1
# Mean photons of a spot at low angles over the noise of the background under it.
_SIGMAS = 40.0
_MOST_SPOTS = 300
_ON_LATTICE = 0.2
_SHARE_ON_LATTICE = 0.6


def yields(
    kind: DetectorKind, background: BackgroundKind, n_frames: int, seed: int
) -> dict[str, float]:
    """Return the share of frames with one crystal each that are indexed correctly."""
    simulator = KindSimulator(kind, background, distance_mm=DISTANCE_MM, seed=seed)
    frames, truths = crystal_frames(simulator, background, n_frames, seed)
    indexer = Indexer(LYSOZYME)
    spots = SpotFinder().find(frames)
    q = _vectors(simulator.detector, spots.panel, spots.slow_px, spots.fast_px)
    result = {"finder": _correct(indexer, spots.lists(q), truths)}
    for photons in FIXED_PHOTONS:
        threshold = kind.offset + photons * kind.gain
        lists = _fixed_lists(frames, threshold, simulator.detector)
        result[f"above {photons} photons"] = _correct(indexer, lists, truths)
    return result


def crystal_frames(
    simulator: KindSimulator, background: BackgroundKind, n_frames: int, seed: int
) -> tuple[Frames, list[Float]]:
    """Make frames of one crystal each; the truth is the scattering vectors of all spots."""
    level = background.edge_photons + background.ring_photons / 2
    noise = np.sqrt(4 * np.pi * _SIGMA_PX**2 * (level + simulator.kind.readout_photons**2))
    crystals = CrystalSimulator(
        LYSOZYME,
        SimulatedCrystals(photons_per_spot=_SIGMAS * noise),
        WAVELENGTH_ANGSTROM,
        highest_resolution(simulator.detector, WAVELENGTH_ANGSTROM),
        seed,
    )
    rng = np.random.default_rng(seed)
    beam = np.array([0.0, 0.0, 1 / WAVELENGTH_ANGSTROM])
    frames, truths = [], []
    for number in range(n_frames):
        reflections = crystals.reflections(crystals.random_bases(rng, 1)[0], rng.uniform(0.1, 1))
        panel, slow, fast = simulator.detector.project(reflections.q + beam)
        seen = panel >= 0
        count = int(seen.sum())
        placed = PlacedSpots(
            panel[seen],
            slow[seen],
            fast[seen],
            reflections.photons[seen],
            np.full(count, 1.2 * _SIGMA_PX),
            np.full(count, _SIGMA_PX / 1.2),
            rng.uniform(0, np.pi, count),
        )
        frames.append(simulator.frame(number, placed)[0])
        truths.append(reflections.q[seen])
    return np.stack(frames), truths


def _vectors(detector: Detector, panel: Frames, slow: Frames, fast: Frames) -> Float:
    return detector.scattering_vectors(panel, slow, fast, WAVELENGTH_ANGSTROM)


def _fixed_lists(frames: Frames, threshold: float, detector: Detector) -> NDArray[np.float32]:
    """Take groups of two to 200 touching pixels above a threshold for spots, brightest first."""
    lists = np.full((len(frames), _MOST_SPOTS, 3), np.nan, dtype=np.float32)
    # Diagonal neighbours touch, panels do not.
    touching = np.zeros((3, 3, 3))
    touching[1] = 1
    for number, frame in enumerate(frames):
        values = frame.astype(np.float64)
        limit = np.inf if frame.dtype.kind == "f" else np.iinfo(frame.dtype).max
        high = (values > threshold) & (values < limit)
        label, count = ndimage.label(high, structure=touching)
        index = np.arange(1, count + 1)
        size = ndimage.sum_labels(high, label, index)
        total = ndimage.sum_labels(np.where(high, values - threshold, 0), label, index)
        chosen = index[(size >= 2) & (size <= 200)]
        chosen = chosen[np.argsort(-total[chosen - 1])][:_MOST_SPOTS]
        if len(chosen):
            weights = np.where(high, values - threshold, 0)
            panel, slow, fast = np.array(ndimage.center_of_mass(weights, label, chosen)).T
            lists[number, : len(chosen)] = _vectors(detector, np.rint(panel), slow, fast)
    return lists


def _correct(indexer: Indexer, lists: NDArray[np.float32], truths: list[Float]) -> float:
    """Return the share of frames whose lattice most true spots lie on."""
    result = indexer.index(lists)
    right = 0
    for lattice, q in zip(result.lattices, truths, strict=True):
        hkl = q @ lattice.T
        near = (np.abs(hkl - np.rint(hkl)) < _ON_LATTICE).all(axis=1)
        right += bool(near.mean() > _SHARE_ON_LATTICE) if len(q) else False
    return right / len(truths)
