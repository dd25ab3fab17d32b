"""The model of one quantity: a Gaussian process on the unit cube."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from autosteer.contracts import PolicyError
from autosteer.policies._covariance import Hyperparameters
from autosteer.policies._fit import fit

Float = NDArray[np.float64]

# Noise that is added to tell repeated places apart, relative to the prior variance; ten times as
# much each time that it is not enough.
_JITTER = 1e-8
_MOST_TRIES = 6
# Smallest unit in which the prior thinks, where all values are the same.
_LEAST_UNIT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a surrogate learns from.

    Parameters
    ----------
    x : ndarray of float64, shape (n, n_inputs)
        Places in the unit cube; a last column is time, where there is one.
    y : ndarray of float64, shape (n,)
        Values, more is better.
    variance : ndarray of float64, shape (n,), or None
        Variances of the values; None where they are to be learned, one for all.
    """

    x: Float
    y: Float
    variance: Float | None


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What is known of places, and of how they go with others.

    Parameters
    ----------
    mean, variance : ndarray of float64, shape (m,)
        Posterior means and variances.
    covariance : ndarray of float64, shape (m, k)
        Posterior covariances with the others.
    """

    mean: Float
    variance: Float
    covariance: Float


class Surrogate:
    """A Gaussian process with its data, ready to predict.

    The kernel is a squared exponential with a length of its own for every knob, and a quadratic
    function beside it, which a peak is on a logarithmic scale; times an exponential in time where
    drift is to be followed. Hyperparameters maximise the posterior density; a fit begins where an
    earlier one has ended, which takes a few steps only.

    Parameters
    ----------
    data : Data
        At least one place.
    with_time : bool, default False
        Whether the last column of x is time.
    begin_with : Hyperparameters, optional
        Those of an earlier fit.
    refit : bool, default True
        Whether to fit from there; False takes them as they are.
    bounds : sequence of float, optional
        Values that far places are taken to reach with some probability, whatever the data are
        like: the prior standard deviation is not smaller than the way there.
    """

    def __init__(
        self,
        data: Data,
        *,
        with_time: bool = False,
        begin_with: Hyperparameters | None = None,
        refit: bool = True,
        bounds: Sequence[float] = (),
    ) -> None:
        self._offset = float(np.mean(data.y))
        ways = [abs(bound - self._offset) for bound in bounds]
        self._unit = max(float(np.std(data.y)), *ways, _LEAST_UNIT)
        y = (data.y - self._offset) / self._unit
        variance = None if data.variance is None else data.variance / self._unit**2
        found = begin_with
        if found is None or refit or (variance is None and found.noise is None):
            found = fit(data.x, y, variance, with_time=with_time, begin_with=begin_with)
        self.hyperparameters = found
        # Points that are alike must not make it believe that everything is.
        far = self._offset + self._unit * found.constant
        scales = [((bound - far) / self._unit) ** 2 for bound in bounds]
        scale = max(found.covariance.scale, *scales, 0.0)
        self._prior = replace(found.covariance, scale=scale)
        noise = np.full(len(y), found.noise) if variance is None else variance
        self.noise_variance = self._unit**2 * noise
        """Variance of each value, given or learned, shape (n,)."""
        self._set(data.x, y - found.constant, noise)

    def _set(self, x: Float, residual: Float, noise: Float) -> None:
        self.x, self._residual, self._noise = x, residual, noise
        covariance = self._prior(x, x)
        covariance[np.diag_indices(len(x))] += noise
        self._root = _root_of(covariance)
        self._weights = cho_solve((self._root, True), residual)

    @property
    def lengths(self) -> Float:
        """Length scale of each knob, in units of the box, shape (n_knobs,)."""
        return self._prior.lengths

    def mean(self, x: Float) -> Float:
        """Return the posterior mean at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Means.
        """
        return self._mean(self._prior(x, self.x))

    def _mean(self, prior: Float) -> Float:
        """Return the posterior mean from the prior covariances with the data, shape (m, n)."""
        mean: Float = self._offset + self._unit * (
            self.hyperparameters.constant + prior @ self._weights
        )
        return mean

    def _variance(self, x: Float, white: Float) -> Float:
        """Return the posterior variance; `white` is what the data explain, shape (n, m)."""
        explained = np.sum(white**2, axis=0)
        variance: Float = self._unit**2 * np.maximum(self._prior.at(x) - explained, 1e-12)
        return variance

    def _whitened(self, prior: Float) -> Float:
        """Return the part of the prior, shape (n, m), that the data explain."""
        value: Float = solve_triangular(self._root, prior, lower=True)
        return value

    def towards(self, others: Float) -> Callable[[Float], Joint]:
        """Return what tells of places, and how they go with others.

        Parameters
        ----------
        others : ndarray of float64, shape (k, n_inputs)
            The others.

        Returns
        -------
        callable
            Takes places, an ndarray of float64 of shape (m, n_inputs), and gives a `Joint`. What
            depends on the others alone is worked out once.
        """
        white_others = self._whitened(self._prior(self.x, others))

        def joint(x: Float) -> Joint:
            prior = self._prior(self.x, x)
            white = self._whitened(prior)
            left = self._prior(x, others) - white.T @ white_others
            return Joint(self._mean(prior.T), self._variance(x, white), self._unit**2 * left)

        return joint

    def variance(self, x: Float) -> Float:
        """Return the posterior variance at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances, not negative.
        """
        return self._variance(x, self._whitened(self._prior(self.x, x)))

    def awaiting(self, x: Float, variance: Float) -> Surrogate:
        """Return the model as it will be when pending places are measured.

        Their values are taken to come out at the mean, so that means stay what they are and only
        variances shrink.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Pending places.
        variance : ndarray of float64, shape (m,)
            Variances that their values will have.

        Returns
        -------
        Surrogate
            The model; this one stays as it is.
        """
        if not len(x):
            return self
        later = object.__new__(Surrogate)
        later.__dict__.update(self.__dict__)
        believed = (self.mean(x) - self._offset) / self._unit - self.hyperparameters.constant
        later._set(
            np.concatenate([self.x, x]),
            np.concatenate([self._residual, believed]),
            np.concatenate([self._noise, variance / self._unit**2]),
        )
        return later


def _root_of(covariance: Float) -> Float:
    """Return the Cholesky root; places that repeat need some noise to tell them apart."""
    jitter = _JITTER * float(np.mean(np.diag(covariance)))
    for _ in range(_MOST_TRIES):
        try:
            root: Float = cholesky(covariance + jitter * np.eye(len(covariance)), lower=True)
        except LinAlgError:
            jitter *= 10
        else:
            return root
    raise PolicyError(
        f"the model of {len(covariance)} points is singular: do their errors come to nothing?"
    )
