"""A run on pulses: 16 streams in, delays out, shots sorted, and a worker that dies on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from autosteer.stream import read_segment, segments
from tests.integration.runs import Run, autosteer

EXAMPLE = Path(__file__).parents[2] / "examples" / "double_pulse" / "experiment.yaml"


def experiment() -> dict[str, Any]:
    """Return the example at a rate that any machine keeps up with, and without a network."""
    data: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    data["source"]["rate_hz"] = 60
    data["pulses"] = {"estimator": "matched", "batch_shots": 8}
    data["policy"] = {"class": "autosteer.policies:RandomPolicy"}
    data["dwell"] = {"shots": 20, "max_s": 4}
    data["sort"]["quota"] = 5
    data["sort"]["edges"] = [0, 1000, 2000]
    data["mode"] = "auto"
    return data


@pytest.fixture
def run(tmp_path: Path, tests_can_be_imported: None) -> Iterator[Run]:
    data = {**experiment(), "record": {"directory": str(tmp_path / "runs")}}
    made = Run(tmp_path, "--duration", "15", **data)
    yield made
    made.end()


def recorded(run: Run) -> list[dict[str, Any]]:
    """Read the rows of the table of pulses that the recorder has taken."""
    rows = []
    for path in segments(run.directory / "tables"):
        for header, batch in read_segment(path):
            if header.kind == "pulse":
                rows += batch.to_pylist()
    return rows


def test_pulses_are_characterised_steered_on_and_sorted(run: Run) -> None:
    run.wait_for("decision 2: go to")
    run.child("worker").kill()
    run.wait_for("process 'worker-0': ended unasked with code -9")
    decisions = run.text.count(": go to")
    run.wait_for(lambda: run.text.count(": go to") > decisions + 1)
    assert run.finish() == 0, run.text
    summary = run.summary
    assert summary["moves"] >= 3
    channels = summary["counters"]["worker-0"]["channels"]
    assert len(channels) == 16
    for counters in channels.values():
        assert counters["pending"] == counters["future"] == 0
        assert counters["rows_in"] == (
            counters["joined"] + counters["duplicate"] + counters["late"]
        )
    rows = recorded(run)
    assert len(rows) == summary["frames_analysed"]
    pairs = [row for row in rows if row["n_spikes"] == 2]
    # What comes in after the end is recorded, and no longer looked at.
    assert 20 < summary["pulses_paired"] <= len(pairs)
    delays = {row["pulse_id"]: row["delay_as"] for row in pairs}
    kept = pq.read_table(run.directory / "sorted_shots.parquet").to_pydict()
    assert np.bincount(kept["bin"]).tolist() == [5, 5]
    for pulse_id, number, value in zip(kept["pulse_id"], kept["bin"], kept["value"], strict=True):
        assert value == pytest.approx(delays[pulse_id])
        assert number == value // 1000
    assert [one["sorted"] for one in summary["bins"]] == [5, 5]
    report = autosteer("report", str(run.directory))
    assert report.returncode == 0, report.stderr
    page = (run.directory / "report.html").read_text()
    assert "0 to 1000: 5 of 5" in page
    replayed = autosteer("replay", str(run.directory))
    assert replayed.returncode == 0, replayed.stdout


def test_a_worker_that_cannot_start_is_one_clear_line(tmp_path: Path) -> None:
    done = autosteer(
        *("run", str(EXAMPLE), "--set", f"record.directory={tmp_path}"),
        *("--set", "pulses.weights=nowhere.safetensors"),
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    [line] = [one for one in done.stderr.splitlines() if "nowhere.safetensors" in one]
    assert line.startswith("autosteer: process 'worker-0' ended with code 2 before it was ready")
