"""Links with a curve: logarithms of peaks and of odds."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from autosteer.contracts import Aim, PolicyError
from autosteer.policies._errors import filled_errors, usual_shots, variance_law
from autosteer.policies._knowledge import hermite_nodes
from autosteer.policies._ledger import Table

Float = NDArray[np.float64]

# Values and fractions on a curved scale stay above this share of the largest.
_SMALLEST_SHARE = 1e-4


class CurvedLink(ABC):
    r"""A scale on which errors change along the way.

    Errors are those of the quantity itself, normal or binomial, so that 0 of 80 needs no
    correction: the likelihood is linearised about the model's own values until both agree, which is
    Laplace's approximation [1]_. Where the model is right in seeing next to nothing, a measurement
    of next to nothing says little.

    Parameters
    ----------
    table : Table
        What was measured, with standard errors.
    aim : Aim
        The quantity.

    Raises
    ------
    PolicyError
        If no standard error is known.

    References
    ----------
    .. [1] C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006),
       section 3.4.
    """

    rounds = 12

    def __init__(self, table: Table, aim: Aim) -> None:
        self._sign = aim.sign
        sem = filled_errors(table)
        if sem is None:
            raise PolicyError(f"this link needs standard errors of '{aim.name}'")
        self._sem = sem
        self._floor = _SMALLEST_SHARE * max(float(np.max(table.mean)), 1e-12)

    @abstractmethod
    def _value(self, latent: Float) -> Float:
        """Return the quantity."""

    @abstractmethod
    def _derivative(self, value: Float) -> Float:
        """Return how fast the quantity rises along the scale, for its values."""

    @abstractmethod
    def _variance(self, value: Float) -> Float:
        """Return the variance of each measurement, if its true value is this."""

    @abstractmethod
    def noise(self, latent: Float, shots: Float | None) -> Float:
        """Return the variance that a measurement with so many shots will have, shape (n,)."""

    @abstractmethod
    def natural(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the quantity for a normal posterior."""

    @abstractmethod
    def latent(self, value: float) -> float:
        """Return where a value of the quantity is on the model's scale."""

    def start(self, table: Table) -> Float:
        """Return first guesses: the measured values, or their errors where they are lost in them.

        Parameters
        ----------
        table : Table
            What was measured.

        Returns
        -------
        ndarray of float64, shape (n,)
            More is better.
        """
        values = np.maximum(table.mean, np.maximum(self._sem, self._floor))
        return np.array([self.latent(value) for value in values.tolist()])

    def linearised(self, table: Table, latent: Float) -> tuple[Float, Float | None]:
        """Return values and variances as seen from where the model is.

        Parameters
        ----------
        table : Table
            What was measured.
        latent : ndarray of float64, shape (n,)
            Values of the model.

        Returns
        -------
        value : ndarray of float64, shape (n,)
            Where the linearised likelihood has its maximum.
        variance : ndarray of float64, shape (n,)
            Its width.
        """
        # Below what can be told from nothing, a measurement of nothing must not pull ever further.
        least = self.latent(self._floor)
        latent = np.maximum(latent, least) if self._sign > 0 else np.minimum(latent, least)
        value = self._value(latent)
        derivative = self._derivative(value)
        step = (table.mean - value) / derivative
        return latent + self._sign * step, self._variance(value) / derivative**2

    def slope(self, latent: float) -> float:
        """Return how fast the quantity gets better with the value on the model's scale.

        Parameters
        ----------
        latent : float
            Value on the model's scale.

        Returns
        -------
        float
            The slope.
        """
        return float(self._derivative(self._value(np.array(latent))))


class LogLink(CurvedLink):
    """The logarithm of a quantity that is not negative: a peak becomes a dome.

    A Gaussian peak on a flat background has no single length scale; its logarithm is a parabola,
    which a Gaussian process continues well beyond the data. Where shots are counted, the variance
    of a single shot is taken to grow linearly with the quantity, as it does for counts, also for
    those in clusters: a few shots that show nothing by chance do not look certain.

    Parameters
    ----------
    table : Table
        What was measured, with standard errors.
    aim : Aim
        The quantity.
    """

    def __init__(self, table: Table, aim: Aim) -> None:
        super().__init__(table, aim)
        self._law: tuple[float, float] | None = None
        self._floor = max(self._floor, 0.1 * float(np.min(self._sem)))
        self._shots = table.n
        if np.isfinite(table.n).all():
            self._law = variance_law(table.mean, self._sem, table.n)

    def _value(self, latent: Float) -> Float:
        value: Float = np.maximum(np.exp(np.clip(self._sign * latent, -50, 50)), self._floor)
        return value

    def _derivative(self, value: Float) -> Float:
        return value

    def _variance(self, value: Float) -> Float:
        if self._law is None:
            return self._sem**2
        constant, slope = self._law
        return (constant + slope * value) / self._shots

    def noise(self, latent: Float, shots: Float | None) -> Float:
        """Return the variance that a measurement will have.

        Parameters
        ----------
        latent : ndarray of float64, shape (n,)
            Values on the model's scale.
        shots : ndarray of float64, shape (n,) or (), optional
            Shots of the measurement; None: as usual.

        Returns
        -------
        ndarray of float64, shape (n,)
            Variances.
        """
        value = self._value(latent)
        usual: Float = np.full(value.shape, float(np.median(self._sem)) ** 2)
        if self._law is not None:
            constant, slope = self._law
            usual = (constant + slope * value) / usual_shots(self._shots, shots)
        variance: Float = usual / value**2
        return variance

    def natural(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the quantity, those of a lognormal distribution.

        Parameters
        ----------
        mean, sd : ndarray of float64
            Those on the model's scale.

        Returns
        -------
        mean, sd : ndarray of float64
            Those of the quantity.
        """
        variance = np.minimum(sd, 2.0) ** 2
        center = np.exp(self._sign * mean + variance / 2)
        return center, center * np.sqrt(np.expm1(variance))

    def latent(self, value: float) -> float:
        """Return the logarithm.

        Parameters
        ----------
        value : float
            Value of the quantity.

        Returns
        -------
        float
            The same on the model's scale.
        """
        return self._sign * math.log(max(value, self._floor))


class LogitLink(CurvedLink):
    """The logarithm of the odds of a share of shots, with binomial errors.

    Parameters
    ----------
    table : Table
        What was measured, with standard errors and shots.
    aim : Aim
        The quantity.
    """

    def __init__(self, table: Table, aim: Aim) -> None:
        super().__init__(table, aim)
        self._shots = np.maximum(table.n, 1.0)
        self._floor = min(max(1 / float(np.sum(self._shots)), _SMALLEST_SHARE), 0.01)

    def _value(self, latent: Float) -> Float:
        value: Float = np.clip(expit(self._sign * latent), self._floor, 1 - self._floor)
        return value

    def _derivative(self, value: Float) -> Float:
        return value * (1 - value)

    def _variance(self, value: Float) -> Float:
        return value * (1 - value) / self._shots

    def noise(self, latent: Float, shots: Float | None) -> Float:
        """Return the variance that a measurement will have.

        Parameters
        ----------
        latent : ndarray of float64, shape (n,)
            Values on the model's scale.
        shots : ndarray of float64, shape (n,) or (), optional
            Shots of the measurement; None: as usual.

        Returns
        -------
        ndarray of float64, shape (n,)
            Variances.
        """
        value = self._value(latent)
        noise: Float = 1 / (value * (1 - value) * usual_shots(self._shots, shots))
        return noise

    def natural(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the share, by quadrature.

        Parameters
        ----------
        mean, sd : ndarray of float64
            Those on the model's scale.

        Returns
        -------
        mean, sd : ndarray of float64
            Those of the share.
        """
        nodes, weights = hermite_nodes()
        values = expit(self._sign * (mean[..., None] + sd[..., None] * nodes))
        center = values @ weights
        return center, np.sqrt(np.maximum(values**2 @ weights - center**2, 0.0))

    def latent(self, value: float) -> float:
        """Return the logarithm of the odds.

        Parameters
        ----------
        value : float
            A share.

        Returns
        -------
        float
            The same on the model's scale.
        """
        share = min(max(value, self._floor), 1 - self._floor)
        return self._sign * math.log(share / (1 - share))
