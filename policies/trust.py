"""Bayesian optimization in a region that grows and shrinks: for many knobs and crooked ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.contracts import Aim, PolicyError, Problem
from autosteer.policies._chain import Model
from autosteer.policies._improvement import Choice
from autosteer.policies._ledger import Table
from autosteer.policies._links import LinkName
from autosteer.policies._situation import Situation
from autosteer.policies.bayes import BayesianPolicy

Float = NDArray[np.float64]

_LARGEST, _SMALLEST = 1.0, 2.0**-7
# A point is better, or worse, than the center when the posterior is as sure as this.
_SURE = 0.8
_SUCCESSES_TO_GROW = 2
_FAILURES_PER_KNOB, _FEWEST_FAILURES = 2, 6
# The model learns from what is not farther away than so many regions.
_IN_SIGHT = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """The region, and what has been counted of it.

    Parameters
    ----------
    length : float
        Length over the range of a knob.
    center : ndarray of float64, shape (n_knobs,), or None
        The best place known, in the unit cube; None before there is one.
    sides : ndarray of float64, shape (n_knobs,)
        Length along each knob, over `length`; their product is 1.
    judged : frozenset of str
        Points that have been counted.
    successes, failures : int
        How many in a row.
    """

    length: float
    center: Float | None
    sides: Float
    judged: frozenset[str] = frozenset()
    successes: int = 0
    failures: int = 0

    @property
    def bounds(self) -> tuple[Float, Float] | None:
        """Lower and upper ends along each knob."""
        if self.center is None:
            return None
        half = self.length / 2 * self.sides
        return np.clip(self.center - half, 0.0, 1.0), np.clip(self.center + half, 0.0, 1.0)

    def distance(self, x: Float) -> Float:
        """Return how far places are from the center, 1 at the surface, shape (n,)."""
        if self.center is None:
            return np.zeros(len(x))
        half = self.length / 2 * self.sides
        away: Float = np.max(np.abs(x - self.center) / half, axis=1)
        return away

    def counted(self, chance: float, first_length: float) -> _Box:
        """Count a point that is better than the center with some probability."""
        box = self
        if chance > _SURE:
            box = replace(self, successes=self.successes + 1, failures=0)
        elif chance < 1 - _SURE:
            box = replace(self, successes=0, failures=self.failures + 1)
        if box.successes >= _SUCCESSES_TO_GROW:
            return replace(box, length=min(2 * self.length, _LARGEST), successes=0)
        if box.failures >= max(_FAILURES_PER_KNOB * len(self.sides), _FEWEST_FAILURES):
            half = self.length / 2
            # Where there is nothing more to be found: look around again.
            return replace(box, length=first_length if half < _SMALLEST else half, failures=0)
        return box

    def moved_to_the_best(self, model: Model) -> _Box:
        """Return the box about the measured place with the highest posterior mean."""
        lengths = model.lengths
        return replace(
            self,
            center=model.x[int(np.argmax(model.mean(model.x)))].copy(),
            sides=lengths / np.exp(np.mean(np.log(lengths))),
        )


class TrustRegionPolicy(BayesianPolicy):
    """Bayesian optimization about the best place known, no farther than the model is to be trusted.

    As in TuRBO [1]_ the next place is sought in a box about the best one, longer along knobs on
    which the objective depends weakly. The box grows after two successes in a row, and shrinks
    after twice as many failures as there are knobs; the model learns from places in and near it, so
    that it follows a function that is not everywhere alike. Unlike there, it is the posterior that
    tells successes from failures, not the best reading: a point has succeeded when it is better
    than the center with a probability of 80 %, and failed when it is worse with as much. What noise
    leaves undecided counts as neither, so that no box collapses about a lucky reading.

    Parameters
    ----------
    problem : Problem
        Knobs, objective, diagnostics and limits.
    link, n_initial, candidates, horizon_s
        As of `BayesianPolicy`.
    length : float, default 0.5
        Length of the box at the start, over the range of a knob.

    Raises
    ------
    PolicyError
        If an option is out of its range, or there is more than one objective.

    References
    ----------
    .. [1] D. Eriksson, M. Pearce, J. Gardner, R. Turner, M. Poloczek, NeurIPS 32 (2019),
       arXiv:1910.01739.

    Examples
    --------
    >>> policy = TrustRegionPolicy(Problem.of({"x": (-1.0, 1.0)}, "hits", seed=3))
    >>> [point] = policy.suggest(1)
    """

    def __init__(
        self,
        problem: Problem,
        *,
        link: LinkName = "auto",
        n_initial: int = 6,
        candidates: int = 384,
        horizon_s: float = 300.0,
        length: float = 0.5,
    ) -> None:
        if not _SMALLEST < length <= _LARGEST:
            raise PolicyError(f"length is {length}: it must be above {_SMALLEST} and not above 1")
        super().__init__(
            problem, link=link, n_initial=n_initial, candidates=candidates, horizon_s=horizon_s
        )
        self._first_length = length
        self._box = _Box(length, None, np.ones(len(problem.knobs)))
        # As of the last ingest: the model learns from what is in its sight.
        self._box_before = self._box

    @property
    def length(self) -> float:
        """Present length of the box, over the range of a knob."""
        return self._box.length

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; see `BayesianPolicy.ingest`.

        Parameters
        ----------
        points : sequence of mapping
            The points.
        """
        super().ingest(points)
        self._box_before = self._box

    def _improve(self, aim: Aim, rng: np.random.Generator) -> Choice:
        """Judge what is new, and search within the box."""
        if aim == self._objective:
            self._box = self._judged(self._box, self._learn(aim).surrogate)
        choice = super()._improve(aim, rng)
        return replace(choice, why=f"{choice.why}; within {self.length:.2g} of the range")

    def _judged(self, box: _Box, model: Model) -> _Box:
        new = [name for name in self._ledger.measured if name not in box.judged]
        if new and box.center is not None:
            x = self._ledger.unit([self._ledger.measured[name].x for name in new])
            for chance in _chances_of_better(model, x, box.center):
                box = box.counted(float(chance), self._first_length)
        return replace(box.moved_to_the_best(model), judged=box.judged | set(new))

    @property
    def _situation(self) -> Situation:
        return replace(super()._situation, region=self._box.bounds)

    def _anywhere(self, model: Model) -> Situation:
        # Of what is far from the box the model has not been told.
        box = self._box_before.moved_to_the_best(model)
        return replace(super()._anywhere(model), region=box.bounds)

    def _relevant(self, table: Table) -> Table:
        table = super()._relevant(table)
        distance = self._box_before.distance(table.x)
        # Never so few that nothing could be learned of any knob.
        least = min(4 * table.x.shape[1] + 4, len(table))
        return table.select(distance <= max(_IN_SIGHT, float(np.sort(distance)[least - 1])))

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        box = self._box_before
        return {
            **super().checkpoint(),
            "box": {
                "length": box.length,
                "center": None if box.center is None else box.center.tolist(),
                "sides": box.sides.tolist(),
                "judged": sorted(box.judged),
                "successes": box.successes,
                "failures": box.failures,
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        super().restore(state)
        box = state["box"]
        self._box = self._box_before = _Box(
            float(box["length"]),
            None if box["center"] is None else np.array(box["center"], np.float64),
            np.array(box["sides"], np.float64),
            frozenset(box["judged"]),
            int(box["successes"]),
            int(box["failures"]),
        )


def _chances_of_better(model: Model, x: Float, center: Float) -> Float:
    """Return how probable it is that the model's function is higher at places than at another."""
    there = center[None]
    joint = model.towards(there)(x)
    difference = joint.mean - model.mean(there)
    variance = joint.variance + model.variance(there) - 2 * joint.covariance[:, 0]
    chance: Float = ndtr(difference / np.sqrt(np.maximum(variance, 1e-300)))
    return chance
