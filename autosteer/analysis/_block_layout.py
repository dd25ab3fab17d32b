"""Blocks of a detector, the pixels that stand for each, and how values spread between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

STRIP_ROWS = 8
"""Rows over which thresholds are constant, which saves work for full frames."""

# A block with fewer good pixels takes the values of its nearest neighbour.
FEWEST_PIXELS = 16
SAMPLES = 64
_BLOCK_PX = 32
_ENOUGH_SAMPLES = 2**14
_RUN_PX = 4
# Inverse powers of the plastic number: M. Roberts' R2 sequence.
_SPREAD = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True, eq=False)
class BlockLayout:
    """Blocks of a detector and the samples that they are judged by; n_blocks counts all panels.

    Parameters
    ----------
    blocks : (int, int)
        Blocks of a panel along (slow, fast).
    row_block, column_block : ndarray of int, shape (n_slow,) and (n_fast,)
        Block that rows and columns belong to.
    samples : ndarray of int, shape (n_blocks, n_samples)
        Pixels of each block, flat indices into a frame.
    source : ndarray of int, shape (n_blocks,)
        Block whose samples each block takes: itself, if it has enough good pixels.
    any_good : ndarray of bool, shape (n_blocks,)
        Whether that is so.
    beside : ndarray of bool, shape (n_blocks, n_samples - 1)
        Whether a sample and the next one are neighbours.
    planes : ndarray of float32, shape (n_blocks, n_samples, 2)
        Orthonormal slopes over the samples.
    to_strips : ndarray of float32, shape (n_strips, n_blocks_slow)
        Weights that interpolate from blocks to strips of rows.
    to_columns : ndarray of float32, shape (n_blocks_fast, n_fast)
        Weights that interpolate from blocks to columns.
    """

    blocks: tuple[int, int]
    row_block: NDArray[np.intp]
    column_block: NDArray[np.intp]
    samples: NDArray[np.intp]
    source: NDArray[np.intp]
    any_good: Bool
    beside: Bool
    planes: Float
    to_strips: Float
    to_columns: Float

    @property
    def telling(self) -> NDArray[np.intp]:
        """Blocks with samples, as many as it takes to learn something of all the frame."""
        block = np.flatnonzero(self.any_good)
        return block[:: -(-len(block) * SAMPLES // _ENOUGH_SAMPLES) or 1]


def lay_out(good: Bool) -> BlockLayout:
    """Lay out the blocks of a detector.

    Parameters
    ----------
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is good.

    Returns
    -------
    BlockLayout
        The blocks.
    """
    _, n_slow, n_fast = good.shape
    blocks = (max(1, round(n_slow / _BLOCK_PX)), max(1, round(n_fast / _BLOCK_PX)))
    row_block, column_block = _block_of_line(n_slow, blocks[0]), _block_of_line(n_fast, blocks[1])
    samples, source, any_good = _choose_samples(good, row_block, column_block, blocks)
    strips = np.arange(-(-n_slow // STRIP_ROWS)) * STRIP_ROWS + (STRIP_ROWS - 1) / 2
    return BlockLayout(
        blocks,
        row_block,
        column_block,
        samples,
        source,
        any_good,
        beside=np.diff(samples, axis=1) == 1,
        planes=_planes(samples, n_fast),
        to_strips=_interpolation(strips, n_slow, blocks[0]),
        to_columns=_interpolation(np.arange(n_fast), n_fast, blocks[1]).T.copy(),
    )


def _planes(samples: NDArray[np.intp], n_fast: int) -> Float:
    """Return for each block two orthonormal slopes over its samples, shape (n_blocks, n, 2)."""
    row, column = np.divmod(samples, n_fast)
    position = np.stack([row, column], axis=-1).astype(np.float64)
    position -= position.mean(axis=1, keepdims=True)
    # Samples that all lie in one line have no slope across it.
    down, across = position[..., 0], position[..., 1]
    down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-9)
    across -= down * (down * across).sum(axis=1, keepdims=True)
    norm = np.linalg.norm(across, axis=1, keepdims=True)
    across /= np.where(norm > 1, norm, np.inf)
    return np.stack([down, across], axis=-1).astype(np.float32)


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
    turn = np.arange(SAMPLES) % np.maximum(count, 1)[:, None]
    sampled = count >= FEWEST_PIXELS
    samples = np.zeros((n_blocks, SAMPLES), dtype=np.intp)
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
