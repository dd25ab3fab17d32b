"""Xopt's generator for objectives that change in time, on the clock of the shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autosteer.contracts import Problem
from autosteer.policies import RandomPolicy
from autosteer.policies.peers import vocs_of_problem
from autosteer.policies.peers._loading import peer_module, quiet, seeded


class _ClockOfShots:
    """Stands for Xopt's clock, which is the computer's: it shows the time of the newest shot."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self) -> float:
        """Return the time [s]."""
        return self.now_s

    def sleep(self, delay_s: float) -> None:
        """Let time pass."""
        self.now_s += delay_s


class XoptInTimePolicy:
    """Xopt's ``time_dependent_upper_confidence_bound``: a Gaussian process of knobs and time.

    It knows no points in flight: it is to be asked when every result is there.

    Parameters
    ----------
    problem : Problem
        Knobs and one objective, to be maximized.
    ahead_s : float, default 1
        The objective is predicted so long after the newest shot [s].
    forgets_s : float, default 90
        Points that are older do not count [s].
    n_initial : int, default 6
        Places drawn at random first.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        ahead_s: float = 1.0,
        forgets_s: float = 90.0,
        n_initial: int = 6,
    ) -> None:
        optimizer = peer_module("xopt.numerical_optimizer").LBFGSOptimizer(max_time=None)
        self._module = peer_module("xopt.generators.bayesian.time_dependent")
        with quiet():
            maker = peer_module("xopt.generators").get_generator(
                "time_dependent_upper_confidence_bound"
            )
            self._generator = maker(
                vocs=vocs_of_problem(problem),
                added_time=ahead_s,
                forgetting_time=forgets_s,
                numerical_optimizer=optimizer,
            )
        self._problem = problem
        self._random = RandomPolicy(problem)
        self._n_initial = n_initial
        self._forgets_s = forgets_s
        self._rows: dict[str, dict[str, float]] = {}
        self._asks = 0

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose a point, whatever number is wanted."""
        self._asks += 1
        if len(self._rows) < self._n_initial:
            return [{**point, "_id": f"x{self._asks}"} for point in self._random.suggest(1)]
        clock = _ClockOfShots()
        clock.now_s = max(row["time"] for row in self._rows.values())
        with quiet(), seeded(self._problem.seed * 1_000_003 + self._asks):
            ours, self._module.time = self._module.time, clock
            try:
                self._generator.data = peer_module("pandas").DataFrame(list(self._rows.values()))
                [row] = self._generator.generate(1)
            finally:
                self._module.time = ours
        return [
            {"_id": f"x{self._asks}", **{name: float(row[name]) for name in self._problem.knobs}}
        ]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points."""
        name = self._problem.objective.name
        for point in points:
            row = {knob: float(point[knob]) for knob in self._problem.knobs}
            row |= {name: float(point[name]), f"{name}_var": float(point[f"{name}_sem"]) ** 2}
            self._rows[str(point["_id"])] = {**row, "time": float(point["_t_s"])}
        now_s = max(row["time"] for row in self._rows.values())
        self._rows = {
            key: row for key, row in self._rows.items() if row["time"] > now_s - self._forgets_s
        }

    def best(self) -> dict[str, Any]:
        """Return the best of the newest readings."""
        name = self._problem.objective.name
        newest = list(self._rows.values())[-10:]
        top = newest[int(np.argmax([row[name] for row in newest]))] if newest else {}
        return {key: top[key] for key in (*self._problem.knobs, name)} if top else {}
