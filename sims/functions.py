"""Classical test functions with known optima, as pure functions; more is better in all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownFunction:
    """A function whose largest value is known.

    Parameters
    ----------
    name : str
        Its name.
    bounds : tuple of (float, float)
        Limits of each coordinate.
    optima : tuple of tuple of float
        Every place within the bounds where the value is largest.
    best : float
        The value there.
    value : callable
        Values of shape (n,) of places of shape (n, d).
    """

    name: str
    bounds: tuple[tuple[float, float], ...]
    optima: tuple[tuple[float, ...], ...]
    best: float
    value: Callable[[Float], Float]


def branin(places: Float) -> Float:
    """Compute the Branin function with its sign turned, so that its three minima are maxima.

    Parameters
    ----------
    places : ndarray of float64, shape (n, 2)
        Places, usually within [-5, 10] x [0, 15].

    Returns
    -------
    ndarray of float64, shape (n,)
        Values.

    References
    ----------
    .. [1] L. C. W. Dixon and G. P. Szego, Towards Global Optimization 2, North-Holland (1978).

    Examples
    --------
    >>> branin(np.array([[np.pi, 2.275]])).round(4).tolist()
    [-0.3979]
    """
    x, y = np.asarray(places, dtype=np.float64).T
    valley = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
    value: Float = -(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)
    return value


_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_STEEPNESS = np.array([
    [10.0, 3.0, 17.0, 3.5],
    [0.05, 10.0, 17.0, 0.1],
    [3.0, 3.5, 1.7, 10.0],
    [17.0, 8.0, 0.05, 10.0],
])
_CENTERS = 1e-4 * np.array([
    [1312.0, 1696.0, 5569.0, 124.0],
    [2329.0, 4135.0, 8307.0, 3736.0],
    [2348.0, 1451.0, 3522.0, 2883.0],
    [4047.0, 8828.0, 8732.0, 5743.0],
])


def hartmann_4(places: Float) -> Float:
    """Compute the four-dimensional Hartmann function, scaled, with its sign turned.

    It is a sum of four Gaussians, scaled and shifted to a mean of 0 and a variance of 1 [2]_.

    Parameters
    ----------
    places : ndarray of float64, shape (n, 4)
        Places, usually within the unit cube.

    Returns
    -------
    ndarray of float64, shape (n,)
        Values.

    References
    ----------
    .. [1] L. C. W. Dixon and G. P. Szego, Towards Global Optimization 2, North-Holland (1978).
    .. [2] V. Picheny, T. Wagner and D. Ginsbourger, Struct. Multidisc. Optim. 48, 607 (2013).
       https://doi.org/10.1007/s00158-013-0919-4

    Examples
    --------
    >>> hartmann_4(np.array([[0.1873, 0.1906, 0.5566, 0.2647]])).round(3).tolist()
    [3.134]
    """
    away = np.asarray(places, dtype=np.float64)[:, None, :] - _CENTERS
    bumps = np.exp(-np.einsum("nij,ij->ni", away**2, _STEEPNESS)) @ _HEIGHTS
    value: Float = (bumps - 1.1) / 0.839
    return value


def ackley(places: Float) -> Float:
    """Compute the Ackley function with its sign turned: a cone with many side peaks, 0 at best.

    Parameters
    ----------
    places : ndarray of float64, shape (n, d)
        Places.

    Returns
    -------
    ndarray of float64, shape (n,)
        Values.

    References
    ----------
    .. [1] D. H. Ackley, A Connectionist Machine for Genetic Hillclimbing, Kluwer (1987).

    Examples
    --------
    >>> bool(abs(ackley(np.zeros((1, 4)))[0]) < 1e-12)
    True
    """
    where = np.asarray(places, dtype=np.float64)
    distance = np.sqrt(np.mean(where**2, axis=1))
    ripples = np.mean(np.cos(2 * np.pi * where), axis=1)
    value: Float = 20 * np.exp(-0.2 * distance) + np.exp(ripples) - 20 - np.e
    return value


_PEAK_CENTER = (0.62, 0.31, 0.57, 0.43)
_PEAK_SD, _PEAK_CORRELATION = 0.12, 0.6
_PEAK_PRECISION = np.linalg.inv(
    _PEAK_SD**2 * ((1 - _PEAK_CORRELATION) * np.eye(4) + _PEAK_CORRELATION)
)


def narrow_peak(places: Float, center: ArrayLike = _PEAK_CENTER) -> Float:
    """Compute a single Gaussian peak of height 1 whose four coordinates are coupled.

    Its standard deviation is 0.12 along each axis, with a correlation of 0.6 between any two: an
    alignment of which nothing is seen from most places.

    Parameters
    ----------
    places : ndarray of float64, shape (n, 4)
        Places, usually within the unit cube.
    center : array_like, shape (4,)
        Where the peak is.

    Returns
    -------
    ndarray of float64, shape (n,)
        Values.

    Examples
    --------
    >>> narrow_peak(np.array([[0.62, 0.31, 0.57, 0.43]])).tolist()
    [1.0]
    """
    away = np.asarray(places, dtype=np.float64) - np.asarray(center, dtype=np.float64)
    value: Float = np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, _PEAK_PRECISION, away))
    return value


_UNIT = ((0.0, 1.0),) * 4

FUNCTIONS: Mapping[str, KnownFunction] = MappingProxyType({
    function.name: function
    for function in (
        KnownFunction(
            "branin",
            ((-5.0, 10.0), (0.0, 15.0)),
            ((-np.pi, 12.275), (np.pi, 2.275), (3 * np.pi, 2.475)),
            -10 / (8 * np.pi),
            branin,
        ),
        KnownFunction(
            "hartmann_4", _UNIT, ((0.187395, 0.194152, 0.557918, 0.264780),), 3.134494, hartmann_4
        ),
        # Bounds that are not symmetric: else the middle of every range would be the optimum.
        KnownFunction("ackley_4", ((-12.0, 20.0),) * 4, ((0.0,) * 4,), 0.0, ackley),
        KnownFunction("narrow_peak", _UNIT, (_PEAK_CENTER,), 1.0, narrow_peak),
    )
})
"""The functions by name."""
