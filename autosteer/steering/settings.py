"""A setting: all knobs at one place for a while, and what was measured there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Experiment, Outcome
from autosteer.steering.readback import ReadbackHistory
from autosteer.steering.reduction import Reduction
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
    suggestion_id : str
        The suggestion that led here, or a name for a place that was found.
    target : mapping of str to float
        The place, by knob.
    opened_ns : int
        No earlier shot belongs to it [ns UTC].
    experiment : Experiment
        Knobs, quantities and sample.
    """

    def __init__(
        self,
        suggestion_id: str,
        target: Mapping[str, float],
        opened_ns: int,
        experiment: Experiment,
    ) -> None:
        self.suggestion_id = suggestion_id
        self.target = dict(target)
        self.opened_ns = opened_ns
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
        self._readback = dict(target)

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
            hold_ns = round((knob.settle_s + knob.response_delay_s) * 1e9)
            mask &= histories[name].in_position(
                times_ns, self.target[name], knob.tolerance, hold_ns, margin_ns
            )
        return mask

    def fold(self, shots: JoinedShots, readback: Mapping[str, float]) -> None:
        """Take shots in that belong.

        Parameters
        ----------
        shots : JoinedShots
            At least one shot, in order.
        readback : mapping of str to float
            Where the knobs stand, as read.
        """
        if self.n_shots == 0:
            self._first_pulse_id = int(shots.pulse_id[0])
            self._t_first_shot_ns = int(shots.timestamp_ns[0])
            self._readback = dict(readback)
        self.n_shots += len(shots)
        self.last_pulse_id = int(shots.pulse_id[-1])
        self.t_last_shot_ns = int(shots.timestamp_ns[-1])
        for reduction in self._reductions.values():
            reduction.add(shots)

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
        estimates = {
            name: estimate
            for name, reduction in self._reductions.items()
            if (estimate := reduction.estimate) is not None
        }
        return Outcome(
            suggestion_id=self.suggestion_id,
            readback=dict(self._readback),
            estimates=estimates,
            n_shots=self.n_shots,
            first_pulse_id=self._first_pulse_id,
            last_pulse_id=self.last_pulse_id,
            t_last_shot_ns=self.t_last_shot_ns,
            elapsed_s=elapsed_s,
            # 1 ul/min is 1000/60 nl/s.
            sample_used_nl=None if self._flow is None else self._flow * elapsed_s * 1000 / 60,
            final=final,
        )


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
        self.opened = 0
        """Settings opened so far."""

    @property
    def unfinished(self) -> list[Setting]:
        """Settings that may still get shots, in the order opened."""
        return self.left if self.current is None else [*self.left, self.current]

    def open(self, suggestion_id: str, target: Mapping[str, float], opened_ns: int) -> None:
        """Begin a setting; the present one ends.

        Parameters
        ----------
        suggestion_id : str
            What led here.
        target : mapping of str to float
            The place, by knob.
        opened_ns : int
            No earlier shot belongs to it [ns UTC].
        """
        self.leave(opened_ns)
        self.current = Setting(suggestion_id, target, opened_ns, self._experiment)
        self._arrived = False
        self.opened += 1

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
        wait_ns = round(2 * self._experiment.join.deadline_s * 1e9)
        done = [
            setting
            for setting in self.left
            if setting.closed_ns is not None
            and (t_processed_ns >= setting.closed_ns or now_ns > setting.closed_ns + wait_ns)
        ]
        self.left = [setting for setting in self.left if setting not in done]
        return done
