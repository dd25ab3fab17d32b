"""Detector frames of a serial crystallography shot: background, Bragg spots and a real detector."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.contracts.analysis_sections import DetectorSection
from autosteer.contracts.simulation import SimulatedDetector, SimulatedSfx
from autosteer.physics import Detector, UnitCell, module_mask
from autosteer.sims._background import BEAM_STOP_Q, NoiseBank, noise_frames
from autosteer.sims._draws import PulseDraws, stream_seed
from autosteer.sims.beamline import Shot
from autosteer.sims.crystals import LYSOZYME, CrystalSimulator, Reflections, crystal_brightness

Float = NDArray[np.float64]

_MAX_COUNTS = 2**16 - 1
_PATCH_SIGMAS = 3.0
_BRIGHT_SIGMAS = 3.0
_HOT_OVER_SATURATION = (0.9, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """Crystals and spots of a frame, for scoring only; spots where no pixel counts are left out.

    Parameters
    ----------
    pulse_id : int
        Number of the machine pulse.
    bases : ndarray of float64, shape (n_crystals, 3, 3)
        Cell vectors of each crystal in rows, in the laboratory [angstrom].
    crystal : ndarray of int64, shape (n_spots,)
        Crystal that each spot comes from.
    hkl : ndarray of int32, shape (n_spots, 3)
        Miller indices.
    q : ndarray of float64, shape (n_spots, 3)
        Scattering vectors [1/angstrom].
    panel : ndarray of int64, shape (n_spots,)
        Detector panel.
    slow_px, fast_px : ndarray of float64, shape (n_spots,)
        True centre; whole numbers are pixel centres [px].
    photons : ndarray of float64, shape (n_spots,)
        Expected photons.
    """

    pulse_id: int
    bases: Float
    crystal: NDArray[np.int64]
    hkl: NDArray[np.int32]
    q: Float
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    photons: Float

    def select(self, spots: NDArray[np.bool_]) -> FrameTruth:
        """Keep some of the spots.

        Parameters
        ----------
        spots : ndarray of bool, shape (n_spots,)
            Spots to keep.

        Returns
        -------
        FrameTruth
            The same crystals with these spots.
        """
        per_spot = ("crystal", "hkl", "q", "panel", "slow_px", "fast_px", "photons")
        return replace(self, **{name: getattr(self, name)[spots] for name in per_spot})


def true_detector(section: DetectorSection, config: SimulatedDetector) -> Detector:
    """Place the detector where it truly is.

    Parameters
    ----------
    section : DetectorSection
        Where the experiment file says it is.
    config : SimulatedDetector
        How far that is from the truth.

    Returns
    -------
    Detector
        One flat panel, square to the beam.

    Raises
    ------
    ValueError
        If it would stand behind the sample.
    """
    distance_mm = section.distance_mm + config.distance_error_mm
    if not distance_mm > 0:
        raise ValueError(
            f"distance_error_mm is {config.distance_error_mm:g}: the true distance would be "
            f"{distance_mm:g} mm"
        )
    (slow, fast), (off_slow, off_fast) = section.beam_center_px, config.beam_center_error_px
    center = (slow + off_slow, fast + off_fast)
    return Detector.flat(section.shape, section.pixel_size_um / 1000, distance_mm, center)


def highest_resolution(detector: Detector, wavelength_angstrom: float) -> float:
    """Return the smallest d that a detector's corners see.

    Parameters
    ----------
    detector : Detector
        Geometry.
    wavelength_angstrom : float
        Wavelength [angstrom].

    Returns
    -------
    float
        Resolution [angstrom].
    """
    n_slow, n_fast = detector.panel_shape
    panel, slow, fast = np.meshgrid(
        np.arange(detector.n_panels), [-0.5, n_slow - 0.5], [-0.5, n_fast - 0.5]
    )
    q = detector.scattering_vectors(panel.ravel(), slow.ravel(), fast.ravel(), wavelength_angstrom)
    return float(1 / np.linalg.norm(q, axis=1).max())


class FrameSimulator:
    """Frames and their truth; both depend on seed and shot alone, in any order of calls.

    The bank of noise frames is made at once, which takes some seconds for a megapixel.

    Parameters
    ----------
    section : DetectorSection
        Geometry, wavelength, saturation, modules and gaps, as the analysis will see them.
    config : SimulatedSfx
        Beam, crystals, how the detector counts, and where it truly is.
    cell : UnitCell, default lysozyme
        Cell of the crystals.
    seed : int, default 0
        The one seed of the simulation, not negative.
    progress : callable, optional
        Called as ``progress(done, total)`` while the bank of noise frames is made.

    Raises
    ------
    ValueError
        If modules and gaps do not fill the detector, there are more hot and dead pixels than
        pixels, the section leaves the wavelength to a geometry file, or the detector would stand
        behind the sample.
    """

    def __init__(
        self,
        section: DetectorSection,
        config: SimulatedSfx,
        cell: UnitCell = LYSOZYME,
        *,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        wavelength = section.wavelength_angstrom
        if wavelength is None:
            raise ValueError("wavelength_angstrom is needed where frames are simulated")
        self._config = config.detector
        self._spot_sigma_px = config.crystals.spot_sigma_px
        self._wave_vector = np.array([0.0, 0.0, 1 / wavelength])
        self.detector = true_detector(section, config.detector)
        self.saturation = min(int(section.saturation or _MAX_COUNTS), _MAX_COUNTS)
        self.crystals = CrystalSimulator(
            cell,
            config.crystals,
            wavelength,
            highest_resolution(self.detector, wavelength),
            seed,
        )
        self._crystal_draws = PulseDraws(seed, "crystals")
        self._frame_draws = PulseDraws(seed, "frames")
        rng = np.random.default_rng(stream_seed(seed, "noise bank"))
        highest_level = 1 + _BRIGHT_SIGMAS * config.beam.intensity_spread
        levels, frames = noise_frames(
            self.detector, wavelength, self._config, self.saturation, highest_level, rng, progress
        )
        on_module = module_mask(section.shape, section.modules, section.gap_px)
        self._counts = _spoil_pixels(frames, on_module, self._config, self.saturation, rng)
        self._bank = NoiseBank(levels, frames)
        # Sums up the spots of one frame; all zero between calls.
        self._scratch = np.zeros(self._counts.size, dtype=np.int32)

    @property
    def bank_bytes(self) -> int:
        """Memory that the bank of noise frames takes [bytes]."""
        return self._bank.nbytes

    def frame(self, shot: Shot, out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
        """Make the frame of a shot.

        Parameters
        ----------
        shot : Shot
            What the pulse met.
        out : ndarray of uint16, shape (1, slow, fast), optional
            Where the frame goes, contiguous; saves an allocation.

        Returns
        -------
        ndarray of uint16, shape (1, slow, fast)
            The frame [detector counts].

        Raises
        ------
        ValueError
            If `out` has another shape or type, or is not contiguous.
        """
        shape = self.detector.frame_shape
        frame = np.empty(shape, dtype=np.uint16) if out is None else out
        if frame.shape != shape or frame.dtype != np.uint16 or not frame.flags.c_contiguous:
            raise ValueError(
                f"out has shape {frame.shape} and type {frame.dtype}: "
                f"it must be contiguous, {shape} and uint16"
            )
        rng = self._frame_draws.generator(shot.pulse_id)
        level = shot.jet_thickness_in_beam * shot.beam_intensity
        self._bank.draw(rng, level, frame)
        if shot.n_crystals:
            self._add_spots(rng, self._spots(shot), frame)
        return frame

    def truth(self, shot: Shot) -> FrameTruth:
        """Say which crystals a shot met, and where their spots are.

        Parameters
        ----------
        shot : Shot
            What the pulse met.

        Returns
        -------
        FrameTruth
            Crystals and spots.
        """
        spots = self._spots(shot)
        return spots.select(self._counts[self._pixel(spots)])

    def _spots(self, shot: Shot) -> FrameTruth:
        """Return all spots on the detector, also those whose centre lies in a gap."""
        rng = self._crystal_draws.generator(shot.pulse_id)
        bases = self.crystals.random_bases(rng, shot.n_crystals)
        brightness = shot.beam_intensity * crystal_brightness(rng.random(shot.n_crystals))
        each = [
            self.crystals.reflections(basis, float(intensity))
            for basis, intensity in zip(bases, brightness, strict=True)
        ]
        reflections = _concatenate(each)
        panel, slow, fast = self.detector.project(reflections.q + self._wave_vector)
        seen = (panel >= 0) & (np.linalg.norm(reflections.q, axis=1) >= BEAM_STOP_Q)
        return FrameTruth(
            pulse_id=shot.pulse_id,
            bases=bases,
            crystal=np.repeat(np.arange(len(each)), [len(one) for one in each])[seen],
            hkl=reflections.hkl[seen],
            q=reflections.q[seen],
            panel=panel[seen],
            slow_px=slow[seen],
            fast_px=fast[seen],
            photons=reflections.photons[seen],
        )

    def _pixel(self, spots: FrameTruth) -> NDArray[np.int64]:
        """Return the flat index of the pixel that each spot's centre lies in."""
        n_slow, n_fast = self.detector.panel_shape
        row = spots.panel * n_slow + np.rint(spots.slow_px).astype(np.int64)
        return row * n_fast + np.rint(spots.fast_px).astype(np.int64)

    def _add_spots(
        self, rng: np.random.Generator, spots: FrameTruth, frame: NDArray[np.uint16]
    ) -> None:
        """Add the photons of all spots at once, as small patches."""
        n_slow, n_fast = self.detector.panel_shape
        reach = math.ceil(_PATCH_SIGMAS * self._spot_sigma_px)
        steps = np.arange(-reach, reach + 1)
        slow = np.rint(spots.slow_px).astype(np.int64)[:, None] + steps
        fast = np.rint(spots.fast_px).astype(np.int64)[:, None] + steps
        in_slow = _shares(slow, spots.slow_px, self._spot_sigma_px)
        in_fast = _shares(fast, spots.fast_px, self._spot_sigma_px)
        # What would fall off the panel is counted nowhere.
        in_slow[(slow < 0) | (slow >= n_slow)] = 0.0
        in_fast[(fast < 0) | (fast >= n_fast)] = 0.0
        expected = (spots.photons[:, None] * in_slow)[:, :, None] * in_fast[:, None, :]
        photons = rng.poisson(expected)
        hit = photons.nonzero()
        row = spots.panel[hit[0]] * n_slow + slow[hit[0], hit[1]]
        pixel = row * n_fast + fast[hit[0], hit[2]]
        photons = photons[hit]
        alive = self._counts[pixel]
        pixel, photons = pixel[alive], photons[alive]
        counts = np.rint(photons * self._config.adu_per_photon).astype(np.int32)
        # Patches overlap: the scratch frame sums them, so that saturation sees the sum.
        np.add.at(self._scratch, pixel, counts)
        flat = frame.reshape(-1)
        flat[pixel] = np.minimum(flat[pixel] + self._scratch[pixel], self.saturation)
        self._scratch[pixel] = 0


def _shares(pixels: NDArray[np.int64], centers: Float, sigma: float) -> Float:
    """Return the part of a Gaussian spot that falls into each pixel of a line, shape (n, m)."""
    edges = np.concatenate([pixels - 0.5, pixels[:, -1:] + 0.5], axis=1)
    shares: Float = np.diff(ndtr((edges - centers[:, None]) / sigma), axis=1)
    return shares


def _concatenate(parts: list[Reflections]) -> Reflections:
    """Join the reflections of all crystals of a shot."""
    if not parts:
        return Reflections(np.zeros((0, 3), np.int32), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    return Reflections(
        np.concatenate([part.hkl for part in parts]),
        np.concatenate([part.q for part in parts]),
        np.concatenate([part.photons for part in parts]),
        np.concatenate([part.partiality for part in parts]),
    )


def _spoil_pixels(
    frames: NDArray[np.uint16],
    on_module: NDArray[np.bool_],
    config: SimulatedDetector,
    saturation: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Write gaps, dead and hot pixels into frames; return which pixels count photons, flat."""
    candidates = np.flatnonzero(on_module)
    n_spoilt = config.hot_pixels + config.dead_pixels
    if n_spoilt > candidates.size:
        raise ValueError(
            f"hot_pixels and dead_pixels add up to {n_spoilt}: there are {candidates.size} pixels"
        )
    dead, hot = np.split(rng.choice(candidates, n_spoilt, replace=False), [config.dead_pixels])
    counts = on_module.ravel()
    pixels = frames.reshape(len(frames), -1)
    pixels[:, np.flatnonzero(~counts)] = 0
    pixels[:, dead] = 0
    share = rng.uniform(*_HOT_OVER_SATURATION, (len(frames), len(hot)))
    pixels[:, hot] = (saturation * share).astype(np.uint16)
    counts[np.concatenate([dead, hot])] = False
    return counts
