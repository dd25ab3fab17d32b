"""Links: the scale on which a model sees a quantity, and the way back.

On the model's scale more is better, and a measurement is a value with a normal error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import expit

from autosteer.contracts import Aim, PolicyError
from autosteer.policies._ledger import Table

Float = NDArray[np.float64]
LinkName = Literal["auto", "identity", "log"]

# Smallest standard error that is believed, relative to the spread of the means.
_SMALLEST_RELATIVE_SEM = 1e-3
# A quantity is seen on a logarithmic scale if its best is so many times its median, and so many
# standard errors away from it.
_PEAK_OVER_MEDIAN = 5.0
_PEAK_OVER_NOISE = 8.0
# Values and fractions on the logarithmic scale stay above this share of the largest.
_SMALLEST_SHARE = 1e-4
# Largest step of a value on the logarithmic scale, in one linearisation.
_LARGEST_STEP = 3.0


class Link(Protocol):
    """A monotonic map between a quantity and the model's scale."""

    @property
    def rounds(self) -> int:
        """Linearisations that are needed."""
        ...

    def start(self, table: Table) -> Float:
        """Return first guesses of the values on the model's scale, shape (n,)."""
        ...

    def linearised(self, table: Table, latent: Float) -> tuple[Float, Float | None]:
        """Return values and variances on the model's scale, as seen from `latent`, shape (n,)."""
        ...

    def noise(self, latent: Float, shots: float | None) -> Float:
        """Return the variance that a measurement with so many shots will have, shape (n,)."""
        ...

    def natural(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the quantity for a normal posterior."""
        ...

    def slope(self, latent: float) -> float:
        """Return how fast the quantity gets better with the value on the model's scale."""
        ...

    def latent(self, value: float) -> float:
        """Return where a value of the quantity is on the model's scale."""
        ...


class IdentityLink:
    """The quantity as it is, or its negative where less is better.

    Parameters
    ----------
    table : Table
        What was measured.
    maximize : bool
        Whether more is better.
    """

    rounds = 1

    def __init__(self, table: Table, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._sem = filled_errors(table)
        self._per_shot = _variance_per_shot(table, self._sem)

    def start(self, table: Table) -> Float:
        """Return the values.

        Parameters
        ----------
        table : Table
            What was measured.

        Returns
        -------
        ndarray of float64, shape (n,)
            More is better.
        """
        value: Float = self._sign * table.mean
        return value

    def linearised(self, table: Table, latent: Float) -> tuple[Float, Float | None]:
        """Return values and variances; None where no error is known.

        Parameters
        ----------
        table : Table
            What was measured.
        latent : ndarray of float64, shape (n,)
            Not used: nothing is to be linearised.

        Returns
        -------
        value : ndarray of float64, shape (n,)
            Values, more is better.
        variance : ndarray of float64, shape (n,), or None
            Their variances.
        """
        return self.start(table), None if self._sem is None else self._sem**2

    def noise(self, latent: Float, shots: float | None) -> Float:
        """Return the variance that a measurement will have.

        Parameters
        ----------
        latent : ndarray of float64, shape (n,)
            Values on the model's scale.
        shots : float, optional
            Shots of the measurement; None: as usual.

        Returns
        -------
        ndarray of float64, shape (n,)
            NaN where no error is known.
        """
        if self._sem is None:
            return np.full(len(latent), np.nan)
        if shots is None or self._per_shot is None:
            return np.full(len(latent), float(np.median(self._sem)) ** 2)
        return np.full(len(latent), self._per_shot / shots)

    def natural(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Return mean and standard deviation of the quantity.

        Parameters
        ----------
        mean, sd : ndarray of float64
            Those on the model's scale.

        Returns
        -------
        mean, sd : ndarray of float64
            Those of the quantity.
        """
        return self._sign * mean, sd

    def slope(self, latent: float) -> float:
        """Return 1.

        Parameters
        ----------
        latent : float
            Value on the model's scale.

        Returns
        -------
        float
            The slope.
        """
        return 1.0

    def latent(self, value: float) -> float:
        """Return the value, or its negative where less is better.

        Parameters
        ----------
        value : float
            Value of the quantity.

        Returns
        -------
        float
            The same on the model's scale.
        """
        return self._sign * value


class CurvedLink(ABC):
    r"""A scale on which errors change along the way.

    Errors are those of the quantity itself, normal or binomial, so that 0 of 80 needs no correction:
    the likelihood is linearised about the model's own values until both agree, which is Laplace's
    approximation [1]_. Where the model is right in seeing next to nothing, a measurement of next to
    nothing says little.

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

    rounds = 6

    def __init__(self, table: Table, aim: Aim) -> None:
        self._sign = 1.0 if aim.maximize else -1.0
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
    def noise(self, latent: Float, shots: float | None) -> Float:
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
        value = self._value(latent)
        derivative = self._derivative(value)
        step = np.clip((table.mean - value) / derivative, -_LARGEST_STEP, _LARGEST_STEP)
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
    which a Gaussian process continues well beyond the data. Where shots are counted, the variance of
    a single shot is taken to grow linearly with the quantity, as it does for counts, also for those
    in clusters: a few shots that show nothing by chance do not look certain.

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
        self._shots = table.n
        if np.isfinite(table.n).all():
            self._law = _variance_law(table.mean, self._sem, table.n)

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

    def noise(self, latent: Float, shots: float | None) -> Float:
        """Return the variance that a measurement will have.

        Parameters
        ----------
        latent : ndarray of float64, shape (n,)
            Values on the model's scale.
        shots : float, optional
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
            shots = float(np.median(self._shots)) if shots is None else shots
            usual = (constant + slope * value) / shots
        return usual / value**2

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
        self._floor = min(max(self._floor, 0.02 / float(np.sum(self._shots))), 0.01)

    def _value(self, latent: Float) -> Float:
        return np.clip(expit(self._sign * latent), self._floor, 1 - self._floor)

    def _derivative(self, value: Float) -> Float:
        return value * (1 - value)

    def _variance(self, value: Float) -> Float:
        return value * (1 - value) / self._shots

    def noise(self, latent: Float, shots: float | None) -> Float:
        """Return the variance that a measurement will have.

        Parameters
        ----------
        latent : ndarray of float64, shape (n,)
            Values on the model's scale.
        shots : float, optional
            Shots of the measurement; None: as usual.

        Returns
        -------
        ndarray of float64, shape (n,)
            Variances.
        """
        value = self._value(latent)
        shots = float(np.median(self._shots)) if shots is None else shots
        noise: Float = 1 / (value * (1 - value) * shots)
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
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        values = expit(self._sign * (mean[..., None] + sd[..., None] * nodes))
        weights = weights / weights.sum()
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


def filled_errors(table: Table) -> Float | None:
    """Return standard errors, the typical one where a point has none.

    Parameters
    ----------
    table : Table
        What was measured.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None where no point has one.
    """
    known = np.isfinite(table.sem)
    if not known.any():
        return None
    floor = _SMALLEST_RELATIVE_SEM * max(float(np.ptp(table.mean)), 1e-12)
    return np.maximum(np.where(known, table.sem, np.median(table.sem[known])), floor)


def _variance_law(mean: Float, sem: Float, shots: Float) -> tuple[float, float]:
    """Fit the variance of a shot as a constant and a multiple of the mean, both not negative."""
    weight = np.sqrt(shots)
    design = np.stack([np.ones(len(mean)), np.maximum(mean, 0.0)], axis=1)
    (constant, slope), _ = nnls(design * weight[:, None], sem**2 * shots * weight)
    # Something must be left where next to nothing is expected.
    least = 1e-3 * float(np.median(sem**2 * shots))
    return max(float(constant), least), float(slope)


def _variance_per_shot(table: Table, sem: Float | None) -> float | None:
    """Return the typical variance of a single shot; None where shots or errors are not known."""
    if sem is None or not np.isfinite(table.n).any():
        return None
    return float(np.nanmedian(sem**2 * table.n))


def make_link(name: LinkName, table: Table, aim: Aim) -> Link:
    """Choose the scale for what was measured.

    Parameters
    ----------
    name : {"auto", "identity", "log"}
        Shares of shots are seen as the logarithm of their odds, but with ``identity``. ``auto``
        takes logarithms of what is not negative and rises far above its median.
    table : Table
        What was measured.
    aim : Aim
        The quantity.

    Returns
    -------
    Link
        The link.

    Raises
    ------
    PolicyError
        If there is none of that name, or a share of shots lies outside [0, 1].
    """
    if name not in {"auto", "identity", "log"}:
        raise PolicyError(f"there is no link '{name}': use auto, identity or log")
    if aim.fraction and np.any((table.mean < -0.5) | (table.mean > 1.5)):
        raise PolicyError(
            f"'{aim.name}' reaches {table.mean.min():g} to {table.mean.max():g}: "
            "that is no share of shots"
        )
    if name != "identity" and aim.fraction and np.isfinite(table.n).all():
        return LogitLink(table, aim)
    if name == "log" or (name == "auto" and _is_peak(table, aim)):
        return LogLink(table, aim)
    return IdentityLink(table, aim.maximize)


def _is_peak(table: Table, aim: Aim) -> bool:
    """Tell whether values look like a peak over next to nothing."""
    sem = filled_errors(table)
    if sem is None:
        return False
    if not aim.maximize or np.any(table.mean < -4 * sem):
        return False
    top, middle = float(np.max(table.mean)), float(np.median(table.mean))
    return top > _PEAK_OVER_MEDIAN * abs(middle) and top - middle > _PEAK_OVER_NOISE * float(
        np.median(sem)
    )
