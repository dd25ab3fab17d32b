"""The diffuse background of a jet in a vacuum or helium chamber, and a bank of noisy frames.

The radial profile of the liquid was shaped after what a Rayonix detector saw of a water jet at
LCLS: a plateau at low angles, the water ring at 0.32 1/angstrom with a shallow outer flank, and a
slow decrease beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.simulation import SimulatedDetector
from autosteer.physics import Detector
from autosteer.sims.crystals import polarization

Float = NDArray[np.float64]

WATER_RING_Q = 0.32
"""Where the scattering of water is strongest [1/angstrom]; d is 3.1 angstrom."""

BEAM_STOP_Q = 0.02
"""Nothing reaches the detector at lower angles than this [1/angstrom]; d is 50 angstrom."""

_AIR_OVER_RING = 0.5
_AIR_DECAY_Q = 0.06
_RING_INNER_WIDTH, _RING_OUTER_WIDTH = 0.05, 0.09
_PLATEAU, _PLATEAU_END_Q = 0.5, 0.65
_RUN_PX = 256


def liquid_profile(q: Float) -> Float:
    """Return the scattering of the liquid, 1 at the water ring.

    Parameters
    ----------
    q : ndarray of float64, shape (...)
        Length of the scattering vector [1/angstrom].

    Returns
    -------
    ndarray of float64, shape (...)
        Intensity before solid angle and polarisation.
    """
    width = np.where(q < WATER_RING_Q, _RING_INNER_WIDTH, _RING_OUTER_WIDTH)
    ring = np.exp(-0.5 * ((q - WATER_RING_Q) / width) ** 2)
    plateau = _PLATEAU * np.exp(-((q / _PLATEAU_END_Q) ** 4))
    at_ring = 1 + _PLATEAU * math.exp(-((WATER_RING_Q / _PLATEAU_END_Q) ** 4))
    profile: Float = (ring + plateau) / at_ring
    return profile


def background_photons(
    detector: Detector, wavelength_angstrom: float, level: float, ring_photons: float
) -> Float:
    """Return the expected background of a frame.

    Parameters
    ----------
    detector : Detector
        Geometry.
    wavelength_angstrom : float
        Wavelength [angstrom].
    level : float
        Liquid in the beam times pulse energy, each over its nominal value.
    ring_photons : float
        Background at the water ring at level 1, before solid angle and polarisation
        [photons/px].

    Returns
    -------
    ndarray of float64, shape (panel, slow, fast)
        Expected photons in each pixel, 0 behind the beam stop.
    """
    panel, slow, fast = np.indices(detector.frame_shape)
    position = detector.positions_mm(panel, slow, fast)
    squared = (position**2).sum(axis=-1)
    direction = position / np.sqrt(squared)[..., None]
    q = np.sqrt(np.clip(2 - 2 * direction[..., 2], 0.0, None)) / wavelength_angstrom
    # A pixel of a flat detector sees a solid angle that falls as the cube of the cosine; scaled
    # to 1 where the beam meets a detector that is square to it.
    normal = np.cross(detector.fast_axis, detector.slow_axis)[:, None, None, :]
    distance = np.abs((position * normal).sum(axis=-1))
    solid_angle = (distance / np.sqrt(squared)) ** 3
    # Air scatters whether there is a jet or not; its share is not scaled with the pulse energy.
    scattered = level * liquid_profile(q) + _AIR_OVER_RING * np.exp(-q / _AIR_DECAY_Q)
    photons = ring_photons * scattered * solid_angle * polarization(direction[..., 0])
    return np.where(q < BEAM_STOP_Q, 0.0, photons)


class NoiseBank:
    """Noisy frames without spots, several for each level of background.

    Drawing a fresh megapixel takes some 50 ms. A frame is put together from short runs of the
    bank's pixels instead: each run comes from another of the bank's frames, and from the level
    below or above in the proportion that gives the level wanted. Some tens of frames thus make
    more different ones than a run has pulses; a run is too short for the step between two levels
    to show.

    Parameters
    ----------
    levels : ndarray of float64, shape (n_levels,)
        Levels in increasing order, evenly spaced.
    frames : ndarray of uint16, shape (n_levels * n_each, panel, slow, fast)
        Frames, level by level [detector counts]; kept, and copied only where
        their width is no multiple of a run's.
    """

    def __init__(self, levels: Float, frames: NDArray[np.uint16]) -> None:
        self.levels = levels
        self._n_each = len(frames) // len(levels)
        self._frame_shape = frames.shape[1:]
        n_fast = frames.shape[-1]
        padded = -(-n_fast // _RUN_PX) * _RUN_PX
        rows = frames.reshape(-1, n_fast)
        if padded > n_fast:
            rows = np.pad(rows, ((0, 0), (0, padded - n_fast)))
        self._runs = rows.reshape(-1, _RUN_PX)
        self._runs_a_frame = len(self._runs) // len(frames)
        self._place = np.arange(self._runs_a_frame)
        self._padded = np.empty((len(rows) // len(frames), padded), dtype=np.uint16)

    @property
    def nbytes(self) -> int:
        """Memory taken [bytes]."""
        return self._runs.nbytes

    def draw(self, rng: np.random.Generator, level: float, out: NDArray[np.uint16]) -> None:
        """Put a frame together.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the draws.
        level : float
            Liquid in the beam times pulse energy; clipped to the levels of the bank.
        out : ndarray of uint16, shape (panel, slow, fast)
            Where the frame goes, contiguous.
        """
        n_runs, n_levels = self._runs_a_frame, len(self.levels)
        pick = rng.integers(0, self._n_each, n_runs, dtype=np.uint16)
        if n_levels > 1:
            spacing = self.levels[1] - self.levels[0]
            place = np.clip((level - self.levels[0]) / spacing, 0, n_levels - 1)
            below = min(int(place), n_levels - 2)
            above = rng.random(n_runs, dtype=np.float32) < place - below
            pick += np.uint16(self._n_each) * (np.uint16(below) + above)
        index = pick.astype(np.intp)
        index *= n_runs
        index += self._place
        # The frame is a row of runs, unless its width asked for padding.
        fits = self._padded.shape[1] == out.shape[-1]
        target = out if fits else self._padded
        np.take(self._runs, index, axis=0, out=target.reshape(-1, _RUN_PX), mode="clip")
        if not fits:
            out.reshape(-1, out.shape[-1])[:] = self._padded[:, : out.shape[-1]]


def noise_frames(
    detector: Detector,
    wavelength_angstrom: float,
    config: SimulatedDetector,
    saturation: int,
    highest_level: float,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Float, NDArray[np.uint16]]:
    """Draw frames of all levels of background: photons, gain, pedestal and readout noise.

    Parameters
    ----------
    detector : Detector
        Geometry.
    wavelength_angstrom : float
        Wavelength [angstrom].
    config : SimulatedDetector
        How the detector counts. Fewer than eight frames are all at level 1.
    saturation : int
        Highest value that a pixel can give [detector counts].
    highest_level : float
        Level of the brightest frames.
    rng : numpy.random.Generator
        Source of the draws.
    progress : callable, optional
        Called as ``progress(done, total)`` after each frame.

    Returns
    -------
    levels : ndarray of float64, shape (n_levels,)
        Levels of background, evenly spaced.
    frames : ndarray of uint16, shape (n_levels * n_each, panel, slow, fast)
        The frames, level by level: `bank_frames` of them or slightly fewer [detector counts].
    """
    n_levels = max(1, min(12, config.bank_frames // 4))
    n_each = config.bank_frames // n_levels
    levels = np.linspace(0.0, highest_level, n_levels) if n_levels > 1 else np.ones(1)
    shape = detector.frame_shape
    bank = np.empty((n_levels * n_each, *shape), dtype=np.uint16)
    # The background is linear in the level.
    air, both = (
        background_photons(detector, wavelength_angstrom, level, config.background_photons)
        for level in (0.0, 1.0)
    )
    for index, level in enumerate(np.repeat(levels, n_each)):
        expected = air + level * (both - air)
        counts = rng.standard_normal(shape, dtype=np.float32)
        counts *= config.readout_noise_adu
        counts += config.pedestal_adu
        counts += config.adu_per_photon * rng.poisson(expected)
        bank[index] = np.clip(np.rint(counts), 0, saturation)
        if progress is not None:
            progress(index + 1, len(bank))
    return levels, bank
