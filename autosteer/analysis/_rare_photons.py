"""Noise of single photons that are too rare for the samples of the background to show them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import ndtr

Float = NDArray[np.float32]
Index = NDArray[np.intp]

# A photon that is less high, in units of the noise, is a part of that; one that is higher is more
# likely a hot pixel.
_LOWEST, _HIGHEST = 7.0, 20.0
# Fewer than this of the pixels are no trouble: two of them hardly ever meet.
_FEWEST_SHARE = 5e-4
_SMOOTH_BLOCKS = 5
_SEEN_AT_LEAST = 0.05


def rare_photons(
    height: Float, block: Index, blocks: tuple[int, ...], pixels_per_block: float, listed_at: float
) -> tuple[Float, Float]:
    """Learn from pixels that rise high alone what single photons add to the noise.

    On a dark background with little readout noise a photon stands far above that noise, and two
    side by side are no spot yet. The variance of pixels of which a share p holds a photon of height
    h is larger by ``p h**2``, their third cumulant by ``p h**3``.

    Parameters
    ----------
    height : ndarray of float32, shape (n,)
        Heights of the pixels that rise alone, in units of the noise.
    block : ndarray of int, shape (n,)
        Flat index of the block that each is in.
    blocks : tuple of int
        Frames, panels, and blocks of a panel along (slow, fast).
    pixels_per_block : float
        Good pixels of a block.
    listed_at : float
        A pixel is in the list if it and its eight neighbours sum up to more than this, in units of
        the noise of a pixel.

    Returns
    -------
    variance, third : ndarray of float32, shape (n_blocks,)
        What is added to variance and third cumulant, in units of the noise.
    """
    n_blocks = int(np.prod(blocks))
    chosen = height > _LOWEST
    height, block = height[chosen], block[chosen]
    if not len(height):
        nothing = np.zeros(n_blocks, dtype=np.float32)
        return nothing, nothing
    # Most of the low ones are not in the list.
    seen = np.maximum(ndtr((height - listed_at) / np.sqrt(8)), _SEEN_AT_LEAST)
    count = np.bincount(block, weights=1 / seen, minlength=n_blocks).reshape(blocks)
    share = uniform_filter(count, (0, 0, _SMOOTH_BLOCKS, _SMOOTH_BLOCKS)) / pixels_per_block
    share = np.where(share > _FEWEST_SHARE, share, 0.0).reshape(blocks[0], -1)
    frame = block // (n_blocks // blocks[0])
    usual = np.array([
        np.median(height[frame == number]) if (frame == number).any() else 0.0
        for number in range(blocks[0])
    ])[:, None]
    usual = np.minimum(usual, _HIGHEST)
    variance, third = (share * usual**power for power in (2, 3))
    return variance.astype(np.float32).ravel(), third.astype(np.float32).ravel()
