"""Links: the scale on which a model sees a quantity, and the way back.

On the model's scale more is better, and a measurement is a value with a normal error.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim, PolicyError
from autosteer.policies._curved_links import LogitLink, LogLink
from autosteer.policies._errors import filled_errors, variance_per_shot
from autosteer.policies._ledger import Table

Float = NDArray[np.float64]
LinkName = Literal["auto", "identity", "log"]

# A quantity is seen on a logarithmic scale if its best is so many times its median, and so many
# standard errors away from it.
_PEAK_OVER_MEDIAN = 5.0
_PEAK_OVER_NOISE = 8.0


class Link(Protocol):
    """A monotonic map between a quantity and the model's scale."""

    @property
    def rounds(self) -> int:
        """Most linearisations about the model's own values; 0 where nothing is to be linearised."""
        ...

    def start(self, table: Table) -> Float:
        """Return first guesses of the values on the model's scale, shape (n,)."""
        ...

    def linearised(self, table: Table, latent: Float) -> tuple[Float, Float | None]:
        """Return values and variances on the model's scale, as seen from `latent`, shape (n,)."""
        ...

    def noise(self, latent: Float, shots: Float | None) -> Float:
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
    aim : Aim
        The quantity.
    """

    rounds = 0

    def __init__(self, table: Table, aim: Aim) -> None:
        self._sign = aim.sign
        self._sem = filled_errors(table)
        self._per_shot = variance_per_shot(table, self._sem)

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
            NaN where no error is known.
        """
        if self._sem is None:
            return np.full(len(latent), np.nan)
        if shots is None or self._per_shot is None:
            return np.full(len(latent), float(np.median(self._sem)) ** 2)
        return np.broadcast_to(self._per_shot / shots, latent.shape)

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
    return IdentityLink(table, aim)


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
