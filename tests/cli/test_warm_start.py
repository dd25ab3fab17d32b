"""What an experiment's policy is told before it begins."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosteer.cli._experiment import read_experiment
from autosteer.cli._policies import make_policy
from autosteer.contracts import Estimate, KnowsBest, Outcome, PolicyError, RecordingError
from tests.experiments import experiment_data

RANDOM = {"class": "autosteer.policies:RandomPolicy"}


def write(folder: Path, warm_start: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "experiment.yaml"
    data = experiment_data(policy={**RANDOM, "warm_start": warm_start})
    file.write_text(yaml.safe_dump(data))
    return file


def record(folder: Path, outcomes: list[dict[str, Any]], **knob: str) -> None:
    """Write what a run directory holds of its outcomes."""
    folder.mkdir()
    data = experiment_data()
    data["knobs"]["x"].update(knob)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(data))
    (folder / "start.json").write_text("{}")
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in outcomes))


def outcome(name: str, x: float, mean: float) -> dict[str, Any]:
    objective = experiment_data()["objective"]["name"]
    knobs = experiment_data()["knobs"]
    measured = Outcome(
        suggestion_id=name,
        readback={**dict.fromkeys(knobs, 0.0), "x": x},
        estimates={objective: Estimate(mean, 0.01, 50)},
        n_shots=50,
        first_pulse_id=1,
        last_pulse_id=50,
        t_last_shot_ns=1_800_000_000_000_000_000,
        elapsed_s=0.5,
        sample_used_nl=None,
        final=True,
    )
    return asdict(measured)


def test_a_policy_knows_what_earlier_runs_and_tables_have_measured(tmp_path: Path) -> None:
    record(tmp_path / "run", [outcome("s1", 0.01, 0.2), outcome("s1", 0.01, 0.4)])
    knobs, name = experiment_data()["knobs"], experiment_data()["objective"]["name"]
    columns = [*knobs, name]
    (tmp_path / "scan.csv").write_text(f"{','.join(columns)}\n{'0,' * len(knobs)}0.3\n")
    experiment, data = read_experiment(write(tmp_path, ["run", "scan.csv"]))
    assert data["policy"]["warm_start"] == [str(tmp_path / "run"), str(tmp_path / "scan.csv")]
    policy = make_policy(experiment)
    assert isinstance(policy, KnowsBest)
    assert policy.best()["x"] == 0.01
    assert policy.best()[name] == 0.4
    # What it suggests bears names of its own.
    [point] = policy.suggest(1)
    policy.ingest([{**point, name: 0.1}])
    assert policy.best()[name] == 0.4


@pytest.mark.parametrize(
    ("outcomes", "knob", "error", "text"),
    [
        ([outcome("s1", 0.01, 0.2)], {"units": "furlong"}, PolicyError, "was in 'furlong'"),
        ([{**outcome("s1", 0.0, 0.2), "estimates": {}}], {}, PolicyError, "has no column"),
        (
            [{"suggestion_id": "s1"}],
            {},
            RecordingError,
            "line 1 is no outcome: readback: Field required",
        ),
    ],
)
def test_a_run_that_does_not_fit_is_named(
    tmp_path: Path,
    outcomes: list[dict[str, Any]],
    knob: dict[str, str],
    error: type[Exception],
    text: str,
) -> None:
    record(tmp_path / "run", outcomes, **knob)
    experiment, _ = read_experiment(write(tmp_path, ["run"]))
    with pytest.raises(error, match=text):
        make_policy(experiment)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    experiment, _ = read_experiment(write(tmp_path, ["run"]))
    with pytest.raises(RecordingError, match="is no run directory"):
        make_policy(experiment)
