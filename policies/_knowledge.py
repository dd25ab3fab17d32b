"""What a measurement is worth: the knowledge gradient over a finite set of places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Float = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_ROOT_2_PI = float(np.sqrt(2 * np.pi))


def hermite_nodes() -> tuple[Float, Float]:
    """Return nodes and weights of the average over a standard normal number.

    Returns
    -------
    nodes, weights : ndarray of float64, shape (15,)
        The quadrature.
    """
    return _NODES, _WEIGHTS


def expected_excess(mean: Float, sd: Float, level: Float) -> Float:
    """Return by how much normal numbers exceed levels on the average.

    Parameters
    ----------
    mean, sd : ndarray of float64
        Mean and standard deviation of each number, which broadcast against the levels.
    level : ndarray of float64
        The levels; what is infinite is never exceeded.

    Returns
    -------
    ndarray of float64
        The expected excess, not negative.
    """
    bounded = np.where(np.isfinite(level), level, 0.0)
    ahead = (mean - bounded) / sd
    density = np.exp(-0.5 * np.minimum(ahead**2, 1e3)) / _ROOT_2_PI
    excess = np.where(np.isfinite(level), sd * (density + ahead * ndtr(ahead)), 0.0)
    # Rounding must not make a loss of it.
    gain: Float = np.maximum(excess, 0.0)
    return gain


def knowledge_gradient(
    mean: Float, covariance: Float, own_mean: Float, own_variance: Float, noise: Float
) -> Float:
    r"""Return by how much a measurement raises the expected best posterior mean.

    A measurement at a place with noise of variance :math:`\lambda` moves the posterior means of the
    others by :math:`\tilde\sigma z` with z standard normal and
    :math:`\tilde\sigma = k(x, x') / \sqrt{k(x, x) + \lambda}`; the knowledge gradient [1]_ is
    :math:`E \max(\mu + \tilde\sigma z) - \max \mu`, here by Gauss-Hermite quadrature over z. Noise,
    correlation and repetition all enter, and a place that is known well enough is worth nothing.

    Parameters
    ----------
    mean : ndarray of float64, shape (m,)
        Posterior means at the places that could be chosen in the end.
    covariance : ndarray of float64, shape (c, m)
        Posterior covariance of each candidate with these.
    own_mean, own_variance : ndarray of float64, shape (c,)
        Posterior mean and variance at the candidates, which could be chosen, too.
    noise : ndarray of float64, shape (c,)
        Variance of the measurement at each candidate.

    Returns
    -------
    ndarray of float64, shape (c,)
        The gain, not negative.

    References
    ----------
    .. [1] P. Frazier, W. Powell, S. Dayanik, INFORMS J. Comput. 21, 599 (2009),
       doi:10.1287/ijoc.1080.0314.
    """
    scale = 1 / np.sqrt(own_variance + noise)
    shift = covariance * scale[:, None]
    own_shift = own_variance * scale
    top = float(mean.max())
    gain = np.zeros(len(own_mean))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        others = (mean + node * shift).max(axis=1)
        gain += weight * np.maximum(others, own_mean + node * own_shift)
    return np.maximum(gain - np.maximum(top, own_mean), 0.0)
