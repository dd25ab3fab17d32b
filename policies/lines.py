"""Line scans: one knob after the other through the best place, as beamline staff do by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from autosteer.contracts import Aim, PolicyError, Problem
from autosteer.policies._errors import filled_errors, variance_law
from autosteer.policies._keeper import FEWEST_SHOTS, check_count
from autosteer.policies._ledger import Table
from autosteer.policies._modelless import Modelless, refuse_what_is_beyond
from autosteer.policies._peak_fit import Peak, fit_peak
from autosteer.policies._search import has_signal

Float = NDArray[np.float64]

# A finer line covers so many widths of the peak, and at least this share of the range.
_WIDTHS = 5.0
_SHORTEST = 0.02
# A point lies on a line if all other knobs are within this share of their ranges.
_OFF = 0.01
# A line is flown over until so many times its points are measured, and so often at most.
_FLIGHTS = 2
_MOST_FLIGHTS = 12
# A shift that is less than this share of the line is no gain.
_NO_GAIN = 0.03
_SAME = 1e-9


class LineScanPolicy(Modelless):
    """Scans one knob after the other through the best place so far, each time finer.

    The first lines go over the whole range. Along each, a Gaussian peak on a background is fitted
    to the objective, every point with its error, or to a diagnostic where the objective shows
    nothing there; the knob goes to its center, and its next line covers the peak only. A line on
    which nothing stands out from the noise leaves its knob where it is. While no line of a round
    shows anything, the next round goes through another place.

    With `fly`, a line is one long move from end to end, and what counts is what is measured on the
    way: the experiment file has to say ``dwell.motion: tag``.

    Parameters
    ----------
    problem : Problem
        Knobs, objective and diagnostics.
    points : int, default 11
        Points of a line.
    fly : bool, default False
        Whether lines are flown over instead of stepped along.

    Raises
    ------
    PolicyError
        If there are less than five points, or several objectives, limits or a context.

    Notes
    -----
    Knobs that are coupled take many rounds, since each line finds only the best for the others as
    they are. `BayesianPolicy` needs far less beam; lines are what everybody can read.

    Examples
    --------
    >>> policy = LineScanPolicy(Problem.of({"x": (-1.0, 1.0)}, "flux"))
    >>> while not policy.should_stop()[0]:
    ...     [point] = policy.suggest(1)
    ...     flux = 1 / (1 + (point["x"] - 0.3) ** 2 / 0.02)
    ...     policy.ingest([{**point, "flux": flux, "flux_sem": 0.01}])
    >>> abs(policy.best()["x"] - 0.3) < 0.03
    True
    """

    def __init__(self, problem: Problem, *, points: int = 11, fly: bool = False) -> None:
        refuse_what_is_beyond(problem, "LineScanPolicy")
        if points < 5:
            raise PolicyError(f"points is {points}: a line needs at least 5")
        super().__init__(problem)
        self._points = points
        self._fly = fly
        self._aims = (problem.objective, *problem.diagnostics)
        self._center: Float | None = None
        self._lengths = np.ones(len(problem.knobs))
        self._knob = self._round = self._given = 0
        self._line: list[str] = []
        self._found = self._gained = False
        self._top: tuple[float, float] | None = None
        self._done = ""

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose the next points of the line.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; at the ends of lines that are flown over also
            ``_shots``.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        check_count(num_points)
        return [self._next() for _ in range(num_points)]

    def _next(self) -> dict[str, Any]:
        if self._center is None:
            self._center = self._beginning()
        if self._given >= self._least and not self._awaited:
            self._end_line(self._center)
        for _ in range(2 * self._points):
            target = self._target(self._center)
            allowed = self._grounds.allowed(target[None], self._here)
            if not len(allowed):
                self._given += 1
                continue
            arrived = bool(np.max(np.abs(allowed[0] - self._on_grounds(target))) < _SAME)
            self._given += arrived
            name = self._ledger.names[self._knob]
            # The ends of a line that is flown over are not what counts.
            shots = FEWEST_SHOTS if self._fly and self._problem.rate_hz else None
            why = f"{'round' if arrived else 'to the line of round'} {self._round + 1}: {name}"
            point = self._give(allowed[0], why, shots)
            if arrived:
                self._line.append(point["_id"])
            return point
        return self._give(self._center, "the whole line is barred")

    @property
    def _least(self) -> int:
        """Points after which a line may be complete."""
        return 2 if self._fly else self._points

    @property
    def _awaited(self) -> bool:
        """Whether results of the line are still to come."""
        if self._fly:
            pieces = self._measured_on_line()
            return len(pieces) < _FLIGHTS * self._points and self._given < _MOST_FLIGHTS
        wanted = self._line[: self._points]
        return any(name in self._ledger.pending for name in wanted)

    def _ends(self, center: Float) -> tuple[float, float]:
        """Return where the present line begins and ends."""
        length = self._lengths[self._knob]
        low = float(np.clip(center[self._knob] - length / 2, 0.0, 1 - length))
        return low, low + float(length)

    def _target(self, center: Float) -> Float:
        """Return the next point of the line."""
        low, high = self._ends(center)
        if self._fly:
            share = float(self._given % 2)
        elif self._given < self._points:
            share = self._given / (self._points - 1)
        else:
            # Results are late: the time is used for points between.
            extra = self._given - self._points
            share = (0.5 + extra * (self._points // 2 + 1) % (self._points - 1)) / (
                self._points - 1
            )
        if self._here is not None and self._round % 2 == 1:
            # To and fro, so that the way to the next line is short and backlash shows.
            share = 1 - share
        target = center.copy()
        target[self._knob] = low + share * (high - low)
        return target

    def _on_grounds(self, x: Float) -> Float:
        return self._grounds.unit(self._grounds.places(x[None])).reshape(-1)

    def _measured_on_line(self) -> list[str]:
        """Return the names of the measured points that belong to the line."""
        names = set(self._line)
        center = self._center
        found = []
        for name, point in self._ledger.measured.items():
            stem = name.rpartition("/")[0]
            if name not in names and stem not in names:
                continue
            away = np.abs(self._ledger.unit([point.x])[0] - center)
            away[self._knob] = 0.0
            if stem and np.max(away) > _OFF:
                continue
            found.append(name)
        return found

    def _table(self, aim: Aim) -> Table:
        """Return a quantity along the line."""
        table = self._ledger.table(aim.name)
        wanted = set(self._measured_on_line())
        names = [
            name for name, point in self._ledger.measured.items() if aim.name in point.readings
        ]
        return table.select(np.array([name in wanted for name in names], np.bool_))

    def _end_line(self, center: Float) -> None:
        """Move the knob to the peak of its line, and begin the next line."""
        aim, peak = self._peak()
        # A peak that may as well be elsewhere is none.
        if peak is not None and aim is not None and peak.center_sd <= peak.width:
            moved = center.copy()
            moved[self._knob] = np.clip(peak.center, 0.0, 1.0)
            if self._grounds.permits(self._grounds.places(moved[None]))[0]:
                shift = abs(float(moved[self._knob] - center[self._knob]))
                length = float(self._lengths[self._knob])
                vague = peak.center_sd > peak.width / 2
                self._gained |= vague or shift > max(2 * peak.center_sd, _NO_GAIN * length)
                self._center = moved
            self._found = True
            self._lengths[self._knob] = np.clip(_WIDTHS * peak.width, _SHORTEST, 1.0)
            if aim == self._aim:
                self._top = (self._aim.sign * peak.top, peak.top_sd)
        self._knob = (self._knob + 1) % len(self._lengths)
        self._line, self._given = [], 0
        if self._knob == 0:
            self._end_round()

    def _end_round(self) -> None:
        """Judge the round: go on, stop, or try elsewhere."""
        self._round += 1
        if self._found and not self._gained and self._round > 1:
            self._done = f"no line of round {self._round} has moved its knob"
        if not self._found:
            self._lengths = np.ones(len(self._lengths))
        if not self._found and self._top is None:
            sequence = qmc.Sobol(len(self._lengths), rng=self._problem.seed)
            with_luck = sequence.random(1 << (self._round + 1).bit_length())[self._round]
            # Peaks lie inside of the ranges more often than at their limits.
            self._center = 0.15 + 0.7 * with_luck
        self._found = self._gained = False

    def _peak(self) -> tuple[Aim | None, Peak | None]:
        """Fit the first quantity that stands out along the line, the objective first."""
        for aim in self._aims:
            table = self._table(aim)
            if len(np.unique(np.round(table.x[:, self._knob], 9))) < 4:
                continue
            if has_signal(table, aim):
                values = aim.sign * table.mean
                return aim, fit_peak(table.x[:, self._knob], values, _errors_of(table))
        return None, None

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether a round has gained nothing.

        Returns
        -------
        stop : bool
            Whether the last round has shown clear peaks, and moved no knob by more than its error.
        reason : str
            What to tell people.
        """
        return bool(self._done), self._done

    def best(self) -> dict[str, Any]:
        """Return the place where the lines cross.

        Returns
        -------
        dict
            Knobs, the fitted objective at the top of the newest peak, and its ``_sd``; before a
            peak of the objective was found, the best place measured, and empty without one.
        """
        if self._center is None or self._top is None:
            return self._ledger.best_measured()
        [place] = self._grounds.places(self._center[None])
        name = self._aim.name
        return {**self._ledger.named(place), name: self._top[0], f"{name}_sd": self._top[1]}

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {
            **super().checkpoint(),
            "center": None if self._center is None else self._center.tolist(),
            "lengths": self._lengths.tolist(),
            "at": [self._knob, self._round, self._given],
            "line": self._line,
            "found": self._found,
            "gained": self._gained,
            "top": self._top,
            "done": self._done,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        super().restore(state)
        self._center = None if state["center"] is None else np.array(state["center"])
        self._lengths = np.array(state["lengths"], np.float64)
        self._knob, self._round, self._given = map(int, state["at"])
        self._line = list(state["line"])
        self._found, self._gained = bool(state["found"]), bool(state["gained"])
        self._top = None if state["top"] is None else (state["top"][0], state["top"][1])
        self._done = str(state["done"])


def _errors_of(table: Table) -> Float:
    """Return the standard error of each point of a line, shape (n,)."""
    errors = filled_errors(table)
    if errors is None:
        return np.full(len(table), max(float(np.std(table.mean)), 1e-12))
    if not np.isfinite(table.n).all():
        return errors
    # By one law: a few shots that agree by chance are not certain.
    constant, slope = variance_law(table.mean, errors, table.n)
    return np.sqrt((constant + slope * max(float(np.mean(table.mean)), 0.0)) / table.n)
