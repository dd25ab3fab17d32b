"""From a sparse list of strong pixels to spots: grouping, local background, centroid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._components import label_groups, touching_pairs
from autosteer.analysis._surroundings import Surroundings

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

# Whole numbers hide noise below this [detector counts].
INTEGER_NOISE = 0.5
# A spot holds the pixels that rise above the background by this share of `min_snr`.
PIXEL_SHARE = 0.5
# Blocks know background and noise roughly: a peak this much lower may still pass the exact test.
_ROUGH_SHARE = 0.7
_FEWEST_RING_PIXELS = 20
# Expected heights weigh as much as this many single pixels in a region.
_EXCURSIONS_TO_TRUST = 5
# Steps in which the heights are counted, in natural logarithms; 0 is the expected height.
_HEIGHT_STEP = 0.1
_HEIGHT_STEPS = 32
_LOWEST_HEIGHT = -2
# The eight neighbours of a spot's peak hold at least this share of the peak's counts; those of a
# hot pixel hold nothing.
_NEIGHBOUR_SHARE = 0.2
# A straight edge leaves five: there a spot is cut, and edge pixels often count too much.
_FEWEST_NEIGHBOURS = 6


@dataclass(frozen=True, slots=True)
class SpotCriteria:
    """What makes a group of pixels a spot.

    Parameters
    ----------
    min_snr : float
        Least height of the brightest pixel above the background, over the noise.
    min_pixels, max_pixels : int
        Pixels of the smallest and of the largest spot.
    max_spots : int
        Brightest spots kept of each frame.
    """

    min_snr: float
    min_pixels: int
    max_pixels: int
    max_spots: int


@dataclass(frozen=True, slots=True, eq=False)
class StrongPixels:
    """Pixels above the rough threshold, by increasing position.

    Parameters
    ----------
    place : ndarray of int, shape (n,)
        Flat index into the frames.
    value : ndarray of float32, shape (n,)
        Counts [detector counts].
    rough_snr : ndarray of float32, shape (n,)
        Height above the block's background over its noise.
    region : ndarray of int, shape (n,)
        Part of the frames in which a pixel lies; the noise is alike within one.
    """

    place: Index
    value: Float
    rough_snr: Float
    region: Index

    def __len__(self) -> int:
        return len(self.place)

    def strongest(self, count: int) -> Self:
        """Keep about the given number of pixels, those that stand out most.

        Parameters
        ----------
        count : int
            Number of pixels.

        Returns
        -------
        StrongPixels
            The pixels, in the same order.
        """
        if len(self) <= count:
            return self
        return self.select(self.rough_snr >= np.partition(self.rough_snr, -count)[-count])

    def select(self, kept: Bool) -> Self:
        """Keep some pixels.

        Parameters
        ----------
        kept : ndarray of bool, shape (n,)
            Which ones.

        Returns
        -------
        StrongPixels
            These.
        """
        return type(self)(*(getattr(self, field.name)[kept] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSpots:
    """Spots of a stack of frames, each of shape (n,); see `autosteer.analysis.spots.Spots`."""

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    intensity: Float
    sigma: Float
    n_pixels: NDArray[np.int64]
    peak_snr: Float

    def select(self, index: NDArray[Any]) -> Self:
        """Keep some spots, in the order given.

        Parameters
        ----------
        index : ndarray of int or bool
            Which ones.

        Returns
        -------
        MeasuredSpots
            These.
        """
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))


def measure_spots(
    frames: Frames, strong: StrongPixels, is_strong: Bool, good: Bool, criteria: SpotCriteria
) -> MeasuredSpots:
    """Find the spots among strong pixels.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
        Frames, contiguous [detector counts].
    strong : StrongPixels
        Pixels above the rough threshold.
    is_strong : ndarray of bool, same shape as the frames
        Map of the strong pixels.
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        Good pixels.
    criteria : SpotCriteria
        What makes a spot.

    Returns
    -------
    MeasuredSpots
        Spots by frame, the brightest of a frame first.
    """
    pixel_snr = PIXEL_SHARE * criteria.min_snr
    first, second = touching_pairs(strong.place, is_strong)
    touching = np.zeros(len(strong), dtype=np.bool_)
    touching[first] = touching[second] = True
    excess_noise = _excess_noise(strong.select(~touching), pixel_snr)
    if criteria.min_pixels > 1:
        # Single pixels, most of all, are no spots.
        strong = strong.select(touching)
        number = np.cumsum(touching) - 1
        first, second = number[first], number[second]
    n_groups, label = label_groups(len(strong), first, second)
    size = np.bincount(label, minlength=n_groups)
    # Sorted by group and value, the brightest pixel of a group comes last.
    peak = np.lexsort((strong.value, label))[np.cumsum(size) - 1]
    larger_noise = excess_noise(strong.region[peak])
    rough_snr = strong.rough_snr[peak] / larger_noise
    chosen = np.flatnonzero(
        (size >= criteria.min_pixels) & (rough_snr >= _ROUGH_SHARE * criteria.min_snr)
    )
    peak = peak[chosen]
    surroundings = Surroundings(frames, is_strong, good)
    ring = surroundings.ring(strong.place[peak])
    noise = ring.noise
    if frames.dtype.kind != "f":
        noise = np.maximum(noise, np.float32(INTEGER_NOISE))
    noise = noise * larger_noise[chosen]
    height = strong.value[peak] - ring.mean
    around, n_around = surroundings.neighbours(strong.place[peak], ring.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = height / noise
    is_spot = (
        (snr >= criteria.min_snr)
        & (ring.n_pixels >= _FEWEST_RING_PIXELS)
        & (n_around >= _FEWEST_NEIGHBOURS)
        & (around >= _NEIGHBOUR_SHARE * height)
        & (around + height >= criteria.min_snr * noise * np.sqrt(n_around + 1))
    )
    chosen, peak, snr, noise = chosen[is_spot], peak[is_spot], snr[is_spot], noise[is_spot]
    position = np.full(n_groups, -1, dtype=np.intp)
    position[chosen] = np.arange(len(chosen))
    spot = position[label]
    member = np.flatnonzero(spot >= 0)
    spot = spot[member]
    level = ring.mean[is_spot]
    high = strong.value[member] - level[spot] > pixel_snr * noise[spot]
    member, spot = member[high], spot[high]
    spots = _sum_up(
        surroundings,
        place=strong.place[member],
        spot=spot,
        peak=strong.place[peak],
        level=level,
        noise=noise,
        ring_pixels=ring.n_pixels[is_spot],
        peak_snr=snr,
        shape=frames.shape,
    )
    fits = (spots.n_pixels >= criteria.min_pixels) & (spots.n_pixels <= criteria.max_pixels)
    return _brightest(spots.select(fits), criteria.max_spots)


def _excess_noise(isolated: StrongPixels, pixel_snr: float) -> Callable[[Index], Float]:
    """Learn, region by region, by how much the noise is larger than its middle makes believe."""
    # Single pixels above the threshold are excursions of the noise, or single photons on a dark
    # background. Where they rise higher than those of normal noise, two of them side by side are
    # no spot yet: the noise is taken to be larger by the ratio of the heights. The median keeps
    # hot pixels from counting for much.
    # Median of a standard normal distribution beyond the threshold, to 1 % from 2 upwards.
    expected = pixel_snr + math.log(2) / (pixel_snr + 1 / pixel_snr)
    height = np.log(isolated.rough_snr / expected) / _HEIGHT_STEP - _LOWEST_HEIGHT
    step = np.clip(height, 0, _HEIGHT_STEPS - 1).astype(np.intp)
    n_regions = int(isolated.region.max(initial=0)) + 1
    count = np.bincount(
        isolated.region * _HEIGHT_STEPS + step, minlength=n_regions * _HEIGHT_STEPS
    ).reshape(n_regions, _HEIGHT_STEPS)
    count[:, round(-_LOWEST_HEIGHT)] += _EXCURSIONS_TO_TRUST
    below = np.cumsum(count, axis=1)
    median = (2 * below >= below[:, -1:]).argmax(axis=1) + _LOWEST_HEIGHT
    factor = np.exp(np.maximum(median, 0) * _HEIGHT_STEP).astype(np.float32)

    def of_region(region: Index) -> Float:
        known = region < n_regions
        return np.where(known, factor[np.where(known, region, 0)], np.float32(1))

    return of_region


def _sum_up(
    surroundings: Surroundings,
    *,
    place: Index,
    spot: Index,
    peak: Index,
    level: Float,
    noise: Float,
    ring_pixels: NDArray[np.int64],
    peak_snr: Float,
    shape: tuple[int, ...],
) -> MeasuredSpots:
    """Sum spots over their pixels and all that touch them, where the faint rest of a spot is."""
    n_spots = len(peak)
    n_pixels = np.bincount(spot, minlength=n_spots)
    place, spot, value = surroundings.grow(place, spot)
    excess = (value - level[spot]).astype(np.float64)
    # Positions relative to the peak keep their precision, and need no panel arithmetic.
    n_slow, n_fast = shape[2:]
    line, peak_line = place // n_fast, peak // n_fast
    row = line - peak_line[spot]
    column = place % n_fast - (peak % n_fast)[spot]
    total = np.bincount(spot, weights=excess, minlength=n_spots)
    summed = np.bincount(spot, minlength=n_spots)
    slow = np.bincount(spot, weights=excess * row, minlength=n_spots) / total
    fast = np.bincount(spot, weights=excess * column, minlength=n_spots) / total
    panel = peak_line // n_slow
    return MeasuredSpots(
        frame=panel // shape[1],
        panel=panel % shape[1],
        slow_px=(peak_line % n_slow + slow).astype(np.float32),
        fast_px=(peak % n_fast + fast).astype(np.float32),
        intensity=total.astype(np.float32),
        # The noise of the summed pixels, and that of the background taken off each of them.
        sigma=(noise * np.sqrt(summed * (1 + summed / ring_pixels))).astype(np.float32),
        n_pixels=n_pixels,
        peak_snr=peak_snr,
    )


def _brightest(spots: MeasuredSpots, max_spots: int) -> MeasuredSpots:
    """Order spots by frame and brightness, and keep the brightest of each frame."""
    order = np.lexsort((-spots.intensity, spots.frame))
    frame = spots.frame[order]
    rank = np.arange(len(frame)) - np.searchsorted(frame, frame, side="left")
    return spots.select(order[rank < max_spots])
