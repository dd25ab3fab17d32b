"""What becomes of pulses: frames, spot lists or result tables, published."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.contracts.table_kinds import MACHINE
from autosteer.sims.beamline import Shot, ShotTruth
from autosteer.stream import Coverage, Producer

Int = NDArray[np.int64]
GivenT_contra = TypeVar("GivenT_contra", contravariant=True)


def deal_out(waiting: Sequence[int], next_one: int) -> int:
    """Choose the worker that has least waiting; among equals, the next in turn.

    Parameters
    ----------
    waiting : sequence of int
        Shots that wait for each worker.
    next_one : int
        Whose turn it would be.

    Returns
    -------
    int
        The chosen one.
    """
    order = [(next_one + step) % len(waiting) for step in range(len(waiting))]
    return min(order, key=lambda number: waiting[number])


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
            waiting = [producer.pending_shots for producer in self._producers]
            chosen = deal_out(waiting, self._turn)
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


class TableMaker(Protocol[GivenT_contra]):
    """Makes result tables of pulses; see `TableSimulator` and `PulseTableSimulator`."""

    def tables(self, truth: GivenT_contra, timestamps_ns: Int) -> Mapping[str, pa.RecordBatch]:
        """Return tables by kind."""
        ...


class TableEmitter(Generic[GivenT_contra]):
    """Publishes result tables, each after the latency of the analysis that it stands for.

    The table of the beam monitor is left out: it comes from the machine.

    Parameters
    ----------
    simulator : TableMaker
        Makes the tables.
    producer : Producer
        Publishes them.
    latency_s : float
        From exposure to result [s].
    """

    def __init__(
        self, simulator: TableMaker[GivenT_contra], producer: Producer, latency_s: float
    ) -> None:
        self._simulator = simulator
        self._producer = producer
        self._latency_ns = round(latency_s * 1e9)
        self._waiting: deque[tuple[int, str, pa.RecordBatch]] = deque()

    def emit(self, truth: GivenT_contra, timestamps_ns: Int) -> None:
        """Make the tables; they are published when they are due.

        Parameters
        ----------
        truth : ShotTruth or PulseTruth
            What the pulses met, or are.
        timestamps_ns : ndarray of int64, shape (n,)
            Exposure times [ns UTC].
        """
        due_ns = int(timestamps_ns[-1]) + self._latency_ns
        for kind, batch in self._simulator.tables(truth, timestamps_ns).items():
            if kind != MACHINE.name:
                self._waiting.append((due_ns, kind, batch))

    def tend(self, now_ns: int) -> None:
        """Publish what is due, and keep the sockets alive.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        """
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, kind, batch = self._waiting.popleft()
            self._producer.publish(kind, batch)
        self._producer.tend()

    def end(self) -> None:
        """Publish the rest, and end the stream."""
        for _, kind, batch in self._waiting:
            self._producer.publish(kind, batch)
        self._waiting.clear()
        self._producer.end()
