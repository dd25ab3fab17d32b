"""What policies without a model of the whole box share: points told, points given, the way here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._keeper import Keeper
from autosteer.policies._ledger import Float


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


class Modelless(Keeper):
    """Keeps the points told and given, for a policy without a model of the whole box.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._aim = problem.objective

    def _beginning(self) -> Float:
        """Return where to begin: the best place known, or where the knobs are."""
        best = self._ledger.best_measured()
        if best:
            return self._ledger.unit([[best[name] for name in self._ledger.names]]).reshape(-1)
        return np.full(len(self._ledger.names), 0.5) if self._here is None else self._here

    def _is_on_the_way(self, name: str) -> bool:
        """Tell whether a point is a piece of the way to a place that was suggested."""
        place, slash, _ = name.rpartition("/")
        ledger = self._ledger
        return bool(slash) and any(
            place in points for points in (ledger.pending, ledger.measured, ledger.failed)
        )

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; see `Keeper.ingest`. The first tell where the knobs are.

        Parameters
        ----------
        points : sequence of mapping
            The points.
        """
        super().ingest(points)
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
        super().register_failures(points)
        # Nobody knows how far the knobs have come: the next point that is told will say.
        self._here = None
