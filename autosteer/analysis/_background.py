"""Background and noise of frames, block by block, from a sample of the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._measurement import INTEGER_NOISE

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

_BLOCK_PX = 32
_SAMPLES = 64
_RUN_PX = 4
# Inverse powers of the plastic number: M. Roberts' R2 sequence.
_SPREAD = (0.7548776662466927, 0.5698402909980532)
# A block with fewer good pixels takes the values of its nearest neighbour.
_FEWEST_PIXELS = 16
_CLIP_SIGMAS = 4.0
_QUANTILES = np.array([0.16, 0.5, 0.84])
_STRIP_ROWS = 8
# Blocks along each edge of a region.
_REGION_BLOCKS = 4
_BEYOND_ANY_COUNT = np.float32(1e30)


@dataclass(frozen=True, slots=True, eq=False)
class BlockLevels:
    """Background of frames by blocks.

    Parameters
    ----------
    level : ndarray of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
        Mean of the background [detector counts].
    noise : ndarray of float32, same shape
        Its standard deviation [detector counts].
    """

    level: Float
    noise: Float


class BlockBackground:
    """Estimates background and noise of frames of one shape.

    Parameters
    ----------
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is good.
    """

    def __init__(self, good: Bool) -> None:
        n_panels, n_slow, n_fast = good.shape
        self._blocks = (max(1, round(n_slow / _BLOCK_PX)), max(1, round(n_fast / _BLOCK_PX)))
        self._row_block = _block_of_line(n_slow, self._blocks[0])
        self._column_block = _block_of_line(n_fast, self._blocks[1])
        self._samples, self._source, self._any_good = _choose_samples(
            good, self._row_block, self._column_block, self._blocks
        )
        # Thresholds are constant over a strip of rows, which saves work for full frames.
        self.strip_rows = max(rows for rows in range(1, _STRIP_ROWS + 1) if n_slow % rows == 0)
        strips = np.arange(n_slow // self.strip_rows) * self.strip_rows + (self.strip_rows - 1) / 2
        self._to_strips = _interpolation(strips, n_slow, self._blocks[0])
        self._to_columns = _interpolation(np.arange(n_fast), n_fast, self._blocks[1]).T.copy()
        self._shape = good.shape
        row_region, column_region = (np.arange(n) // _REGION_BLOCKS for n in self._blocks)
        self._n_regions = n_panels * (row_region[-1] + 1) * (column_region[-1] + 1)
        panel = np.arange(n_panels)[:, None, None]
        self._region = (
            (panel * (row_region[-1] + 1) + row_region[:, None]) * (column_region[-1] + 1)
            + column_region
        ).ravel()

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
        samples = np.take(flat, self._samples, axis=1)
        samples.sort(axis=-1)
        floating = frames.dtype.kind == "f"
        low, middle, high = _quantiles(samples) if floating else _fixed_quantiles(samples)
        floor = np.float32(0.0 if floating else INTEGER_NOISE)
        bound = np.float32(_CLIP_SIGMAS) * np.maximum((high - low) / np.float32(2), floor)
        offset = samples.astype(np.float32, copy=False)
        offset -= middle[..., None]
        level, noise = _winsorized_moments(offset, bound)
        level += middle
        noise = np.maximum(noise, floor)
        if floating:
            _fill_missing(level, noise)
        shape = (n_frames, self._shape[0], *self._blocks)
        return BlockLevels(
            level[:, self._source].reshape(shape), noise[:, self._source].reshape(shape)
        )

    def level_of_frames(self, levels: BlockLevels) -> Float:
        """Return the median background of each frame, shape (n_frames,)."""
        by_block = levels.level.reshape(len(levels.level), -1)[:, self._any_good]
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
        column = self._column_block[place - line * n_fast]
        panel = line // n_slow
        row = self._row_block[line - panel * n_slow]
        block: NDArray[np.intp] = (panel * self._blocks[0] + row) * self._blocks[1] + column
        return block

    def region_of(self, block: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the region of blocks: some neighbouring blocks, whose noise is alike.

        Parameters
        ----------
        block : ndarray of int, shape (n,)
            Blocks, as `block_of` gives them.

        Returns
        -------
        ndarray of int, shape (n,)
            Running number of the region, frame by frame.
        """
        frame, within = np.divmod(block, len(self._region))
        region: NDArray[np.intp] = frame * self._n_regions + self._region[within]
        return region

    def thresholds(self, levels: BlockLevels, n_sigmas: float) -> Float:
        """Spread `level + n_sigmas * noise` over strips of rows, linearly between blocks.

        Parameters
        ----------
        levels : BlockLevels
            Background by blocks.
        n_sigmas : float
            Height above the background.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_panels, n_slow / strip_rows, n_fast)
            Thresholds [detector counts].
        """
        heights = levels.level + np.float32(n_sigmas) * levels.noise
        # A frame without any number has no background, and nothing rises above this.
        heights[np.isnan(heights)] = _BEYOND_ANY_COUNT
        spread: Float = self._to_strips @ heights @ self._to_columns
        return spread


def _fixed_quantiles(samples: Frames) -> tuple[Float, Float, Float]:
    """Quantiles at one, zero and minus one sigma of sorted samples."""
    ranks = np.rint((_SAMPLES - 1) * _QUANTILES).astype(np.intp)
    low, middle, high = (samples[..., rank].astype(np.float32) for rank in ranks)
    return low, middle, high


def _quantiles(samples: Frames) -> tuple[Float, Float, Float]:
    """Quantiles of sorted samples of which some, at the end, are NaN."""
    last = np.maximum(np.isfinite(samples).sum(axis=-1) - 1, 0)
    low, middle, high = (
        np.take_along_axis(samples, np.rint(last * share).astype(np.intp)[..., None], -1)[..., 0]
        for share in _QUANTILES
    )
    return low, middle, high


def _winsorized_moments(offset: Float, bound: Float) -> tuple[Float, Float]:
    """Mean and standard deviation along the last axis, values beyond the bound drawn in to it."""
    np.minimum(offset, bound[..., None], out=offset)
    np.maximum(offset, -bound[..., None], out=offset)
    count: Float | np.float32 = np.float32(offset.shape[-1])
    missing = np.isnan(offset)
    if missing.any():
        count = (offset.shape[-1] - missing.sum(axis=-1)).astype(np.float32)
        offset[missing] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = offset @ np.ones(offset.shape[-1], np.float32) / count
        square = np.einsum("...i,...i->...", offset, offset) / count
        noise = np.sqrt(np.maximum(square - mean**2, 0))
    return mean, noise


def _fill_missing(level: Float, noise: Float) -> None:
    """Give blocks without any number the median of their frame, in place."""
    for of_frame in np.flatnonzero(np.isnan(level).any(axis=1)):
        missing = np.isnan(level[of_frame])
        if not missing.all():
            level[of_frame, missing] = np.median(level[of_frame, ~missing])
            noise[of_frame, missing] = np.median(noise[of_frame, ~missing])


def _block_of_line(n_lines: int, n_blocks: int) -> NDArray[np.intp]:
    """Return the block that each row or column belongs to."""
    return np.arange(n_lines) * n_blocks // n_lines


def _interpolation(lines: NDArray[Any], n_lines: int, n_blocks: int) -> Float:
    """Weights (n, n_blocks) that interpolate from block centres to rows or columns."""
    position = np.clip((lines + 0.5) * n_blocks / n_lines - 0.5, 0, n_blocks - 1)
    distance = np.abs(position[:, None] - np.arange(n_blocks))
    weights: Float = np.maximum(1 - distance, 0).astype(np.float32)
    return weights


def _choose_samples(
    good: Bool,
    row_block: NDArray[np.intp],
    column_block: NDArray[np.intp],
    blocks: tuple[int, int],
) -> tuple[NDArray[np.intp], NDArray[np.intp], Bool]:
    """Choose pixels for each block; name the block it learns from; say if that is itself."""
    n_panels = len(good)
    n_blocks = n_panels * blocks[0] * blocks[1]
    panel_block = np.arange(n_panels)[:, None, None] * (blocks[0] * blocks[1])
    block = panel_block + row_block[:, None] * blocks[1] + column_block
    pixel = np.flatnonzero(good)
    # Short runs of neighbours lie in one line of the cache, and are read at the price of one pixel.
    # The first in this order are spread evenly, whatever their number, and follow no row or column.
    row, column = np.divmod(pixel, good.shape[2])
    order = (_SPREAD[0] * row + _SPREAD[1] * (column // _RUN_PX)) % 1
    shuffled = pixel[np.argsort(order, kind="stable")]
    by_block = shuffled[np.argsort(block.ravel()[shuffled], kind="stable")]
    count = np.bincount(block.ravel()[pixel], minlength=n_blocks)
    first = np.cumsum(count) - count
    turn = np.arange(_SAMPLES) % np.maximum(count, 1)[:, None]
    sampled = count >= _FEWEST_PIXELS
    samples = np.zeros((n_blocks, _SAMPLES), dtype=np.intp)
    # In the order of memory, which is quicker to read.
    samples[sampled] = np.sort(by_block[(first[:, None] + turn)[sampled]], axis=1)
    return samples, _nearest_sampled(sampled, n_panels, blocks), sampled


def _nearest_sampled(sampled: Bool, n_panels: int, blocks: tuple[int, int]) -> NDArray[np.intp]:
    """For each block name the nearest one of its panel that has samples."""
    source = np.arange(len(sampled)).reshape(n_panels, -1)
    row, column = np.divmod(np.arange(blocks[0] * blocks[1]), blocks[1])
    distance = np.hypot(row[:, None] - row, column[:, None] - column)
    sampled = sampled.reshape(n_panels, -1)
    for panel in np.flatnonzero(~sampled.all(axis=1) & sampled.any(axis=1)):
        nearest = np.where(sampled[panel], distance, np.inf).argmin(axis=1)
        source[panel] = source[panel][nearest]
    return source.ravel()
