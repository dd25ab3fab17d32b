"""Background and noise of frames, block by block, from a sample of the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter

from autosteer.analysis._bad_values import flag_of
from autosteer.analysis._block_layout import FEWEST_PIXELS, SAMPLES, lay_out

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

# Rounding to whole numbers hides noise below this [detector counts].
INTEGER_NOISE = np.float32(12**-0.5)

CLIP_SIGMAS = 4.0
CLIP_HIGHEST = 1.5
QUIET_HIGHEST = 1.25
QUANTILES = np.array([0.16, 0.5, 0.84])
# Blocks along each edge of a region.
REGION_BLOCKS = 4
# Variance and skewness take more pixels than a block has samples.
SMOOTH_VARIANCE, SMOOTH_SKEWNESS = 3, 5
CORRELATED, MOST_CORRELATED = 0.02, 0.9
# What the correlation of a block scatters by.
CORRELATION_SIGMA = 0.17
# Mean and two slopes.
PLANE_NUMBERS = 3
BEYOND_ANY_COUNT = np.float32(1e30)


@dataclass(frozen=True, slots=True, eq=False)
class BlockLevels:
    """Background of frames by blocks.

    Parameters
    ----------
    level : ndarray of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
        Mean of the background [detector counts].
    noise : ndarray of float32, same shape
        Its standard deviation [detector counts].
    quantum : ndarray of float32, same shape
        Third cumulant over variance, not negative: that of Poisson noise is the gain, and that
        of normal noise is zero [detector counts].
    correlation : ndarray of float32, shape (n_frames,)
        Correlation of the noise of pixels side by side, in [0, 1).
    """

    level: Float
    noise: Float
    quantum: Float
    correlation: Float


class BlockBackground:
    """Estimates background and noise of frames of one shape.

    Parameters
    ----------
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is good.
    """

    def __init__(self, good: Bool) -> None:
        self.layout = lay_out(good)
        self._shape = good.shape

    def estimate(self, frames: Frames) -> BlockLevels:
        """Estimate background and noise.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames [detector counts].

        Returns
        -------
        BlockLevels
            Background by blocks; NaN where a frame has no good pixel.
        """
        n_frames = len(frames)
        flat = frames.reshape(n_frames, -1)
        samples = np.take(flat, self.layout.samples, axis=1)
        flag = flag_of(frames.dtype)
        if flag is not None and (samples == flag).any():
            samples = np.where(samples == flag, np.float32(np.nan), samples.astype(np.float32))
        floating = samples.dtype.kind == "f"
        low, middle, high, highest = (_quantiles if floating else _fixed_quantiles)(
            np.sort(samples, axis=-1)
        )
        shape = (n_frames, self._shape[0], *self.layout.blocks)
        floor = np.float32(0.0) if frames.dtype.kind == "f" else INTEGER_NOISE
        usual = self._median_by_region(highest - middle, shape)
        bound = np.maximum(
            np.float32(CLIP_SIGMAS) * np.maximum((high - low) / np.float32(2), floor),
            np.float32(CLIP_HIGHEST) * usual,
        )
        quiet = highest - middle <= np.float32(QUIET_HIGHEST) * usual
        offset = samples.astype(np.float32, copy=False)
        offset -= middle[..., None]
        level, variance, third, beside = _winsorized_moments(
            offset, bound, self.layout.planes, self.layout.beside, quiet
        )
        level += middle
        by_block = np.stack([level, variance, third])[:, :, self.layout.source].reshape(3, *shape)
        level, variance, third = _filled(by_block) if floating else by_block
        variance = uniform_filter(variance, (0, 0, SMOOTH_VARIANCE, SMOOTH_VARIANCE))
        third = uniform_filter(third, (0, 0, SMOOTH_SKEWNESS, SMOOTH_SKEWNESS))
        variance = np.maximum(variance, floor**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            quantum = np.maximum(np.nan_to_num(third / variance, posinf=0.0), 0)
        # Where light spreads, the skewness of a pixel is small, and all pixels are needed for it.
        spreads = beside > 0
        of_frame = np.median(quantum.reshape(n_frames, -1), axis=1)
        quantum[spreads] = of_frame[spreads, None, None, None]
        return BlockLevels(level, np.sqrt(variance), quantum, beside)

    def _median_by_region(self, values: Float, shape: tuple[int, ...]) -> Float:
        """Replace what blocks say by the median of some blocks together."""
        filled = np.where(np.isnan(values), np.float32(0), values)[:, self.layout.source]
        blocks = filled.reshape(-1, *self.layout.blocks)
        edge = REGION_BLOCKS
        pad = [(0, -length % edge) for length in self.layout.blocks]
        padded = np.pad(blocks, ((0, 0), *pad), mode="edge")
        n_rows, n_columns = (length // edge for length in padded.shape[1:])
        tiles = padded.reshape(-1, n_rows, edge, n_columns, edge).swapaxes(2, 3)
        median = np.median(tiles.reshape(-1, n_rows, n_columns, edge**2), axis=-1)
        spread = median.repeat(edge, axis=1).repeat(edge, axis=2)
        kept: Float = spread[:, : self.layout.blocks[0], : self.layout.blocks[1]].reshape(
            shape[0], -1
        )
        return kept

    def level_of_frames(self, level: Float) -> Float:
        """Return the median background of each frame, shape (n_frames,)."""
        by_block = level.reshape(len(level), -1)[:, self.layout.any_good]
        if by_block.shape[1] == 0:
            return np.full(len(by_block), np.nan, dtype=np.float32)
        return np.median(by_block, axis=1)

    def block_of(self, place: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the block of pixels, as flat index into the arrays of `BlockLevels`.

        Parameters
        ----------
        place : ndarray of int, shape (n,)
            Flat indices into the frames.

        Returns
        -------
        ndarray of int, shape (n,)
            Blocks.
        """
        n_slow, n_fast = self._shape[1:]
        line = place // n_fast
        column = self.layout.column_block[place - line * n_fast]
        panel = line // n_slow
        row = self.layout.row_block[line - panel * n_slow]
        block: NDArray[np.intp] = (panel * self.layout.blocks[0] + row) * self.layout.blocks[
            1
        ] + column
        return block

    def spread(self, values: Float) -> Float:
        """Spread values of blocks over strips of rows, linearly between blocks.

        Parameters
        ----------
        values : ndarray of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
            Values of blocks; a frame without any number has NaN.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_panels, n_strips, n_fast)
            Values of strips of `STRIP_ROWS` rows; beyond any count for a frame without numbers.
        """
        known = np.where(np.isnan(values), BEYOND_ANY_COUNT, values)
        spread: Float = self.layout.to_strips @ known @ self.layout.to_columns
        return spread


def _fixed_quantiles(ordered: Frames) -> tuple[Float, ...]:
    """Quantiles at one, zero and minus one sigma of ordered samples, and the highest one."""
    ranks = [*np.rint((SAMPLES - 1) * QUANTILES).astype(np.intp), -1]
    return tuple(ordered[..., rank].astype(np.float32) for rank in ranks)


def _quantiles(ordered: Frames) -> tuple[Float, ...]:
    """Quantiles of ordered samples of which some, at the end, are NaN; few are none."""
    count = np.isfinite(ordered).sum(axis=-1)
    last = np.maximum(count - 1, 0)
    values = (
        np.take_along_axis(ordered, np.rint(last * share).astype(np.intp)[..., None], -1)[..., 0]
        for share in (*QUANTILES, 1.0)
    )
    return tuple(np.where(count >= FEWEST_PIXELS, value, np.float32(np.nan)) for value in values)


def _winsorized_moments(
    offset: Float, bound: Float, planes: Float, beside: Bool, quiet: Bool
) -> tuple[Float, Float, Float, Float]:
    """Mean and central moments along the last axis, and the correlation of neighbours by frame."""
    # Values beyond the bound are drawn in to it. A slope across the block is no noise: moments and
    # correlation are those of what a plane leaves.
    np.clip(offset, -bound[..., None], bound[..., None], out=offset)
    count: Float | np.float32 = np.float32(offset.shape[-1])
    missing = np.isnan(offset)
    some_missing = bool(missing.any())
    if some_missing:
        count = (offset.shape[-1] - missing.sum(axis=-1)).astype(np.float32)
        offset[missing] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = offset.sum(axis=-1) / count
        offset -= mean[..., None]
        if some_missing:
            offset[missing] = 0
        slopes = np.einsum("fbi,bij->fbj", offset, planes, optimize=True)
        offset -= np.einsum("fbj,bij->fbi", slopes, planes, optimize=True)
        if some_missing:
            offset[missing] = 0
        square = np.einsum("fbi,fbi->fb", offset, offset)
        cube = np.einsum("fbi,fbi,fbi->fb", offset, offset, offset)
        product = np.einsum("fbi,fbi,bi->fb", offset[..., :-1], offset[..., 1:], beside)
        share = product / np.maximum(beside.sum(axis=-1), 1) * count / square
        # Mean and slopes take their part of what is there: exactly of the variance, and about
        # so of the others.
        taken = PLANE_NUMBERS / count
        share = share * (1 - taken) + taken
        variance = square / count / (1 - taken)
        third = cube / count / (1 - 3 * taken)
    # The light of spots would count as correlation: blocks that seem to hold one are left out.
    known = quiet & np.isfinite(share)
    correlation = _median_of_chosen(share, known)
    chance = CORRELATION_SIGMA / np.sqrt(np.maximum(known.sum(axis=-1), 1))
    correlation[correlation < CORRELATED + 2 * chance] = 0
    return mean, variance, third, np.minimum(correlation, MOST_CORRELATED).astype(np.float32)


def _median_of_chosen(values: Float, chosen: Bool) -> Float:
    """Median of the chosen values along the last axis, 0 where there are none."""
    count = chosen.sum(axis=-1)
    ordered = np.sort(np.where(chosen, values, np.float32(np.inf)), axis=-1)
    # The number of values is at least one: a detector has one block or more.
    rank = np.minimum(count // 2, values.shape[-1] - 1)[:, None]
    middle = np.take_along_axis(ordered, rank, axis=-1)[:, 0]
    return np.where(count > 0, middle, np.float32(0))


def _filled(by_block: Float) -> Float:
    """Give blocks without any number the values of the nearest one, of their panel if possible."""
    missing = np.isnan(by_block[0])
    for frame in np.flatnonzero(missing.any(axis=(1, 2, 3))):
        lacking = missing[frame]
        if lacking.all():
            continue
        # Blocks of other panels are as far away as any can be.
        nearest = distance_transform_edt(
            lacking,
            sampling=(sum(lacking.shape), 1, 1),
            return_distances=False,
            return_indices=True,
        )
        by_block[:, frame] = by_block[:, frame][:, *nearest]
    return by_block
