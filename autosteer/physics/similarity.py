"""Structural similarity of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

Float = NDArray[np.float64]

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def structural_similarity(one: ArrayLike, other: ArrayLike) -> Float:
    """Compare images of equal shape by their means, variances and covariance in small windows.

    Each image is first scaled by itself to reach from 0 to 1. Windows are squares of 7 by 7 pixels
    with equal weights, and those that are cut by the edge are left out.

    Parameters
    ----------
    one, other : array_like, shape (n, n_rows, n_columns)
        Images, of 7 rows and columns or more.

    Returns
    -------
    ndarray of float64, shape (n,)
        Similarity, 1 for equal images and about 0 for unrelated ones. A constant image counts as
        all zero.

    Raises
    ------
    ValueError
        If the shapes differ, or the images are too small.

    References
    ----------
    .. [1] Z. Wang et al., IEEE Transactions on Image Processing 13, 600 (2004).

    Examples
    --------
    >>> ramp = np.arange(100.0).reshape(1, 10, 10)
    >>> structural_similarity(ramp, 3 * ramp + 5), structural_similarity(ramp, -ramp).round(2)
    (array([1.]), array([-0.89]))
    """
    x, y = (np.asarray(images, dtype=np.float64) for images in (one, other))
    if x.shape != y.shape or x.ndim != 3 or min(x.shape[1:]) < _WINDOW:
        raise ValueError(
            f"images have the shapes {x.shape} and {y.shape}: they must be the same (n, n_rows, "
            f"n_columns), with {_WINDOW} rows and columns or more"
        )
    x, y = _scaled(x), _scaled(y)
    mean_x, mean_y = _mean(x), _mean(y)
    # As for samples: the mean of the window takes one of its pixels.
    samples = _WINDOW**2 / (_WINDOW**2 - 1)
    variance_x = samples * (_mean(x * x) - mean_x**2)
    variance_y = samples * (_mean(y * y) - mean_y**2)
    covariance = samples * (_mean(x * y) - mean_x * mean_y)
    c1, c2 = _K1**2, _K2**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    edge = _WINDOW // 2
    inner = similarity[:, edge:-edge, edge:-edge]
    return np.asarray(inner.mean(axis=(1, 2)))


def _scaled(images: Float) -> Float:
    """Scale each image to [0, 1]."""
    low = images.min(axis=(1, 2), keepdims=True)
    span = images.max(axis=(1, 2), keepdims=True) - low
    return np.asarray((images - low) / np.where(span > 0, span, 1))


def _mean(images: Float) -> Float:
    """Mean over the window about each pixel."""
    return np.asarray(uniform_filter(images, (0, _WINDOW, _WINDOW)))
