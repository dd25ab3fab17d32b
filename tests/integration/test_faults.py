"""What breaks in mid-run: it is said, nothing recorded is lost, and motors are known."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from autosteer.contracts import TruncatedSegmentError
from autosteer.stream import read_segment, segments
from tests.integration.runs import Run, autosteer

Start = Callable[..., Run]

FRAMES: dict[str, Any] = {
    "source": {"kind": "frames", "rate_hz": 40},
    "analysis": {
        "detector": {
            "shape": [256, 256],
            "pixel_size_um": 300,
            "distance_mm": 80,
            "beam_center_px": [127.5, 127.5],
            "wavelength_angstrom": 1.3,
            "saturation": 60000,
        },
        "indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]},
        "min_spots_hit": 6,
    },
    "dwell": {"shots": 12, "max_s": 2},
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*arguments: str, **changes: Any) -> Run:
        runs.append(Run(tmp_path / f"run{len(runs)}", *arguments, **changes))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def recorded_rows(run: Run, kind: str) -> list[int]:
    """List the recorded pulse ids of a kind; a cut-off segment gives what is whole."""
    pulse_ids: list[int] = []
    for path in segments(run.directory / "tables"):
        if path.parent.name == kind:
            try:
                for _, batch in read_segment(path):
                    pulse_ids += batch.column("pulse_id").to_pylist()
            except TruncatedSegmentError:
                continue
    return pulse_ids


def test_a_killed_worker_is_started_anew_and_its_frames_are_counted(start: Start) -> None:
    run = start("--duration", "14", **FRAMES)
    run.wait_for("decision 2: go to")
    run.child("worker").kill()
    run.wait_for("process 'worker-0': ended unasked with code -9")
    decisions = run.text.count(": go to")
    run.wait_for(lambda: run.text.count(": go to") > decisions + 1)
    assert run.finish() == 0, run.text
    summary = run.summary
    received = summary["counters"]["agent"]["received"]["worker-0/indexing"]
    assert received["restarts"] == 1
    # What the dead worker had in hand is the only loss, and it is known to the frame.
    [frames] = summary["counters"]["source"]["frames"].values()
    assert summary["frames_sent"] == frames["worker"]["out"] + frames["worker"]["dropped"]
    assert summary["frames_analysed"] == received["shots"] < summary["frames_sent"]
    assert sorted(recorded_rows(run, "indexing")) == sorted(set(recorded_rows(run, "indexing")))
    assert len(recorded_rows(run, "indexing")) == summary["frames_analysed"]
    assert len(recorded_rows(run, "machine")) == summary["frames_sent"]
    assert autosteer("replay", str(run.directory)).returncode == 0


def test_a_killed_policy_is_started_anew_and_told_everything(start: Start) -> None:
    run = start("--duration", "12", policy={"class": "autosteer.policies:RandomPolicy"})
    run.wait_for("decision 3: go to")
    run.child("policy").kill()
    run.wait_for("process 'policy': ended unasked")
    decisions = run.text.count(": go to")
    run.wait_for(lambda: run.text.count(": go to") > decisions + 1)
    assert run.finish() == 0, run.text
    assert run.summary["counters"]["agent"]["join"]["indexing"]["late"] == 0
    replayed = autosteer("replay", str(run.directory))
    assert replayed.returncode == 0, replayed.stdout


def test_a_killed_recorder_loses_no_table(start: Start) -> None:
    run = start("--duration", "10")
    run.wait_for("decision 2: go to")
    run.child("recorder").kill()
    run.wait_for("process 'recorder': ended unasked")
    run.wait_for(lambda: len(list((run.directory / "tables").glob("*/*"))) >= 2)
    assert run.finish() == 0, run.text
    sent = run.summary["frames_sent"]
    for kind in ("machine", "indexing"):
        rows = recorded_rows(run, kind)
        # What stood in the killed process's socket is gone; everything after it is there.
        assert len(rows) == len(set(rows))
        assert sent - 10 <= len(rows) <= sent


def test_garbage_on_every_port_is_refused_and_counted(start: Start) -> None:
    run = start("--duration", "8", **FRAMES)
    run.wait_for("decision 1: go to")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ports = {
        connection.laddr.port
        for process in [
            psutil.Process(run.process.pid),
            *psutil.Process(run.process.pid).children(),
        ]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and not _is_channel_access(process)
    }
    assert len(ports) >= 5
    for port in ports:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 8)
        for kind in (zmq.PUSH, zmq.DEALER, zmq.SUB):
            stranger = context.socket(kind)
            stranger.setsockopt(zmq.LINGER, 500)
            stranger.connect(f"tcp://127.0.0.1:{port}")
            if kind != zmq.SUB:
                for parts in ([b"x"], [b"machine", b"{}", b""], [b"a", b"\xff" * 5000, b"b", b"c"]):
                    stranger.send_multipart(parts)
            stranger.close()
    run.wait_for("refused a message")
    assert run.finish() == 0, run.text
    context.destroy(linger=0)
    summary = run.summary
    assert summary["counters"]["agent"]["refused"]
    assert summary["counters"]["recorder"]["refused"]
    assert summary["frames_analysed"] / summary["frames_sent"] > 0.95
    assert summary["moves"] >= 3


def _is_channel_access(process: psutil.Process) -> bool:
    return "ioc" in process.cmdline()


def test_an_ioc_that_dies_in_mid_move_fails_the_move_and_holds(start: Start) -> None:
    run = start(
        "--duration",
        "60",
        knobs__y__timeout_s=2,
        knobs__x__timeout_s=2,
        simulation__ioc__motors__Y__velocity=0.05,
        simulation__ioc__motors__X__velocity=0.01,
        stop__max_failures=2,
    )
    run.wait_for("decision 1: go to")
    run.child("ioc").kill()
    run.wait_for("lost the device of knob 'x'")
    run.wait_for("process 'ioc': ended unasked")
    run.wait_for(lambda: re.search(r"error: move 1 (failed|unverified)", run.text))
    run.wait_for("holding: the device of knob")
    run.interrupt()
    code = run.finish()
    assert code == 0, run.text
    assert run.summary["moves"] == 0
    assert run.summary["reason"] == "stopped by Ctrl-C"
    documents = run.documents
    assert documents[-1][0] == "stop"


def test_one_ctrl_c_ends_after_the_move_in_flight(start: Start) -> None:
    run = start("--duration", "60", simulation__ioc__motors__Y__velocity=0.2)
    run.wait_for("decision 1: go to")
    run.interrupt()
    assert run.finish() == 0, run.text
    summary = run.summary
    assert summary["reason"] == "stopped by Ctrl-C"
    assert summary["moves"] == 1
    target = run.lines("decisions.jsonl")[0]["suggestion"]["knobs"]
    assert abs(summary["knobs_final"]["y"] - target["y"]) < 0.002
    assert run.documents[-1][1]["exit_status"] == "success"


def readbacks(run: Run, knob: str) -> list[dict[str, Any]]:
    """List what a motor has told so far."""
    events = [line.get("event", {}) for line in run.lines("controller.jsonl")]
    return [one for one in events if one.get("type") == "readback" and one["knob"] == knob]


def test_two_ctrl_c_stop_the_motors_where_they_are(start: Start) -> None:
    run = start(
        "--duration",
        "60",
        simulation__ioc__motors__Y__velocity=0.02,
        simulation__ioc__motors__X__velocity=0.005,
        knobs__y__timeout_s=60,
    )
    run.wait_for("decision 1: go to")
    run.wait_for(lambda: len(readbacks(run, "y")) >= 5)
    run.interrupt()
    run.wait_for("ending: stopped by Ctrl-C")
    run.interrupt()
    assert run.finish() == 1, run.text
    summary = run.summary
    assert summary["reason"] == "aborted by Ctrl-C"
    start_y, target_y = 0.2, run.lines("decisions.jsonl")[0]["suggestion"]["knobs"]["y"]
    assert min(start_y, target_y) < summary["knobs_final"]["y"] < max(start_y, target_y)
    last = readbacks(run, "y")[-1]
    assert summary["knobs_final"]["y"] == last["value"]
    assert not last["moving"]
    assert run.documents[-1][1]["exit_status"] == "abort"


def test_when_the_program_is_killed_its_processes_end_and_the_record_is_whole(
    start: Start,
) -> None:
    run = start("--duration", "60")
    run.wait_for("decision 2: go to")
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) >= 4
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    names = [name for name, _ in run.documents]
    assert names[0] == "start"
    assert names.count("event") >= 2
    assert len(run.lines("outcomes.jsonl")) >= 1
    assert autosteer("replay", str(run.directory)).returncode == 0
    assert autosteer("report", str(run.directory)).returncode == 0
    assert "not finished" in (run.directory / "report.html").read_text()


def test_a_source_that_dies_ends_the_run_and_leaves_the_motors(start: Start) -> None:
    run = start("--duration", "60")
    run.wait_for("decision 2: go to")
    run.child("source").kill()
    assert run.finish() == 1, run.text
    assert "process 'source': ended unasked" in run.summary["reason"]
    assert run.documents[-1][1]["exit_status"] == "success"
