"""A setting: all knobs at one place for a while, and what was measured there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Experiment, Outcome, Suggestion
from autosteer.steering.readback import ReadbackHistory
from autosteer.steering.reduction import Reduction, estimates_of
from autosteer.steering.trails import Trail
from autosteer.stream import JoinedShots

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_ARRIVAL_NS = 2_000_000_000


class Setting:
    """Collects the shots that belong to one place.

    A shot belongs to it only if, at the time of its pulse, every knob's readback was within
    tolerance of the place, at rest, and had been so for the knob's settling and response time.
    When a shot's result arrives never decides.

    Parameters
    ----------
    suggestion : Suggestion
        What led here; for a place that was found, one with a name for it.
    opened_ns : int
        No earlier shot belongs to it [ns UTC].
    arrived_ns : int
        When the knobs were there [ns UTC].
    experiment : Experiment
        Knobs, quantities and sample.
    """

    def __init__(
        self, suggestion: Suggestion, opened_ns: int, arrived_ns: int, experiment: Experiment
    ) -> None:
        self.suggestion_id = suggestion.id
        self.target = dict(suggestion.knobs)
        self.wanted_shots = suggestion.shots
        self._worse_than = suggestion.worse_than
        self.opened_ns = opened_ns
        self.arrived_ns = arrived_ns
        self.closed_ns: int | None = None
        self.n_shots = 0
        self.t_last_shot_ns = 0
        self.last_pulse_id = 0
        self._first_pulse_id = 0
        self._t_first_shot_ns = 0
        self._knobs = experiment.knobs
        self._flow = experiment.sample.flow_ul_per_min
        self._reductions = {
            quantity.name: Reduction(quantity) for quantity in experiment.quantities
        }
        self._objective = experiment.objective
        self._readback = dict(suggestion.knobs)

    def belongs(
        self, times_ns: Int, histories: Mapping[str, ReadbackHistory], margin_ns: int
    ) -> Bool:
        """Tell which shots belong to the setting.

        Parameters
        ----------
        times_ns : ndarray of int64, shape (n,)
            Times of the shots' pulses [ns UTC].
        histories : mapping of str to ReadbackHistory
            Where each knob was.
        margin_ns : int
            Uncertainty of the times [ns].

        Returns
        -------
        ndarray of bool, shape (n,)
            True for a shot that belongs.
        """
        mask: Bool = times_ns >= self.opened_ns
        if self.closed_ns is not None:
            mask &= times_ns + margin_ns < self.closed_ns
        for name, knob in self._knobs.items():
            hold_ns = round(knob.rest_s * 1e9)
            mask &= histories[name].in_position(
                times_ns, self.target[name], knob.tolerance, hold_ns, margin_ns
            )
        return mask

    def fold(self, shots: JoinedShots, histories: Mapping[str, ReadbackHistory]) -> None:
        """Take shots in that belong.

        Parameters
        ----------
        shots : JoinedShots
            At least one shot, in order.
        histories : mapping of str to ReadbackHistory
            Where each knob was.
        """
        if self.n_shots == 0:
            self._first_pulse_id = int(shots.pulse_id[0])
            self._t_first_shot_ns = int(shots.timestamp_ns[0])
            first = shots.timestamp_ns[:1]
            self._readback = {
                name: float(history.interpolated(first)[0]) for name, history in histories.items()
            }
        self.n_shots += len(shots)
        self.last_pulse_id = int(shots.pulse_id[-1])
        self.t_last_shot_ns = int(shots.timestamp_ns[-1])
        for reduction in self._reductions.values():
            reduction.add(shots)

    @property
    def is_clearly_worse(self) -> bool:
        """Whether the objective is worse than the suggestion allows, by two standard errors."""
        if self._worse_than is None:
            return False
        estimate = self._reductions[self._objective.name].estimate
        if estimate is None:
            return False
        sign = 1 if self._objective.direction == "maximize" else -1
        return sign * (estimate.mean - self._worse_than) + 2 * estimate.sem < 0

    def outcome(self, *, final: bool) -> Outcome:
        """Summarise what was measured so far.

        Parameters
        ----------
        final : bool
            Whether no further shot can come.

        Returns
        -------
        Outcome
            The summary; quantities with too few shots are left out.
        """
        elapsed_s = (self.t_last_shot_ns - self._t_first_shot_ns) / 1e9
        return Outcome(
            suggestion_id=self.suggestion_id,
            readback=dict(self._readback),
            estimates=estimates_of(self._reductions),
            n_shots=self.n_shots,
            first_pulse_id=self._first_pulse_id,
            last_pulse_id=self.last_pulse_id,
            t_last_shot_ns=self.t_last_shot_ns,
            elapsed_s=elapsed_s,
            # 1 ul/min is 1000/60 nl/s.
            sample_used_nl=None if self._flow is None else self._flow * elapsed_s * 1000 / 60,
            final=final,
        )


CollectorT = TypeVar("CollectorT", Setting, Trail)


class SettingBook:
    """The present setting, and those that were left but may still get late shots.

    Parameters
    ----------
    experiment : Experiment
        Knobs, quantities and sample.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._arrived = False
        self.current: Setting | None = None
        self.left: list[Setting] = []
        self.trails: list[Trail] = []
        self.opened = 0
        """Settings opened so far."""

    @property
    def unfinished(self) -> list[Setting]:
        """Settings that may still get shots, in the order opened."""
        return self.left if self.current is None else [*self.left, self.current]

    def open(self, suggestion: Suggestion, opened_ns: int, arrived_ns: int) -> None:
        """Begin a setting; the present one ends.

        Parameters
        ----------
        suggestion : Suggestion
            What led here; for a place that was found, one with a name for it.
        opened_ns : int
            No earlier shot belongs to it [ns UTC].
        arrived_ns : int
            When the knobs were there [ns UTC].
        """
        self.leave(opened_ns)
        self.current = Setting(suggestion, opened_ns, arrived_ns, self._experiment)
        self._arrived = False
        self.opened += 1

    def set_out(self, suggestion_id: str, now_ns: int) -> None:
        """Leave for another place; where shots in motion are wanted, a trail begins.

        Parameters
        ----------
        suggestion_id : str
            What leads there.
        now_ns : int
            Time now [ns UTC].
        """
        self.leave(now_ns)
        if self._experiment.dwell.motion == "tag":
            self.trails.append(Trail(suggestion_id, now_ns, self._experiment))

    def arrive(self, now_ns: int) -> None:
        """End the trail of the present move, wherever it has led.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        """
        for trail in self.trails:
            trail.closed_ns = now_ns if trail.closed_ns is None else trail.closed_ns

    def leave(self, now_ns: int) -> None:
        """End the present setting, if there is one.

        Parameters
        ----------
        now_ns : int
            No later shot belongs to it [ns UTC].
        """
        if self.current is not None:
            self.current.closed_ns = now_ns
            self.left.append(self.current)
            self.current = None

    def strays(self, histories: Mapping[str, ReadbackHistory], now_ns: int) -> list[str]:
        """List the knobs that have left the present setting.

        Right after a move the readbacks may still be on their way: a knob that has not yet been
        seen in its place is given some time.

        Parameters
        ----------
        histories : mapping of str to ReadbackHistory
            Where each knob is.
        now_ns : int
            Time now [ns UTC].

        Returns
        -------
        list of str
            Names of the knobs that are elsewhere or move.
        """
        setting = self.current
        if setting is None:
            return []
        away = [
            name
            for name, knob in self._experiment.knobs.items()
            if histories[name].moving
            or not abs(histories[name].value - setting.target[name]) <= knob.tolerance
        ]
        if not away:
            self._arrived = True
        elif not self._arrived and now_ns - setting.opened_ns < _ARRIVAL_NS:
            return []
        return away

    def complete(self, t_processed_ns: int, now_ns: int) -> list[Setting]:
        """Remove and return the settings to which no shot can come any more.

        Parameters
        ----------
        t_processed_ns : int
            Every shot before this time has been dealt out [ns UTC].
        now_ns : int
            Time now [ns UTC]; a setting does not wait for ever for shots that do not come.

        Returns
        -------
        list of Setting
            In the order opened.
        """
        done, self.left = self._parted(self.left, t_processed_ns, now_ns)
        return done

    def complete_trails(self, t_processed_ns: int, now_ns: int) -> list[Trail]:
        """Remove and return the moves from which no shot can come any more.

        Parameters
        ----------
        t_processed_ns, now_ns : int
            As for `complete`.

        Returns
        -------
        list of Trail
            In the order begun.
        """
        done, self.trails = self._parted(self.trails, t_processed_ns, now_ns)
        return done

    def _parted(
        self, collectors: Sequence[CollectorT], t_processed_ns: int, now_ns: int
    ) -> tuple[list[CollectorT], list[CollectorT]]:
        """Part those that are complete from those that may still get shots."""
        wait_ns = round(2 * self._experiment.join.deadline_s * 1e9)
        done: list[CollectorT] = []
        going_on: list[CollectorT] = []
        for one in collectors:
            closed_ns = one.closed_ns
            complete = closed_ns is not None and (
                t_processed_ns >= closed_ns or now_ns > closed_ns + wait_ns
            )
            (done if complete else going_on).append(one)
        return done, going_on
