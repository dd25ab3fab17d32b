"""Policies that go wrong, and one that names no best place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autosteer.contracts import PolicyError, Problem
from autosteer.policies import RandomPolicy


class OneKnobOnly(RandomPolicy):
    """A policy that is not for every problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        if len(problem.knobs) > 1:
            raise PolicyError(f"one knob only, not {len(problem.knobs)}")


class Raising(RandomPolicy):
    """A policy with a mistake in it."""

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{"x": 1 / 0}]


class Nameless:
    """A policy that goes to given places, and names none as best."""

    def __init__(self, problem: Problem, places: Sequence[Mapping[str, float]] = ()) -> None:
        self._places = [dict(place) for place in places]
        self._given = 0

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        self._given += 1
        place = self._places[min(self._given, len(self._places)) - 1]
        return [{"_id": str(self._given), **place}]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        pass


class Naming(Nameless):
    """The same, and it names one after its third answer."""

    def best(self) -> dict[str, Any]:
        return {**self._places[0], "resolved_spots": 1.0} if self._given >= 3 else {}
