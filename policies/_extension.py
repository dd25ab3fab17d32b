"""Where a measurement is expected to extend a front most, per second of beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim
from autosteer.policies._candidates import climb, points_around
from autosteer.policies._chain import Model
from autosteer.policies._fence import Widening
from autosteer.policies._frontier import Frontier
from autosteer.policies._improvement import Choice
from autosteer.policies._learner import Learned
from autosteer.policies._reasons import place_in_words, runner_up
from autosteer.policies._situation import Situation

Float = NDArray[np.float64]

_ROUNDS, _WIDTH = 3, 64


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is known of one objective.

    Parameters
    ----------
    aim : Aim
        The objective.
    learned : Learned
        What was learned from its table.
    model : Model
        The same, with what is pending taken as measured.
    """

    aim: Aim
    learned: Learned
    model: Model

    def goodness(self, mean: Float, sd: Float) -> tuple[Float, Float]:
        """Turn values on the model's scale into the objective, so that more is better.

        Parameters
        ----------
        mean, sd : ndarray of float64, shape (n,)
            Mean and standard deviation on the model's scale.

        Returns
        -------
        mean, sd : ndarray of float64, shape (n,)
            Those of the objective.
        """
        natural, spread = self.learned.link.natural(mean, sd)
        return self.aim.sign * natural, spread


class Extending:
    """The search for the next measurement, on what is known at one moment.

    A measurement moves the posterior means at its place; what is expected is the volume that the
    moved means add to the front. What noise hides is therefore no gain, and a place that is known
    well enough only counts for what it adds by itself.

    Parameters
    ----------
    situation : Situation
        Where the knobs are, and where they may go.
    beliefs : tuple of Belief
        The objectives.
    frontier : Frontier
        The front of posterior means, in units of its extent.
    extent : ndarray of float64, shape (n_objectives,)
        That extent.
    """

    def __init__(
        self,
        situation: Situation,
        beliefs: tuple[Belief, ...],
        frontier: Frontier,
        extent: Float,
    ) -> None:
        self._situation = situation
        self._problem = situation.problem
        self._beliefs = beliefs
        self._frontier = frontier
        self._extent = extent
        self._least = max(belief.aim.min_shots for belief in beliefs)
        lengths = np.min([belief.learned.surrogate.lengths for belief in beliefs], axis=0)
        self._lengths: Float = np.minimum(lengths, 0.5)
        self._widening: Widening | None = None

    def best(self, spread: Float, front: Float, rng: np.random.Generator) -> Choice:
        """Return where to go.

        Parameters
        ----------
        spread : ndarray of float64, shape (n, n_knobs)
            Places all over the unit cube; as many are looked at around the front.
        front : ndarray of float64, shape (m, n_knobs)
            Places of the front, m at least 1.
        rng : numpy.random.Generator
            Where chance comes from.

        Returns
        -------
        Choice
            The place, how long to stay, why, and the gain of volume as a share of the front's.
        """
        around = points_around(rng, front, self._lengths, len(spread))
        everywhere = np.concatenate([spread, around, front])
        start = self._situation.allowed(everywhere)
        self._widening = self._situation.widening(everywhere, self._added)
        rates = self._rate(start)
        x = climb(
            self._rate,
            start[np.argsort(-rates, kind="stable")[:3]],
            self._lengths / 3,
            rng,
            self._situation.allowed,
            rounds=_ROUNDS,
            width=_WIDTH,
        )
        shots = self._shots(x[None])
        [worth] = self._worth(x[None], shots)
        share = float(worth) / max(self._frontier.volume, 1e-12)
        other = runner_up(start, rates, x, self._lengths)
        why = self._why(x, share, None if other is None else start[other])
        return Choice(x, why, None if shots is None else round(float(shots[0])), gain=share)

    def _shots(self, x: Float) -> Float | None:
        """Return the shots of measurements, shape (n,); None where they are not counted."""
        return self._situation.shots(x, self._least)

    def _moved(self, x: Float, shots: Float | None) -> tuple[Float, Float]:
        """Return the posterior means after a measurement, and how far it may move them."""
        means, sds = [], []
        for belief in self._beliefs:
            expected, variance = belief.model.mean(x), belief.model.variance(x)
            shift = variance / np.sqrt(variance + belief.learned.noise(expected, shots))
            mean, sd = belief.goodness(expected, shift)
            means.append(mean)
            sds.append(sd)
        return np.stack(means, axis=1) / self._extent, np.stack(sds, axis=1) / self._extent

    def _worth(self, x: Float, shots: Float | None) -> Float:
        """Return the volume that measurements are expected to add, shape (n,)."""
        gain = self._frontier.expected_gain(*self._moved(x, shots))
        if self._widening is not None:
            gain = gain + self._widening(x, None)
        return gain

    def _rate(self, x: Float) -> Float:
        """Return the same per second of beam; per measurement where shots are not counted."""
        shots = self._shots(x)
        return self._situation.per_second(self._worth(x, shots), x, shots)

    def _added(self, x: Float) -> Float:
        """Return by how much places would extend the front, were they safe."""
        mean, sd = self._moved(x, self._shots(x))
        return self._frontier.expected_gain(mean, np.zeros_like(sd))

    def _why(self, x: Float, share: float, other: Float | None) -> str:
        """Say what is expected of a place, and what else was in question."""
        expected = []
        for belief in self._beliefs:
            [mean], [sd] = belief.learned.natural(x[None])
            expected.append(f"{belief.aim.name} {mean:.4g} +- {sd:.2g}")
        volume = max(self._frontier.volume, 1e-12)
        [rate] = self._rate(x[None]) / volume
        per = "a measurement" if self._problem.rate_hz is None else "a second"
        parts = [
            f"expects {', '.join(expected)}; the front would gain {share:.2%}, {rate:.2%} {per}"
        ]
        if other is not None:
            names = tuple(self._problem.knobs)
            [place] = self._situation.grounds.places(other[None])
            [runner] = self._rate(other[None]) / volume
            parts.append(f"runner-up {place_in_words(names, place)} with {runner:.2%}")
        parts += [
            f"limit on {name} kept with {chance:.1%}"
            for name, chance in self._situation.fence.active(x)
        ]
        return "; ".join(parts)
