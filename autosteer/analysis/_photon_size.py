"""What a photon counts on a dark detector, learned from the shape of its noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis._background import BlockLevels
from autosteer.analysis._bad_values import is_bad
from autosteer.analysis._block_layout import BlockLayout

LEAST_SKEWNESS = 0.08
"""Third cumulant over variance, in sigmas, below which photons do not show in the noise."""

# Values beyond are hot pixels and spots [sigmas].
_HIGHEST = 8.0
# Neither readout noise nor photons often fall so low [sigmas]: where more than this share of the
# pixels does, some of them do not count.
_LOW, _LARGEST_LOW_SHARE = -3.0, 4e-3
# Skewness of a block over that of most.
_WITHIN = 2.5
# Noise that is less peaked than this, or that is all due to photons nearly, is described well by
# its skewness alone.
_LEAST_KURTOSIS, _LEAST_SIZE = 0.5, 1.5
_LEAST_SURE = 5.0


def photon_sizes_of_frames(
    frames: NDArray[Any], is_listed: NDArray[np.bool_], levels: BlockLevels, layout: BlockLayout
) -> NDArray[np.float32]:
    """Learn what a photon counts on frames whose noise is skewed and does not spread.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
        Frames [detector counts].
    is_listed : ndarray of bool, same shape
        Pixels that stand out with their neighbours: they are no background.
    levels : BlockLevels
        Background of the frames.
    layout : BlockLayout
        Their blocks.

    Returns
    -------
    ndarray of float32, shape (n_frames,)
        Counts of a photon; 0 where the noise does not tell [detector counts].
    """
    n_frames = len(frames)
    level, noise, quantum = (
        values.reshape(n_frames, -1) for values in (levels.level, levels.noise, levels.quantum)
    )
    skewed = np.median(quantum, axis=1) > LEAST_SKEWNESS * np.median(noise, axis=1)
    chosen = np.flatnonzero(skewed & (levels.correlation == 0))
    sizes = np.zeros(n_frames, dtype=np.float32)
    if len(chosen):
        block = layout.telling
        here = (chosen[:, None, None], layout.samples[block])
        values = frames.reshape(n_frames, -1)[here]
        missing = is_listed.reshape(n_frames, -1)[here]
        bad = is_bad(values)
        if bad is not None:
            missing |= bad
        samples = np.where(missing, np.float32(np.nan), values.astype(np.float32))
        of_blocks = (
            torch.from_numpy(one[chosen[:, None], block]) for one in (level, noise, quantum)
        )
        sizes[chosen] = photon_sizes(torch.from_numpy(samples), *of_blocks).numpy()
    return sizes


def photon_sizes(samples: Tensor, level: Tensor, noise: Tensor, quantum: Tensor) -> Tensor:
    """Learn what a photon counts, frame by frame.

    Photons that come by chance, each with the same size g, add ``g**n`` times their rate to the
    n-th cumulant of a pixel, and readout noise adds nothing beyond the second: the fourth cumulant
    over the third one is g, however little of the variance is due to photons.

    Parameters
    ----------
    samples : Tensor of float32, shape (n_frames, n_blocks, n_samples)
        Pixels of the background; NaN where there is none [detector counts].
    level, noise, quantum : Tensor of float32, shape (n_frames, n_blocks)
        Background of the blocks; see `BlockLevels` [detector counts].

    Returns
    -------
    Tensor of float32, shape (n_frames,)
        Counts of a photon; 0 where the noise does not tell, as it does where photons are neither
        many nor very rare, and stand out of the readout noise a little [detector counts].

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(1)
    >>> photons = torch.poisson(torch.full((1, 1000, 64), 0.1), generator)
    >>> samples = 10 * photons + 4 * torch.randn(photons.shape, generator=generator)
    >>> level, noise = torch.full((1, 1000), 1.0), torch.full((1, 1000), 26**0.5)
    >>> float(photon_sizes(samples, level, noise, 0.4 * noise).round())
    10.0
    """
    height = (samples - level[..., None]) / noise[..., None]
    # Gaps between modules, shadows and steep rings skew the noise in their own ways.
    usual = quantum.median(dim=-1, keepdim=True).values
    strange = (quantum < usual / _WITHIN) | (quantum > usual * _WITHIN)
    missing = ~(height.abs() < _HIGHEST) | strange[..., None]
    low_share = (height < _LOW).sum(dim=(-2, -1)) / height.isfinite().sum(dim=(-2, -1))
    height = height.masked_fill(missing, 0)
    count = (~missing).sum(dim=-1)
    mean = height.sum(dim=-1) / count.clamp(min=1)
    height = (height - mean[..., None]).masked_fill(missing, 0)
    square = height**2
    n_samples = count.sum(dim=-1).clamp(min=1)
    second, third, fourth = (
        power.sum(dim=(-2, -1)) / n_samples for power in (square, square * height, square**2)
    )
    fourth = fourth - 3 * second**2
    size = fourth / third
    # The standard error of the fourth cumulant of normal noise.
    error = second**2 * (24 / n_samples).sqrt()
    told = (third > 0) & (size > _LEAST_SIZE) & (fourth > _LEAST_KURTOSIS)
    told &= (fourth > _LEAST_SURE * error) & (low_share < _LARGEST_LOW_SHARE)
    return torch.where(told, size * noise.median(dim=-1).values, 0.0)
