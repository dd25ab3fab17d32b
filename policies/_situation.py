"""Where the knobs are, where they may go, and what ways and stays take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Problem
from autosteer.policies._fence import Fence, Widening
from autosteer.policies._grounds import Grounds
from autosteer.policies._keeper import FEWEST_SHOTS

Float = NDArray[np.float64]

# Shorter stays are over before anybody could be asked where to go next [s].
_SHORT_STAY_S = 0.2
# Unsafe places that are looked at for what would become safe.
_MOST_BEYOND = 96


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the knobs are, and where they may go.

    Parameters
    ----------
    problem : Problem
        The problem.
    grounds : Grounds
        Its places.
    fence : Fence
        What is known of its limits.
    here : ndarray of float64, shape (n_knobs,), or None
        Where the knobs are, in the unit cube; None if nobody knows or it does not matter.
    horizon_s : float
        How long a better place will be of use [s]; infinite to search whatever it costs.
    region : (low, high), each an ndarray of float64, shape (n_knobs,), optional
        Part of the unit cube to stay in.
    """

    problem: Problem
    grounds: Grounds
    fence: Fence
    here: Float | None
    horizon_s: float = math.inf
    region: tuple[Float, Float] | None = None

    def spread(self, unit: Float) -> Float:
        """Put points that are spread over the unit cube into the region.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.

        Returns
        -------
        ndarray of float64, shape (n, n_knobs)
            The points; the same where there is no region.
        """
        if self.region is None:
            return unit
        low, high = self.region
        return low + unit * (high - low)

    def allowed(self, unit: Float) -> Float:
        """Keep the points that may be gone to; with limits, the safest where none is safe.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.

        Returns
        -------
        ndarray of float64, shape (k, n_knobs)
            Those that are allowed, moved onto places that the knobs can be at.
        """
        if self.region is not None:
            unit = np.clip(unit, *self.region)
        allowed = self.grounds.allowed(unit, self.here)
        if self.fence and len(allowed):
            chance = self.fence.chance(allowed)
            safe = chance >= 0
            allowed = allowed[safe] if safe.any() else allowed[[int(np.argmax(chance))]]
        return allowed

    def widening(self, unit: Float, gain_at: Callable[[Float], Float]) -> Widening | None:
        """Find places that are not safe, would be good, and may turn out to be safe.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        gain_at : callable
            By how much each of some places would be better than what is safe.

        Returns
        -------
        callable or None
            What measurements are expected to bring by making the most promising of them safe (not
            the best, which are far beyond the limits); see `Fence.widening`. None where there are
            no limits.
        """
        if not self.fence:
            return None
        places = self.grounds.allowed(unit, None)
        unsafe, kept = self.fence.doubtful(places)
        places, kept = places[unsafe], kept[unsafe]
        gain = gain_at(places)
        order = np.argsort(-gain * kept, kind="stable")[:_MOST_BEYOND]
        return self.fence.widening(places[order], gain[order])

    def travel_s(self, unit: Float) -> Float:
        """Return how long it takes to go to points and to settle there.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.

        Returns
        -------
        ndarray of float64, shape (n,)
            Times [s].
        """
        return self.grounds.travel_s(unit, self.here)

    def shots(self, unit: Float, min_shots: int) -> Float | None:
        """Return the shots of stays as long as the ways: longer ones would spend more on less.

        Where shots in motion count the ways themselves teach something, and stays are short.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        min_shots : int
            With fewer nothing would be measured.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            None where shots are not counted.
        """
        if self.problem.rate_hz is None:
            return None
        stay_s = np.full(len(unit), _SHORT_STAY_S)
        if not self.problem.shots_in_motion:
            stay_s = np.maximum(stay_s, self.travel_s(unit))
        return np.maximum(stay_s * self.problem.rate_hz, max(FEWEST_SHOTS, min_shots))

    def per_second(self, worth: Float, unit: Float, shots: Float | None) -> Float:
        """Return what measurements are worth per second of beam, ways included.

        Parameters
        ----------
        worth : ndarray of float64, shape (n,)
            What each is worth.
        unit : ndarray of float64, shape (n, n_knobs)
            Their places in the unit cube.
        shots : ndarray of float64, shape (n,), or None
            Their shots.

        Returns
        -------
        ndarray of float64, shape (n,)
            The rates; what was given where shots are not counted.
        """
        if self.problem.rate_hz is None or shots is None:
            return worth
        return worth / (shots / self.problem.rate_hz + self.travel_s(unit))
