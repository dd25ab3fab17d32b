"""The simulated beamline in real time: pulses by the clock, published as the facility would.

It reads where the motors stand, makes what each pulse gives, and publishes frames, spot lists or
result tables, and the beam monitor. What it knows besides goes to the truth log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import Clock
from autosteer.contracts.table_kinds import MACHINE
from autosteer.sims._monitor import monitor_batch
from autosteer.stream import Producer

Int = NDArray[np.int64]

_LONGEST_NAP_S = 0.005
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
        errors = self._rng.standard_normal(count)
        monitor = monitor_batch(pulse_ids, timestamps_ns, truth.beam_intensity, errors)
        self._unsent.append(monitor)
        self._emitter.emit(truth, timestamps_ns)
        self.shots += count
        if timestamps_ns[-1] >= self._next_monitor_ns:
            self._next_monitor_ns = int(timestamps_ns[-1]) + self._monitor_every_ns
            self._publish_monitor()
        if timestamps_ns[-1] >= self._next_show_ns:
            self._next_show_ns = int(timestamps_ns[-1]) + _SHOW_EVERY_NS
            shown = float(np.mean(monitor["beam_intensity"].to_numpy()))
            self._machine.show(int(pulse_ids[-1]), shown)
