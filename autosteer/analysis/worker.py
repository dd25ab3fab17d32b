"""The analysis worker's main loop: batches by count or by time, frames in, tables out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.contracts import AnalysisError, Clock
from autosteer.stream import Coverage, Inlet, Producer, Received, Receiver

_POLL_MS = 10
LATENCY_COLUMN = "result_latency_s"
LARGEST_BATCH = 4
"""A backlog is worked off in batches this many times larger: they cost less per shot."""


class Analyser(Protocol):
    """What turns a batch of frames, or of spot lists, into tables."""

    def analyse(
        self,
        frames: NDArray[Any],
        pulse_ids: NDArray[np.uint64],
        timestamps: NDArray[np.int64],
    ) -> Mapping[str, pa.RecordBatch]:
        """Return a table of each kind for the shots."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What some shots have given.

    Parameters
    ----------
    frames : ndarray, shape (n, ...)
        Frames, spot lists or sinograms.
    pulse_ids : ndarray of uint64, shape (n,)
        Number of each machine pulse.
    timestamps : ndarray of int64, shape (n,)
        Time of each pulse, UTC since 1970 [ns].
    """

    frames: NDArray[Any]
    pulse_ids: NDArray[np.uint64]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pulse_ids)


class Intake(Protocol):
    """What makes shots of the messages that come."""

    def take(self, received: Received, now_ns: int) -> None:
        """Take a message."""
        ...

    def give(self, now_ns: int) -> list[Block]:
        """Give the shots that are ready."""
        ...

    def rest(self) -> list[Block]:
        """Give all shots that are there, whole or not."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more will come; what is left has been given, or will be with the next call."""
        ...

    @property
    def counters(self) -> dict[str, Any]:
        """What became of the messages."""
        ...


class FrameIntake:
    """Takes streams whose messages hold whole shots: frames, or spot lists."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._ended = False

    def take(self, received: Received, now_ns: int) -> None:
        """Take a message.

        Parameters
        ----------
        received : Received
            The message.
        now_ns : int
            Time now [ns UTC].
        """
        header = received.header
        if received.frames is not None:
            steps = np.arange(header.n, dtype=np.uint64)
            pulse_ids = np.uint64(header.first_pulse_id) + steps * np.uint64(header.pulse_stride)
            timestamps = np.full(header.n, header.t_first_shot_ns, dtype=np.int64)
            self._blocks.append(Block(received.frames, pulse_ids, timestamps))
        self._ended = header.end_of_stream

    def give(self, now_ns: int) -> list[Block]:
        """Give what has come since the last call.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].

        Returns
        -------
        list of Block
            The shots.
        """
        return self.rest()

    def rest(self) -> list[Block]:
        """Give what has come since the last call.

        Returns
        -------
        list of Block
            The shots.
        """
        blocks, self._blocks = self._blocks, []
        return blocks

    @property
    def ended(self) -> bool:
        """Whether the stream has ended."""
        return self._ended

    @property
    def counters(self) -> dict[str, Any]:
        """Nothing: messages become shots one by one."""
        return {}


class Worker:
    """Receives messages, collects shots to batches, has them analysed, and publishes the tables.

    Parameters
    ----------
    analyser : Analyser
        Does the work.
    intake : Intake
        Makes shots of messages.
    inlet : Inlet
        Where the messages come from.
    producer : Producer
        Publishes the tables.
    clock : Clock
        Gives the times from which latencies are counted.
    run_uid : str
        The run.
    batch_shots : int
        A batch starts at this many shots (and takes more where more have come),
    batch_wait_s : float
        or when the oldest has waited this long [s].
    on_problem : callable
        Told of messages that were refused and of batches that could not be analysed.
    """

    def __init__(
        self,
        analyser: Analyser,
        intake: Intake,
        inlet: Inlet,
        producer: Producer,
        clock: Clock,
        run_uid: str,
        batch_shots: int,
        batch_wait_s: float,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._analyser = analyser
        self._intake = intake
        self._inlet = inlet
        self._producer = producer
        self._clock = clock
        self._receiver = Receiver(run_uid, on_problem)
        self._on_problem = on_problem
        self._batch_shots = batch_shots
        self._batch_wait_s = batch_wait_s
        self._waiting: list[Block] = []
        self._waiting_shots = 0
        self._oldest_s = 0.0
        self._buffer: NDArray[Any] = np.empty(0)
        self.analysed = 0
        self.failed = 0
        self.busy_s = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._intake.ended

    def admit_outside(self, since_ns: int) -> None:
        """Take from now on what sources outside of any run send, too.

        Parameters
        ----------
        since_ns : int
            What they have sent before is refused [ns UTC].
        """
        self._receiver.admit_outside(since_ns)

    def step(self) -> None:
        """Take what has come; analyse it if a batch is due."""
        if not self._waiting_shots or not self._due():
            self._inlet.socket.poll(_POLL_MS)
        room = LARGEST_BATCH * self._batch_shots - self._waiting_shots
        for parts in self._inlet.receive(max(room, 1)):
            received = self._receiver.accept(parts)
            if received is not None:
                self._intake.take(received, self._clock.time_ns())
        self._collect(self._intake.give(self._clock.time_ns()))
        if self._waiting_shots and (self._due() or self.ended):
            self._analyse()
        self._producer.tend()

    def _due(self) -> bool:
        waited_s = self._clock.monotonic_s() - self._oldest_s
        return self._waiting_shots >= self._batch_shots or waited_s >= self._batch_wait_s

    def _collect(self, blocks: list[Block]) -> None:
        """Put shots to those that wait."""
        for block in blocks:
            if not self._waiting_shots:
                self._oldest_s = self._clock.monotonic_s()
            self._waiting.append(block)
            self._waiting_shots += len(block)

    def _analyse(self) -> None:
        """Analyse what waits; shots of another shape or type make a batch of their own."""
        waiting, self._waiting, self._waiting_shots = self._waiting, [], 0
        begin_s = time.process_time()
        while waiting:
            first = waiting[0].frames
            alike = [
                one
                for one in waiting
                if one.frames.shape[1:] == first.shape[1:] and one.frames.dtype == first.dtype
            ]
            waiting = [one for one in waiting if one not in alike]
            self._analyse_alike(alike)
        self.busy_s += time.process_time() - begin_s

    def _analyse_alike(self, batch: list[Block]) -> None:
        frames = self._gather([one.frames for one in batch])
        pulse_ids = np.concatenate([one.pulse_ids for one in batch])
        timestamps = np.concatenate([one.timestamps for one in batch])
        try:
            tables = self._analyser.analyse(frames, pulse_ids, timestamps)
        except AnalysisError as error:
            self.failed += len(frames)
            self._on_problem(error)
            return
        now_ns = self._clock.time_ns()
        coverage = Coverage(int(pulse_ids[0]), int(pulse_ids[-1]), int(timestamps[0]))
        for kind, table in tables.items():
            self._producer.publish(kind, _with_latency(table, now_ns), coverage)
        self.analysed += len(frames)

    def _gather(self, blocks: list[NDArray[Any]]) -> NDArray[Any]:
        """Put frames side by side, in memory that is used again: fresh memory costs more."""
        count, first = sum(map(len, blocks)), blocks[0]
        like = (*first.shape[1:], first.dtype)
        if like != (*self._buffer.shape[1:], self._buffer.dtype) or len(self._buffer) < count:
            self._buffer = np.empty((count, *first.shape[1:]), first.dtype)
        return np.concatenate(blocks, out=self._buffer[:count])

    def finish(self) -> None:
        """Analyse all that has come, whole or not, and end the streams."""
        self._collect(self._intake.rest())
        if self._waiting_shots:
            self._analyse()
        self._producer.end()

    @property
    def counters(self) -> dict[str, Any]:
        """What was received, refused, analysed and published."""
        return {
            "received": {
                f"{source}/{kind}": asdict(counters)
                for (source, kind), counters in self._receiver.counters.items()
            },
            "refused": self._receiver.refused,
            **self._intake.counters,
            "analysed": self.analysed,
            "failed": self.failed,
            "busy_s": self.busy_s,
            "tables": self._producer.counters,
        }


def _with_latency(table: pa.RecordBatch, now_ns: int) -> pa.RecordBatch:
    """Fill the column that says how old each result is when it leaves."""
    index = table.schema.get_field_index(LATENCY_COLUMN)
    if index < 0:
        return table
    latency_s = (now_ns - table.column("timestamp").to_numpy()) / 1e9
    field = table.schema.field(index)
    return table.set_column(index, field, pa.array(latency_s, field.type))
