"""What the controller knows of the world: shots joined, knobs read back, latencies counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autosteer.contracts import Experiment, MotorFacts
from autosteer.steering.envelope import Signal, Surroundings
from autosteer.steering.events import (
    DeviceState,
    Heartbeat,
    InterlockValue,
    Readback,
    TableArrived,
)
from autosteer.steering.latency import LatencyHistogram
from autosteer.steering.pulse_clock import PulseClock
from autosteer.steering.readback import ReadbackHistory
from autosteer.steering.settings import Setting
from autosteer.steering.sorting import ShotSorter
from autosteer.steering.trails import Trail
from autosteer.stream import Channel, JoinCounters, JoinedShots, RingJoin, concatenate_shots

# A readback that was posted before a shot has reached us this long after it.
READBACK_GUARD_NS = 20_000_000
# Uncertainty of a pulse's time: this many standard deviations of the time stamps, and a little.
_MARGIN_SIGMAS = 3
_MARGIN_FLOOR_NS = 2_000_000


@dataclass(slots=True)
class ShotCounters:
    """Where the joined shots went, and what the analysed ones showed.

    Parameters
    ----------
    analysed, hits, indexed : int
        Rows of the objective's table kind; how many of them were hits and indexed.
    pairs, abstained : int
        Pulses with two sub-spikes, and pulses of which nothing can be said.
    audited, disagreed : int
        Phases that a second estimator has measured as well, and those of them that disagree.
    folded : int
        Shots that were taken into a setting.
    tagged : int
        Shots taken in motion that were tagged with where the knobs were.
    outside : int
        Shots that belong to nothing: in motion, unsettled or between settings.
    t_first_ns, t_last_ns : int
        When the first and the newest analysed row arrived [ns UTC].
    """

    analysed: int = 0
    hits: int = 0
    indexed: int = 0
    pairs: int = 0
    abstained: int = 0
    audited: int = 0
    disagreed: int = 0
    folded: int = 0
    tagged: int = 0
    outside: int = 0
    t_first_ns: int = 0
    t_last_ns: int = 0

    @property
    def rate_hz(self) -> float:
        """Analysed shots per second after the first."""
        span_s = (self.t_last_ns - self.t_first_ns) / 1e9
        return (self.analysed - 1) / span_s if span_s > 0 else 0.0


class Observer:
    """Joins tables, keeps readbacks, and deals shots out to the settings they belong to.

    Parameters
    ----------
    experiment : Experiment
        Channels, knobs and interlocks.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._join = RingJoin(
            _channels(experiment),
            experiment.join.slots,
            experiment.source.pulse_stride,
            deadline_s=experiment.join.deadline_s,
            silent_after_s=experiment.join.deadline_s,
        )
        self._objective_kind = experiment.objective.column.split(".", 1)[0]
        self.histories = {name: ReadbackHistory() for name in experiment.knobs}
        self.connected = dict.fromkeys(experiment.knobs, False)
        self.facts: dict[str, MotorFacts] = {}
        self._interlocks: dict[str, Signal] = {}
        self._clock = PulseClock()
        self._waiting: list[JoinedShots] = []
        self.latency = LatencyHistogram()
        self.shots = ShotCounters()
        self.sorter = None if experiment.sort is None else ShotSorter(experiment.sort)
        self.t_first_shot_ns = 0
        self.t_newest_shot_ns = 0
        self.t_processed_ns = 0
        """Every shot before this time has been dealt out [ns UTC]."""

    @property
    def join_counters(self) -> dict[str, JoinCounters]:
        """Counters of the join, by table kind."""
        return self._join.counters

    def take_table(self, event: TableArrived, batch: pa.RecordBatch, now_ns: int) -> None:
        """Take a table in.

        Parameters
        ----------
        event : TableArrived
            Which table.
        batch : pyarrow.RecordBatch
            Its rows.
        now_ns : int
            Time now [ns UTC].
        """
        self._join.add(event.kind, batch, now_ns)
        self._join.heard(event.kind, event.source, event.last_pulse_id, now_ns)
        if event.kind == self._objective_kind and batch.num_rows:
            counters = self.shots
            counters.t_first_ns = counters.t_first_ns or now_ns
            counters.t_last_ns = now_ns
            counters.analysed += batch.num_rows
        self._tally(event.kind, batch)

    def _tally(self, kind: str, batch: pa.RecordBatch) -> None:
        """Count what people want to see of a table."""
        counters = self.shots
        if kind == "indexing":
            counters.hits += batch.column("hit").true_count
            counters.indexed += batch.column("indexed").true_count
        elif kind == "pulse":
            numbers = batch.column("n_spikes")
            counters.abstained += numbers.null_count
            counters.pairs += int(np.count_nonzero(numbers.fill_null(0).to_numpy() == 2))
        elif kind == "audit":
            disagrees = batch.column("disagrees")
            counters.audited += len(disagrees) - disagrees.null_count
            counters.disagreed += disagrees.true_count

    def take_heartbeat(self, event: Heartbeat, now_ns: int) -> None:
        """Take a heartbeat in.

        Parameters
        ----------
        event : Heartbeat
            The heartbeat.
        now_ns : int
            Time now [ns UTC].
        """
        self._join.heard(event.kind, event.source, event.last_pulse_id, now_ns)
        if event.end_of_stream:
            self._join.ended(event.kind, event.source)

    def take_readback(self, event: Readback) -> None:
        """Take a knob's position in.

        Parameters
        ----------
        event : Readback
            The position with the device's time stamp.
        """
        self.histories[event.knob].add(event.stamp_ns, event.value, event.moving)

    def take_device(self, event: DeviceState) -> None:
        """Take a device's connection and facts in.

        Parameters
        ----------
        event : DeviceState
            The new state.
        """
        self.connected[event.knob] = event.connected
        if event.facts is not None:
            self.facts[event.knob] = event.facts

    def take_interlock(self, event: InterlockValue, now_ns: int) -> None:
        """Take an interlock's value in.

        Parameters
        ----------
        event : InterlockValue
            The new value.
        now_ns : int
            Time now [ns UTC].
        """
        if event.value is None:
            self._interlocks.pop(event.name, None)
        else:
            self._interlocks[event.name] = Signal(event.value, now_ns)

    def deal(self, now_ns: int, settings: Sequence[Setting], trails: Sequence[Trail] = ()) -> None:
        """Deal the shots that are ready out to the settings and moves they belong to.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        settings : sequence of Setting
            Settings that may still get shots, in the order opened.
        trails : sequence of Trail, optional
            Moves whose shots are wanted.
        """
        shots = self._join.emit(now_ns)
        if len(shots):
            if self.sorter is not None:
                self.sorter.take(shots)
            self._waiting.append(shots)
            self._clock.update(shots.pulse_id, shots.timestamp_ns)
            self.t_first_shot_ns = self.t_first_shot_ns or int(shots.timestamp_ns[0])
            self.t_newest_shot_ns = int(shots.timestamp_ns[-1])
        if not self._waiting:
            return
        shots = concatenate_shots(self._waiting)
        times_ns = self._clock.time_ns(shots.pulse_id, shots.timestamp_ns)
        ready = times_ns + READBACK_GUARD_NS <= now_ns
        self._waiting = [] if ready.all() else [shots.select(~ready)]
        if not ready.any():
            return
        shots, times_ns = shots.select(ready), times_ns[ready]
        self.latency.add((now_ns - shots.timestamp_ns) / 1e9)
        self.t_processed_ns = int(times_ns[-1])
        margin_ns = _MARGIN_FLOOR_NS + round(_MARGIN_SIGMAS * self._clock.sigma_ns)
        free = np.ones(len(shots), np.bool_)
        for setting in settings:
            mask = free & setting.belongs(times_ns, self.histories, margin_ns)
            if mask.any():
                setting.fold(shots.select(mask), self.histories)
                self.shots.folded += int(np.count_nonzero(mask))
                free &= ~mask
        for trail in trails:
            mask = free & trail.belongs(times_ns)
            if mask.any():
                trail.fold(shots.select(mask))
                self.shots.tagged += int(np.count_nonzero(mask))
                free &= ~mask
        self.shots.outside += int(np.count_nonzero(free))

    @property
    def stream_ended(self) -> bool:
        """Whether every producer of the objective's channel has ended its stream."""
        return self._join.all_ended(self._objective_kind)

    @property
    def positions(self) -> dict[str, float]:
        """Newest position by knob, of those that are known."""
        return {name: history.value for name, history in self.histories.items() if len(history)}

    @property
    def at_rest(self) -> bool:
        """Whether every knob's position is known and none moves."""
        return all(len(history) and not history.moving for history in self.histories.values())

    def surroundings(self, now_ns: int, t_last_move_ns: int) -> Surroundings:
        """Collect what the envelope looks at.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        t_last_move_ns : int
            When the last move was asked for [ns UTC]; 0 if none was.

        Returns
        -------
        Surroundings
            The present state.
        """
        return Surroundings(
            now_ns=now_ns,
            readbacks=self.positions,
            connected=dict(self.connected),
            facts=dict(self.facts),
            interlocks=dict(self._interlocks),
            t_newest_shot_ns=self.t_newest_shot_ns,
            t_last_move_ns=t_last_move_ns,
        )


def _channels(experiment: Experiment) -> list[Channel]:
    """List the channels of the join, with the columns that are read."""
    columns: dict[str, list[str]] = {kind: [] for kind in experiment.channels}
    for name in experiment.columns:
        kind, column = name.split(".", 1)
        columns[kind].append(column)
    return [Channel(kind, tuple(names)) for kind, names in columns.items()]
