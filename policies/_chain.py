"""A quantity that follows another one: what a diagnostic teaches about the objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autosteer.policies._surrogate import Joint, Surrogate

Float = NDArray[np.float64]


class Model(Protocol):
    """What predicts a quantity on the model's scale; see `Surrogate`."""

    @property
    def x(self) -> Float:
        """Places that were measured."""
        ...

    @property
    def lengths(self) -> Float:
        """Length scale of each knob."""
        ...

    @property
    def noise_variance(self) -> Float:
        """Variance of each value."""
        ...

    def mean(self, x: Float) -> Float:
        """Return posterior means."""
        ...

    def variance(self, x: Float) -> Float:
        """Return posterior variances."""
        ...

    def towards(self, others: Float) -> Callable[[Float], Joint]:
        """Return what tells of places, and how they go with others."""
        ...

    def awaiting(self, x: Float, variance: Float) -> Model:
        """Return the model as it will be when pending places are measured."""
        ...


class Chained:
    r"""A quantity that is a multiple of another one, and something of its own besides.

    :math:`f(x) = \rho\, g(x) + \delta(x)` with Gaussian processes g, learned from the diagnostic,
    and :math:`\delta`, learned from what the diagnostic does not explain [1]_.

    Parameters
    ----------
    below : Model
        The diagnostic.
    factor : float
        :math:`\rho`.
    own : Model
        Model of :math:`\delta`.

    References
    ----------
    .. [1] M. C. Kennedy and A. O'Hagan, Biometrika 87, 1 (2000), doi:10.1093/biomet/87.1.1.
    """

    def __init__(self, below: Model, factor: float, own: Model) -> None:
        self._below, self._factor, self._own = below, factor, own

    @property
    def x(self) -> Float:
        """Places where the quantity itself was measured, shape (n, n_knobs)."""
        return self._own.x

    @property
    def lengths(self) -> Float:
        """The shorter of both length scales of each knob, shape (n_knobs,)."""
        shorter: Float = np.minimum(self._below.lengths, self._own.lengths)
        return shorter

    @property
    def noise_variance(self) -> Float:
        """Variance of each value, shape (n,)."""
        noise: Float = self._own.noise_variance
        return noise

    def mean(self, x: Float) -> Float:
        """Return the posterior mean at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Means.
        """
        return self._factor * self._below.mean(x) + self._own.mean(x)

    def variance(self, x: Float) -> Float:
        """Return the posterior variance at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances.
        """
        return self._factor**2 * self._below.variance(x) + self._own.variance(x)

    def towards(self, others: Float) -> Callable[[Float], Joint]:
        """Return what tells of places, and how they go with others; see `Surrogate.towards`.

        Parameters
        ----------
        others : ndarray of float64, shape (k, n_knobs)
            The others.

        Returns
        -------
        callable
            Takes places, and gives a `Joint`.
        """
        below, own, factor = self._below.towards(others), self._own.towards(others), self._factor

        def joint(x: Float) -> Joint:
            under, besides = below(x), own(x)
            return Joint(
                factor * under.mean + besides.mean,
                factor**2 * under.variance + besides.variance,
                factor**2 * under.covariance + besides.covariance,
            )

        return joint

    def awaiting(self, x: Float, variance: Float) -> Chained:
        """Return the model as it will be when pending places are measured.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Pending places.
        variance : ndarray of float64, shape (m,)
            Variances that their values will have.

        Returns
        -------
        Chained
            The model.
        """
        if not len(x):
            return self
        below_noise = np.full(len(x), float(np.median(self._below.noise_variance)))
        return Chained(
            self._below.awaiting(x, below_noise), self._factor, self._own.awaiting(x, variance)
        )


class Situated:
    """A model of places and more, looked at where the rest is what it is now.

    Parameters
    ----------
    model : Surrogate
        Model whose inputs are the knobs and, after them, context and time.
    now : ndarray of float64, shape (n_more,)
        Present values of the latter.
    """

    def __init__(self, model: Surrogate, now: Float) -> None:
        self._model, self._now = model, now

    def _here(self, x: Float) -> Float:
        return np.concatenate([x, np.broadcast_to(self._now, (len(x), len(self._now)))], axis=1)

    @property
    def x(self) -> Float:
        """Places that were measured, shape (n, n_knobs)."""
        places: Float = self._model.x[:, : self._model.x.shape[1] - len(self._now)]
        return places

    @property
    def lengths(self) -> Float:
        """Length scale of each knob, shape (n_knobs,)."""
        lengths: Float = self._model.lengths[: self.x.shape[1]]
        return lengths

    @property
    def noise_variance(self) -> Float:
        """Variance of each value, shape (n,)."""
        noise: Float = self._model.noise_variance
        return noise

    def mean(self, x: Float) -> Float:
        """Return posterior means now.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Means.
        """
        return self._model.mean(self._here(x))

    def variance(self, x: Float) -> Float:
        """Return posterior variances now.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances.
        """
        return self._model.variance(self._here(x))

    def towards(self, others: Float) -> Callable[[Float], Joint]:
        """Return what tells of places now, and how they go with others; see `Surrogate.towards`.

        Parameters
        ----------
        others : ndarray of float64, shape (k, n_knobs)
            The others.

        Returns
        -------
        callable
            Takes places, and gives a `Joint`.
        """
        joint = self._model.towards(self._here(others))
        return lambda x: joint(self._here(x))

    def awaiting(self, x: Float, variance: Float) -> Situated:
        """Return the model as it will be when pending places are measured.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_knobs)
            Pending places.
        variance : ndarray of float64, shape (m,)
            Variances that their values will have.

        Returns
        -------
        Situated
            The model.
        """
        return Situated(self._model.awaiting(self._here(x), variance), self._now)


def factor_between(below: Float, value: Float, variance: Float, expected: float) -> float:
    """Estimate by how much a quantity changes with another one.

    Parameters
    ----------
    below : ndarray of float64, shape (n,)
        The other quantity.
    value, variance : ndarray of float64, shape (n,)
        The quantity, and its variances.
    expected : float
        What to expect without data, positive; it may as well be none or twice as much.

    Returns
    -------
    float
        The factor, not negative.
    """
    # A diagnostic that explains three quarters of what varies is a good one.
    weight = 1 / (variance + 0.25 * max(float(np.var(value)), 1e-12))
    centered = below - np.sum(weight * below) / np.sum(weight)
    spread = float(np.sum(weight * centered**2)) + 1 / expected**2
    trend = float(np.sum(weight * centered * value)) + 1 / expected
    return max(trend / spread, 0.0)
