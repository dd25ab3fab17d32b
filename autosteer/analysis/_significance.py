"""Footprints in which spots are looked for, and how rare it is that noise fills one so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    def photon_factor(self) -> float:
        """What a photon adds to the weighted sum, over what it adds to a pixel.

        It is the fourth over the third cumulant of the sum of photons in all pixels alike.
        """
        return float((self.weights**4).sum() / (self.weights**3).sum())

    @cached_property
    def half_step(self) -> float:
        """Half of what a photon more adds to the weighted sum on the mean, over that of a pixel.

        The number of photons is whole, and the tail of a sum begins half a photon below it.
        """
        return float((self.weights**2).sum() / self.weights.sum() / 2)

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


# Below these, in sigmas, a sum is as good as normal.
_LEAST_SKEWNESS, _LEAST_HEIGHT = 1e-4, 0.1
_NEWTON_STEPS = 4
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


def equivalent_sigmas(total: Tensor, sigma: Tensor, skewness: Tensor, jump: Tensor) -> Tensor:
    """Return the number of standard deviations beyond which a normal variable is as rare.

    A sum of few photons exceeds five standard deviations much more often than a normal variable
    does. The background of a sum is taken for normal noise and a Poisson number of jumps, which
    together have the variance and the third cumulant given. Its cumulant generating function is
    known, and Lugannani and Rice's approximation [1]_ in Barndorff-Nielsen's form [2]_, ``r +
    log(v / r) / r``, gives the tail at its saddle point as sigmas.

    Parameters
    ----------
    total : Tensor, shape (n,)
        Sums above their mean.
    sigma : Tensor, shape (n,)
        Their standard deviations.
    skewness : Tensor, shape (n,)
        Third cumulants over variances, in the units of the sums, not negative.
    jump : Tensor, shape (n,)
        What a photon adds to a sum; where it is less than the skewness, all variance is taken for
        that of jumps as high as the skewness.

    Returns
    -------
    Tensor of float32, shape (n,)
        Sigmas; `total` over `sigma` where there is no skewness, or the sum is not above its mean.

    References
    ----------
    .. [1] R. Lugannani and S. Rice, Advances in Applied Probability 12, 475 (1980).
    .. [2] O. E. Barndorff-Nielsen, Biometrika 73, 307 (1986).

    Examples
    --------
    >>> one = torch.ones(1)
    >>> float(equivalent_sigmas(7 * one, one, 0 * one, 0 * one))
    7.0
    >>> ten_photons_where_one_is_usual = 8.5 * one
    >>> float(equivalent_sigmas(ten_photons_where_one_is_usual, one, one, one).round(decimals=0))
    5.0
    """
    # In units of sigma, and in double precision: small jumps make differences of large numbers.
    height, skew, jump = (value.double() / sigma.double() for value in (total, skewness, jump))
    bent = (skew > _LEAST_SKEWNESS) & (height > _LEAST_HEIGHT)
    t = height.where(bent, 1.0)
    a = skew.where(bent, 1.0)
    k = torch.maximum(jump, a).where(bent, 1.0)
    normal = 1 - a / k
    # Each part of the derivative by itself bounds the saddle point from above; from there Newton's
    # steps lead down to it, as the derivative is convex.
    s = torch.minimum(torch.log1p(t * k**2 / a) / k, (torch.sqrt(1 + 2 * a * t) - 1) / a)
    for _ in range(_NEWTON_STEPS):
        grown = torch.exp(k * s)
        s = s - (normal * s + a / k**2 * (grown - 1) - t) / (normal + a / k * grown)
    grown = torch.exp(k * s)
    generated = normal * s**2 / 2 + a / k**3 * (grown - 1 - k * s)
    r = torch.sqrt(2 * (s * t - generated))
    v = s * torch.sqrt(normal + a / k * grown)
    return torch.where(bent, r + torch.log(v / r) / r, height).float()
