"""A peak on a line: place, width and height, by weighted least squares that cannot run away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_CENTERS = 161
_WIDTHS = 15
# The peak is at least so wide, in the mean distance of neighbors: less would be a single point.
_NARROWEST = 0.6


@dataclass(frozen=True, slots=True)
class Peak:
    """A Gaussian peak on a constant background.

    Parameters
    ----------
    center, center_sd : float
        Where it is, and the standard error.
    width : float
        Its standard deviation.
    top, top_sd : float
        Value at the center, background included.
    """

    center: float
    center_sd: float
    width: float
    top: float
    top_sd: float


def fit_peak(x: Float, y: Float, sd: Float) -> Peak | None:
    """Fit a Gaussian peak on a constant background.

    Center and width are tried on a grid over the line, height and background follow linearly for
    each: there is no starting value, and nothing to converge.

    Parameters
    ----------
    x, y, sd : ndarray of float64, shape (n,)
        Places, values and their standard errors; at least three different places.

    Returns
    -------
    Peak or None
        The peak with the least squared deviation; None where every fit points downwards.
    """
    low, high = float(x.min()), float(x.max())
    spacing = (high - low) / (len(np.unique(x)) - 1)
    centers = np.linspace(low, high, _CENTERS)
    widths = np.geomspace(_NARROWEST * spacing, max(high - low, spacing), _WIDTHS)
    shape = np.exp(-0.5 * ((x - centers[:, None, None]) / widths[:, None]) ** 2)
    weight = 1 / sd**2
    total = weight.sum()
    mean_shape = shape @ weight / total
    mean_y = float(weight @ y / total)
    spread = np.maximum((shape**2) @ weight - total * mean_shape**2, 1e-12 * total)
    height = (shape @ (weight * y) - total * mean_shape * mean_y) / spread
    # What the peak explains of the weighted squares; a dip explains nothing.
    explained = np.where(height > 0, height**2 * spread, 0.0)
    row, column = np.unravel_index(int(np.argmax(explained)), explained.shape)
    if explained[row, column] <= 0:
        return None
    best = float(height[row, column])
    background = mean_y - best * float(mean_shape[row, column])
    squares = float(weight @ (y - background - best * shape[row, column]) ** 2)
    # The errors are taken to be larger where the peak has another shape.
    excess = max(squares / max(len(x) - 4, 1), 1.0)
    near = explained.max(axis=1) >= explained[row, column] - excess
    center_sd = max(float(np.ptp(centers[near])) / 2, (centers[1] - centers[0]) / 2)
    top_variance = 1 / total + (1 - float(mean_shape[row, column])) ** 2 / spread[row, column]
    return Peak(
        center=float(centers[row]),
        center_sd=center_sd,
        width=float(widths[column]),
        top=background + best,
        top_sd=float(np.sqrt(excess * top_variance)),
    )
