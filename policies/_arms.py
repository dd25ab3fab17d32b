"""What is believed of arms that have nothing to do with each other: shares of shots, or means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln

from autosteer.policies._knowledge import expected_excess

Float = NDArray[np.float64]

# Where the mean and the strength (in shots) of the arms' common prior are sought.
_PRIOR_MEANS = np.linspace(0.01, 0.99, 50)
_PRIOR_STRENGTHS = np.geomspace(0.5, 20.0, 9)
# Smallest spread between arms, and smallest noise of a shot, against the scale of the values.
_LEAST_SHARE = 1e-6


class Belief(Protocol):
    """What is believed of each of n arms; more is better."""

    @property
    def mean(self) -> Float:
        """Expected value, shape (n,)."""
        ...

    @property
    def variance(self) -> Float:
        """Variance of the value, shape (n,)."""
        ...

    def gain_above(self, bar: Float, shots: Float) -> Float:
        """Return what shots at an arm are expected to lift it above a bar.

        Parameters
        ----------
        bar : ndarray of float64, shape (n,)
            Values to exceed.
        shots : ndarray of float64, shape (n,)
            Shots taken at each arm.

        Returns
        -------
        ndarray of float64, shape (n,)
            Expectation of how far the mean, as it will be after the shots, exceeds the bar.
        """
        ...

    def awaiting(self, shots: Float) -> Belief:
        """Return what will be believed after shots that are on their way, on the average.

        Parameters
        ----------
        shots : ndarray of float64, shape (n,)
            Shots whose results are not known yet.

        Returns
        -------
        Belief
            The same means, with less uncertainty.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Beta distributions of the share of shots that succeed.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n,)
        Successes and failures, those of the prior included.
    """

    a: Float
    b: Float

    @classmethod
    def learn(cls, successes: Float, shots: Float) -> Shares:
        """Learn from counts; the prior is what the arms have in common.

        Parameters
        ----------
        successes, shots : ndarray of float64, shape (n,)
            Counts by arm, as far as they still count; 0 where nothing was measured.

        Returns
        -------
        Shares
            The belief.
        """
        mean, strength = _common_prior(successes[shots > 0], shots[shots > 0])
        return cls(mean * strength + successes, (1 - mean) * strength + shots - successes)

    @property
    def mean(self) -> Float:
        """Expected share, shape (n,)."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> Float:
        """Variance of the share, shape (n,)."""
        return self.mean * (1 - self.mean) / (self.a + self.b + 1)

    def gain_above(self, bar: Float, shots: Float) -> Float:
        """Return what shots at an arm are expected to lift it above a bar; see `Belief`."""
        mean, total = self.mean, self.a + self.b
        # The mean to be has the variance that the shots will resolve: a Beta distribution again.
        resolved = (total + 1) * (total + shots) / shots - 1
        a, b = mean * resolved, (1 - mean) * resolved
        inside = np.clip(bar, 0.0, 1.0)
        above = mean * (1 - betainc(a + 1, b, inside)) - inside * (1 - betainc(a, b, inside))
        gain: Float = np.maximum(above, 0.0)
        return gain

    def awaiting(self, shots: Float) -> Shares:
        """Return what will be believed after shots that are on their way; see `Belief`."""
        return Shares(self.a + self.mean * shots, self.b + (1 - self.mean) * shots)


def _common_prior(successes: Float, shots: Float) -> tuple[float, float]:
    """Return mean and strength of the Beta distribution that the arms are drawn from."""
    mean, strength = np.meshgrid(_PRIOR_MEANS, _PRIOR_STRENGTHS, indexing="ij")
    a, b = mean * strength, (1 - mean) * strength
    log_likelihood = np.sum(
        betaln(a[..., None] + successes, b[..., None] + shots - successes)
        - betaln(a[..., None], b[..., None]),
        axis=-1,
    )
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    return float(np.sum(weight * mean)), float(np.exp(np.sum(weight * np.log(strength))))


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Normal distributions of means.

    Parameters
    ----------
    mean, variance : ndarray of float64, shape (n,)
        Of each arm.
    shot_variance : float
        Variance of a shot.
    """

    mean: Float
    variance: Float
    shot_variance: float

    @classmethod
    def learn(cls, mean: Float, weight: Float, shot_variance: float) -> Means:
        """Learn from means; the prior is what the arms have in common.

        Parameters
        ----------
        mean : ndarray of float64, shape (n,)
            Measured means; anything where nothing was measured.
        weight : ndarray of float64, shape (n,)
            Shots behind them, as far as they still count; 0 where nothing was measured.
        shot_variance : float
            Variance of a shot.

        Returns
        -------
        Means
            The belief.
        """
        known = weight > 0
        values = mean[known]
        scale = float(np.max(np.abs(values), initial=0.0)) or 1.0
        shot_variance = max(shot_variance, (_LEAST_SHARE * scale) ** 2)
        error = shot_variance / weight[known]
        # From one arm nobody can tell how they differ: by as much as it is high, say.
        between = scale**2 if len(values) < 2 else float(np.var(values, ddof=1) - np.mean(error))
        between = max(between, (_LEAST_SHARE * scale) ** 2)
        precision = 1 / (between + error)
        middle = float(np.sum(precision * values) / np.sum(precision)) if known.any() else 0.0
        total = 1 / between + weight / shot_variance
        measured = np.where(known, mean, 0.0) * weight / shot_variance
        return cls((middle / between + measured) / total, 1 / total, shot_variance)

    def gain_above(self, bar: Float, shots: Float) -> Float:
        """Return what shots at an arm are expected to lift it above a bar; see `Belief`."""
        resolved = self.variance**2 / (self.variance + self.shot_variance / shots)
        return expected_excess(self.mean, np.sqrt(resolved), bar)

    def awaiting(self, shots: Float) -> Means:
        """Return what will be believed after shots that are on their way; see `Belief`."""
        variance = 1 / (1 / self.variance + shots / self.shot_variance)
        return Means(self.mean, variance, self.shot_variance)
