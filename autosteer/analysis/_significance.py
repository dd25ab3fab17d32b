"""Footprints in which spots are looked for, and how rare it is that noise fills one so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtri

from autosteer.analysis._surroundings import WIDE_PX, WINDOW_PX

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Footprint:
    """Weights of the pixels of a window, the same along both axes.

    Parameters
    ----------
    line : ndarray of float32, shape (m,)
        Weights along an axis of a window of m by m pixels.
    """

    line: Float

    @cached_property
    def weights(self) -> Float:
        """Weights of the window's pixels row by row, shape (m**2,)."""
        return np.outer(self.line, self.line).ravel()

    def noise_factor(self, correlation: Float) -> Float:
        """Return the standard deviation of the weighted sum, over that of a pixel.

        Parameters
        ----------
        correlation : ndarray of float32, shape (n,)
            Correlation of the noise of pixels side by side, in [0, 1).

        Returns
        -------
        ndarray of float32, shape (n,)
            The factor.
        """
        return _tabulated(self._factors[0], correlation)

    def skewness_factor(self, correlation: Float) -> Float:
        """Return the third cumulant over the variance of the weighted sum, over that of a pixel.

        Parameters
        ----------
        correlation : ndarray of float32, shape (n,)
            Correlation of the noise of pixels side by side, in [0, 1).

        Returns
        -------
        ndarray of float32, shape (n,)
            The factor.
        """
        return _tabulated(self._factors[1], correlation)

    @cached_property
    def _factors(self) -> NDArray[np.float64]:
        """Factors of noise and skewness at the tabulated correlations, shape (2, n).

        Light that spreads as a Gaussian correlates pixels at a distance d by ``g**(d**2)``.
        Readout noise lies on top of it, and so the correlation of neighbours is a share of g.
        """
        row, column = (axis.ravel() for axis in np.indices((len(self.line), len(self.line))))
        square = np.subtract.outer(row, row) ** 2 + np.subtract.outer(column, column) ** 2
        spread = np.maximum(_CORRELATIONS, _USUAL_SPREAD)[:, None, None] ** square
        light = np.einsum("i,kij,j->k", self.weights, spread, self.weights)
        alone = (self.weights**2).sum()
        share = np.minimum(_CORRELATIONS / _USUAL_SPREAD, 1)
        variance = share * light + (1 - share) * alone
        # All skewness is that of light. In three dimensions what the variance gains in two is
        # gained more than once, by the power 9/5 for Gaussians; but for a correlation so small
        # that there may be none.
        gain = 1 + ((light / alone) ** 1.8 - 1) * np.clip(share / _SURE_SHARE - 1, 0, 1)
        skewness = (self.weights**3).sum() * gain / variance
        return np.stack([np.sqrt(variance), skewness])


def _tabulated(factors: NDArray[np.float64], correlation: Float) -> Float:
    """Read a table of factors at correlations."""
    factor: Float = np.interp(correlation, _CORRELATIONS, factors).astype(np.float32)
    return factor


_CORRELATIONS = np.linspace(0, 1, 101)
# Neighbours share this much where light spreads by 0.7 px.
_USUAL_SPREAD = 0.6
_SURE_SHARE = 0.05

FINE = Footprint(np.array([0, 1, 2, 1, 0], np.float32))
"""For small spots: binomial weights, that is nearly a Gaussian of 0.7 px."""

BOX = Footprint(np.array([0, 1, 1, 1, 0], np.float32))
"""A pixel and its neighbours, for a first look."""

COARSE = Footprint(np.ones(WINDOW_PX, np.float32))
"""All pixels of the window alike: a first look at wide spots."""

_STEPS = np.arange(WIDE_PX, dtype=np.float32) - WIDE_PX // 2
FOOTPRINTS = tuple(
    Footprint(np.array(line, np.float32))
    for line in (
        [0, 0, 1, 2, 1, 0, 0],
        [0, 1, 4, 6, 4, 1, 0],
        np.exp(-((_STEPS / 2.0) ** 2) / 2),
    )
)
"""Footprints that spots are judged by, in wide windows: nearly Gaussians of 0.7, 1 and 2 px.

The best of them has at least nine tenths of the significance that the best one of all has, for
round spots of 0.6 to 2.5 px.
"""

POINT = Footprint((_STEPS == 0).astype(np.float32))
"""A pixel alone: where light spreads before it is counted, that is best for the narrowest spots."""


def spread_factor(correlation: Float) -> Float:
    """Return the standard deviation of a plain sum of many pixels, over that without correlation.

    Parameters
    ----------
    correlation : ndarray of float32, shape (n,)
        Correlation of the noise of pixels side by side, in [0, 1).

    Returns
    -------
    ndarray of float32, shape (n,)
        The factor.
    """
    return COARSE.noise_factor(correlation) / np.float32(WINDOW_PX)


def equivalent_sigmas(total: Float, sigma: Float, skewness: Float) -> Float:
    """Return the number of standard deviations beyond which a normal variable is as rare.

    A sum of few photons exceeds five standard deviations much more often than a normal variable
    does. Fisher and Cornish's expansion [1]_ to the first order gives the sum that is as rare as z
    standard deviations, ``sigma * z + skewness * (z**2 - 1) / 6``; this is solved for z.

    Parameters
    ----------
    total : ndarray of float32, shape (n,)
        Sums above their mean.
    sigma : ndarray of float32, shape (n,)
        Their standard deviations.
    skewness : ndarray of float32, shape (n,)
        Third cumulants over variances, in the units of the sums, not negative.

    Returns
    -------
    ndarray of float32, shape (n,)
        Sigmas; `total` over `sigma` where there is no skewness.

    References
    ----------
    .. [1] R. A. Fisher and E. A. Cornish, Technometrics 2, 209 (1960).

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> equivalent_sigmas(7 * one, one, 0 * one), equivalent_sigmas(9 * one, one, one)
    (array([7.], dtype=float32), array([5.], dtype=float32))
    """
    bend = skewness / 6
    straight = total / sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(sigma**2 + 4 * bend * np.maximum(total + bend, 0))
        bent = (root - sigma) / (2 * bend)
    # Without skewness the root's difference is lost in rounding.
    result: Float = np.where(bend > 1e-4 * sigma, bent, straight).astype(np.float32)
    return result


def sigmas_of_photons(n_photons: Float, expected: Float) -> Float:
    """Return the number of sigmas of normal noise that is as rare as so many photons.

    Parameters
    ----------
    n_photons : ndarray of float32, shape (n,)
        Photons that were counted, which need be no whole number.
    expected : ndarray of float32, shape (n,)
        Mean of the Poisson distribution.

    Returns
    -------
    ndarray of float32, shape (n,)
        Sigmas; not above 30.

    Examples
    --------
    >>> sigmas_of_photons(np.array([3.0], np.float32), np.array([0.027], np.float32)).round(1)
    array([4.5], dtype=float32)
    """
    # The chance of n or more is the incomplete gamma function, for n between whole numbers too.
    chance = gammainc(np.maximum(n_photons, 1e-3), np.maximum(expected, 1e-9))
    sigmas: Float = np.minimum(-ndtri(np.minimum(chance, 0.5)), 30).astype(np.float32)
    return sigmas
