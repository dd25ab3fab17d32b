"""The channels of a simulated spectrometer as independent streams: late, lost, twice, unordered."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.messages import sinogram_channel
from autosteer.contracts.xleap_simulation import SimulatedChannelStreams
from autosteer.sims._draws import stream_seed
from autosteer.sims.emitters import deal_out
from autosteer.sims.mrco import MrcoSimulator
from autosteer.sims.xleap import PulseTruth
from autosteer.stream import Coverage, Producer

_Message = tuple[int, int, Producer, str, NDArray[np.uint16], Coverage]


class ChannelEmitter:
    """Makes sinograms of pulses and publishes each channel by a producer of its own.

    All channels of a batch of pulses go to the same worker, the one that has least waiting.

    Parameters
    ----------
    spectrometer : MrcoSimulator
        Makes the sinograms.
    streams : SimulatedChannelStreams
        What happens to messages on their way.
    producers : sequence of sequence of Producer
        For each worker, one for each channel.
    seed : int
        The one seed of the simulation, not negative.
    """

    def __init__(
        self,
        spectrometer: MrcoSimulator,
        streams: SimulatedChannelStreams,
        producers: Sequence[Sequence[Producer]],
        seed: int,
    ) -> None:
        self._spectrometer = spectrometer
        self._streams = streams
        self._producers = producers
        self._rng = np.random.default_rng(stream_seed(seed, "channel streams"))
        self._underway: list[_Message] = []
        self._order = itertools.count()
        self._turn = 0
        for channels in producers:
            for number, producer in enumerate(channels):
                producer.announce(sinogram_channel(number))

    def emit(self, truth: PulseTruth, timestamps_ns: NDArray[np.int64]) -> None:
        """Make the sinograms of pulses, and send their channels on their way.

        Parameters
        ----------
        truth : PulseTruth
            What the pulses are.
        timestamps_ns : ndarray of int64, shape (n,)
            Exposure times [ns UTC].
        """
        counts = self._spectrometer.sinograms(truth.pulse_id, truth.spikes)
        channels = self._least_loaded()
        n = len(channels)
        coverage = Coverage(int(truth.pulse_id[0]), int(truth.pulse_id[-1]), int(timestamps_ns[0]))
        late_ns = 1e9 * self._streams.late_s * self._rng.standard_exponential((2, n))
        due_ns = timestamps_ns[-1] + np.rint(1e9 * self._streams.latency_s + late_ns)
        lost = self._rng.random(n) < self._streams.missing
        twice = self._rng.random(n) < self._streams.duplicated
        for number, producer in enumerate(channels):
            rows = np.ascontiguousarray(counts[:, number])
            times = () if lost[number] else due_ns[: 1 + twice[number], number]
            for time in times:
                name = sinogram_channel(number)
                message = (int(time), next(self._order), producer, name, rows, coverage)
                heapq.heappush(self._underway, message)

    def _least_loaded(self) -> Sequence[Producer]:
        """Choose the worker with the least waiting; among equals, the next in turn."""
        waiting = [max(one.pending_shots for one in channels) for channels in self._producers]
        chosen = deal_out(waiting, self._turn)
        self._turn = (chosen + 1) % len(self._producers)
        return self._producers[chosen]

    def tend(self, now_ns: int) -> None:
        """Publish what is due, and keep the sockets alive.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        """
        while self._underway and self._underway[0][0] <= now_ns:
            self._publish()
        for producer in itertools.chain.from_iterable(self._producers):
            producer.tend()

    def end(self) -> None:
        """Publish the rest, and end the streams."""
        while self._underway:
            self._publish()
        for producer in itertools.chain.from_iterable(self._producers):
            producer.end()

    def _publish(self) -> None:
        _, _, producer, name, rows, coverage = heapq.heappop(self._underway)
        producer.publish_frames(name, rows, coverage)
