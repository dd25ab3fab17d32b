"""Every example does what its page says."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autosteer import score
from autosteer.policies.conformance import assert_policy
from tests.integration.runs import autosteer

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_folder_is_listed_and_described() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for folder in filter(Path.is_dir, EXAMPLES.iterdir()):
        if folder.name == "__pycache__":
            continue
        assert (folder / "README.md").is_file()
        assert f"({folder.name}/README.md)" in listed


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/experiment.yaml")), ids=str)
def test_every_experiment_file_is_good_and_starts_without_moving(file: Path) -> None:
    done = autosteer("config", "check", str(file))
    assert done.returncode == 0, done.stderr
    assert "mode suggest" in done.stdout


def test_spot_lists_are_indexed_and_steered_on(tmp_path: Path) -> None:
    done = autosteer(
        *("run", str(EXAMPLES / "replay_spots" / "experiment.yaml"), "--mode", "auto", "--json"),
        *("--duration", "4", "--set", f"record.directory={tmp_path}"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["moves"] >= 1
    assert summary["frames_analysed"] >= 300
    assert 0 < summary["frames_indexed"] <= summary["frames_hit"]


def test_steering_at_the_prompt(tmp_path: Path) -> None:
    script = EXAMPLES / "ipython" / "steer_at_the_prompt.py"
    done = subprocess.run(
        [sys.executable, str(script), "3"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("EPICS")},
    )
    assert done.returncode == 0, done.stderr
    assert "1 run with" in done.stdout


def test_a_policy_of_ones_own_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "own_policy"))
    file = EXAMPLES / "jet_alignment" / "experiment.yaml"
    overrides = [
        "policy.class=hill_climber:HillClimber",
        "policy.options={}",
        "stop.duration_s=30",
    ]
    result = score(file, 1, overrides)
    assert result.moves >= 20
    assert result.end > result.start
    assert score(file, 1, overrides) == result


def test_a_policy_of_ones_own_keeps_the_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "own_policy"))
    made: Any = importlib.import_module("hill_climber").HillClimber
    # A climber of hills knows nothing of steps.
    assert_policy(made, without=["places of stepped knobs"])


def test_pulse_pairs_are_found_on_the_virtual_clock() -> None:
    found = score(EXAMPLES / "double_pulse" / "experiment.yaml", seed=2)
    assert found.start < 0.1
    assert found.end > 0.9
    assert found.moves >= 40
