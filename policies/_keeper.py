"""What policies keep that choose one point at a time: the points told and given, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._ledger import Ledger

Float = NDArray[np.float64]

FEWEST_SHOTS = 4
"""A place is measured by so many at least."""


class Keeper:
    """Keeps the points told and given, and where the knobs will be.

    Parameters
    ----------
    problem : Problem
        Knobs and quantities.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
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

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the quantities, and perhaps their ``_sem`` and ``_n``.
            Points that were never suggested are welcome.
        """
        self._ledger.ingest(points)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: the policy keeps away from them.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._ledger.register_failures(points)

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
