"""From pixels that stand out to spots, in torch; the same tests and sums as `_measurement`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis import _measurement as tests
from autosteer.analysis import _surroundings as places
from autosteer.analysis._measurement import MeasuredSpots, SpotCriteria
from autosteer.analysis._rare_photons import rare_photons
from autosteer.analysis._rows import Rows
from autosteer.analysis._significance import (
    BOX,
    COARSE,
    FINE,
    FOOTPRINTS,
    POINT,
    equivalent_sigmas,
    spread_factor,
)

Offsets = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class DensePixels(Rows):
    """Pixels that stand out; see `autosteer.analysis._measurement.StandingOut`."""

    place: Tensor
    level: Tensor
    noise: Tensor
    quantum: Tensor
    frame: Tensor
    block: Tensor
    photon: Tensor

    def __len__(self) -> int:
        return len(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class OnDevice:
    """A footprint: its weights, what it makes of photons and, of shape (n_frames,), of noise."""

    weights: Tensor
    photon_factor: float
    half_step: float
    noise: Tensor
    skewness: Tensor


class DenseMeasurement:
    """Measures the spots of a stack of frames on a device.

    Parameters
    ----------
    frames : Tensor of float32, shape (n_frames, n_panels, n_slow, n_fast)
        Frames; NaN where there is no measurement [detector counts].
    listed : Tensor of bool, same shape
        Pixels that stand out with their neighbours.
    correlation : ndarray of float32, shape (n_frames,)
        Correlation of the noise of pixels side by side.
    """

    def __init__(self, frames: Tensor, listed: Tensor, correlation: NDArray[Any]) -> None:
        self._shape = tuple(frames.shape)
        self._values = frames.reshape(-1).clone()
        self._listed = listed.reshape(-1)
        self._device = frames.device
        self._fine, self._coarse, self._box, self._point, *self._footprints = (
            OnDevice(
                self._tensor(footprint.weights),
                footprint.photon_factor,
                footprint.half_step,
                self._tensor(footprint.noise_factor(correlation)),
                self._tensor(footprint.skewness_factor(correlation)),
            )
            for footprint in (FINE, COARSE, BOX, POINT, *FOOTPRINTS)
        )
        self._spread = self._tensor(spread_factor(correlation))
        self._spreads = self._tensor(correlation) > 0
        # The list index of each pixel, -1 elsewhere.
        self._index = torch.full_like(self._listed, -1, dtype=torch.int32)

    def measure(
        self, pixels: DensePixels, blocks: tuple[int, ...], criteria: SpotCriteria
    ) -> MeasuredSpots:
        """Find the spots among pixels that stand out.

        Parameters
        ----------
        pixels : DensePixels
            The pixels, by increasing position.
        blocks : tuple of int
            Frames, panels, and blocks of a panel along (slow, fast).
        criteria : SpotCriteria
            What makes a spot.

        Returns
        -------
        MeasuredSpots
            Spots by frame, the brightest of a frame first.
        """
        excess = self._excess(pixels)
        listed_at = criteria.listed_sigmas * tests.BOX_NOISE
        pixels = self._with_rare_photons(pixels, excess, blocks, listed_at)
        hot = self._is_hot(pixels, excess)
        self._values[pixels.place[hot]] = torch.nan
        excess = self._excess(pixels)
        box = excess @ self._box.weights / self._box.noise[pixels.frame]
        measured = self._values[pixels.place].isfinite()
        least = tests.ROUGH_SHARE * criteria.listed_sigmas
        kept = measured & ~hot & (box > least * pixels.noise)
        pixels, excess = pixels.select(kept), excess[kept]
        self._index[pixels.place] = torch.arange(
            len(pixels), dtype=torch.int32, device=self._device
        )
        height = self._rough_height(pixels, excess)
        itself = torch.arange(len(pixels), device=self._device)
        near = self._listed_neighbours(itself, pixels.place, places.NEIGHBOURS)
        summit = self._summits(pixels.place, height, near)
        peak = (
            ((summit == itself) & (height >= tests.ROUGH_SHARE * criteria.min_snr))
            .nonzero()
            .squeeze(1)
        )
        seen = self._look_closely(pixels.select(peak), criteria.min_snr)
        peak, seen = peak[seen.is_spot], seen.select(seen.is_spot)
        group = _connected(near)
        threshold = torch.full((len(pixels),), torch.inf, device=self._device)
        threshold[group[peak]] = seen.level + 2 * tests.PIXEL_SIGMAS * seen.noise
        bright = (self._values[pixels.place] > threshold[group]).long()
        size = torch.zeros(len(pixels), dtype=torch.long, device=self._device)
        size.index_add_(0, group, bright)
        small = size[group[peak]] <= criteria.max_pixels
        peak, seen = peak[small], seen.select(small)
        position = torch.full((len(pixels),), -1, dtype=torch.long, device=self._device)
        position[peak] = torch.arange(len(peak), device=self._device)
        spot = position[summit]
        member = spot >= 0
        spots = self._sum_up(pixels.place[member], spot[member], pixels.select(peak), seen)
        fits = (spots.n_pixels >= criteria.min_pixels) & (spots.n_pixels <= criteria.max_pixels)
        return tests.brightest(spots.select(fits), criteria.max_spots)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        """Bring an array to the device."""
        return torch.as_tensor(values, dtype=torch.float32, device=self._device)

    def _about(
        self, place: Tensor, row: NDArray[Any], column: NDArray[Any]
    ) -> tuple[Tensor, Tensor]:
        """Flat indices of pixels at offsets, and whether they are on the same panel."""
        n_slow, n_fast = self._shape[2:]
        down = torch.as_tensor(row, device=self._device)
        right = torch.as_tensor(column, device=self._device)
        to_row = (place // n_fast % n_slow)[:, None] + down
        to_column = (place % n_fast)[:, None] + right
        inside = (to_row >= 0) & (to_row < n_slow) & (to_column >= 0) & (to_column < n_fast)
        around = place[:, None] + (down * n_fast + right)
        return torch.where(inside, around, place[:, None]), inside

    def _look(
        self, place: Tensor, row: NDArray[Any], column: NDArray[Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Flat indices and values of pixels at offsets, and whether they can be used."""
        around, inside = self._about(place, row, column)
        values = self._values[around]
        return around, values, inside & values.isfinite()

    def _excess(self, pixels: DensePixels) -> Tensor:
        """Return the windows about pixels above the background of their block."""
        _, values, use = self._look(pixels.place, *places.WINDOW)
        return torch.where(use, values - pixels.level[:, None], 0.0)

    def _is_hot(self, pixels: DensePixels, excess: Tensor) -> Tensor:
        """Say which pixels are high beside neighbours that are not."""
        middle = excess[:, tests.CENTER]
        around = excess[:, tests.AROUND].amax(dim=1).clamp(min=0)
        return (middle > tests.HOT_SIGMAS * pixels.noise) & (around < tests.HOT_SHARE * middle)

    def _with_rare_photons(
        self, pixels: DensePixels, excess: Tensor, blocks: tuple[int, ...], listed_at: float
    ) -> DensePixels:
        """Add to the noise what single photons make that rise alone."""
        height = excess[:, tests.CENTER] / pixels.noise
        around = excess[:, tests.AROUND].amax(dim=1).clamp(min=0) / pixels.noise
        alone = around < (tests.HOT_SHARE * height).clamp(min=tests.QUIET_SIGMAS)
        n_blocks = blocks[0] * blocks[1] * blocks[2] * blocks[3]
        variance, third = (
            self._tensor(added)
            for added in rare_photons(
                height[alone].cpu().numpy(),
                pixels.block[alone].cpu().numpy(),
                blocks,
                self._values.numel() / n_blocks,
                listed_at,
            )
        )
        factor = 1 + variance[pixels.block]
        photon = (third / variance).nan_to_num()
        return DensePixels(
            pixels.place,
            pixels.level,
            pixels.noise * factor.sqrt(),
            (pixels.quantum + third[pixels.block] * pixels.noise) / factor,
            pixels.frame,
            pixels.block,
            torch.maximum(pixels.photon, photon[pixels.block] * pixels.noise),
        )

    def _rough_height(self, pixels: DensePixels, excess: Tensor) -> Tensor:
        """Return how far pixels stand out with their neighbours above the block's background."""
        fine, coarse = (
            excess @ footprint.weights / footprint.noise[pixels.frame]
            for footprint in (self._fine, self._coarse)
        )
        return torch.maximum(fine, coarse) / pixels.noise

    def _listed_neighbours(self, itself: Tensor, place: Tensor, offsets: Offsets) -> Tensor:
        """List indices of the pixels at offsets, that of the pixel itself where there is none."""
        around, inside = self._about(place, *offsets)
        index = self._index[around].long()
        return torch.where(inside & (index >= 0), index, itself[:, None])

    def _summits(self, place: Tensor, height: Tensor, near: Tensor) -> Tensor:
        """Find the summit of each pixel, going uphill from neighbour to neighbour."""
        if not len(place):
            return place
        # Ranks have no equals, so that there is no going round in circles.
        rank = torch.empty(len(height), dtype=torch.long, device=self._device)
        order = torch.sort(-height, stable=True).indices
        rank[order] = torch.arange(len(height), device=self._device).flip(0)
        itself = torch.arange(len(rank), device=self._device)
        parent = _to_the_root(_highest(rank, near))
        one, other = parent[:, None].expand_as(near), parent[near]
        way = torch.minimum(height[:, None], height[near])
        shallow = (one != other) & (
            way >= tests.SHALLOW_SHARE * torch.minimum(height[one], height[other])
        )
        lower = torch.where(rank[one] < rank[other], one, other)
        higher = one + other - lower
        best = rank.scatter_reduce(0, lower[shallow], rank[higher[shallow]], reduce="amax")
        parent = _to_the_root(torch.where(parent == itself, order.flip(0)[best], parent))
        is_root = parent == itself
        root_rank = torch.where(is_root, rank, -1)
        root = is_root.nonzero().squeeze(1)
        among = self._listed_neighbours(root, place[root], places.WINDOW)
        merged = among.gather(1, root_rank[among].argmax(dim=1, keepdim=True)).squeeze(1)
        parent = parent.clone()
        parent[root] = merged
        return _to_the_root(parent)

    def _look_closely(self, peaks: DensePixels, min_snr: float) -> _CloseLook:
        """Compare peaks with the ring about them."""
        around, values, use = self._look(peaks.place, *places.RING)
        n_possible = use.sum(dim=1).clamp(min=1)
        use &= ~self._listed[around]
        listed_share = 1 - use.sum(dim=1) / n_possible
        mean, noise, _ = _moments(values, use)
        use &= (values - mean[:, None]).abs() <= places.RING_CLIP_SIGMAS * noise[:, None]
        level, noise, residual = _moments(values, use)
        n_pixels = use.sum(dim=1)
        ridge = self._ridge(residual, noise * self._spread[peaks.frame], n_pixels)
        noise = torch.fmax(noise, tests.LEAST_RING_NOISE * peaks.noise)
        _, values, use = self._look(peaks.place, *places.WIDE_WINDOW)
        excess = torch.where(use, values - level[:, None], 0.0)
        of_point, *others = (
            self._snr(footprint, excess, use, peaks, noise, n_pixels, ridge)
            for footprint in (self._point, *self._footprints)
        )
        snr = torch.stack(others).amax(dim=0)
        snr = torch.where(self._spreads[peaks.frame], torch.maximum(snr, of_point), snr)
        inner = torch.as_tensor(tests.INNER, device=self._device)
        excess, use = excess[:, inner], use[:, inner]
        among = excess[:, tests.MIDDLE]
        usable = torch.where(use[:, tests.MIDDLE], among, -torch.inf)
        step = usable.argmax(dim=1, keepdim=True)
        brightest = among.gather(1, step).squeeze(1)
        middle = torch.as_tensor(tests.MIDDLE, device=self._device)[step]
        about = middle + torch.as_tensor(tests.AROUND - tests.CENTER, device=self._device)
        n_around = use.gather(1, about).sum(dim=1)
        beside = excess.gather(1, about).sum(dim=1)
        peak_snr = brightest / noise
        least = torch.where(
            peak_snr > tests.HIGH_PEAK, tests.HIGH_NEIGHBOUR_SIGMAS, tests.NEIGHBOUR_SIGMAS
        )
        is_spot = (
            (snr >= min_snr)
            & (n_pixels >= tests.FEWEST_RING_PIXELS)
            & (listed_share <= tests.LARGEST_LISTED_SHARE)
            & (n_around >= tests.FEWEST_NEIGHBOURS)
            & (beside >= tests.NEIGHBOUR_SHARE * brightest)
            & (among.sort(dim=1).values[:, -3] >= tests.THIRD_SHARE * brightest)
            & (beside >= least * noise * n_around.sqrt())
        )
        return _CloseLook(is_spot, level, noise, n_pixels, snr, peak_snr)

    def _ridge(self, residual: Tensor, noise: Tensor, n_pixels: Tensor) -> Tensor:
        """Return how high a ridge through a ring rises above its mean."""
        waves = self._tensor(places.RING_WAVES)
        harmonic = residual @ waves * (2 / n_pixels[:, None])
        chance = places.RIDGE_SIGMAS**2 * 2 * noise**2 / n_pixels
        return ((harmonic**2).sum(dim=1) - chance).nan_to_num().clamp(min=0).sqrt()

    def _snr(
        self,
        footprint: OnDevice,
        excess: Tensor,
        use: Tensor,
        peaks: DensePixels,
        noise: Tensor,
        ring_pixels: Tensor,
        ridge: Tensor,
    ) -> Tensor:
        """Return by how many sigmas a footprint about peaks stands out of its ring."""
        weight = use.float() @ footprint.weights
        half_photon = peaks.quantum * footprint.half_step
        total = excess @ footprint.weights - ridge * weight - half_photon
        of_ring = (weight * self._spread[peaks.frame]) ** 2 / ring_pixels
        sigma = noise * (footprint.noise[peaks.frame] ** 2 + of_ring).sqrt()
        skewness = peaks.quantum * footprint.skewness[peaks.frame]
        return equivalent_sigmas(total, sigma, skewness, peaks.photon * footprint.photon_factor)

    def _sum_up(
        self, place: Tensor, spot: Tensor, peaks: DensePixels, seen: _CloseLook
    ) -> MeasuredSpots:
        """Sum spots over their pixels and all that touch them."""
        n_spots = len(peaks)
        around, _, use = self._look(place, *places.NEIGHBOURS)
        use &= ~self._listed[around]
        pairs = around * max(n_spots, 1) + spot[:, None]
        grown = torch.cat([place * max(n_spots, 1) + spot, torch.unique(pairs[use])])
        place, spot = grown // max(n_spots, 1), grown % max(n_spots, 1)
        excess = (self._values[place] - seen.level[spot]).double()
        high = (excess > tests.PIXEL_SIGMAS * seen.noise[spot]).double()
        n_slow, n_fast = self._shape[2:]
        line, peak_line = place // n_fast, peaks.place // n_fast
        light = excess.clamp(min=0)
        columns = torch.stack([
            excess,
            torch.ones_like(excess),
            high,
            light,
            light * (line - peak_line[spot]),
            light * (place % n_fast - (peaks.place % n_fast)[spot]),
        ])
        sums = torch.zeros((len(columns), n_spots), dtype=torch.float64, device=self._device)
        sums.index_add_(1, spot, columns)
        total, summed, n_pixels, weight, slow, fast = sums
        panel = peak_line // n_slow
        spread = self._spread[peaks.frame]
        sigma = seen.noise * spread * (summed * (1 + summed / seen.ring_pixels)).sqrt()
        return MeasuredSpots(
            frame=(panel // self._shape[1]).cpu().numpy(),
            panel=(panel % self._shape[1]).cpu().numpy(),
            slow_px=(peak_line % n_slow + slow / weight).float().cpu().numpy(),
            fast_px=(peaks.place % n_fast + fast / weight).float().cpu().numpy(),
            intensity=total.float().cpu().numpy(),
            sigma=sigma.float().cpu().numpy(),
            n_pixels=n_pixels.long().cpu().numpy(),
            peak_snr=seen.peak_snr.cpu().numpy(),
            snr=seen.snr.cpu().numpy(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _CloseLook(Rows):
    """What peaks look like above their own ring, each of shape (n,)."""

    is_spot: Tensor
    level: Tensor
    noise: Tensor
    ring_pixels: Tensor
    snr: Tensor
    peak_snr: Tensor


def _moments(values: Tensor, use: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation of the values in use, along the last axis, and what is left."""
    count = use.sum(dim=1)
    mean = torch.where(use, values, 0.0).sum(dim=1) / count
    residual = torch.where(use, values - mean[:, None], 0.0)
    return mean, ((residual**2).sum(dim=1) / count).sqrt(), residual


def _highest(rank: Tensor, near: Tensor) -> Tensor:
    """Name the highest of each pixel's neighbours and itself."""
    itself = torch.arange(len(rank), device=rank.device)[:, None]
    among = torch.cat([near, itself], dim=1)
    return among.gather(1, rank[among].argmax(dim=1, keepdim=True)).squeeze(1)


def _to_the_root(parent: Tensor) -> Tensor:
    """Follow parents to those that are their own."""
    while True:
        further = parent[parent]
        if torch.equal(further, parent):
            return parent
        parent = further


def _connected(near: Tensor) -> Tensor:
    """Give all pixels that are connected by neighbours the number of the same one of them."""
    label = torch.arange(len(near), device=near.device)
    while len(near):
        lowest = torch.minimum(label, label[near].amin(dim=1))
        # What a pixel learns, the one whose number it bore learns too.
        spread = label.scatter_reduce(0, label, lowest, reduce="amin")
        further = _to_the_root(torch.minimum(spread, lowest))
        if torch.equal(further, label):
            break
        label = further
    return label
