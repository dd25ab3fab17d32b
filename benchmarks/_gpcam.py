"""gpCAM as a policy, for comparison only: it comes under the GPL, so that the package has no part.

What is done here is what gpCAM's documentation does: train, then ask for the expected improvement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autosteer.contracts import MissingExtraError, Problem


class GpcamPolicy:
    """gpCAM's ``GPOptimizer``, made anew for each ask from all points.

    `best` is where gpCAM finds the best posterior mean, within the limits of the knobs.

    Parameters
    ----------
    problem : Problem
        Knobs and one objective, to be maximized.

    Raises
    ------
    MissingExtraError
        If gpCAM is not installed.
    """

    def __init__(self, problem: Problem) -> None:
        try:
            from gpcam import GPOptimizer
        except ImportError:
            raise MissingExtraError("gpcam", "peers", "the comparison with gpCAM") from None
        self._make: Any = GPOptimizer
        self._problem = problem
        self._names = tuple(problem.knobs)
        self._bounds = np.array([(one.low, one.high) for one in problem.knobs.values()])
        self._points: dict[str, Mapping[str, Any]] = {}
        self._asks = 0

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points."""
        np.random.seed(self._problem.seed * 1009 + self._asks)
        self._asks += 1
        places = self._trained().ask(
            self._bounds, n=num_points, acquisition_function="expected improvement"
        )["x"]
        return [
            {
                "_id": f"g{self._asks}-{number}",
                **dict(zip(self._names, map(float, row), strict=True)),
            }
            for number, row in enumerate(places)
        ]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points."""
        self._points.update({str(point["_id"]): point for point in points})

    def best(self) -> dict[str, Any]:
        """Return the place of the best posterior mean, as gpCAM finds it."""
        np.random.seed(self._problem.seed)
        optimizer = self._trained()
        [place] = optimizer.ask(self._bounds, acquisition_function="maximum")["x"]
        [mean] = np.ravel(optimizer.posterior_mean(place[None])["m(x)"])
        name = self._problem.objective.name
        return {**dict(zip(self._names, map(float, place), strict=True)), name: float(mean)}

    def _trained(self) -> Any:
        name = self._problem.objective.name
        points = list(self._points.values())
        x = np.array([[float(point[knob]) for knob in self._names] for point in points])
        y = np.array([float(point[name]) for point in points])
        noise = np.array([float(point[f"{name}_sem"]) ** 2 for point in points])
        optimizer = self._make(x, y, noise_variances=noise)
        widths = self._bounds[:, 1] - self._bounds[:, 0]
        spread = max(float(np.var(y)), 1e-6)
        optimizer.train(
            hyperparameter_bounds=np.array([
                [0.01 * spread, 100 * spread],
                *np.column_stack([0.01 * widths, 10 * widths]),
            ])
        )
        return optimizer
