"""A policy of one's own in 30 lines, scored on the simulated jet against two others.

Run it:  python examples/own_policy/hill_climber.py [seeds]
"""

import math
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from autosteer import score
from autosteer.contracts import Problem


class HillClimber:
    """Tries a random step from the best place seen; every failure makes the steps smaller."""

    def __init__(self, problem: Problem) -> None:
        self._knobs = problem.knobs
        self._objective = problem.objective.name
        self._sign = 1 if problem.objective.maximize else -1
        self._random = random.Random(problem.seed)
        self._step, self._count = 0.5, 0
        self._told: dict[str, Mapping[str, Any]] = {}

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        points, best = [], self.best()
        for _ in range(num_points):
            self._count += 1
            point: dict[str, Any] = {"_id": f"h{self._count}"}
            for name, knob in self._knobs.items():
                here = best.get(name, (knob.low + knob.high) / 2)
                step = self._random.gauss(0, self._step * (knob.high - knob.low))
                point[name] = min(max(here + step, knob.low), knob.high)
            points.append(point)
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        before = self.best()
        for point in points:
            # A later outcome of the same point replaces the earlier; some have no value.
            if math.isfinite(point.get(self._objective, math.nan)):
                self._told[point["_id"]] = point
        if before and self.best() == before:
            self._step = max(0.93 * self._step, 0.02)

    def best(self) -> dict[str, Any]:
        key = self._objective
        return dict(max(self._told.values(), key=lambda one: self._sign * one[key], default={}))


if __name__ == "__main__":
    # The class is named as an experiment file would name it.
    sys.path.insert(0, str(Path(__file__).parent))
    file = Path(__file__).parents[1] / "jet_alignment" / "experiment.yaml"
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print("share of the attainable hit rate after a minute of beam, and on the average over it")
    for name, options in (
        ("hill_climber:HillClimber", "{}"),
        ("autosteer.policies:RandomPolicy", "{}"),
        ("autosteer.policies:BayesianPolicy", "{link: arcsine}"),
    ):
        overrides = [f"policy.class={name}", f"policy.options={options}"]
        scores = [score(file, seed, overrides) for seed in seeds]
        print(
            f"{name:36} end: median {median(one.end for one in scores):.2f}, "
            f"worst {min(one.end for one in scores):.2f}   "
            f"mean: {median(one.mean for one in scores):.2f}"
        )
