"""Finds an optimum, follows it while it wanders, and finds it again when it is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._keeper import check_count
from autosteer.policies._modelless import refuse_what_is_beyond
from autosteer.policies._nearby import nearby
from autosteer.policies._points import finite, not_negative
from autosteer.policies.bayes import BayesianPolicy
from autosteer.policies.extremum import ExtremumSeeking

Point = Mapping[str, Any]

# The optimum is found when its height above what is usual is known to a fifth, and another
# measurement is expected to add less than this share of it.
_SIGNIFICANT = 5.0
_SMALL_GAIN = 0.1
# It is lost where less than this share of its height is left.
_LOST = 0.5
# It is sought again within this share of each range about where it was, to either side, and
# after so many times the patience everywhere.
_NEAR = 0.25
_PATIENCES_NEAR = 3.0
# Newest points of the objective that a search is told of what was before.
_MOST_TOLD = 20


class FollowPolicy:
    """A search with `BayesianPolicy`, then `ExtremumSeeking` about what it has found, and again.

    The optimum counts as found when another measurement is expected to add less than 10 % of its
    height above what is usual in the search. It counts as lost when in `patience_s` more than half
    of the readings about it have been below half of that height: a clog that is shorter is waited
    for. The next search begins with the newest points only, for what was known of before is gone,
    and looks within a quarter of each range from where it was, before it looks everywhere.

    Parameters
    ----------
    problem : Problem
        Knobs, one objective, and diagnostics for the search.
    horizon_s : float, default 30
        How long a better place will be of use [s]: about as long as the optimum stays where it is.
    amplitude, gain, memory
        As of `ExtremumSeeking`.
    patience_s : float, default 10
        How long the optimum may look lost [s].

    Raises
    ------
    PolicyError
        If an option is out of range, or there are several objectives, limits or a context.

    Examples
    --------
    >>> policy = FollowPolicy(Problem.of({"x": (-1.0, 1.0)}, "hits", seed=3))
    >>> [point] = policy.suggest(1)
    """

    def __init__(
        self,
        problem: Problem,
        *,
        horizon_s: float = 30.0,
        amplitude: float | Mapping[str, float] = 0.02,
        gain: float = 0.5,
        memory: float = 1.5,
        patience_s: float = 10.0,
    ) -> None:
        refuse_what_is_beyond(problem, "FollowPolicy")
        if not patience_s > 0:
            raise PolicyError(f"patience_s is {patience_s}: it must be positive")
        self._problem = problem
        self._name, self._sign = problem.objective.name, problem.objective.sign
        self._horizon_s = horizon_s
        self._seeking: dict[str, Any] = {"amplitude": amplitude, "gain": gain, "memory": memory}
        self._patience_s = patience_s
        self._part = 1
        # Where the optimum was lost, while it is sought about there.
        self._lost_at: dict[str, float] | None = None
        self._inner: BayesianPolicy | ExtremumSeeking = self._search()
        # An option out of range shows at once, not when something has been found.
        self._seek({name: knob.low for name, knob in problem.knobs.items()})
        self._points: dict[str, Point] = {}
        # What is usual in a search, and how far what was found stands above it.
        self._usual = self._height = 0.0
        self._since_s = self._newest_s = 0.0
        self._reasons: dict[str, str] = {}

    def _search(self) -> BayesianPolicy:
        problem = self._problem.with_seed(1000 * self._problem.seed + self._part)
        if self._lost_at is not None:
            problem = replace(problem, knobs=nearby(problem.knobs, self._lost_at, _NEAR))
        return BayesianPolicy(problem, horizon_s=self._horizon_s)

    def _seek(self, start: Mapping[str, float]) -> ExtremumSeeking:
        return ExtremumSeeking(self._problem, start=start, **self._seeking)

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points of the search, or of the dither.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; where shots are counted, also ``_shots``.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        check_count(num_points)
        if isinstance(self._inner, BayesianPolicy):
            self._begin_to_follow_what_is_found(self._inner)
        elif self._is_lost:
            best = self._inner.best()
            self._begin_to_search({name: float(best[name]) for name in self._problem.knobs})
        points = []
        for point in self._inner.suggest(num_points):
            name = f"{self._part}.{point['_id']}"
            self._reasons[name] = self._inner.explain(str(point["_id"]))
            points.append({**point, "_id": name})
        return points

    def _begin_to_follow_what_is_found(self, search: BayesianPolicy) -> None:
        about_s = self._newest_s - self._since_s
        if self._lost_at is not None and about_s > _PATIENCES_NEAR * self._patience_s:
            self._begin_to_search(None)
            return
        best = search.best()
        readings = [float(point[self._name]) for point in self._points.values()]
        if len(readings) < 2 or self._name not in best:
            return
        usual = median(readings)
        height = self._sign * (best[self._name] - usual)
        if height < _SIGNIFICANT * best[f"{self._name}_sd"]:
            return
        if not search.expected_gain < _SMALL_GAIN * height:
            return
        self._lost_at = None
        self._part += 1
        self._usual, self._height = usual, height
        self._since_s = self._newest_s
        self._inner = self._seek({name: best[name] for name in self._problem.knobs})
        self._points = {}

    def _begin_to_search(self, lost_at: dict[str, float] | None) -> None:
        self._part += 1
        self._lost_at, self._since_s = lost_at, self._newest_s
        self._inner = self._search()
        self._points = dict(list(self._points.items())[-_MOST_TOLD:])
        self._inner.ingest(list(self._points.values()))

    @property
    def _is_lost(self) -> bool:
        if self._newest_s - self._since_s < self._patience_s:
            return False
        readings = [
            self._sign * (float(point[self._name]) - self._usual)
            for point in self._points.values()
            if not_negative(point.get("_t_s")) >= self._newest_s - self._patience_s
        ]
        return median(readings) < _LOST * self._height

    def ingest(self, points: Sequence[Point]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the objective, and perhaps its ``_sem`` and ``_n``. Points
            that were never suggested are welcome.
        """
        self._inner.ingest([self._told(point) for point in points])
        for point in points:
            if not math.isnan(finite(point.get(self._name))):
                self._points[str(point["_id"])] = dict(point)
                time_s = not_negative(point.get("_t_s"))
                if time_s > self._newest_s:
                    self._newest_s = time_s
        if not isinstance(self._inner, BayesianPolicy):
            oldest_s = self._newest_s - 2 * self._patience_s
            self._points = {
                name: point
                for name, point in self._points.items()
                if not not_negative(point.get("_t_s")) < oldest_s
            }

    def _told(self, point: Point) -> Point:
        """Give a point the name that the present part knows it by."""
        if "_id" not in point:
            return point
        return {**point, "_id": str(point["_id"]).removeprefix(f"{self._part}.")}

    def register_failures(self, points: Sequence[Point]) -> None:
        """Take suggestions that could not be measured.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._inner.register_failures([self._told(point) for point in points])

    def best(self) -> dict[str, Any]:
        """Return the best place, or where it has been followed to.

        Returns
        -------
        dict
            Knobs, the objective and its ``_sd``; empty before the first measurement.
        """
        return self._inner.best()

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
            "part": self._part,
            "lost_at": self._lost_at,
            "searches": isinstance(self._inner, BayesianPolicy),
            "inner": self._inner.checkpoint(),
            "points": {name: dict(point) for name, point in self._points.items()},
            "usual": self._usual,
            "height": self._height,
            "since_s": self._since_s,
            "newest_s": self._newest_s,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._part, self._lost_at = int(state["part"]), state["lost_at"]
        low = {name: knob.low for name, knob in self._problem.knobs.items()}
        self._inner = self._search() if state["searches"] else self._seek(low)
        self._inner.restore(state["inner"])
        self._points = {str(name): dict(point) for name, point in state["points"].items()}
        self._usual, self._height = float(state["usual"]), float(state["height"])
        self._since_s, self._newest_s = float(state["since_s"]), float(state["newest_s"])
