"""What all wrapped peers share: the book of points, quiet and seeded asks, what cannot be done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autosteer.contracts import PolicyError, Problem
from autosteer.policies.peers._loading import quiet, seeded
from autosteer.policies.peers._trials import TrialBook

Feature = Literal["objectives", "limits", "context", "linear", "steps"]

_FEATURES: dict[Feature, str] = {
    "objectives": "several objectives",
    "limits": "limits on measured quantities",
    "context": "context",
    "linear": "limits on sums of knobs",
    "steps": "knobs with steps",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A place that a peer wants to see.

    Parameters
    ----------
    knobs : mapping of str to float
        The place.
    why : str
        What the peer says of it, one line.
    token : int or str, optional
        The peer's own name for it.
    """

    knobs: Mapping[str, float]
    why: str
    token: int | str | None = None


def refuse_what_cannot_be(problem: Problem, peer: str, can: frozenset[Feature]) -> None:
    """Check that a peer understands everything that a problem asks for.

    Parameters
    ----------
    problem : Problem
        The problem.
    peer : str
        Name of the peer, for people.
    can : frozenset of str
        What it can do.

    Raises
    ------
    PolicyError
        If there is anything that it would silently disregard.
    """
    asked: dict[Feature, bool] = {
        "objectives": len(problem.objectives) > 1,
        "limits": bool(problem.limits),
        "context": bool(problem.context),
        "linear": bool(problem.linear),
        "steps": any(one.step is not None for one in problem.knobs.values()),
    }
    lacking = [_FEATURES[name] for name, wanted in asked.items() if wanted and name not in can]
    if problem.keep_out:
        lacking.append("boxes to stay out of")
    if lacking:
        raise PolicyError(
            f"{peer} knows no {', '.join(lacking)}: leave them out of the problem, or use "
            "autosteer.policies:BayesianPolicy"
        )


class PeerPolicy(ABC):
    """A policy that asks a peer.

    Parameters
    ----------
    problem : Problem
        What the policy is to do.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._book = TrialBook(problem)
        self._asks = 0
        self._reasons: dict[str, str] = {}

    @abstractmethod
    def _propose(self, num_points: int) -> list[Proposal]:
        """Ask the peer, which has been given global random numbers of this ask's own."""

    @abstractmethod
    def _best(self) -> dict[str, Any]:
        """Give the peer's recommendation, when at least one point is measured."""

    def _named(self, names: Sequence[str], proposals: Sequence[Proposal]) -> None:
        """Note under which ``_id`` the proposals were given out."""
        self._reasons.update(zip(names, [one.why for one in proposals], strict=True))

    @property
    def _draw(self) -> int:
        """Seed of this ask."""
        return self._problem.seed * 1_000_003 + self._asks

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; fewer than wanted where the peer has no more.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        if num_points < 1:
            raise PolicyError(f"num_points is {num_points}: it must be at least 1")
        self._asks += 1
        with quiet(), seeded(self._draw):
            proposals = self._propose(num_points)
        points = self._book.suggest([proposal.knobs for proposal in proposals])
        self._named([point["_id"] for point in points], proposals)
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Points that were never suggested are welcome. One without a finite value of a quantity that
        the problem names counts as failed.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, and ``name`` and perhaps ``name_sem`` per quantity.
        """
        self._book.ingest(points)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._book.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the place that the peer recommends; the class says how it comes to it.

        Returns
        -------
        dict
            Knobs, the first objective and its ``_sd``; empty before the first measurement.
        """
        if not self._book.of("measured"):
            return {}
        with quiet(), seeded(self._draw):
            return self._best()

    def explain(self, suggestion_id: str) -> str:
        """Say what the peer says of a point.

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


class RepeatablePeerPolicy(PeerPolicy):
    """A peer whose next proposal follows from the points, the seed and the number of the ask."""

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {"asks": self._asks, "book": self._book.checkpoint()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._asks = int(state["asks"])
        self._book.restore(state["book"])
