"""The gain of a detector, learned from how the noise of the background grows with its level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._significance import spread_factor

Float = NDArray[np.float32]

_FEWEST_BLOCKS = 16
# The noise of a block is known to some percent: with less difference between bright and dark parts
# of a frame there is no telling the gain.
_LEAST_CONTRAST = 5.0
# Thirds of even blocks differ by twice the standard error of their levels.
_LEAST_RISE = 4.0
_SAMPLES = 64


def gain_of_frames(level: Float, noise: Float, correlation: Float, photon: Float) -> Float:
    """Say how many detector counts a photon makes, frame by frame.

    Parameters
    ----------
    level, noise : ndarray of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
        Background of the blocks and its standard deviation [detector counts].
    correlation : ndarray of float32, shape (n_frames,)
        Correlation of the noise of pixels side by side.
    photon : ndarray of float32, shape (n_frames,)
        Counts of a photon where the shape of the noise tells them; 0 elsewhere [detector counts].

    Returns
    -------
    ndarray of float32, shape (n_frames,)
        Counts of a photon; NaN where nothing tells them [detector counts].
    """
    # Light that spreads takes from the variance of a pixel what it gives to that of many.
    learned = learn_gain(level, noise) * spread_factor(correlation) ** 2
    return np.where(photon > 0, photon, learned)


def learn_gain(level: Float, noise: Float) -> Float:
    """Learn how many detector counts a photon makes, frame by frame.

    The variance of photons that are counted with a gain g is g times the mean: the slope of the
    variance over the level is the gain, whatever pedestal and readout noise are (the photon
    transfer curve [1]_). The slope is that between the median of the brighter and of the darker
    third of the blocks, which spots and shadows do not disturb.

    Parameters
    ----------
    level, noise : ndarray of float32, shape (n_frames, n_panels, n_blocks_slow, n_blocks_fast)
        Background of the blocks and its standard deviation [detector counts].

    Returns
    -------
    ndarray of float32, shape (n_frames,)
        Counts of a photon [detector counts]; NaN where the background is too even to tell.

    References
    ----------
    .. [1] J. R. Janesick, Photon Transfer (SPIE Press, 2007), chapter 5.

    Examples
    --------
    >>> level = np.linspace(100, 500, 36, dtype=np.float32).reshape(1, 1, 6, 6)
    >>> learn_gain(level, np.sqrt(8 * (level - 40) + 9)).round(1)
    array([8.], dtype=float32)
    """
    n_frames, n_panels = level.shape[:2]
    by_panel = np.stack([level, noise**2]).reshape(2, n_frames, n_panels, -1)
    n_blocks = n_panels * by_panel.shape[3]
    if n_blocks < _FEWEST_BLOCKS:
        return np.full(n_frames, np.nan, dtype=np.float32)
    # Panels may differ in what they add to all their pixels.
    above = (by_panel - np.median(by_panel, axis=3, keepdims=True)).reshape(2, n_frames, -1)
    order = np.argsort(above[0], axis=1)
    third = n_blocks // 3
    dark, bright = (
        np.median(np.take_along_axis(above, part[None], axis=2), axis=2)
        for part in (order[:, :third], order[:, -third:])
    )
    rise = bright - dark
    # The standard error of a variance is that times the root of two over the number of samples.
    usual = np.median(by_panel[1].reshape(n_frames, -1), axis=1)
    error = np.sqrt(4 / third / _SAMPLES) * usual
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = rise[1] / rise[0]
        known = (rise[1] > _LEAST_CONTRAST * error) & (gain > 0) & np.isfinite(gain)
        # Blocks that are bright by chance are noisy by chance as well, if the noise is skewed.
        known &= rise[0] > _LEAST_RISE * np.sqrt(usual / _SAMPLES)
    return np.where(known, gain, np.float32(np.nan)).astype(np.float32)
