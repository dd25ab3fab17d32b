"""Ways to use a policy: fixed stays, no errors, an opening, a short memory, a diagnostic first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autosteer.contracts import Problem
from autosteer.policies import RandomPolicy

Point = Mapping[str, Any]
Maker = Callable[[Problem], Any]


class FixedStays:
    """A policy that does not say how long to stay: the experiment file does.

    Parameters
    ----------
    inner : policy
        The policy.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points, without the shots that they are worth."""
        return [
            {name: value for name, value in point.items() if name not in {"_shots", "_worse_than"}}
            for point in self._inner.suggest(num_points)
        ]

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points."""
        self._inner.ingest(points)

    def register_failures(self, points: Sequence[Point]) -> None:
        """Take suggestions that could not be measured."""
        self._inner.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the best place."""
        best: dict[str, Any] = self._inner.best()
        return best


class WithoutErrors(FixedStays):
    """A policy that is not told how well each reading is known; it may say how long to stay.

    Parameters
    ----------
    inner : policy
        The policy.
    """

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points."""
        points: list[dict[str, Any]] = self._inner.suggest(num_points)
        return points

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points, without their errors and counts."""
        self._inner.ingest([
            {name: value for name, value in point.items() if not name.endswith(("_sem", "_n"))}
            for point in points
        ])


class Opened:
    """A policy that has no opening of its own: the first places are drawn at random.

    Parameters
    ----------
    problem : Problem
        The problem.
    make : callable
        Makes the policy.
    count : int, default 8
        Places that are measured first.
    """

    def __init__(self, problem: Problem, make: Maker, count: int = 8) -> None:
        self._inner = make(problem)
        self._random = RandomPolicy(problem)
        self._count = count
        self._measured: set[str] = set()

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points."""
        if len(self._measured) >= self._count:
            points: list[dict[str, Any]] = self._inner.suggest(num_points)
            return points
        return [
            {**point, "_id": f"opening-{point['_id']}"}
            for point in self._random.suggest(num_points)
        ]

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points."""
        self._measured.update(str(point["_id"]) for point in points)
        self._inner.ingest(points)

    def best(self) -> dict[str, Any]:
        """Return the best place, once the policy has been asked."""
        if len(self._measured) < self._count:
            return {}
        best: dict[str, Any] = self._inner.best()
        return best


class Renewed:
    """A policy that is made anew now and then, and told what is not too old.

    Places that an earlier one has suggested come back as points that nobody suggested.

    Parameters
    ----------
    problem : Problem
        The problem.
    make : callable
        Makes the policy.
    most : int
        With more points than these it is made anew.
    kept : int
        Newest points that the new one is told.
    """

    def __init__(self, problem: Problem, make: Maker, most: int = 150, kept: int = 100) -> None:
        self._problem = problem
        self._seed = problem.seed
        self._make = make
        self._most, self._kept = most, kept
        self._points: dict[str, Point] = {}
        self._times = 0
        self._inner = make(problem)

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points."""
        if len(self._points) > self._most:
            self._points = dict(list(self._points.items())[-self._kept :])
            self.begin_anew(self._problem, list(self._points.values()))
        return [
            {**point, "_id": f"{self._times}.{point['_id']}"}
            for point in self._inner.suggest(num_points)
        ]

    def begin_anew(self, problem: Problem, points: Sequence[Point] = ()) -> None:
        """Make the policy anew.

        Parameters
        ----------
        problem : Problem
            The problem from now on.
        points : sequence of mapping
            Points that it is told.
        """
        self._times += 1
        self._problem = problem
        self._points = {str(point["_id"]): point for point in points}
        self._inner = self._make(problem.with_seed(1000 * self._seed + self._times))
        if points:
            self._inner.ingest([self._told(point) for point in points])

    def _told(self, point: Point) -> Point:
        """Give a point the name that the present policy knows it by."""
        return {**point, "_id": str(point["_id"]).removeprefix(f"{self._times}.")}

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points."""
        self._points.update({str(point["_id"]): point for point in points})
        self._inner.ingest([self._told(point) for point in points])

    def register_failures(self, points: Sequence[Point]) -> None:
        """Take suggestions that could not be measured."""
        if hasattr(self._inner, "register_failures"):
            self._inner.register_failures([self._told(point) for point in points])

    def best(self) -> dict[str, Any]:
        """Return the best place."""
        best: dict[str, Any] = self._inner.best()
        return best


class Guided:
    """Optimizes a diagnostic until the objective shows something, and then the objective.

    What a person would do with an optimizer that knows one objective, which shows nothing at
    first. The optimizer of the objective is told all points so far.

    Parameters
    ----------
    problem : Problem
        The problem; its last diagnostic is the one.
    make : callable
        Makes the optimizer.
    clear : float, default 5
        The objective shows something where it is so many standard errors above zero.
    """

    def __init__(self, problem: Problem, make: Maker, clear: float = 5.0) -> None:
        self._problem = problem
        before = replace(
            problem, objectives=problem.diagnostics[-1:], diagnostics=problem.diagnostics[:-1]
        )
        self._inner = Renewed(before, make, most=10_000)
        self._clear = clear
        self._points: dict[str, Point] = {}
        self._is_found = False

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points."""
        name = self._problem.objective.name
        if not self._is_found and any(
            point[name] > self._clear * point[f"{name}_sem"] for point in self._points.values()
        ):
            self._is_found = True
            self._inner.begin_anew(self._problem, list(self._points.values()))
        return self._inner.suggest(num_points)

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points."""
        self._points.update({str(point["_id"]): point for point in points})
        self._inner.ingest(points)

    def register_failures(self, points: Sequence[Point]) -> None:
        """Take suggestions that could not be measured."""
        self._inner.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the best place, as far as the present aim goes."""
        best = self._inner.best()
        if best and not self._is_found:
            best[self._problem.objective.name] = 0.0
        return best
