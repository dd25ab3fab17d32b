"""The simulated beamline in real time: pulses by the clock, published as the facility would.

It reads where the motors stand, makes what each pulse gives, and publishes frames, spot lists or
result tables, and the beam monitor. What it knows besides goes to the truth log alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import Clock
from autosteer.contracts.tables import INDEXING, MACHINE, make_batch
from autosteer.sims.beamline import Shot, ShotTruth
from autosteer.sims.tables import TableSimulator
from autosteer.stream import Coverage, Producer

Int = NDArray[np.int64]

_LONGEST_NAP_S = 0.005
_MONITOR_ERROR = 0.01
_SHOW_EVERY_NS = 100_000_000


class Truth(Protocol):
    """What pulses meet, or are; see `ShotTruth` and `PulseTruth`."""

    def __len__(self) -> int: ...

    @property
    def beam_intensity(self) -> NDArray[np.float64]:
        """Pulse energy over its nominal value, shape (n,)."""
        ...

    def dark(self) -> Self:
        """Return the same pulses with the shutter closed."""
        ...


TruthT = TypeVar("TruthT", bound=Truth)
GivenT_contra = TypeVar("GivenT_contra", contravariant=True)
MadeT_co = TypeVar("MadeT_co", covariant=True)


class Beamline(Protocol[MadeT_co]):
    """Says what pulses meet, or are; see `JetBeamline` and `XleapMachine`."""

    def shots(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: NDArray[np.float64],
        positions: Mapping[str, ArrayLike],
    ) -> MadeT_co:
        """Return the truth of pulses."""
        ...


class TruthSink(Protocol[GivenT_contra]):
    """Takes the truth, for scorers; see `TruthLog`."""

    def append(self, truth: GivenT_contra, timestamps_ns: Int) -> None:
        """Append shots."""
        ...


class Emitter(Protocol[GivenT_contra]):
    """What becomes of the pulses."""

    def emit(self, truth: GivenT_contra, timestamps_ns: Int) -> None:
        """Publish what the pulses gave."""
        ...

    def tend(self, now_ns: int) -> None:
        """Publish what has become due, and keep the sockets alive."""
        ...

    def end(self) -> None:
        """Publish the rest, and end the streams."""
        ...


class Machine(Protocol):
    """The motors and the monitors of the beamline."""

    def positions(self) -> Mapping[str, float]:
        """Return where the motors stand, by name [mm]."""
        ...

    def shutter_open(self) -> bool:
        """Tell whether the beam is let through."""
        ...

    def show(self, pulse_id: int, beam_intensity: float) -> None:
        """Show the beam on the machine's monitors."""
        ...


def deal_out(producers: Sequence[Producer], next_one: int) -> int:
    """Choose the producer that has least waiting; among equals, the next in turn.

    Parameters
    ----------
    producers : sequence of Producer
        One for each worker.
    next_one : int
        Whose turn it would be.

    Returns
    -------
    int
        Index of the chosen one.
    """
    order = [(next_one + step) % len(producers) for step in range(len(producers))]
    return min(order, key=lambda index: producers[index].pending_shots)


class ShotSimulator(Protocol):
    """Makes what a worker gets for a pulse."""

    def frame(self, shot: Shot) -> NDArray[Any]:
        """Return a frame, or whatever stands in its place."""
        ...


class FrameEmitter:
    """Publishes a frame for each pulse, dealt out to the workers.

    Parameters
    ----------
    kind : str
        Name of the stream.
    simulator : ShotSimulator
        Makes the frames.
    producers : sequence of Producer
        One for each worker.
    """

    def __init__(self, kind: str, simulator: ShotSimulator, producers: Sequence[Producer]) -> None:
        self._kind = kind
        self._simulator = simulator
        self._producers = producers
        self._turn = 0

    def emit(self, truth: ShotTruth, timestamps_ns: Int) -> None:
        """Publish a frame for each pulse.

        Parameters
        ----------
        truth : ShotTruth
            What the pulses met.
        timestamps_ns : ndarray of int64, shape (n,)
            Exposure times [ns UTC].
        """
        for index in range(len(truth)):
            frame = self._simulator.frame(truth.shot(index))
            pulse_id = int(truth.pulse_id[index])
            chosen = deal_out(self._producers, self._turn)
            self._turn = (chosen + 1) % len(self._producers)
            coverage = Coverage(pulse_id, pulse_id, int(timestamps_ns[index]))
            self._producers[chosen].publish_frames(self._kind, frame[None], coverage)

    def tend(self, now_ns: int) -> None:
        """Keep the sockets alive.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        """
        for producer in self._producers:
            producer.tend()

    def end(self) -> None:
        """End the streams."""
        for producer in self._producers:
            producer.end()


class SpotListDraws:
    """Gives a spot list in place of a frame: one of a file to a hit, stray spots to a miss.

    Parameters
    ----------
    lists : ndarray of float32, shape (n_lists, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    seed : int
        Seed of the choice of lists and of stray spots.
    """

    def __init__(self, lists: NDArray[np.float32], seed: int) -> None:
        self._lists = lists
        self._rng = np.random.default_rng(seed)

    def frame(self, shot: Shot) -> NDArray[np.float32]:
        """Return the list of a pulse.

        Parameters
        ----------
        shot : Shot
            What the pulse met.

        Returns
        -------
        ndarray of float32, shape (n_spots, 3)
            Scattering vectors, padded with NaN [1/angstrom].
        """
        if shot.n_crystals:
            drawn: NDArray[np.float32] = self._lists[self._rng.integers(len(self._lists))]
            return drawn
        spots = np.full(self._lists.shape[1:], np.nan, np.float32)
        n_stray = min(int(self._rng.poisson(1.0)), len(spots))
        spots[:n_stray] = self._rng.uniform(-0.2, 0.2, (n_stray, 3))
        return spots


class TableEmitter:
    """Publishes result tables, each after the latency of the analysis that it stands for.

    Parameters
    ----------
    simulator : TableSimulator
        Makes the tables.
    producer : Producer
        Publishes them.
    latency_s : float
        From exposure to result [s].
    """

    def __init__(self, simulator: TableSimulator, producer: Producer, latency_s: float) -> None:
        self._simulator = simulator
        self._producer = producer
        self._latency_ns = round(latency_s * 1e9)
        self._waiting: deque[tuple[int, pa.RecordBatch]] = deque()

    def emit(self, truth: ShotTruth, timestamps_ns: Int) -> None:
        """Make the tables; they are published when they are due.

        Parameters
        ----------
        truth : ShotTruth
            What the pulses met.
        timestamps_ns : ndarray of int64, shape (n,)
            Exposure times [ns UTC].
        """
        tables = self._simulator.tables(truth, timestamps_ns)
        due_ns = int(timestamps_ns[-1]) + self._latency_ns
        self._waiting.append((due_ns, tables[INDEXING.name]))

    def tend(self, now_ns: int) -> None:
        """Publish what is due, and keep the sockets alive.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        """
        while self._waiting and self._waiting[0][0] <= now_ns:
            self._producer.publish(INDEXING.name, self._waiting.popleft()[1])
        self._producer.tend()

    def end(self) -> None:
        """Publish the rest, and end the stream."""
        for _, batch in self._waiting:
            self._producer.publish(INDEXING.name, batch)
        self._waiting.clear()
        self._producer.end()


class SimulatedSource(Generic[TruthT]):
    """Pulses by the clock.

    Parameters
    ----------
    beamline : Beamline
        What each pulse meets, or is.
    machine : Machine
        Motors and monitors.
    emitter : Emitter
        What becomes of the pulses.
    monitor : Producer
        Publishes the table of the beam monitor.
    truth : TruthSink
        Takes the truth.
    clock : Clock
        The clock.
    rate_hz : float
        Pulses per second.
    pulse_stride : int
        Pulse ids from pulse to pulse.
    shots_together : int
        Pulses that are made and published together.
    monitor_every_s : float
        The beam monitor's table leaves this often [s].
    seed : int
        Seed of the beam monitor's error.
    """

    def __init__(
        self,
        beamline: Beamline[TruthT],
        machine: Machine,
        emitter: Emitter[TruthT],
        monitor: Producer,
        truth: TruthSink[TruthT],
        clock: Clock,
        *,
        rate_hz: float,
        pulse_stride: int,
        shots_together: int,
        monitor_every_s: float,
        seed: int,
    ) -> None:
        self._beamline = beamline
        self._machine = machine
        self._emitter = emitter
        self._monitor = monitor
        self._truth = truth
        self._clock = clock
        self._period_ns = 1e9 / rate_hz
        self._stride = pulse_stride
        self._together = shots_together
        self._monitor_every_ns = round(monitor_every_s * 1e9)
        self._rng = np.random.default_rng(seed)
        self._start_ns = 0
        self._first_pulse = 0
        self._next_show_ns = 0
        self._next_monitor_ns = 0
        self._unsent: list[pa.RecordBatch] = []
        self.shots = 0
        """Pulses so far."""

    def run(
        self,
        should_stop: Callable[[], bool],
        nap: Callable[[float], None],
        on_second: Callable[[], None],
    ) -> None:
        """Pulse until told to stop, then end the streams.

        Parameters
        ----------
        should_stop : callable
            Asked at each turn.
        nap : callable
            Waits for a number of seconds.
        on_second : callable
            Called once a second, for reports.
        """
        self._start_ns = self._clock.time_ns()
        # Like a machine's own numbers, pulse ids go on from run to run.
        self._first_pulse = round(self._start_ns / self._period_ns) * self._stride
        next_report_s = 0.0
        while not should_stop():
            now_ns = self._clock.time_ns()
            due = int((now_ns - self._start_ns) / self._period_ns) - self.shots
            if due >= self._together:
                self._pulse(min(due, 4 * self._together))
            self._emitter.tend(now_ns)
            self._monitor.tend()
            if self._clock.monotonic_s() >= next_report_s:
                next_report_s = self._clock.monotonic_s() + 1.0
                on_second()
            if due < self._together:
                wait_ns = (self.shots + self._together) * self._period_ns
                wait_s = (self._start_ns + wait_ns - self._clock.time_ns()) / 1e9
                nap(min(max(wait_s, 0.0), _LONGEST_NAP_S))
        self._publish_monitor()
        self._emitter.end()
        self._monitor.end()

    def _publish_monitor(self) -> None:
        """Publish what the beam monitor has read since the last time."""
        if self._unsent:
            self._monitor.publish(MACHINE.name, pa.concat_batches(self._unsent))
            self._unsent.clear()

    def _pulse(self, count: int) -> None:
        """Make and publish the next pulses."""
        numbers = self.shots + np.arange(count)
        elapsed_ns = numbers.astype(np.float64) * self._period_ns
        pulse_ids = (self._first_pulse + numbers * self._stride).astype(np.uint64)
        timestamps_ns = self._start_ns + np.rint(elapsed_ns).astype(np.int64)
        truth = self._beamline.shots(pulse_ids, elapsed_ns / 1e9, self._machine.positions())
        if not self._machine.shutter_open():
            truth = truth.dark()
        self._truth.append(truth, timestamps_ns)
        error = 1 + _MONITOR_ERROR * self._rng.standard_normal(count)
        monitor = {
            "pulse_id": pulse_ids,
            "timestamp": timestamps_ns,
            "beam_intensity": truth.beam_intensity * error,
        }
        self._unsent.append(make_batch(MACHINE, monitor))
        self._emitter.emit(truth, timestamps_ns)
        self.shots += count
        if timestamps_ns[-1] >= self._next_monitor_ns:
            self._next_monitor_ns = int(timestamps_ns[-1]) + self._monitor_every_ns
            self._publish_monitor()
        if timestamps_ns[-1] >= self._next_show_ns:
            self._next_show_ns = int(timestamps_ns[-1]) + _SHOW_EVERY_NS
            self._machine.show(int(pulse_ids[-1]), float(np.mean(monitor["beam_intensity"])))
