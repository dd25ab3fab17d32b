"""What a wrapped peer is told: every point by its ``_id``, with all quantities of the problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from autosteer.contracts import Problem
from autosteer.policies._points import Place, finite, not_negative, read_point, read_position

Status = Literal["pending", "measured", "failed"]

# A readback this far beyond a limit, as a share of the range, still counts as at the limit.
_AT_THE_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Trial:
    """The newest that is known of one point.

    Parameters
    ----------
    x : tuple of float
        Position, in the order of the knobs: what was suggested, then what was reached.
    status : {"pending", "measured", "failed"}
        What became of it.
    values : mapping of str to (float, float)
        Mean and standard error of each quantity; the error is NaN where it was not given.
    """

    x: Place
    status: Status
    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class TrialBook:
    """Points by ``_id``, in the order in which they came.

    Parameters
    ----------
    problem : Problem
        Knobs and quantities.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.names = tuple(problem.knobs)
        self.wanted = (
            *(aim.name for aim in problem.objectives),
            *(limit.name for limit in problem.limits),
            *problem.context,
        )
        """Quantities without which a measurement is a failure."""
        self.trials: dict[str, Trial] = {}
        self._suggested = 0

    def suggest(self, places: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
        """Name places and note them as pending.

        Parameters
        ----------
        places : sequence of mapping
            Knobs by name.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob, in the limits and on the places of stepped knobs.
        """
        points = []
        for place in places:
            self._suggested += 1
            name = f"s{self._suggested}"
            x = self._placed([float(place[knob]) for knob in self.names])
            self.trials[name] = Trial(x, "pending")
            points.append({"_id": name, **dict(zip(self.names, x, strict=True))})
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        A point that lacks a finite mean of a quantity the problem names is noted as failed.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, and ``name`` and ``name_sem`` per quantity.

        Raises
        ------
        PolicyError
            If a point lacks its ``_id`` or a finite position; none of the points is taken then.
        """
        self.trials.update([self._read(point) for point in points])

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Note suggestions that could not be measured.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions; what was measured stays so.
        """
        for point in points:
            name = str(point.get("_id", ""))
            known = self.trials.get(name)
            if known is None or known.status == "pending":
                x = known.x if known else read_position(point, self.names)
                if x is not None:
                    self.trials[name] = Trial(self._placed(x), "failed")

    def of(self, status: Status) -> dict[str, Trial]:
        """Return the points of a status that lie within the limits.

        Parameters
        ----------
        status : {"pending", "measured", "failed"}
            The status.

        Returns
        -------
        dict of str to Trial
            Points by ``_id``.
        """
        return {
            name: trial
            for name, trial in self.trials.items()
            if trial.status == status and self.inside(trial.x)
        }

    def knobs(self, trial: Trial) -> dict[str, float]:
        """Return a point's position by knob.

        Parameters
        ----------
        trial : Trial
            The point.

        Returns
        -------
        dict of str to float
            The position.
        """
        return dict(zip(self.names, trial.x, strict=True))

    def inside(self, x: Sequence[float]) -> bool:
        """Tell whether a position lies within the limits: peers take no other.

        Parameters
        ----------
        x : sequence of float
            Position, in the order of the knobs.

        Returns
        -------
        bool
            Whether it does.
        """
        ranges = self.problem.knobs.values()
        return all(one.low <= value <= one.high for one, value in zip(ranges, x, strict=True))

    def far(self, x: Sequence[float], other: Sequence[float]) -> bool:
        """Tell whether two positions differ by more than a readback does from its target.

        Parameters
        ----------
        x, other : sequence of float
            Positions, in the order of the knobs.

        Returns
        -------
        bool
            Whether any knob differs by more than a hundredth of its range.
        """
        ranges = self.problem.knobs.values()
        return any(
            abs(a - b) > _AT_THE_LIMIT * (one.high - one.low)
            for one, a, b in zip(ranges, x, other, strict=True)
        )

    def best_measured(self) -> dict[str, Any]:
        """Return the measured point that keeps the limits and has the best first objective.

        Returns
        -------
        dict
            Knobs, objective and its ``_sd``; empty if no point does.
        """
        aim = self.problem.objective
        keeping = [
            trial
            for trial in self.of("measured").values()
            if all(limit.kept_by(trial.values[limit.name][0]) for limit in self.problem.limits)
        ]
        if not keeping:
            return {}
        top = max(keeping, key=lambda trial: aim.sign * trial.values[aim.name][0])
        return self.recommendation(top.x, *top.values[aim.name])

    def recommendation(self, x: Sequence[float], mean: float, sd: float) -> dict[str, Any]:
        """Give a best place as policies give it.

        Parameters
        ----------
        x : sequence of float
            Position, in the order of the knobs.
        mean, sd : float
            Value of the first objective there, and its standard deviation.

        Returns
        -------
        dict
            Knobs, objective and its ``_sd``.
        """
        name = self.problem.objective.name
        placed = dict(zip(self.names, self._placed(x), strict=True))
        return {**placed, name: float(mean), f"{name}_sd": float(sd)}

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state.
        """
        return {
            "suggested": self._suggested,
            "trials": {
                name: [
                    list(trial.x),
                    trial.status,
                    {
                        quantity: [mean, None if math.isnan(sem) else sem]
                        for quantity, (mean, sem) in trial.values.items()
                    },
                ]
                for name, trial in self.trials.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._suggested = int(state["suggested"])
        self.trials = {
            name: Trial(
                tuple(x),
                status,
                {quantity: (mean, not_negative(sem)) for quantity, (mean, sem) in values.items()},
            )
            for name, (x, status, values) in state["trials"].items()
        }

    def _read(self, point: Mapping[str, Any]) -> tuple[str, Trial]:
        name, x = read_point(point, self.names)
        x = self._placed(x)
        values = {
            quantity: (finite(point.get(quantity)), not_negative(point.get(f"{quantity}_sem")))
            for quantity in self.wanted
        }
        if not all(math.isfinite(mean) for mean, _ in values.values()):
            return name, Trial(x, "failed")
        return name, Trial(x, "measured", values)

    def _placed(self, values: Sequence[float]) -> Place:
        """Bring values that are hardly beyond a limit to it, and those of stepped knobs to one."""
        placed = []
        for one, value in zip(self.problem.knobs.values(), values, strict=True):
            width = one.high - one.low
            x = min(max(value, one.low), one.high)
            x = x if abs(x - value) <= _AT_THE_LIMIT * width else value
            if one.step is not None and one.places is not None and one.low <= x <= one.high:
                x = one.low + min(round((x - one.low) / one.step), one.places - 1) * one.step
            placed.append(float(x))
        return tuple(placed)
