"""A run on real parts from outside: an IOC that is there already, and somebody else's tables."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from autosteer.contracts import (
    INDEXING,
    MACHINE,
    OUTSIDE_RUN,
    TableKind,
    TruncatedSegmentError,
)
from autosteer.contracts.tables import make_batch
from autosteer.devices.channel_access import free_port, loopback_environment
from autosteer.stream import (
    ANY_PORT,
    Coverage,
    DroppingBacklog,
    Outlet,
    Producer,
    RealClock,
    read_segment,
    segments,
)
from tests.devices.ioc_process import IocProcess
from tests.integration.runs import Run, autosteer

RATE_HZ = 200
TOGETHER = 10


class Facility:
    """Publishes whether or not a run is on: no run knows of it, and it knows of none."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._outlets = {
            name: Outlet(self._context, ANY_PORT, "bind", DroppingBacklog(500))
            for name in ("agent", "recorder", "worker")
        }
        self.addresses = {name: outlet.address for name, outlet in self._outlets.items()}
        self.producer = {"name": "daq", **{k: self.addresses[k] for k in ("agent", "recorder")}}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def _publish(self) -> None:
        clock = RealClock()
        worker = Producer("camera", OUTSIDE_RUN, clock, {"worker": self._outlets.pop("worker")})
        producer = Producer("daq", OUTSIDE_RUN, clock, self._outlets)
        rng = np.random.default_rng(0)
        pulse_id = 10**12
        while not self._end.wait(TOGETHER / RATE_HZ):
            pulse_ids = np.arange(pulse_id, pulse_id + TOGETHER, dtype=np.uint64)
            pulse_id += TOGETHER
            steps_ns = np.arange(TOGETHER - 1, -1, -1) * int(1e9 / RATE_HZ)
            timestamps = clock.time_ns() - steps_ns
            hit = rng.random(TOGETHER) < 0.4
            columns: dict[TableKind, dict[str, Any]] = {
                MACHINE: {"beam_intensity": np.ones(TOGETHER)},
                INDEXING: {"hit": hit, "indexed": hit, "n_spots": 30 * hit},
            }
            for kind, values in columns.items():
                shot = {"pulse_id": pulse_ids, "timestamp": timestamps}
                producer.publish(kind.name, make_batch(kind, {**shot, **values}))
            frames = rng.poisson(5, (TOGETHER, 1, 64, 64)).astype(np.uint16)
            coverage = Coverage(int(pulse_ids[0]), int(pulse_ids[-1]), int(timestamps[0]))
            worker.publish_frames("frames", frames, coverage)
            worker.tend()
            producer.tend()
        worker.close()
        producer.close()
        self._context.term()

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def facility() -> Iterator[Facility]:
    made = Facility()
    yield made
    made.close()


@pytest.fixture
def ioc(monkeypatch: pytest.MonkeyPatch) -> Iterator[IocProcess]:
    ports = free_port(), free_port()
    for name, value in loopback_environment(*ports).items():
        monkeypatch.setenv(name, value)
    made = IocProcess(*ports)
    made.start()
    yield made
    made.kill()


def test_real_motors_follow_tables_from_outside(
    facility: Facility, ioc: IocProcess, tmp_path: Path
) -> None:
    run = Run(
        tmp_path,
        "--duration",
        "4",
        simulation=None,
        source={
            "kind": "tables",
            "rate_hz": RATE_HZ,
            "producers": [facility.producer],
        },
        devices__beam=None,
    )
    try:
        assert run.finish() == 0, run.text
    finally:
        run.end()
    summary = run.summary
    assert summary["moves"] >= 3
    assert 3.8 <= summary["duration_s"] < 8
    assert summary["frames_analysed"] >= 4 * RATE_HZ * 0.9
    # What the facility has sent and dropped before the run is no loss of the run.
    received = summary["counters"]["agent"]["received"]["daq/indexing"]
    assert received["lost_messages"] == received["dropped_shots"] == 0
    assert not (run.directory / "simulation").exists()
    assert not (run.directory / "logs" / "source.log").exists()
    written = sum(
        batch.num_rows
        for path in segments(run.directory / "tables")
        if path.parent.name == "indexing"
        for _, batch in read_segment(path)
    )
    assert written >= summary["frames_analysed"]
    replayed = autosteer("replay", str(run.directory))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_a_killed_recorder_goes_on_where_it_was(
    facility: Facility, ioc: IocProcess, tmp_path: Path
) -> None:
    source = {"kind": "tables", "rate_hz": RATE_HZ, "producers": [facility.producer]}
    run = Run(tmp_path, "--duration", "6", simulation=None, source=source, devices__beam=None)
    try:
        run.wait_for("decision 2: go to")
        run.child("recorder").kill()
        assert run.finish() == 0, run.text
    finally:
        run.end()
    recorder = run.summary["counters"]["recorder"]
    # What was sent while no recorder was there waited for the next one, and was not too old for it.
    assert not recorder["refused"].get("StaleRunError")
    stream = run.summary["counters"]["agent"]["received"]["daq/indexing"]
    written: set[int] = set()
    for path in segments(run.directory / "tables"):
        if path.parent.name == "indexing":
            with contextlib.suppress(TruncatedSegmentError):
                for _, batch in read_segment(path):
                    written.update(batch.column("pulse_id").to_pylist())
    # Lost is at most what was on its way into the process that was killed.
    assert len(written) >= stream["shots"] - RATE_HZ / 4


def test_frames_from_outside_are_analysed(
    facility: Facility, ioc: IocProcess, tmp_path: Path
) -> None:
    run = Run(
        tmp_path,
        "--duration",
        "2",
        "--mode",
        "observe",
        simulation=None,
        source={
            "kind": "frames",
            "rate_hz": RATE_HZ,
            "addresses": [facility.addresses["worker"]],
            "producers": [facility.producer],
        },
        analysis={
            "detector": {
                "shape": [64, 64],
                "pixel_size_um": 1000,
                "distance_mm": 80,
                "beam_center_px": [31.5, 31.5],
                "wavelength_angstrom": 1.3,
            },
            "indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]},
        },
        objective={"name": "spots", "column": "quality.background_level", "reduce": "mean"},
        devices__beam=None,
    )
    try:
        assert run.finish() == 0, run.text
    finally:
        run.end()
    assert run.summary["frames_analysed"] >= RATE_HZ
    assert run.summary["frames_sent"] >= run.summary["frames_analysed"]
    assert run.summary["moves"] == 0
