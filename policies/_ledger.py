"""What every policy keeps: the points measured, the points pending, and those that failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Problem
from autosteer.policies._grounds import Grounds
from autosteer.policies._points import Place, finite, not_negative, read_point, read_position

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """One quantity at one point.

    Parameters
    ----------
    mean : float
        Its value.
    sem : float
        Its standard error; NaN where it was not given.
    n : float
        Shots behind it; NaN where it was not given.
    """

    mean: float
    sem: float = math.nan
    n: float = math.nan


@dataclass(frozen=True, slots=True)
class Measurement:
    """The newest outcome of one point.

    Parameters
    ----------
    x : tuple of float
        Position, in the order of the knobs.
    readings : mapping of str to Reading
        The quantities that were measured.
    t_s : float
        When [s]; NaN where it was not given.
    """

    x: Place
    readings: Mapping[str, Reading]
    t_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Pending:
    """A point that was suggested and is not measured yet.

    Parameters
    ----------
    x : tuple of float
        Position, in the order of the knobs.
    shots : int, optional
        Shots that were wanted there.
    """

    x: Place
    shots: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One quantity at all points where it was measured, in the order of their first results.

    Parameters
    ----------
    x : ndarray of float64, shape (n, n_knobs)
        Places in the unit cube.
    mean, sem, n : ndarray of float64, shape (n,)
        Values, standard errors and shots; NaN where not given.
    t_s : ndarray of float64, shape (n,)
        Times [s]; NaN where not given.
    context : ndarray of float64, shape (n, n_context)
        Values of the context; NaN where not given.
    """

    x: Float
    mean: Float
    sem: Float
    n: Float
    t_s: Float
    context: Float

    def __len__(self) -> int:
        return len(self.mean)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Table:
        """Keep some of the rows.

        Parameters
        ----------
        rows : ndarray
            Mask or indices.

        Returns
        -------
        Table
            The rows.
        """
        return Table(*(getattr(self, field.name)[rows] for field in fields(self)))

    def newest(self, most: int) -> Table:
        """Leave out the oldest rows, where there are too many.

        Parameters
        ----------
        most : int
            Rows to keep.

        Returns
        -------
        Table
            The last ones.
        """
        return self.select(np.arange(max(len(self) - most, 0), len(self)))

    def thinned(self, most: int) -> Table:
        """Leave out rows that say least, where there are too many.

        Parameters
        ----------
        most : int
            Rows to keep.

        Returns
        -------
        Table
            Those with the most shots and the highest values by them, and of the others every so
            many; in the same order.
        """
        if len(self) <= most:
            return self
        shots = np.where(np.isfinite(self.n), self.n, 1.0)
        telling = np.abs(self.mean - np.median(self.mean)) * np.sqrt(shots)
        order = np.argsort(-telling, kind="stable")
        half = most // 2
        rest = np.sort(order[half:])
        spread = rest[np.linspace(0, len(rest) - 1, most - half).astype(np.intp)]
        return self.select(np.sort(np.concatenate([order[:half], spread])))


class Ledger:
    """Points by ``_id``, in the box of the knobs.

    Parameters
    ----------
    problem : Problem
        Knobs and quantities.
    """

    def __init__(self, problem: Problem) -> None:
        self.names = tuple(problem.knobs)
        self._problem = problem
        self._quantities = problem.quantities
        self._context = problem.context
        self.grounds = Grounds(problem)
        self.measured: dict[str, Measurement] = {}
        self.pending: dict[str, Pending] = {}
        self.failed: dict[str, Place] = {}
        self._suggested = 0

    def suggest(self, unit_points: Float, shots: int | None = None) -> list[dict[str, Any]]:
        """Name points and note them as pending.

        Parameters
        ----------
        unit_points : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        shots : int, optional
            Shots that are wanted at each.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob.
        """
        points = []
        for row in self.grounds.places(unit_points):
            self._suggested += 1
            name = f"s{self._suggested}"
            x = tuple(row.tolist())
            self.pending[name] = Pending(x, shots)
            points.append({"_id": name, **dict(zip(self.names, x, strict=True))})
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        A point at which nothing was measured is noted as failed; it harms no other.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the quantities, perhaps their ``_sem`` and ``_n``.

        Raises
        ------
        PolicyError
            If a point lacks its ``_id`` or a finite position; none of the points is taken then.
        """
        read = [self._read(point) for point in points]
        for name, measurement in read:
            self.pending.pop(name, None)
            if measurement.readings.keys() - set(self._context):
                self.measured[name] = measurement
                self.failed.pop(name, None)
            else:
                self.failed[name] = measurement.x

    def _read(self, point: Mapping[str, Any]) -> tuple[str, Measurement]:
        name, x = read_point(point, self.names)
        readings = {}
        for quantity in self._quantities:
            mean = finite(point.get(quantity))
            if math.isfinite(mean):
                sem, n = point.get(f"{quantity}_sem"), point.get(f"{quantity}_n")
                readings[quantity] = Reading(mean, not_negative(sem), not_negative(n))
        return name, Measurement(x, readings, not_negative(point.get("_t_s")))

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: they are pending no more.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        for point in points:
            name = str(point.get("_id", ""))
            pending = self.pending.pop(name, None)
            x = read_position(point, self.names) if pending is None else pending.x
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
        return self.grounds.unit(rows)

    def table(self, quantity: str) -> Table:
        """Return one quantity at all points where it was measured.

        Parameters
        ----------
        quantity : str
            Name of the quantity.

        Returns
        -------
        Table
            The values.
        """
        points = [point for point in self.measured.values() if quantity in point.readings]
        readings = [point.readings[quantity] for point in points]
        nothing = Reading(math.nan)
        context = [
            [point.readings.get(name, nothing).mean for name in self._context] for point in points
        ]
        return Table(
            x=self.unit([point.x for point in points]),
            mean=np.array([reading.mean for reading in readings]),
            sem=np.array([reading.sem for reading in readings]),
            n=np.array([reading.n for reading in readings]),
            t_s=np.array([point.t_s for point in points]),
            context=np.array(context, np.float64).reshape(len(points), len(self._context)),
        )

    @property
    def context(self) -> Float:
        """Newest value of each quantity of the context; NaN where none is known."""
        return np.array([
            next(
                (
                    point.readings[name].mean
                    for point in reversed(self.measured.values())
                    if name in point.readings
                ),
                math.nan,
            )
            for name in self._context
        ])

    def named(self, x: Sequence[float]) -> dict[str, float]:
        """Return a position by knob.

        Parameters
        ----------
        x : sequence of float
            Position in the knobs' units.

        Returns
        -------
        dict of str to float
            The same, by knob.
        """
        return {name: float(value) for name, value in zip(self.names, x, strict=True)}

    def best_measured(self) -> dict[str, Any]:
        """Return the measured point that keeps the limits and has the best mean.

        Returns
        -------
        dict
            Knobs, objective and its ``_sd``; empty if no point does.
        """
        aim = self._problem.objective
        points = [
            point
            for point in self.measured.values()
            if aim.name in point.readings and self._keeps_limits(point)
        ]
        if not points:
            return {}
        top = max(points, key=lambda point: aim.sign * point.readings[aim.name].mean)
        reading = top.readings[aim.name]
        return {**self.named(top.x), aim.name: reading.mean, f"{aim.name}_sd": reading.sem}

    def _keeps_limits(self, point: Measurement) -> bool:
        return all(
            limit.name in point.readings and limit.kept_by(point.readings[limit.name].mean)
            for limit in self._problem.limits
        )

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            "measured": {
                name: {
                    "x": list(point.x),
                    "t_s": _or_none(point.t_s),
                    "readings": {
                        quantity: [reading.mean, _or_none(reading.sem), _or_none(reading.n)]
                        for quantity, reading in point.readings.items()
                    },
                }
                for name, point in self.measured.items()
            },
            "pending": {name: [list(one.x), one.shots] for name, one in self.pending.items()},
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
            name: Measurement(
                tuple(point["x"]),
                {
                    quantity: Reading(mean, not_negative(sem), not_negative(n))
                    for quantity, (mean, sem, n) in point["readings"].items()
                },
                not_negative(point["t_s"]),
            )
            for name, point in state["measured"].items()
        }
        self.pending = {
            name: Pending(tuple(x), shots) for name, (x, shots) in state["pending"].items()
        }
        self.failed = {name: tuple(x) for name, x in state["failed"].items()}
        self._suggested = int(state["suggested"])


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
