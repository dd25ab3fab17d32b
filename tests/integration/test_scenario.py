"""A scenario in real time: soft IOC, sockets, tables of a kind that a plug-in registers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from autosteer.sims.scenarios import scenarios
from autosteer.stream import read_segment, segments
from tests.integration.runs import Run, autosteer

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    data = yaml.safe_load(scenarios()["detector_damage"].file.read_text())
    data["policy"] = {"class": "autosteer.policies:RandomPolicy"}
    data["dwell"] = {"shots": 30, "max_s": 3}
    data["record"] = {"directory": str(tmp_path / "runs")}
    data["simulation"]["beamline"]["options"]["lost_results"] = 0.05
    made = Run(tmp_path, "--duration", "6", **data)
    yield made
    made.end()


def test_a_scenario_runs_for_real_and_replays(run: Run) -> None:
    assert run.finish() == 0, run.text
    summary = run.summary
    assert summary["moves"] >= 3
    sent, rows = summary["frames_sent"], summary["counters"]["recorder"]["rows"]
    assert rows["machine"] == sent
    assert rows["pixels"] == pytest.approx(0.95 * sent, rel=0.04)
    columns = set()
    for path in segments(run.directory / "tables"):
        if path.parent.name == "pixels":
            columns |= {name for _, batch in read_segment(path) for name in batch.schema.names}
    assert columns == {"pulse_id", "timestamp", "n_resolved", "saturated"}
    with pa.OSFile(str(run.directory / "simulation" / "truth.arrows")) as file:
        truth = pa.ipc.open_stream(file).read_all()
    assert truth.num_rows == sent
    replayed = autosteer("replay", str(run.directory))
    assert replayed.returncode == 0, replayed.stdout
