"""Channels of the simulated spectrometer on their way: what arrives is what was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.pulses.intake import ChannelIntake
from autosteer.contracts import Header
from autosteer.contracts.xleap_simulation import SimulatedChannelStreams, SimulatedXleap
from autosteer.sims import PulseTruth, XleapMachine
from autosteer.sims.channels import ChannelEmitter
from autosteer.stream import Coverage, Producer, Received

MS = 1_000_000
RATE_HZ = 1000.0
TOGETHER = 20


@dataclass
class Wire:
    """Stands for the producers and their sockets: keeps messages in the order they leave."""

    messages: list[Received] = field(default_factory=list)

    def producers(self, workers: int = 1) -> list[list[Producer]]:
        return [[cast("Producer", Sender(self, w)) for _ in range(16)] for w in range(workers)]


@dataclass
class Sender:
    wire: Wire
    worker: int
    pending_shots: int = 0

    def announce(self, kind: str) -> None:
        self.kind = kind

    def publish_frames(self, kind: str, frames: NDArray[Any], coverage: Coverage) -> None:
        self.wire.messages.append(Received(self.header(kind, len(frames), coverage), frames=frames))

    def tend(self) -> None:
        pass

    def end(self) -> None:
        header = self.header(self.kind, 0, Coverage(0, 0, 0))
        last = header.model_copy(update={"message": "heartbeat", "end_of_stream": True})
        self.wire.messages.append(Received(last))

    def header(self, kind: str, n: int, coverage: Coverage) -> Header:
        return Header(
            message="frames",
            source=kind,
            kind=kind,
            run_uid="run",
            boot_uid=str(self.worker),
            seq=0,
            n=n,
            first_pulse_id=coverage.first_pulse_id,
            last_pulse_id=coverage.last_pulse_id,
            t_first_shot_ns=coverage.t_first_shot_ns,
        )


def machine() -> XleapMachine:
    config = SimulatedXleap.model_validate({
        "kind": "xleap",
        "modulator": {"motor": "GAP", "best": 0.0, "width": 1.0},
        "chicane": {"motor": "CHICANE"},
    })  # fmt: skip
    return XleapMachine(config, 1)


def pulses(one: XleapMachine, number: int) -> tuple[PulseTruth, NDArray[np.int64]]:
    ids = 1000 + TOGETHER * number + np.arange(TOGETHER, dtype=np.uint64)
    times_s = (ids - np.uint64(1000)) / RATE_HZ
    truth = one.shots(ids, times_s, {"GAP": 0.0, "CHICANE": 0.8})
    return truth, np.rint(times_s * 1e9).astype(np.int64)


def intake(slots: int = 1024) -> ChannelIntake:
    return ChannelIntake(16, 512, rate_hz=RATE_HZ, slots=slots, pulse_stride=1, wait_s=0.2)


def test_what_still_waits_for_channels_is_given_in_the_end() -> None:
    one, wire, taking = machine(), Wire(), intake()
    emitter = ChannelEmitter(one.spectrometer, SimulatedChannelStreams(), wire.producers(), 3)
    truth, times_ns = pulses(one, 0)
    emitter.emit(truth, times_ns)
    emitter.tend(int(times_ns[-1]) + 1000 * MS)
    for message in wire.messages:
        if message.header.kind != "sinogram-03":
            taking.take(message, int(times_ns[-1]))
    assert not taking.give(int(times_ns[-1]))
    [block] = taking.rest()
    np.testing.assert_array_equal(block.pulse_ids, truth.pulse_id)
    assert np.isnan(block.frames[:, 3]).all()
    counters = taking.counters["channels"]
    assert all(one["pending"] == 0 for one in counters.values())
    assert counters["sinogram-03"]["rows_in"] == 0


def sent(
    streams: SimulatedChannelStreams, batches: int = 25
) -> tuple[Wire, NDArray[np.uint16], ChannelIntake, list[Any]]:
    """Send pulses on their way, and take what arrives as it comes."""
    one, wire, taking = machine(), Wire(), intake()
    emitter = ChannelEmitter(one.spectrometer, streams, wire.producers(), 3)
    expected, blocks = [], []
    for number in range(batches):
        truth, times_ns = pulses(one, number)
        expected.append(one.spectrometer.sinograms(truth.pulse_id, truth.spikes))
        emitter.emit(truth, times_ns)
        now_ns = int(times_ns[-1])
        emitter.tend(now_ns)
        for message in wire.messages:
            taking.take(message, now_ns)
        wire.messages.clear()
        blocks += taking.give(now_ns)
    emitter.end()
    for message in wire.messages:
        taking.take(message, now_ns)
    assert taking.ended
    blocks += taking.give(now_ns)
    return wire, np.concatenate(expected), taking, blocks


@pytest.mark.parametrize(
    "streams",
    [
        SimulatedChannelStreams(latency_s=0.0),
        SimulatedChannelStreams(late_s=0.015),
        SimulatedChannelStreams(late_s=0.02, duplicated=0.2),
    ],
)
def test_late_and_repeated_channels_make_whole_sinograms(streams: SimulatedChannelStreams) -> None:
    _, expected, taking, blocks = sent(streams)
    frames = np.concatenate([block.frames for block in blocks])
    np.testing.assert_array_equal(frames, expected)
    ids = np.concatenate([block.pulse_ids for block in blocks])
    np.testing.assert_array_equal(ids, 1000 + np.arange(len(expected)))
    times = np.concatenate([block.timestamps for block in blocks])
    np.testing.assert_array_equal(times, np.arange(len(expected)) * MS)
    assert (taking.counters["channels"]["sinogram-03"]["duplicate"] > 0) == (streams.duplicated > 0)


def test_lost_channels_are_nan_and_the_rest_is_there() -> None:
    _, expected, _, blocks = sent(SimulatedChannelStreams(missing=0.1))
    ids = np.concatenate([block.pulse_ids for block in blocks]).astype(np.int64) - 1000
    frames = np.concatenate([block.frames for block in blocks])
    lost = np.isnan(frames).any(axis=2)
    assert 0.05 < lost.mean() < 0.16
    np.testing.assert_array_equal(frames[~lost], expected[ids][~lost])


def test_all_channels_of_a_pulse_go_to_the_same_worker() -> None:
    one, wire = machine(), Wire()
    emitter = ChannelEmitter(one.spectrometer, SimulatedChannelStreams(), wire.producers(2), 3)
    for number in range(4):
        emitter.emit(*pulses(one, number))
    emitter.tend(10**12)
    workers: dict[int, set[str]] = {}
    for message in wire.messages:
        workers.setdefault(message.header.first_pulse_id, set()).add(message.header.boot_uid)
    assert [len(some) for some in workers.values()] == [1] * 4
    assert set.union(*workers.values()) == {"0", "1"}


def test_rows_of_another_length_are_counted_and_left_out() -> None:
    taking = intake()
    header = Sender(Wire(), 0).header("sinogram-00", 2, Coverage(1, 2, 0))
    taking.take(Received(header, frames=np.zeros((2, 500), np.uint16)), 0)
    assert taking.counters["misshapen"] == 2
    assert taking.give(10**12) == []
