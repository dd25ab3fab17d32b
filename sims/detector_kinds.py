"""Frames of four kinds of detector with Bragg spots at known places, for judging spot finders.

The kinds differ in what makes spot finding hard: negative counts and pedestals that drift from
panel to panel (CSPAD), light that spreads into neighbouring pixels and takes the noise along
(Rayonix), noise that grows where the gain has switched (JUNGFRAU), single photons on nothing, and
gaps that hold the largest number of the type (EIGER).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import gammainc, ndtri

from autosteer.physics import Detector, module_mask
from autosteer.sims._draws import PulseDraws, stream_seed
from autosteer.sims._spot_patches import PlacedSpots, SpotPatches, blur_matrix

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# A spot is counted if this share of its light falls on pixels that count.
_WHOLE_SHARE = 0.95
# The footprint holds the pixels above one of these shares of a spot's brightest pixel.
_FOOTPRINT_SHARES = (0.05, 0.15, 0.3, 0.45, 0.6)
# Anything rarer is zero in numbers of 64 bits before long.
_RAREST_SIGMAS = 30.0


@dataclass(frozen=True, slots=True)
class DetectorKind:
    """How a kind of detector is built and counts.

    Parameters
    ----------
    name : str
        Name.
    dtype : str
        Type of the numbers it gives.
    panels : (int, int)
        Panels along (slow, fast), each an array of its own.
    panel_shape : (int, int)
        Pixels of a panel along (slow, fast).
    pixel_size_mm : float
        Edge of a pixel [mm].
    gain : float
        Detector counts for a photon.
    readout_photons : float
        Standard deviation of the readout noise [photons].
    offset : float, default 0
        What is counted without light [detector counts].
    panel_offset, pixel_offset : float, default 0
        Standard deviations of what a frame adds to a whole panel, and of what a pixel always
        adds [detector counts].
    gain_spread : float, default 0
        Relative standard deviation of the pixels' gains.
    point_spread_px : float, default 0
        Standard deviation over which a photon's light spreads [px].
    switch_photons : float, default inf
        Above this the gain is switched, and the readout noise is ten times as large.
    full_photons : float, default inf
        Most that a pixel can tell [photons].
    modules, gap_px : (int, int), default (1, 1) and (0, 0)
        Modules of a panel and the pixels between them, along (slow, fast).
    flags_bad : bool, default False
        Whether gaps and dead pixels hold the largest number of the type, or NaN; they hold 0
        otherwise.
    hot_share, dead_share : float, default 1e-4
        Pixels that always count much, or nothing.
    """

    name: str
    dtype: str
    panels: tuple[int, int]
    panel_shape: tuple[int, int]
    pixel_size_mm: float
    gain: float
    readout_photons: float
    offset: float = 0.0
    panel_offset: float = 0.0
    pixel_offset: float = 0.0
    gain_spread: float = 0.0
    point_spread_px: float = 0.0
    switch_photons: float = math.inf
    full_photons: float = math.inf
    modules: tuple[int, int] = (1, 1)
    gap_px: tuple[int, int] = (0, 0)
    flags_bad: bool = False
    hot_share: float = 1e-4
    dead_share: float = 1e-4


CSPAD = DetectorKind(
    "CSPAD", "int16", (4, 4), (185, 194), 0.11, 14.0, 0.25, panel_offset=4.0,
    pixel_offset=1.5, gain_spread=0.03, full_photons=1000.0,
)  # fmt: skip
RAYONIX = DetectorKind(
    "Rayonix", "uint16", (1, 1), (960, 960), 0.177, 5.0, 0.5, offset=25.0,
    pixel_offset=0.5, gain_spread=0.02, point_spread_px=0.7, full_photons=13_000.0,
)  # fmt: skip
JUNGFRAU = DetectorKind(
    "JUNGFRAU", "float32", (2, 1), (512, 1024), 0.075, 9.5, 0.08, pixel_offset=0.2,
    gain_spread=0.01, switch_photons=30.0, full_photons=10_000.0, flags_bad=True,
)  # fmt: skip
EIGER = DetectorKind(
    "EIGER", "uint32", (1, 1), (1061, 1030), 0.075, 1.0, 0.0, full_photons=60_000.0,
    modules=(2, 2), gap_px=(37, 10), flags_bad=True, gain_spread=0.01,
)  # fmt: skip
KINDS = (CSPAD, RAYONIX, JUNGFRAU, EIGER)
"""The four kinds, small enough to be simulated by the dozen."""


@dataclass(frozen=True, slots=True)
class BackgroundKind:
    """Diffuse scattering on a detector.

    Parameters
    ----------
    name : str
        Name.
    center_photons, edge_photons : float
        Background at the beam and at the detector's edge [photons/px].
    ring_photons : float
        What the ring of the solvent adds at its crest [photons/px].
    """

    name: str
    center_photons: float
    edge_photons: float
    ring_photons: float


LOW = BackgroundKind("low", 0.5, 0.1, 0.0)
MEDIUM = BackgroundKind("medium", 10.0, 4.0, 2.0)
HIGH = BackgroundKind("high", 30.0, 6.0, 50.0)
BACKGROUNDS = (LOW, MEDIUM, HIGH)
"""From single photons to a strong ring of solvent."""


@dataclass(frozen=True, slots=True, eq=False)
class KindTruth:
    """What a frame was made from, for scoring only; each array of shape (n,).

    Parameters
    ----------
    spots : PlacedSpots
        The spots.
    sigmas : ndarray of float64
        Photons expected in the footprint of a spot over the standard deviation of background and
        readout noise summed over it. The footprint holds the pixels above that share of the
        spot's brightest one that gives the largest ratio.
    sigmas_as_rare : ndarray of float64
        The number of sigmas of normal noise which is as rare as that background and readout noise
        alone sum up to what is expected with the spot; in the footprint where this is largest, not
        above 30. It is less than the above where photons are few: on 0.2 photons in a footprint,
        three photons are 6 of its standard deviations, and come once in a thousand times.
    sigmas_with_own : ndarray of float64
        The same with the counting noise of the spot itself in the standard deviation: what is
        reported as I over sigma(I).
    whole : ndarray of bool
        Whether nearly all of the light falls on pixels that count.
    """

    spots: PlacedSpots
    sigmas: Float
    sigmas_as_rare: Float
    sigmas_with_own: Float
    whole: Bool


class KindSimulator:
    """Frames of a kind of detector on a kind of background.

    Parameters
    ----------
    kind : DetectorKind
        The detector.
    background : BackgroundKind
        What scatters diffusely.
    distance_mm : float, default 120
        Sample to detector [mm].
    seed : int, default 0
        The one seed of the simulation, not negative.
    """

    def __init__(
        self,
        kind: DetectorKind,
        background: BackgroundKind,
        *,
        distance_mm: float = 120.0,
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.detector = tiled_detector(kind, distance_mm)
        shape = self.detector.frame_shape
        self._draws = PulseDraws(seed, f"frames of {kind.name}, {background.name}")
        rng = np.random.default_rng(stream_seed(seed, f"pixels of {kind.name}"))
        self._photons = _background(self.detector, background)
        self._gain = kind.gain * (1 + kind.gain_spread * rng.standard_normal(shape))
        self._pixel_offset = kind.pixel_offset * rng.standard_normal(shape)
        draw = rng.random(shape)
        on_module = module_mask(kind.panel_shape, kind.modules, kind.gap_px)
        self._hot = on_module & (draw < kind.hot_share)
        self._hot_photons = rng.uniform(20, 0.9 * min(kind.full_photons, 2000.0), shape)
        self._empty = ~on_module | (draw > 1 - kind.dead_share)
        self.good: Bool = ~(self._hot | self._empty)

    def random_spots(
        self,
        number: int,
        n_spots: int,
        *,
        mean_sigmas: float = 25.0,
        sigma_px: tuple[float, float] = (0.6, 2.5),
        elongation: float = 1.8,
    ) -> PlacedSpots:
        """Draw spots all over the detector.

        Parameters
        ----------
        number : int
            Number of the frame.
        n_spots : int
            Spots.
        mean_sigmas : float, default 25
            Intensities follow Wilson's exponential distribution, with this mean in units of the
            noise under the spot.
        sigma_px : (float, float), default (0.6, 2.5)
            Range of the widths [px].
        elongation : float, default 1.8
            Largest ratio of a spot's widths.

        Returns
        -------
        PlacedSpots
            The spots.
        """
        rng = self._draws.generator(2 * number)
        n_panels, n_slow, n_fast = self.detector.frame_shape
        panel = rng.integers(0, n_panels, n_spots)
        slow = rng.uniform(0, n_slow - 1, n_spots)
        fast = rng.uniform(0, n_fast - 1, n_spots)
        # Crystals of one kind give spots of similar widths on one frame.
        width = np.clip(rng.uniform(*sigma_px) * rng.uniform(0.85, 1.15, n_spots), *sigma_px)
        ratio = np.sqrt(rng.uniform(1, elongation, n_spots))
        level = self._photons[panel, np.rint(slow).astype(int), np.rint(fast).astype(int)]
        noise = np.sqrt((level + self.kind.readout_photons**2) * 4 * math.pi * width**2)
        return PlacedSpots(
            panel,
            slow,
            fast,
            mean_sigmas * noise * rng.standard_exponential(n_spots),
            width * ratio,
            width / ratio,
            rng.uniform(0, math.pi, n_spots),
        )

    def frame(self, number: int, spots: PlacedSpots) -> tuple[NDArray[Any], KindTruth]:
        """Make a frame; it depends on the seed, its number and its spots alone.

        Parameters
        ----------
        number : int
            Number of the frame.
        spots : PlacedSpots
            What to put on it.

        Returns
        -------
        frame : ndarray, shape (n_panels, n_slow, n_fast)
            The frame [detector counts].
        truth : KindTruth
            What it was made from.
        """
        rng = self._draws.generator(2 * number + 1)
        kind = self.kind
        spread = kind.point_spread_px
        expected = self._photons.copy()
        patches = SpotPatches(spots, self.detector.frame_shape, spread)
        np.add.at(expected.reshape(-1), patches.pixel, patches.light)
        photons = rng.poisson(expected).astype(np.float64)
        if spread:
            photons = gaussian_filter(photons, (0, spread, spread))
        photons[self._hot] += self._hot_photons[self._hot]
        noise = kind.readout_photons * rng.standard_normal(expected.shape)
        noise[photons > kind.switch_photons] *= 10
        counts = self._gain * np.minimum(photons + noise, kind.full_photons)
        counts += kind.offset + self._pixel_offset
        counts += kind.panel_offset * rng.standard_normal((len(expected), 1, 1))
        return self._written(counts), self._truth(spots)

    def _written(self, counts: Float) -> NDArray[Any]:
        """Bring counts into the detector's type, bad pixels as it marks them."""
        dtype = np.dtype(self.kind.dtype)
        if dtype.kind == "f":
            frame = counts.astype(dtype)
            frame[self._empty] = np.nan if self.kind.flags_bad else 0.0
            return frame
        limits = np.iinfo(dtype)
        frame = np.clip(np.rint(counts), limits.min, limits.max).astype(dtype)
        frame[self._empty] = limits.max if self.kind.flags_bad else 0
        return frame

    def _truth(self, spots: PlacedSpots) -> KindTruth:
        """Say how far spots stand out."""
        seen = SpotPatches(spots, self.detector.frame_shape, 0.0)
        counts = seen.inside & self.good.reshape(-1)[seen.place]
        light = np.where(counts, seen.shares, 0.0) * spots.photons[:, None, None]
        level = self._photons.reshape(-1)[seen.place]
        blur = blur_matrix(self.kind.point_spread_px)
        brightest = light.max(axis=(1, 2), initial=0.0, keepdims=True)
        sigmas, as_rare = np.zeros((2, len(spots))), np.zeros(len(spots))
        for share in _FOOTPRINT_SHARES:
            footprint = (light >= share * brightest) & counts
            total = np.where(footprint, light, 0.0).sum(axis=(1, 2))
            # Light that spreads counts with the square of its share inside the footprint.
            weight = blur @ footprint.astype(np.float64) @ blur.T
            readout = self.kind.readout_photons**2 * footprint.sum(axis=(1, 2))
            variance = (weight**2 * level).sum(axis=(1, 2)) + readout
            third = (weight**3 * level).sum(axis=(1, 2))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = total / np.sqrt(np.stack([variance, variance + total]))
            sigmas = np.fmax(sigmas, ratio)
            as_rare = np.fmax(as_rare, _as_rare(total, variance, third))
        whole = np.where(counts, seen.shares, 0.0).sum(axis=(1, 2)) >= _WHOLE_SHARE
        return KindTruth(spots, sigmas[0], as_rare, sigmas[1], whole)


def _as_rare(total: Float, variance: Float, third: Float) -> Float:
    """Return the sigmas of normal noise as rare as noise with these cumulants above a total."""
    # Poisson noise in other units has the same variance and third cumulant, and its tail is the
    # incomplete gamma function, for counts between whole numbers too.
    with np.errstate(divide="ignore", invalid="ignore"):
        quantum = third / variance
        mean = variance / quantum**2
        chance = gammainc(mean + total / quantum, mean)
    as_rare: Float = np.minimum(-ndtri(chance), _RAREST_SIGMAS)
    return as_rare


def tiled_detector(kind: DetectorKind, distance_mm: float) -> Detector:
    """Lay the panels of a kind side by side, square to a beam through their middle.

    Parameters
    ----------
    kind : DetectorKind
        The detector.
    distance_mm : float
        Sample to detector [mm].

    Returns
    -------
    Detector
        The geometry, panels row by row with four pixels between them.
    """
    n_slow, n_fast = kind.panel_shape
    rows, columns = np.divmod(np.arange(math.prod(kind.panels)), kind.panels[1])
    slow = rows * (n_slow + 4) - ((n_slow + 4) * kind.panels[0] - 5) / 2
    fast = columns * (n_fast + 4) - ((n_fast + 4) * kind.panels[1] - 5) / 2
    origin = np.stack(
        [fast * kind.pixel_size_mm, slow * kind.pixel_size_mm, np.full(len(rows), distance_mm)],
        axis=1,
    )
    return Detector(
        origin_mm=origin,
        slow_axis=np.tile([0.0, 1.0, 0.0], (len(rows), 1)),
        fast_axis=np.tile([1.0, 0.0, 0.0], (len(rows), 1)),
        pixel_size_mm=kind.pixel_size_mm,
        panel_shape=kind.panel_shape,
    )


def _background(detector: Detector, background: BackgroundKind) -> Float:
    """Return the expected background of each pixel [photons]."""
    panel, slow, fast = np.indices(detector.frame_shape)
    position = detector.positions_mm(panel, slow, fast)
    radius = np.hypot(position[..., 0], position[..., 1])
    share = radius / np.quantile(radius, 0.95)
    ratio = background.edge_photons / background.center_photons
    falling = background.center_photons * ratio ** np.clip(share, 0, 1.3)
    ring = background.ring_photons * np.exp(-(((share - 0.5) / 0.12) ** 2) / 2)
    # The shadow of a holder makes the pattern brighter on one side than on the other.
    shadow = 1 + 0.15 * np.sin(np.arctan2(position[..., 1], position[..., 0]))
    photons: Float = (falling + ring) * shadow
    return photons
