"""From a sparse list of pixels that stand out to spots: peaks, local background, centroid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autosteer.analysis._components import label_groups, summits, touching_pairs
from autosteer.analysis._items import number_within
from autosteer.analysis._rare_photons import rare_photons
from autosteer.analysis._rows import Rows
from autosteer.analysis._significance import (
    BOX,
    COARSE,
    FINE,
    FOOTPRINTS,
    POINT,
    Footprint,
    equivalent_sigmas,
    spread_factor,
)
from autosteer.analysis._surroundings import WIDE_PX, WIDE_WINDOW, WINDOW_PX, Ring, Surroundings

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

# A pixel is looked at if it and its neighbours together stand out by this share of what a spot has
# to.
_LISTED_SHARE = 0.66
BOX_NOISE = 3.0
# Blocks know background and noise roughly: a peak this much lower may still pass the exact test.
ROUGH_SHARE = 0.75
# Peaks nearer to a higher one belong to it [px].
NEAREST_PEAKS_PX = 2.9
FEWEST_RING_PIXELS = 20
# A spot stands on a background: where more than this of the ring stands out too, there is none.
LARGEST_LISTED_SHARE = 0.6
# Where photons are rare, a ring that happens to hold few of them has low noise and a low mean: it
# may not fall far below the noise of its block.
LEAST_RING_NOISE = 0.95
# Between two peaks of one spot there is hardly a valley.
SHALLOW_SHARE = 0.85
# A pixel of a spot rises above the background by this many times the noise.
PIXEL_SIGMAS = 1.5
# Beside a hot pixel there is nothing: the neighbours of a spot's brightest pixel hold at least this
# share of its counts, and stand out by themselves by as many sigmas; by more where that pixel is so
# high that it could pass for a spot alone.
NEIGHBOUR_SHARE = 0.2
NEIGHBOUR_SIGMAS, HIGH_NEIGHBOUR_SIGMAS = 1.5, 3.0
HIGH_PEAK = 6.5
# Hot pixels may come in pairs: the third brightest pixel holds this share of the brightest.
THIRD_SHARE = 0.08
# A straight edge leaves five: there a spot is cut, and edge pixels often count too much.
FEWEST_NEIGHBOURS = 6
# A pixel that stands out so far is hot where the brightest of its neighbours holds less of its
# counts than this. The narrowest spots, of 0.5 px, leave a neighbour a fifth.
HOT_SIGMAS = 8.0
HOT_SHARE = 0.12
# Beside a photon that rises alone there is noise.
QUIET_SIGMAS = 2.5
MIDDLE = np.array([6, 7, 8, 11, 12, 13, 16, 17, 18])
CENTER = 12
# The window within the wide one.
_MARGIN = (WIDE_PX - WINDOW_PX) // 2
INNER = np.arange(WIDE_PX**2).reshape(WIDE_PX, WIDE_PX)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].ravel()
AROUND = MIDDLE[MIDDLE != CENTER]


@dataclass(frozen=True, slots=True)
class SpotCriteria:
    """What makes a group of pixels a spot.

    Parameters
    ----------
    min_snr : float
        Least counts above the background over the noise, in sigmas.
    min_pixels, max_pixels : int
        Pixels of the smallest and of the largest spot.
    max_spots : int
        Brightest spots kept of each frame.
    """

    min_snr: float
    min_pixels: int
    max_pixels: int
    max_spots: int

    @property
    def listed_sigmas(self) -> float:
        """Sigmas by which a pixel and its neighbours have to stand out to be looked at."""
        return _LISTED_SHARE * self.min_snr


@dataclass(frozen=True, slots=True, eq=False)
class StandingOut(Rows):
    """Pixels that stand out with their neighbours, by increasing position, each of shape (n,).

    Parameters
    ----------
    place : ndarray of int
        Flat index into the frames.
    level, noise, quantum : ndarray of float32
        Background of the block that a pixel is in; see `BlockLevels` [detector counts].
    correlation : ndarray of float32
        Correlation of the noise of pixels side by side, on the pixel's frame.
    block : ndarray of int
        Flat index of the block.
    photon : ndarray of float32
        What a photon counts, where it stands out of the noise [detector counts]; 0 elsewhere.
    """

    place: Index
    level: Float
    noise: Float
    quantum: Float
    correlation: Float
    block: Index
    photon: Float

    def __len__(self) -> int:
        return len(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSpots(Rows):
    """Spots of a stack of frames, each of shape (n,); see `autosteer.analysis.spots.Spots`."""

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    intensity: Float
    sigma: Float
    n_pixels: NDArray[np.int64]
    peak_snr: Float
    snr: Float


def measure_spots(
    frames: Frames,
    pixels: StandingOut,
    is_listed: Bool,
    good: Bool,
    blocks: tuple[int, ...],
    criteria: SpotCriteria,
) -> MeasuredSpots:
    """Find the spots among pixels that stand out.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
        Frames, contiguous [detector counts].
    pixels : StandingOut
        The pixels.
    is_listed : ndarray of bool, same shape as the frames
        Map of them.
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        Good pixels.
    blocks : tuple of int
        Frames, panels, and blocks of a panel along (slow, fast).
    criteria : SpotCriteria
        What makes a spot.

    Returns
    -------
    MeasuredSpots
        Spots by frame, the brightest of a frame first.
    """
    surroundings = Surroundings(frames, is_listed, good)
    excess = _excess(surroundings, pixels)
    listed_at = criteria.listed_sigmas * BOX_NOISE
    pixels_per_block = frames.size / math.prod(blocks)
    pixels = _with_rare_photons(pixels, excess, blocks, pixels_per_block, listed_at)
    hot = _is_hot(pixels, excess)
    if hot.any():
        surroundings.leave_out(pixels.place[hot])
        excess = _excess(surroundings, pixels)
    # Of those about a hot pixel most stand out no more.
    box = excess @ BOX.weights / BOX.noise_factor(pixels.correlation)
    least = ROUGH_SHARE * criteria.listed_sigmas
    kept = surroundings.is_usable(pixels.place) & (box > least * pixels.noise)
    pixels, excess = pixels.select(kept), excess[kept]
    height = _rough_height(excess, pixels)
    first, second = touching_pairs(pixels.place, is_listed)
    row, column = np.divmod(pixels.place, frames.shape[3])
    summit = summits(height, first, second, row, column, NEAREST_PEAKS_PX, SHALLOW_SHARE)
    peak = np.flatnonzero(
        (summit == np.arange(len(summit))) & (height >= ROUGH_SHARE * criteria.min_snr)
    )
    seen = _look_closely(surroundings, pixels.select(peak), criteria.min_snr)
    peak, seen = peak[seen.is_spot], seen.select(seen.is_spot)
    _, group = label_groups(len(pixels), first, second)
    small = (
        _size_of_groups(surroundings.values(pixels.place), group, peak, seen) <= criteria.max_pixels
    )
    peak, seen = peak[small], seen.select(small)
    position = np.full(len(pixels), -1, dtype=np.intp)
    position[peak] = np.arange(len(peak))
    spot = position[summit]
    member = np.flatnonzero(spot >= 0)
    spots = _sum_up(
        surroundings, pixels.place[member], spot[member], pixels.place[peak], seen, frames.shape
    )
    fits = (spots.n_pixels >= criteria.min_pixels) & (spots.n_pixels <= criteria.max_pixels)
    return brightest(spots.select(fits), criteria.max_spots)


def _size_of_groups(values: Float, group: Index, peak: Index, seen: _CloseLook) -> Index:
    """Return for each peak the bright pixels of all that is connected with it."""
    threshold = np.full(len(group), np.inf, dtype=np.float32)
    threshold[group[peak]] = seen.level + 2 * PIXEL_SIGMAS * seen.noise
    size = np.bincount(group[values > threshold[group]], minlength=len(group))
    return size[group[peak]]


def _excess(surroundings: Surroundings, pixels: StandingOut) -> Float:
    """Return the windows about pixels above the background of their block, 0 where unusable."""
    values, use = surroundings.window(pixels.place)
    return np.where(use, values - pixels.level[:, None], np.float32(0))


def _is_hot(pixels: StandingOut, excess: Float) -> Bool:
    """Say which pixels are high beside neighbours that are not."""
    middle = excess[:, CENTER]
    around = excess[:, AROUND].max(axis=1, initial=0)
    hot: Bool = (middle > HOT_SIGMAS * pixels.noise) & (around < HOT_SHARE * middle)
    return hot


def _with_rare_photons(
    pixels: StandingOut,
    excess: Float,
    blocks: tuple[int, ...],
    pixels_per_block: float,
    listed_at: float,
) -> StandingOut:
    """Add to the noise what single photons make that rise alone."""
    height = excess[:, CENTER] / pixels.noise
    around = excess[:, AROUND].max(axis=1, initial=0) / pixels.noise
    alone = around < np.maximum(HOT_SHARE * height, QUIET_SIGMAS)
    variance, third = rare_photons(
        height[alone], pixels.block[alone], blocks, pixels_per_block, listed_at
    )
    factor = 1 + variance[pixels.block]
    with np.errstate(divide="ignore", invalid="ignore"):
        photon = np.nan_to_num(third / variance)
    return replace(
        pixels,
        noise=pixels.noise * np.sqrt(factor),
        photon=np.maximum(pixels.photon, photon[pixels.block] * pixels.noise),
        quantum=((pixels.quantum + third[pixels.block] * pixels.noise) / factor).astype(np.float32),
    )


def _rough_height(excess: Float, pixels: StandingOut) -> Float:
    """Return how far pixels stand out with their neighbours above the background of their block."""
    best = np.maximum(
        *(
            excess @ footprint.weights / footprint.noise_factor(pixels.correlation)
            for footprint in (FINE, COARSE)
        )
    )
    height: Float = best / pixels.noise
    return height


@dataclass(frozen=True, slots=True, eq=False)
class _CloseLook(Rows):
    """What peaks look like above their own ring, each of shape (n,)."""

    is_spot: Bool
    level: Float
    noise: Float
    ring_pixels: NDArray[np.int64]
    correlation: Float
    snr: Float
    peak_snr: Float


def _look_closely(surroundings: Surroundings, peaks: StandingOut, min_snr: float) -> _CloseLook:
    """Compare peaks with the ring about them."""
    ring = surroundings.ring(peaks.place, spread_factor(peaks.correlation))
    noise = np.fmax(ring.noise, np.float32(LEAST_RING_NOISE) * peaks.noise)
    values, use = surroundings.window(peaks.place, WIDE_WINDOW)
    excess = np.where(use, values - ring.mean[:, None], np.float32(0))
    wide_excess, wide_use = excess, use
    excess, use = excess[:, INNER], use[:, INNER]
    # The brightest of the nine pixels about the peak, and the eight about that one.
    among = excess[:, MIDDLE]
    step = np.where(use[:, MIDDLE], among, -np.inf).argmax(axis=1)
    brightest = np.take_along_axis(among, step[:, None], axis=1)[:, 0]
    about = MIDDLE[step][:, None] + (AROUND - CENTER)
    n_around = np.take_along_axis(use, about, axis=1).sum(axis=1)
    around = np.take_along_axis(excess, about, axis=1).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        peak_snr = brightest / noise
        least = np.where(peak_snr > HIGH_PEAK, HIGH_NEIGHBOUR_SIGMAS, NEIGHBOUR_SIGMAS)
        has_shape = (
            (ring.n_pixels >= FEWEST_RING_PIXELS)
            & (ring.listed_share <= LARGEST_LISTED_SHARE)
            & (n_around >= FEWEST_NEIGHBOURS)
            & (around >= NEIGHBOUR_SHARE * brightest)
            & (np.sort(among, axis=1)[:, -3] >= THIRD_SHARE * brightest)
            & (around >= least * noise * np.sqrt(n_around))
        )
    # What has no shape of a spot need not be weighed.
    (some,) = np.nonzero(has_shape)
    snr = np.zeros(len(peaks), dtype=np.float32)
    snr[some] = _snr(
        wide_excess[some], wide_use[some], peaks.select(some), noise[some], ring.select(some)
    )
    is_spot = snr >= min_snr
    return _CloseLook(is_spot, ring.mean, noise, ring.n_pixels, peaks.correlation, snr, peak_snr)


def _snr(excess: Float, use: Bool, peaks: StandingOut, noise: Float, ring: Ring) -> Float:
    """Return by how many sigmas peaks stand out of their ring, in the best of the footprints."""
    weight: Float = use @ _WEIGHTS
    # Photons come whole: a sum is as rare as all that reach half a photon less.
    half_photon = peaks.quantum[:, None] * _HALF_STEPS
    total = excess @ _WEIGHTS - ring.ridge[:, None] * weight - half_photon
    spread = spread_factor(peaks.correlation)[:, None]
    own, skewness_factor = (
        np.stack([factor(footprint, peaks.correlation) for footprint in _JUDGED], axis=1)
        for factor in (Footprint.noise_factor, Footprint.skewness_factor)
    )
    # The background of the ring is taken off each pixel, and adds its own noise.
    of_ring = (weight * spread) ** 2 / ring.n_pixels[:, None]
    sigma = (noise[:, None] * np.sqrt(own**2 + of_ring)).astype(np.float32)
    skewness = peaks.quantum[:, None] * skewness_factor
    photon = peaks.photon[:, None] * _PHOTON_FACTORS
    sigmas = np.asarray(
        equivalent_sigmas(
            *(torch.from_numpy(values) for values in (total, sigma, skewness, photon))
        )
    )
    snr: Float = sigmas[:, 1:].max(axis=1, initial=0)
    return np.where(peaks.correlation > 0, np.maximum(snr, sigmas[:, 0]), snr)


_JUDGED = (POINT, *FOOTPRINTS)
_WEIGHTS = np.stack([footprint.weights for footprint in _JUDGED], axis=1)
_HALF_STEPS, _PHOTON_FACTORS = (
    np.array(values, dtype=np.float32)
    for values in zip(*((one.half_step, one.photon_factor) for one in _JUDGED), strict=True)
)


def _sum_up(
    surroundings: Surroundings,
    place: Index,
    spot: Index,
    peak: Index,
    seen: _CloseLook,
    shape: tuple[int, ...],
) -> MeasuredSpots:
    """Sum spots over their pixels and all that touch them, where the faint rest of a spot is."""
    n_spots = len(peak)
    place, spot, value = surroundings.grow(place, spot)
    excess = (value - seen.level[spot]).astype(np.float64)
    high = excess > PIXEL_SIGMAS * seen.noise[spot]
    n_pixels = np.bincount(spot[high], minlength=n_spots)
    # Positions relative to the peak keep their precision, and need no panel arithmetic.
    n_slow, n_fast = shape[2:]
    line, peak_line = place // n_fast, peak // n_fast
    row = line - peak_line[spot]
    column = place % n_fast - (peak % n_fast)[spot]
    total = np.bincount(spot, weights=excess, minlength=n_spots)
    summed = np.bincount(spot, minlength=n_spots)
    # The centre of all pixels would follow the noise at the rim.
    light = np.maximum(excess, 0)
    weight = np.bincount(spot, weights=light, minlength=n_spots)
    slow = np.bincount(spot, weights=light * row, minlength=n_spots) / weight
    fast = np.bincount(spot, weights=light * column, minlength=n_spots) / weight
    panel = peak_line // n_slow
    return MeasuredSpots(
        frame=panel // shape[1],
        panel=panel % shape[1],
        slow_px=(peak_line % n_slow + slow).astype(np.float32),
        fast_px=(peak % n_fast + fast).astype(np.float32),
        intensity=total.astype(np.float32),
        # The noise of the summed pixels, and that of the background taken off each of them.
        sigma=(
            seen.noise
            * spread_factor(seen.correlation)
            * np.sqrt(summed * (1 + summed / seen.ring_pixels))
        ).astype(np.float32),
        n_pixels=n_pixels,
        peak_snr=seen.peak_snr,
        snr=seen.snr,
    )


def brightest(spots: MeasuredSpots, max_spots: int) -> MeasuredSpots:
    """Order spots by frame and brightness, and keep the brightest of each frame.

    Parameters
    ----------
    spots : MeasuredSpots
        The spots.
    max_spots : int
        Number to keep of each frame.

    Returns
    -------
    MeasuredSpots
        These.
    """
    order = np.lexsort((-spots.intensity, spots.frame))
    return spots.select(order[number_within(spots.frame[order]) < max_spots])
