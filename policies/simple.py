"""Policies to compare with: a grid and random places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._ledger import Float, Ledger


class _Unmodelled:
    """What grid and random search share: they learn nothing, they keep the best they saw.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    """

    def __init__(
        self,
        problem: Problem,
    ) -> None:
        self._ledger = Ledger(problem)
        self._seed = problem.seed
        self._given = 0

    def _unit_points(self, first: int, count: int) -> Float:
        raise NotImplementedError

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Give the next points of the sequence.

        Parameters
        ----------
        num_points : int
            Points wanted.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; fewer than wanted where the sequence ends.
        """
        points = self._unit_points(self._given, num_points)
        self._given += len(points)
        return self._ledger.suggest(points)

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, and the objective.
        """
        self._ledger.ingest(points)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._ledger.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the best point measured.

        Returns
        -------
        dict
            Knobs, objective and its ``_sd``; empty if nothing was measured.
        """
        return self._ledger.best_measured()

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state.
        """
        return {"given": self._given, "ledger": self._ledger.checkpoint()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._given = int(state["given"])
        self._ledger.restore(state["ledger"])


class RandomPolicy(_Unmodelled):
    """Goes to places drawn uniformly from the box.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.

    Examples
    --------
    >>> policy = RandomPolicy(Problem.of({"x": (0.0, 2.0)}, "hits", seed=1))
    >>> [point] = policy.suggest(1)
    >>> 0.0 <= point["x"] <= 2.0
    True
    """

    def _unit_points(self, first: int, count: int) -> Float:
        dimension = len(self._ledger.names)
        rng = np.random.Generator(np.random.Philox(self._seed))
        return rng.random((first + count, dimension))[first:]


class GridPolicy(_Unmodelled):
    """Goes through a regular grid once, neighbour by neighbour.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    points_per_knob : int, default 6
        Places along each knob.

    Raises
    ------
    PolicyError
        If there are less than two points per knob.

    Examples
    --------
    >>> problem = Problem.of({"x": (0.0, 1.0), "y": (0.0, 1.0)}, "hits")
    >>> policy = GridPolicy(problem, points_per_knob=2)
    >>> [(point["x"], point["y"]) for point in policy.suggest(9)]
    [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]
    """

    def __init__(
        self,
        problem: Problem,
        points_per_knob: int = 6,
    ) -> None:
        super().__init__(problem)
        if points_per_knob < 2:
            raise PolicyError(f"points_per_knob is {points_per_knob}: a grid needs at least 2")
        self._per_knob = points_per_knob

    @property
    def _size(self) -> int:
        return int(self._per_knob ** len(self._ledger.names))

    def _unit_points(self, first: int, count: int) -> Float:
        numbers = np.arange(first, min(first + count, self._size))
        points = np.empty((len(numbers), len(self._ledger.names)))
        # The last knob runs fastest, and turns back at each end, so that steps stay short.
        rest = numbers
        digits = []
        for _ in self._ledger.names:
            rest, digit = np.divmod(rest, self._per_knob)
            digits.append((rest, digit))
        for column, (above, digit) in enumerate(reversed(digits)):
            turned = np.where(above % 2 == 1, self._per_knob - 1 - digit, digit)
            points[:, column] = turned / (self._per_knob - 1)
        return points

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether the grid is complete.

        Returns
        -------
        stop : bool
            Whether every point has been given and none is pending.
        reason : str
            What to tell people.
        """
        done = self._given >= self._size and not self._ledger.pending
        return done, f"all {self._size} points of the grid are measured" if done else ""
