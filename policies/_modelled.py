"""What policies with models of the whole box share: points, models, limits, asks, checkpoints."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim, Problem
from autosteer.policies._candidates import sobol_points
from autosteer.policies._chain import Model
from autosteer.policies._fence import Fence
from autosteer.policies._improvement import Choice
from autosteer.policies._keeper import Keeper, check_count
from autosteer.policies._learner import Learned, Learner
from autosteer.policies._ledger import Table
from autosteer.policies._links import LinkName
from autosteer.policies._moment import inputs_besides_knobs
from autosteer.policies._situation import Situation

Float = NDArray[np.float64]

# Points that enter a model: more would make asks slow.
_MOST_POINTS = 300
# Where the optimum drifts, what is old says little.
_MOST_DRIFTING_POINTS = 150


@dataclass(slots=True)
class Known:
    """What follows from the points measured so far, as far as somebody has asked for it.

    Parameters
    ----------
    quantities : dict of Aim to Learned
        Models.
    limits : bool
        Whether the limited quantities have been learned.
    """

    quantities: dict[Aim, Learned] = field(default_factory=dict)
    limits: bool = False


KnownT = TypeVar("KnownT", bound=Known)


class Modelled(Keeper, ABC, Generic[KnownT]):
    """Keeps the points and the models, for a policy that chooses one point at a time.

    Every ask draws from a stream of its own, so that the same ask after the same ingests gives the
    same suggestion, and its cost is capped by evaluations, not by time.

    Parameters
    ----------
    problem : Problem
        Knobs, quantities and limits.
    aims : sequence of Aim
        Quantities that are modelled.
    known : type of Known
        What is known while nothing is.
    link : {"auto", "identity", "log"}
        Scale of the models.
    candidates : int
        Places spread over the box at which each ask looks.
    drift_s : float, optional
        Time over which quantities are expected to drift [s]; None: they stay.
    """

    def __init__(
        self,
        problem: Problem,
        aims: Sequence[Aim],
        known: type[KnownT],
        *,
        link: LinkName,
        candidates: int,
        drift_s: float | None = None,
    ) -> None:
        super().__init__(problem)
        self._candidates = candidates
        self._drift_s = drift_s
        self._learners = {
            aim.name: Learner(aim, link, with_time=drift_s is not None) for aim in aims
        }
        self._fence = Fence(problem.limits, "auto")
        self._nothing_known = known
        self._known = known()
        self._asks = 0
        self._gain = math.nan

    @abstractmethod
    def _choose(self, rng: np.random.Generator) -> Choice:
        """Choose the next place."""

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; where shots are counted, also ``_shots``, how many of
            them the point is worth, and perhaps ``_worse_than``, below which it may be left early.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        check_count(num_points)
        points = []
        for _ in range(num_points):
            self._asks += 1
            choice = self._choose(np.random.default_rng([self._problem.seed, self._asks]))
            points.append(self._give(choice.x, choice.why, choice.shots, choice.worse_than))
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; see `Keeper.ingest`.

        Parameters
        ----------
        points : sequence of mapping
            The points.
        """
        super().ingest(points)
        self._known = self._nothing_known()

    @property
    def _situation(self) -> Situation:
        return Situation(self._problem, self._grounds, self._fence, self._here)

    @property
    def _spread(self) -> Float:
        """Places all over where the next one may be, shape (n, n_knobs)."""
        seed = self._problem.seed + self._asks
        unit = sobol_points(len(self._ledger.names), seed, 0, self._candidates)
        return self._situation.spread(unit)

    @property
    def _avoided(self) -> Float:
        """Places that are pending or have failed, shape (n, n_knobs)."""
        pending = [one.x for one in self._ledger.pending.values()]
        return self._ledger.unit([*pending, *self._ledger.failed.values()])

    def _learn(self, aim: Aim) -> Learned:
        """Learn a quantity, as far as it has not been learned yet."""
        if aim not in self._known.quantities:
            below = self._below(aim)
            table = self._relevant(self._ledger.table(aim.name))
            more, now = inputs_besides_knobs(table, self._ledger.context, self._drift_s)
            x = np.concatenate([table.x, more], axis=1)
            self._known.quantities[aim] = self._learners[aim.name].learn(
                x, table, below, now=now if len(now) else None
            )
        return self._known.quantities[aim]

    def _below(self, aim: Aim) -> Model | None:
        """Return the model of what a quantity follows."""
        return None

    def _relevant(self, table: Table) -> Table:
        """Leave out what says least of where the next place may be."""
        if self._drift_s is None:
            return table.thinned(_MOST_POINTS)
        return table.newest(_MOST_DRIFTING_POINTS)

    def _learn_limits(self) -> bool:
        """Learn the limited quantities; tell whether there is anything to learn from."""
        if any(not len(self._ledger.table(limit.name)) for limit in self._problem.limits):
            return False
        if not self._known.limits:
            self._fence.learn(self._ledger)
            self._known.limits = True
        return True

    def _begin_safely(self) -> Choice:
        """Stay where the knobs are found, or begin in the middle, until limits are measured."""
        x = np.full(len(self._ledger.names), 0.5) if self._here is None else self._here
        return Choice(x, "nothing is known of the limits yet")

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        learned = {aim.name for aim in self._known.quantities}
        return {
            **super().checkpoint(),
            "asks": self._asks,
            "gain": self._gain if math.isfinite(self._gain) else None,
            "learners": {
                **{
                    name: learner.checkpoint(learned=name in learned)
                    for name, learner in self._learners.items()
                },
                **{
                    name: learner.checkpoint(learned=self._known.limits)
                    for name, learner in self._fence.learners.items()
                },
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
        self._asks = int(state["asks"])
        self._gain = math.nan if state["gain"] is None else float(state["gain"])
        for name, learner in {**self._learners, **self._fence.learners}.items():
            learner.restore(state["learners"][name])
        self._known = self._nothing_known()
