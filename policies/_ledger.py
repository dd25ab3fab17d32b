"""What every policy keeps: the points measured, the points pending, and those that failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import PolicyError, Problem

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The newest outcome of one point.

    Parameters
    ----------
    x : tuple of float
        Position, in the order of the knobs.
    mean : float
        Value of the objective.
    sem : float
        Its standard error; NaN where it was not given.
    n : float
        Shots behind it; NaN where it was not given.
    """

    x: tuple[float, ...]
    mean: float
    sem: float
    n: float = math.nan


class Ledger:
    """Points by ``_id``, in the box of the knobs.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    """

    def __init__(self, problem: Problem) -> None:
        self.names = tuple(problem.knobs)
        self.objective = problem.objective.name
        self.sign = 1.0 if problem.objective.maximize else -1.0
        self.low = np.array([knob.low for knob in problem.knobs.values()], np.float64)
        self.high = np.array([knob.high for knob in problem.knobs.values()], np.float64)
        self.measured: dict[str, Measurement] = {}
        self.pending: dict[str, tuple[float, ...]] = {}
        self.failed: dict[str, tuple[float, ...]] = {}
        self._suggested = 0

    def suggest(self, unit_points: Float) -> list[dict[str, Any]]:
        """Name points and note them as pending.

        Parameters
        ----------
        unit_points : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob.
        """
        points = []
        for row in self.low + np.clip(unit_points, 0.0, 1.0) * (self.high - self.low):
            self._suggested += 1
            name = f"s{self._suggested}"
            # Rounding must not carry a point over a limit.
            x = tuple(np.clip(row, self.low, self.high).tolist())
            self.pending[name] = x
            points.append({"_id": name, **dict(zip(self.names, x, strict=True))})
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        A point without a finite objective is noted as failed; it harms no other.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the objective, perhaps its ``_sem``.

        Raises
        ------
        PolicyError
            If a point lacks its ``_id`` or a finite position; none of the points is taken then.
        """
        read = [self._read(point) for point in points]
        for name, measurement in read:
            self.pending.pop(name, None)
            if math.isfinite(measurement.mean):
                self.measured[name] = measurement
                self.failed.pop(name, None)
            else:
                self.failed[name] = measurement.x

    def _read(self, point: Mapping[str, Any]) -> tuple[str, Measurement]:
        if "_id" not in point:
            raise PolicyError(f"point {dict(point)} has no '_id'")
        name = str(point["_id"])
        x = self._position(point)
        if x is None:
            raise PolicyError(f"point '{name}' lacks a finite value for one of {self.names}")
        mean = point.get(self.objective)
        return name, Measurement(
            x,
            math.nan if mean is None else float(mean),
            _positive(point.get(f"{self.objective}_sem")),
            _positive(point.get(f"{self.objective}_n")),
        )

    def _position(self, point: Mapping[str, Any]) -> tuple[float, ...] | None:
        values = [point.get(name) for name in self.names]
        if any(value is None or not math.isfinite(value) for value in values):
            return None
        return tuple(float(value) for value in values if value is not None)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: they are pending no more.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        for point in points:
            name = str(point.get("_id", ""))
            x = self.pending.pop(name, None) or self._position(point)
            if x is not None and name not in self.measured:
                self.failed[name] = x

    def unit(self, x: Sequence[Sequence[float]]) -> Float:
        """Scale positions to the unit cube.

        Parameters
        ----------
        x : sequence of sequence of float, shape (n, n_knobs)
            Positions in the knobs' units.

        Returns
        -------
        ndarray of float64, shape (n, n_knobs)
            Positions in units of the box.
        """
        rows = np.array(x, np.float64).reshape(-1, len(self.names))
        scaled: Float = (rows - self.low) / (self.high - self.low)
        return scaled

    def best_measured(self) -> dict[str, Any]:
        """Return the measured point with the best mean.

        Returns
        -------
        dict
            Knobs, objective and its ``_sd``; empty if nothing was measured.
        """
        if not self.measured:
            return {}
        top = max(self.measured.values(), key=lambda point: self.sign * point.mean)
        return {
            **dict(zip(self.names, top.x, strict=True)),
            self.objective: top.mean,
            f"{self.objective}_sd": top.sem,
        }

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            "measured": {
                name: [list(point.x), point.mean, _or_none(point.sem), _or_none(point.n)]
                for name, point in self.measured.items()
            },
            "pending": {name: list(x) for name, x in self.pending.items()},
            "failed": {name: list(x) for name, x in self.failed.items()},
            "suggested": self._suggested,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self.measured = {
            name: Measurement(tuple(x), mean, _positive(sem), _positive(n))
            for name, (x, mean, sem, n) in state["measured"].items()
        }
        self.pending = {name: tuple(x) for name, x in state["pending"].items()}
        self.failed = {name: tuple(x) for name, x in state["failed"].items()}
        self._suggested = int(state["suggested"])


def _positive(value: float | None) -> float:
    """Give NaN for what is missing, not finite or negative."""
    if value is None or not math.isfinite(value) or value < 0:
        return math.nan
    return float(value)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
