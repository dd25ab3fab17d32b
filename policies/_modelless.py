"""What policies without a model of the whole box share: points told, points given, the way here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._ledger import Float, Ledger


def refuse_what_is_beyond(problem: Problem, who: str, *, context: bool = False) -> None:
    """Refuse problems that a policy would otherwise solve wrongly without a word.

    Parameters
    ----------
    problem : Problem
        The problem.
    who : str
        Name of the policy.
    context : bool, default False
        Whether it gets along with a context.

    Raises
    ------
    PolicyError
        If there are several objectives, limits on measured quantities, or a context that the
        policy does not get along with.
    """
    if len(problem.objectives) > 1:
        raise PolicyError(f"{who} improves one objective, and there are several")
    if problem.limits:
        raise PolicyError(
            f"{who} keeps no limits on measured quantities, such as '{problem.limits[0].name}': "
            "take BayesianPolicy"
        )
    if problem.context and not context:
        raise PolicyError(
            f"{who} does not know what to make of a context, such as '{problem.context[0]}': "
            "take BayesianPolicy"
        )


class Modelless:
    """Keeps the points told and given, for a policy that chooses one point at a time.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._aim = problem.objective
        self._ledger = Ledger(problem)
        self._grounds = self._ledger.grounds
        self._here: Float | None = None
        self._reasons: dict[str, str] = {}

    def _give(
        self, x: Float, why: str, shots: int | None = None, worse_than: float | None = None
    ) -> dict[str, Any]:
        """Suggest a place in the unit cube, and note that the knobs will be there."""
        [point] = self._ledger.suggest(x[None], shots)
        self._reasons[point["_id"]] = why
        self._here = x
        if shots is not None:
            point["_shots"] = shots
        if worse_than is not None:
            point["_worse_than"] = worse_than
        return point

    def _is_on_the_way(self, name: str) -> bool:
        """Tell whether a point is a piece of the way to a place that was suggested."""
        place, slash, _ = name.rpartition("/")
        ledger = self._ledger
        return bool(slash) and any(
            place in points for points in (ledger.pending, ledger.measured, ledger.failed)
        )

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the objective, and perhaps its ``_sem`` and ``_n``. Points
            that were never suggested are welcome.
        """
        self._ledger.ingest(points)
        if self._here is None and self._ledger.measured:
            newest = list(self._ledger.measured.values())[-1]
            self._here = self._ledger.unit([newest.x])[0]

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._ledger.register_failures(points)
        # Nobody knows how far the knobs have come: the next point that is told will say.
        self._here = None

    def explain(self, suggestion_id: str) -> str:
        """Say why a point was suggested.

        Parameters
        ----------
        suggestion_id : str
            ``_id`` of the suggestion.

        Returns
        -------
        str
            One line; empty for a point that was not suggested here.
        """
        return self._reasons.get(suggestion_id, "")

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {
            "ledger": self._ledger.checkpoint(),
            "here": None if self._here is None else self._here.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._ledger.restore(state["ledger"])
        self._here = None if state["here"] is None else np.array(state["here"])


def check_count(num_points: int) -> None:
    """Refuse to suggest no points.

    Parameters
    ----------
    num_points : int
        Points wanted.

    Raises
    ------
    PolicyError
        If it is not positive.
    """
    if num_points < 1:
        raise PolicyError(f"num_points is {num_points}: it must be at least 1")
