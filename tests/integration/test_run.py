"""One whole run over real sockets, Channel Access and the RunEngine, and all it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from event_model import DocumentNames, schema_validators

from autosteer.service.summary import RunSummary
from autosteer.stream import read_segment, segments
from tests.integration.runs import Run, autosteer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    made = Run(
        tmp_path_factory.mktemp("run"),
        "--duration",
        "5",
        "--seed",
        "3",
        policy={"class": "autosteer.policies:BayesianPolicy", "options": {}},
        dwell={"shots": 25, "max_s": 3},
        envelope={"interlocks": [{"name": "beam", "device": "beam", "above": 0.2}]},
    )
    made.wait_for("decision 2: go to")
    # The motors move over Channel Access: another process sees it.
    port = made.text.split("EPICS_CA_SERVER_PORT=")[1].split()[0]
    seen = _positions(port)
    made.wait_for("decision 4: go to")
    assert _positions(port) != seen
    assert made.finish() == 0, made.text
    yield made
    made.end()


def _positions(port: str) -> list[str]:
    """Read the motors with caproto's own client."""
    import os
    import subprocess
    import sys

    environment = {
        **os.environ,
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": port,
    }
    command = [sys.executable, "-m", "caproto.commandline.get", "--terse", "--no-repeater"]
    done = subprocess.run(
        [*command, "SIM:X.RBV", "SIM:Y.RBV"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_the_summary_says_what_was_done(run: Run) -> None:
    summary = RunSummary.model_validate(run.summary)
    assert summary.ok
    assert summary.reason == "5 s have passed"
    assert summary.seed == 3
    assert summary.moves >= 5
    assert summary.refusals == 0
    assert summary.frames_sent == summary.frames_analysed >= 500
    assert 0 < summary.frames_indexed <= summary.frames_hit <= summary.frames_analysed
    assert summary.objective_first is not None
    assert summary.objective_final is not None
    assert summary.knobs_best is not None
    for knob, place in summary.knobs_best.items():
        assert abs(summary.knobs_final[knob] - place) < 0.002
    assert json.loads((run.directory / "summary.json").read_text()) == run.summary


def test_nothing_was_lost_on_any_way(run: Run) -> None:
    counters = run.summary["counters"]
    sent = run.summary["frames_sent"]
    assert counters["recorder"]["rows"] == {"machine": sent, "indexing": sent}
    for place in (counters["agent"], counters["recorder"]):
        assert place["refused"] == {}
        for stream in place["received"].values():
            assert stream["shots"] == sent
            assert stream["lost_messages"] == stream["dropped_shots"] == stream["restarts"] == 0
    for consumer in counters["source"]["tables"].values():
        assert consumer == {"out": 2 * sent, "dropped": 0, "pending": 0}
    for join in counters["agent"]["join"].values():
        lost = join["duplicate"] + join["late"] + join["future"]
        assert join["rows_in"] == join["joined"] + join["pending"] + lost
        assert lost == 0


def test_the_recorded_tables_hold_every_shot_once_and_nothing_of_the_truth(run: Run) -> None:
    for kind in ("machine", "indexing"):
        pulse_ids: list[int] = []
        for path in segments(run.directory / "tables"):
            if path.parent.name == kind:
                for _, batch in read_segment(path):
                    pulse_ids += batch.column("pulse_id").to_pylist()
                    assert not {"p_hit", "p_hit_attainable", "n_crystals"} & set(batch.schema.names)
        first = pulse_ids[0]
        assert pulse_ids == list(range(first, first + run.summary["frames_sent"]))
    assert (run.directory / "simulation" / "truth.arrows").is_file()


def test_the_documents_are_a_valid_run_with_every_decision(run: Run) -> None:
    documents = run.documents
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    start, stop = documents[0][1], documents[-1][1]
    assert start["experiment"] == "test"
    assert start["policy"]["class"] == "autosteer.policies:BayesianPolicy"
    assert stop["exit_status"] == "success"
    streams = {d["uid"]: d["name"] for name, d in documents if name == "descriptor"}
    events = [(streams[d["descriptor"]], d["data"]) for name, d in documents if name == "event"]
    decisions = [data for stream, data in events if stream == "decisions"]
    moved = [data for stream, data in events if stream == "primary"]
    assert len(decisions) == run.summary["decisions"]
    assert len(moved) == run.summary["moves"]
    by_number = {data["decision_number"]: data for data in decisions}
    for data in moved:
        target = by_number[data["decision_id"]]
        assert abs(data["motor_x"] - target["decision_target_x"]) <= 0.001
        assert abs(data["motor_y"] - target["decision_target_y"]) <= 0.002


def test_decisions_and_outcomes_stand_in_files_of_their_own(run: Run) -> None:
    decisions = run.lines("decisions.jsonl")
    assert [line["number"] for line in decisions] == list(range(1, len(decisions) + 1))
    assert all(line["suggestion"]["why"] for line in decisions)
    assert decisions[-1]["final"]
    outcomes = run.lines("outcomes.jsonl")
    assert outcomes[0]["suggestion_id"] == "start"
    assert outcomes[-1]["suggestion_id"] == "final"
    assert all(line["final"] for line in outcomes)
    starts = json.loads((run.directory / "start.json").read_text())
    assert starts["versions"]["torch"]


def test_a_replay_reproduces_everything(run: Run) -> None:
    done = autosteer("replay", str(run.directory), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(done.stdout)
    assert result["exact"]
    assert result["decisions"] == run.summary["decisions"]
    assert result["suggestions"] >= 5
    assert result["outcomes"] == len(run.lines("outcomes.jsonl"))


def edited(run: Run, folder: Path, find: str, change: str, occurrence: int = 0) -> Path:
    """Copy a run and change one line of its controller's log."""
    copy = folder / "copy"
    shutil.copytree(run.directory, copy)
    log = copy / "controller.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    number = [index for index, line in enumerate(lines) if find in line][occurrence]
    assert find in lines[number]
    lines[number] = lines[number].replace(find, change)
    log.write_text("".join(lines))
    return copy


def test_a_replay_names_the_decision_that_differs(run: Run, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, '"decision":{"number":3', '"decision":{"number":33')
    done = autosteer("replay", str(copy), "--no-policy")
    assert done.returncode == 1
    assert "decision 33" in done.stdout


def test_a_replay_notices_another_suggestion(run: Run, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, '"id":"s7"', '"id":"s77"')
    done = autosteer("replay", str(copy))
    assert done.returncode == 1
    assert "the policy answered" in done.stdout


def test_a_replay_notices_a_table_that_was_not_recorded(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.directory, copy)
    [segment] = [path for path in segments(copy / "tables") if path.parent.name == "machine"]
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    done = autosteer("replay", str(copy), "--no-policy")
    assert done.returncode == 1
    assert "is not in the record" in done.stdout


def test_the_report_stands_by_itself(run: Run) -> None:
    done = autosteer("report", str(run.directory))
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip()).read_text()
    for title in (
        "Objective against time",
        "Knobs against time",
        "What the policy believes",
        "Map of the two most important knobs",
        "Latency of the analysis",
        "Decisions",
        "Counters",
    ):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data:image/png;base64,") == 5
    assert "<script" not in page
    assert 'src="http' not in page


@pytest.mark.parametrize("command", ["replay", "report"])
def test_what_is_no_run_is_said_so(command: str, tmp_path: Path) -> None:
    done = autosteer(command, str(tmp_path))
    assert done.returncode == 2
    assert "is no run directory" in done.stderr
    assert "Traceback" not in done.stderr
