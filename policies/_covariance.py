"""The covariance that a surrogate assumes, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """A squared exponential and a quadratic function beside it, times an exponential in time.

    Parameters
    ----------
    lengths : ndarray of float64, shape (n_knobs,)
        Length scales of the squared exponential, in units of the box.
    scale : float
        Its variance.
    dome_lengths : ndarray of float64, shape (n_knobs,)
        Scales of the quadratic function, which is about the middle of the box.
    dome_scale : float
        Its variance.
    time_length : float, optional
        Correlation time, where the last input is time.
    """

    lengths: Float
    scale: float
    dome_lengths: Float
    dome_scale: float
    time_length: float | None

    def __call__(self, a: Float, b: Float) -> Float:
        """Return the prior covariances between places.

        Parameters
        ----------
        a : ndarray of float64, shape (m, n_inputs)
            Places.
        b : ndarray of float64, shape (k, n_inputs)
            Other places.

        Returns
        -------
        ndarray of float64, shape (m, k)
            Covariances.
        """
        n = len(self.lengths)
        bumps = np.exp(
            -0.5 * cdist(a[:, :n] / self.lengths, b[:, :n] / self.lengths, "sqeuclidean")
        )
        first, second = (a[:, :n] - 0.5) / self.dome_lengths, (b[:, :n] - 0.5) / self.dome_lengths
        covariance: Float = self.scale * bumps + self.dome_scale * (first @ second.T + 1) ** 2
        if self.time_length is not None:
            covariance *= np.exp(-np.abs(a[:, n, None] - b[None, :, n]) / self.time_length)
        return covariance

    def at(self, x: Float) -> Float:
        """Return the prior variances at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances.
        """
        away = (x[:, : len(self.lengths)] - 0.5) / self.dome_lengths
        variance: Float = self.scale + self.dome_scale * (np.sum(away**2, axis=1) + 1) ** 2
        return variance


@dataclass(frozen=True, slots=True, eq=False)
class Hyperparameters:
    """All that a fit finds out.

    Parameters
    ----------
    covariance : Covariance
        Prior covariance.
    constant : float
        Prior mean.
    noise : float, optional
        Variance of a value, where it is not given.
    """

    covariance: Covariance
    constant: float
    noise: float | None

    def as_json(self) -> dict[str, Any]:
        """Return all numbers by name, as JSON-able values.

        Returns
        -------
        dict
            For `from_json`.
        """
        one = self.covariance
        return {
            "lengths": one.lengths.tolist(),
            "scale": one.scale,
            "dome_lengths": one.dome_lengths.tolist(),
            "dome_scale": one.dome_scale,
            "time_length": one.time_length,
            "constant": self.constant,
            "noise": self.noise,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Hyperparameters:
        """Take up what `as_json` gave.

        Parameters
        ----------
        state : mapping
            Numbers by name.

        Returns
        -------
        Hyperparameters
            The same.
        """
        covariance = Covariance(
            np.array(state["lengths"], np.float64),
            state["scale"],
            np.array(state["dome_lengths"], np.float64),
            state["dome_scale"],
            state["time_length"],
        )
        return cls(covariance, state["constant"], state["noise"])
