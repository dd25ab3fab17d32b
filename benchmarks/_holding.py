"""A way to use a policy where the optimum wanders: hold the best place while it is good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from _habits import Maker, Point, Renewed

from autosteer.contracts import Problem
from autosteer.policies._nearby import nearby

# A run holds on through a clog, which lasts some seconds: so many readings in a row must be low.
_LOW_READINGS = 5
_LOOK_S = 1.0
_REFERENCE_READINGS = 3
_FALLEN = 0.7


class Holding:
    """Optimizes for a while, then stays at the best place until the objective has fallen.

    What a person would do with an optimizer that knows no drift: when the objective stays below
    70 % of what it was at the best place so far, or shows nothing at all, an optimizer is made
    anew, and knows nothing of before.

    Parameters
    ----------
    problem : Problem
        The problem.
    make : callable
        Makes the optimizer.
    search_s : float
        Time of each search [s].
    near : float, optional
        Later searches look no farther than this share of a knob's range from the place that was
        held; None: everywhere.
    """

    def __init__(
        self, problem: Problem, make: Maker, search_s: float = 60.0, near: float | None = None
    ) -> None:
        self._problem = problem
        self._inner = Renewed(problem, make)
        self._search_s, self._near = search_s, near
        self._held: dict[str, Any] | None = None
        self._readings: dict[str, float] = {}
        self._good = 0.0
        self._begun_s: float | None = None
        self._now_s = 0.0
        self._looks = 0

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points: new ones, or the one that is held."""
        if self._held is None and self._now_s - (self._begun_s or 0.0) >= self._search_s:
            self._held = {name: self._inner.best()[name] for name in self._problem.knobs}
            self._readings = {}
        elif self._held is not None and self._has_fallen:
            self._inner.begin_anew(self._around(self._held))
            self._held, self._begun_s = None, self._now_s
        if self._held is None:
            return self._inner.suggest(num_points)
        self._looks += num_points
        shots = round(_LOOK_S * (self._problem.rate_hz or 1.0))
        return [
            {"_id": f"hold-{self._looks - number}", **self._held, "_shots": shots}
            for number in range(num_points)
        ]

    @property
    def _has_fallen(self) -> bool:
        readings = list(self._readings.values())
        if len(readings) < _LOW_READINGS:
            return False
        self._good = max(self._good, mean(readings[:_REFERENCE_READINGS]))
        return max(readings[-_LOW_READINGS:]) <= _FALLEN * self._good

    def _around(self, place: Mapping[str, float]) -> Problem:
        if self._near is None:
            return self._problem
        knobs = nearby(self._problem.knobs, place, self._near)
        return replace(self._problem, knobs=knobs)

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points."""
        self._now_s = max(self._now_s, *(float(point["_t_s"]) for point in points))
        if self._begun_s is None:
            self._begun_s = self._now_s
        if self._held is None:
            self._inner.ingest(points)
            return
        name = self._problem.objective.name
        self._readings |= {
            str(point["_id"]): float(point[name])
            for point in points
            if point["_final"] and str(point["_id"]).startswith("hold-")
        }

    def register_failures(self, points: Sequence[Point]) -> None:
        """Take suggestions that could not be measured."""
        self._inner.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the place that is held, or the optimizer's best."""
        if self._held is not None:
            return {**self._held, self._problem.objective.name: 0.0}
        return self._inner.best()
