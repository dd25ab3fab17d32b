"""Links: the scale on which a model sees the objective, and the way back."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import PolicyError

Float = NDArray[np.float64]
LinkName = Literal["identity", "arcsine"]

# Smallest standard error that is believed, relative to the spread of the means.
_SMALLEST_RELATIVE_SEM = 1e-3


class Link(Protocol):
    """A monotonic map of the objective, with its errors."""

    def forward(self, mean: Float, sem: Float, n: Float) -> tuple[Float, Float | None]:
        """Return values and variances on the model's scale; NaN marks what is not known."""
        ...

    def inverse(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the objective for a normal posterior."""
        ...


class IdentityLink:
    """The objective as it is, with its standard errors."""

    def forward(self, mean: Float, sem: Float, n: Float) -> tuple[Float, Float | None]:
        """Return means, and variances where any error is known.

        Parameters
        ----------
        mean, sem, n : ndarray of float64, shape (n_points,)
            Means, standard errors and shots; NaN where not known.

        Returns
        -------
        value : ndarray of float64, shape (n_points,)
            The means.
        variance : ndarray of float64, shape (n_points,), or None
            Variances, the typical one where a point has none; None where no point has one.
        """
        known = np.isfinite(sem)
        if not known.any():
            return mean, None
        floor = _SMALLEST_RELATIVE_SEM * max(float(np.ptp(mean)), 1e-12)
        filled = np.where(known, sem, np.median(sem[known]))
        return mean, np.maximum(filled, floor) ** 2

    def inverse(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return what it is given.

        Parameters
        ----------
        mean, sd : ndarray of float64
            Posterior mean and standard deviation.

        Returns
        -------
        mean, sd : ndarray of float64
            The same.
        """
        return mean, sd


class ArcsineLink:
    r"""For fractions: :math:`y = \arcsin\sqrt{p}`, whose variance hardly depends on p.

    On the scale of the fraction itself, 0 of 80 looks far more certain than 30 of 80, and a model
    takes the few places with signal for outliers. Here every place with n shots has the variance
    1/(4 n + 2) [1]_. Errors that exceed the binomial one (correlated shots) keep their excess.

    References
    ----------
    .. [1] F. J. Anscombe, Biometrika 35, 246 (1948), doi:10.2307/2332343.
    """

    def forward(self, mean: Float, sem: Float, n: Float) -> tuple[Float, Float | None]:
        """Return transformed fractions and their variances.

        Parameters
        ----------
        mean, sem, n : ndarray of float64, shape (n_points,)
            Fractions, standard errors and shots; NaN where not known.

        Returns
        -------
        value : ndarray of float64, shape (n_points,)
            Transformed fractions.
        variance : ndarray of float64, shape (n_points,), or None
            Variances; None where neither errors nor shots are known.

        Raises
        ------
        PolicyError
            If a mean lies outside [0, 1].
        """
        if np.any((mean < 0) | (mean > 1)):
            raise PolicyError(
                f"the objective reaches {mean.min():g} to {mean.max():g}: "
                "the arcsine link is for fractions, use link: identity"
            )
        # Without a count, the error gives one: (k + 1/2)(n - k + 1/2)/(n + 1)^2/(n + 2) = sem^2.
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = np.maximum(mean * (1 - mean) / sem**2, np.sqrt(0.5 / np.maximum(sem, 1e-9)))
        n = np.where(np.isfinite(n), n, guess)
        known = np.isfinite(n) & (n >= 1)
        if not known.any():
            return np.arcsin(np.sqrt(mean)), None
        n = np.where(known, n, np.median(n[known]))
        counts = mean * n
        value = np.arcsin(np.sqrt((counts + 0.375) / (n + 0.75)))
        binomial = (counts + 0.5) * (n - counts + 0.5) / ((n + 1) ** 2 * (n + 2))
        excess = np.where(np.isfinite(sem), sem**2 / binomial, 1.0)
        return value, np.maximum(excess, 1.0) / (4 * n + 2)

    def inverse(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        r"""Return mean and standard deviation of the fraction.

        Exact for a normal posterior, from
        :math:`\sin^2 y = (1 - \cos 2y)/2` and the normal distribution's characteristic function.

        Parameters
        ----------
        mean, sd : ndarray of float64
            Posterior mean and standard deviation of y.

        Returns
        -------
        mean, sd : ndarray of float64
            Those of the fraction.
        """
        first = np.cos(2 * mean) * np.exp(-2 * sd**2)
        second = (1 + np.cos(4 * mean) * np.exp(-8 * sd**2)) / 2
        variance = np.maximum(second - first**2, 0.0) / 4
        return (1 - first) / 2, np.sqrt(variance)


def make_link(name: LinkName) -> Link:
    """Make a link.

    Parameters
    ----------
    name : {"identity", "arcsine"}
        Which one.

    Returns
    -------
    Link
        The link.

    Raises
    ------
    PolicyError
        If there is none of that name.
    """
    if name == "identity":
        return IdentityLink()
    if name == "arcsine":
        return ArcsineLink()
    raise PolicyError(f"there is no link '{name}': use identity or arcsine")
