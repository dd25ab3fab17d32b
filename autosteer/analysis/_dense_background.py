"""Background and noise of frames by blocks, in torch; the same estimates as `_background`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autosteer.analysis import _background as blocks
from autosteer.analysis._block_layout import FEWEST_PIXELS, STRIP_ROWS, BlockLayout


@dataclass(frozen=True, slots=True, eq=False)
class DenseLevels:
    """Background of frames by blocks; see `autosteer.analysis._background.BlockLevels`."""

    level: Tensor
    noise: Tensor
    quantum: Tensor
    correlation: Tensor


class DenseBackground:
    """Estimates background and noise of frames of one shape on a device.

    Parameters
    ----------
    layout : BlockLayout
        The blocks.
    shape : (int, int, int)
        Shape of a frame, (n_panels, n_slow, n_fast).
    device : torch.device
        Where the work is done.
    """

    def __init__(
        self, layout: BlockLayout, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self._shape, self._blocks = shape, layout.blocks
        self._samples, self._source = (
            torch.as_tensor(array, device=device) for array in (layout.samples, layout.source)
        )
        self._beside = torch.as_tensor(layout.beside, device=device).float()
        self._planes = torch.as_tensor(layout.planes, device=device)
        self._to_strips = torch.as_tensor(layout.to_strips, device=device)
        self._to_columns = torch.as_tensor(layout.to_columns, device=device)
        self._quantiles = torch.tensor([*blocks.QUANTILES, 1.0], device=device)

    def estimate(self, frames: Tensor, floor: float) -> DenseLevels:
        """Estimate background and noise.

        Parameters
        ----------
        frames : Tensor of float32, shape (n_frames, n_panels, n_slow, n_fast)
            Frames; NaN where there is no measurement [detector counts].
        floor : float
            Least noise, which rounding makes [detector counts].

        Returns
        -------
        DenseLevels
            Background by blocks; NaN where a frame has no good pixel.
        """
        n_frames = len(frames)
        samples = frames.flatten(1)[:, self._samples]
        ordered, _ = samples.sort(dim=-1)
        count = samples.isfinite().sum(dim=-1)
        rank = ((count - 1).clamp(min=0)[..., None] * self._quantiles).round().long()
        low, middle, high, highest = ordered.gather(-1, rank).unbind(-1)
        middle = torch.where(count >= FEWEST_PIXELS, middle, torch.nan)
        usual = self._median_by_region((highest - middle).nan_to_num()[:, self._source])
        bound = torch.maximum(
            blocks.CLIP_SIGMAS * ((high - low) / 2).clamp(min=floor), blocks.CLIP_HIGHEST * usual
        )
        quiet = highest - middle <= blocks.QUIET_HIGHEST * usual
        mean, variance, third, correlation = self._moments(
            samples - middle[..., None], bound[..., None], count, quiet
        )
        shape = (n_frames, self._shape[0], *self._blocks)
        by_block = torch.stack([mean + middle, variance, third])[:, :, self._source]
        level, variance, third = self._filled(by_block.reshape(3, *shape))
        variance = _smooth(variance, blocks.SMOOTH_VARIANCE).clamp(min=floor**2)
        third = _smooth(third, blocks.SMOOTH_SKEWNESS)
        quantum = (third / variance).nan_to_num(posinf=0.0).clamp(min=0)
        of_frame = quantum.flatten(1).median(dim=1).values[:, None, None, None]
        quantum = torch.where(correlation[:, None, None, None] > 0, of_frame, quantum)
        return DenseLevels(level, variance.sqrt(), quantum, correlation)

    def spread(self, values: Tensor) -> Tensor:
        """Spread values of blocks over all pixels, as `BlockBackground.spread` over strips.

        Parameters
        ----------
        values : Tensor of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
            Values of blocks.

        Returns
        -------
        Tensor of float32, shape (n_frames, n_panels, n_slow, n_fast)
            Values of pixels.
        """
        known = values.nan_to_num(nan=float(blocks.BEYOND_ANY_COUNT))
        strips = self._to_strips @ known @ self._to_columns
        return strips.repeat_interleave(STRIP_ROWS, dim=2)[:, :, : self._shape[1]]

    def _moments(
        self, offset: Tensor, bound: Tensor, count: Tensor, quiet: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and central moments of samples, and the correlation of neighbours by frame."""
        missing = offset.isnan()
        offset = torch.maximum(torch.minimum(offset, bound), -bound).masked_fill(missing, 0)
        mean = offset.sum(dim=-1) / count
        offset = (offset - mean[..., None]).masked_fill(missing, 0)
        slopes = torch.einsum("fbi,bij->fbj", offset, self._planes)
        offset = offset - torch.einsum("fbj,bij->fbi", slopes, self._planes)
        offset = offset.masked_fill(missing, 0)
        square, cube = (offset**2).sum(dim=-1), (offset**3).sum(dim=-1)
        product = (offset[..., :-1] * offset[..., 1:] * self._beside).sum(dim=-1)
        taken = blocks.PLANE_NUMBERS / count
        share = product / self._beside.sum(dim=-1).clamp(min=1) * count / square
        share = share * (1 - taken) + taken
        known = quiet & share.isfinite()
        correlation = _median_of_chosen(share, known)
        chance = blocks.CORRELATION_SIGMA / known.sum(dim=-1).clamp(min=1).sqrt()
        sure = correlation >= blocks.CORRELATED + 2 * chance
        correlation = torch.where(sure, correlation.clamp(max=blocks.MOST_CORRELATED), 0.0)
        variance, third = square / count / (1 - taken), cube / count / (1 - 3 * taken)
        return mean, variance, third, correlation

    def _median_by_region(self, values: Tensor) -> Tensor:
        """Replace what blocks say by the median of some blocks together."""
        edge = blocks.REGION_BLOCKS
        rows, columns = (
            np.minimum(np.arange(length + -length % edge), length - 1) for length in self._blocks
        )
        padded = values.reshape(-1, *self._blocks)[:, rows][:, :, columns]
        tiles = padded.unfold(1, edge, edge).unfold(2, edge, edge)
        ordered, _ = tiles.reshape(*tiles.shape[:3], -1).sort(dim=-1)
        middle = edge**2 // 2
        median = (ordered[..., middle - 1] + ordered[..., middle]) / 2
        spread = median.repeat_interleave(edge, dim=1).repeat_interleave(edge, dim=2)
        return spread[:, : self._blocks[0], : self._blocks[1]].reshape(len(values), -1)

    def _filled(self, by_block: Tensor) -> Tensor:
        """Give blocks without any number the values of the nearest of their panel, or frame."""
        missing = by_block[0].isnan()
        if not missing.any():
            return by_block
        n_blocks = self._blocks[0] * self._blocks[1]
        flat = by_block.reshape(3, -1, n_blocks)
        gone = missing.reshape(-1, n_blocks)
        panel, lacking = gone.nonzero().unbind(1)
        row, column = (
            torch.arange(n_blocks, device=flat.device) // self._blocks[1],
            torch.arange(n_blocks, device=flat.device) % self._blocks[1],
        )
        apart = (row[lacking, None] - row) ** 2 + (column[lacking, None] - column) ** 2
        nearest = apart.masked_fill(gone[panel], n_blocks**2).argmin(dim=1)
        filled = flat.clone()
        filled[:, panel, lacking] = flat[:, panel, nearest]
        frames = filled.reshape(3, len(missing), -1)
        middle = frames.nanmedian(dim=2, keepdim=True).values
        return torch.where(frames.isnan(), middle, frames).reshape(by_block.shape)


def _smooth(values: Tensor, edge: int) -> Tensor:
    """Mean over squares of blocks, mirrored at the edges."""
    reach = edge // 2
    rows, columns = (
        np.pad(np.arange(length), reach, mode="symmetric") for length in values.shape[2:]
    )
    padded = values[:, :, rows][:, :, :, columns]
    return torch.nn.functional.avg_pool2d(padded, edge, stride=1)


def _median_of_chosen(values: Tensor, chosen: Tensor) -> Tensor:
    """Median of the chosen values along the last axis, 0 where there are none."""
    count = chosen.sum(dim=-1, keepdim=True)
    ordered, _ = values.masked_fill(~chosen, torch.inf).sort(dim=-1)
    middle = ordered.gather(-1, (count // 2).clamp(max=values.shape[-1] - 1))
    return torch.where(count > 0, middle, 0.0)[:, 0]
