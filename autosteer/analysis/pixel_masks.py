"""Masks from dark frames, and from lit ones: hot, noisy and dead pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from autosteer.analysis._bad_values import is_bad
from autosteer.contracts import AnalysisError

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_FEWEST_FRAMES = 10
# Pixels whose dark mean or logarithm of noise lies this many robust deviations off are faulty:
# among millions of normal ones there is hardly one.
_FAULT_SIGMAS = 8.0
# A pixel is quiet as the dead are if its noise is below this share of its panel's.
_DEAD_NOISE_SHARE = 0.2
# In the light a dead pixel sees less than this share of what its neighbours do, where these saw
# enough to tell.
_DEAD_LIGHT_SHARE = 0.2
_COUNTS_TO_TELL = 20.0
_NEIGHBOURHOOD_PX = 7
# The median absolute deviation of a normal distribution is this share of its standard deviation.
_MAD_SHARE = 0.6745
# A pixel that mostly holds no measurement holds none.
_MEASURED_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PixelMoments:
    """Mean and noise of each pixel over some frames, each of shape (n_panels, n_slow, n_fast).

    Parameters
    ----------
    n_frames : int
        Number of frames.
    measured : ndarray of int64
        Frames in which a pixel held a measurement.
    mean : ndarray of float64
        Mean; NaN without a measurement [detector counts].
    sigma : ndarray of float64
        Standard deviation; NaN without a measurement [detector counts].
    """

    n_frames: int
    measured: NDArray[np.int64]
    mean: Float
    sigma: Float


@dataclass(frozen=True, slots=True, eq=False)
class PixelFaults:
    """What is wrong with the pixels of a detector, each of shape (n_panels, n_slow, n_fast).

    Parameters
    ----------
    hot : ndarray of bool
        Counts far more than others in the dark.
    noisy : ndarray of bool
        Fluctuates far more than others in the dark.
    dead : ndarray of bool
        Holds no measurement, never changes where others do, or sees no light.
    """

    hot: Bool
    noisy: Bool
    dead: Bool

    @property
    def good(self) -> Bool:
        """The mask: true where nothing is wrong."""
        return ~(self.hot | self.noisy | self.dead)


def pixel_moments(batches: Iterable[NDArray[Any]]) -> PixelMoments:
    """Take mean and noise of each pixel, without keeping the frames.

    Parameters
    ----------
    batches : iterable of ndarray, each of shape (n, n_panels, n_slow, n_fast)
        Frames; NaN and the largest number of a whole-number type are no measurement
        [detector counts].

    Returns
    -------
    PixelMoments
        The moments.

    Raises
    ------
    AnalysisError
        If there is no frame, or the shapes of frames differ.
    """
    n_frames = 0
    first: Float | None = None
    for batch in batches:
        for frame in batch:
            values = frame.astype(np.float64)
            bad = is_bad(frame)
            if bad is not None:
                values[bad] = np.nan
            if first is None:
                # Differences from a first frame keep their digits on a high pedestal.
                first = np.nan_to_num(values)
                measured = np.zeros(frame.shape, dtype=np.int64)
                total, squares = np.zeros(frame.shape), np.zeros(frame.shape)
            if frame.shape != first.shape:
                raise AnalysisError(
                    f"frame {n_frames} has the shape {frame.shape} (panels, slow, fast), those "
                    f"before it {first.shape}: all must come from one detector"
                )
            known = np.isfinite(values)
            difference = np.where(known, values - first, 0)
            measured += known
            total += difference
            squares += difference**2
            n_frames += 1
    if first is None:
        raise AnalysisError("there is no frame: give files with at least one")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / measured
        variance = np.maximum(squares / measured - mean**2, 0)
        unbiased = variance * measured / np.maximum(measured - 1, 1)
    return PixelMoments(n_frames, measured, first + mean, np.sqrt(unbiased))


def find_faults(dark: PixelMoments, lit: PixelMoments | None = None) -> PixelFaults:
    """Judge pixels by what they count in the dark, and in the light.

    Hot and noisy pixels lie many robust standard deviations (from the median absolute deviation)
    above the median of their panel. A counting detector that sees nothing in the dark has no noise
    there: which of its pixels are dead, lit frames alone can tell.

    Parameters
    ----------
    dark : PixelMoments
        Of ten or more frames without beam.
    lit : PixelMoments, optional
        Of frames with smooth light: fluorescence, or the background of many shots.

    Returns
    -------
    PixelFaults
        The faults.

    Raises
    ------
    AnalysisError
        If there are too few dark frames, or lit ones of another shape.
    """
    if dark.n_frames < _FEWEST_FRAMES:
        raise AnalysisError(
            f"{dark.n_frames} dark frames are too few to know the noise of a pixel: give at least "
            f"{_FEWEST_FRAMES}"
        )
    if lit is not None and lit.mean.shape != dark.mean.shape:
        raise AnalysisError(
            f"lit frames have the shape {lit.mean.shape} (panels, slow, fast), dark ones "
            f"{dark.mean.shape}: both must come from one detector"
        )
    missing = dark.measured < _MEASURED_SHARE * dark.n_frames
    mean = np.where(missing, np.nan, dark.mean)
    sigma = np.where(missing, np.nan, dark.sigma)
    usual_sigma, _ = _robust(sigma)
    # A detector that counts photons is silent in the dark but for a count now and then.
    hot = mean > _far_above(mean, least=np.maximum(usual_sigma, 1 / dark.n_frames))
    # The logarithm of a standard deviation is spread evenly to both sides.
    with np.errstate(divide="ignore"):
        log_sigma = np.where(sigma > 0, np.log(sigma), np.nan)
    noisy = log_sigma > _far_above(log_sigma, least=1 / np.sqrt(2 * dark.n_frames))
    noisy &= usual_sigma > 0
    dead = missing | (sigma < _DEAD_NOISE_SHARE * usual_sigma)
    if lit is not None:
        dead |= _sees_no_light(dark, lit)
    return PixelFaults(hot & ~dead, noisy & ~hot & ~dead, dead)


def _robust(values: Float) -> tuple[Float, Float]:
    """Median and robust standard deviation by panel, shape (n_panels, 1, 1)."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat).any(axis=1)
    center, deviation = np.zeros(len(flat)), np.zeros(len(flat))
    center[known] = np.nanmedian(flat[known], axis=1)
    apart = np.abs(flat - center[:, None])
    deviation[known] = np.nanmedian(apart[known], axis=1) / _MAD_SHARE
    return center[:, None, None], deviation[:, None, None]


def _far_above(values: Float, least: Float | float) -> Float:
    """Return the limit that no normal pixel of a panel exceeds."""
    center, deviation = _robust(values)
    limit: Float = center + _FAULT_SIGMAS * np.maximum(deviation, least)
    return limit


def _sees_no_light(dark: PixelMoments, lit: PixelMoments) -> Bool:
    """Say which pixels stay dark beside neighbours that do not."""
    light = np.nan_to_num(lit.mean - np.nan_to_num(dark.mean))
    size = (1, _NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX)
    around = median_filter(light, size=size, mode="mirror")
    # The noise of the mean of the light, from the neighbours': a dead pixel has none.
    noise = median_filter(np.nan_to_num(lit.sigma), size=size, mode="mirror")
    error = noise / np.sqrt(np.maximum(lit.measured, 1))
    told = around > _COUNTS_TO_TELL**0.5 * error
    missing = lit.measured < _MEASURED_SHARE * lit.n_frames
    dead: Bool = missing | (told & (light < _DEAD_LIGHT_SHARE * around))
    return dead
