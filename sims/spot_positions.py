"""Spots of stills as a finder reports them: places on panels, with errors and false ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import Detector, UnitCell
from autosteer.sims._draws import stream_seed
from autosteer.sims.crystals import LYSOZYME, CrystalSimulator
from autosteer.sims.frames import highest_resolution

Float = NDArray[np.float64]

_LOWEST_Q = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class DetectedSpots:
    """Spots of many stills, frame by frame.

    Parameters
    ----------
    frame : ndarray of int64, shape (n,)
        Frame of each spot, increasing.
    panel : ndarray of int64, shape (n,)
        Detector panel.
    slow_px, fast_px : ndarray of float64, shape (n,)
        Position on the panel [px].
    """

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float


def simulate_spot_positions(
    detector: Detector,
    wavelength_angstrom: float,
    n_frames: int,
    *,
    cell: UnitCell = LYSOZYME,
    crystals: SimulatedCrystals | None = None,
    max_spots: int = 80,
    position_sigma_px: float = 0.25,
    false_share: float = 0.1,
    seed: int = 0,
) -> DetectedSpots:
    """Simulate the strongest spots of one crystal a frame.

    Parameters
    ----------
    detector : Detector
        Where the panels really are.
    wavelength_angstrom : float
        Wavelength [angstrom].
    n_frames : int
        Number of frames.
    cell : UnitCell, default lysozyme
        True mean cell of the crystals.
    crystals : SimulatedCrystals, optional
        How they diffract; the defaults of an experiment file by default.
    max_spots : int, default 80
        Strongest spots of each frame.
    position_sigma_px : float, default 0.25
        RMS error of a position along each axis [px].
    false_share : float, default 0.1
        False spots over true ones.
    seed : int, default 0
        The one seed of the simulation, not negative.

    Returns
    -------
    DetectedSpots
        The spots, those of a frame in no particular order.
    """
    rng = np.random.default_rng(stream_seed(seed, "spot positions"))
    simulator = CrystalSimulator(
        cell,
        crystals or SimulatedCrystals(),
        wavelength_angstrom,
        highest_resolution(detector, wavelength_angstrom),
        seed,
    )
    frames = [
        _one_frame(detector, wavelength_angstrom, simulator, rng, max_spots, false_share)
        for _ in range(n_frames)
    ]
    panel, slow, fast = (np.concatenate(column) for column in zip(*frames, strict=True))
    error = rng.normal(scale=position_sigma_px, size=(2, len(panel)))
    frame = np.repeat(np.arange(n_frames), [len(one[0]) for one in frames])
    return DetectedSpots(frame, panel, slow + error[0], fast + error[1])


def _one_frame(
    detector: Detector,
    wavelength_angstrom: float,
    simulator: CrystalSimulator,
    rng: np.random.Generator,
    max_spots: int,
    false_share: float,
) -> tuple[NDArray[np.intp], Float, Float]:
    """Give panel, slow and fast of one frame's spots without errors, false ones among them."""
    found = simulator.reflections(simulator.random_bases(rng, 1)[0])
    panel, slow, fast = detector.project(found.q + np.array([0.0, 0.0, 1 / wavelength_angstrom]))
    seen = np.flatnonzero((panel >= 0) & (np.linalg.norm(found.q, axis=1) >= _LOWEST_Q))
    seen = seen[np.argsort(-found.photons[seen])[:max_spots]]
    n_false = rng.binomial(len(seen), false_share)
    n_slow, n_fast = detector.panel_shape
    return (
        np.concatenate([panel[seen], rng.integers(detector.n_panels, size=n_false)]),
        np.concatenate([slow[seen], rng.uniform(0, n_slow - 1, n_false)]),
        np.concatenate([fast[seen], rng.uniform(0, n_fast - 1, n_false)]),
    )
