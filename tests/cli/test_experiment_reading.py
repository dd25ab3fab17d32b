"""Reading experiment files: overrides and relative paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autosteer.cli._experiment import read_experiment
from autosteer.contracts import ExperimentFileError
from tests.experiments import experiment_data

SPOT_LISTS = {
    "source": {"kind": "spot_lists", "rate_hz": 100, "path": "lists.npz"},
    "analysis": {"indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]}},
}


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment_data(**changes)))
    return file


def test_overrides_reach_every_place_and_are_in_the_data(tmp_path: Path) -> None:
    overrides = [
        "seed=7",
        "knobs.x.low=-0.05",
        "policy.options={a: 1}",
        "objective.where.0.above=0.5",
        "stop.max_settings=3",
        "metadata.purpose=a = b",
    ]
    experiment, data = read_experiment(write(tmp_path), overrides)
    assert experiment.seed == data["seed"] == 7
    assert experiment.knobs["x"].low == -0.05
    assert experiment.policy.options == {"a": 1}
    assert experiment.objective.where[0].above == 0.5
    assert experiment.stop.max_settings == 3
    assert experiment.metadata["purpose"] == "a = b"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("seed", "write dotted.path=value"),
        ("=1", "write dotted.path=value"),
        ("mode.more=1", "'mode' has no entries of its own"),
        ("objective.where.5.above=1", "no position in a list of 1"),
        ("nothing.at.all=1", "nothing: unknown key"),
    ],
)
def test_overrides_that_lead_nowhere_are_refused(override: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentFileError, match=text):
        read_experiment(write(tmp_path), [override])


def test_paths_are_relative_to_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "beamtime", **SPOT_LISTS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    experiment, _ = read_experiment(file)
    assert experiment.source.kind == "spot_lists"
    assert experiment.source.path == str(tmp_path / "beamtime" / "lists.npz")
    experiment, _ = read_experiment(file, ["source.path=mine.npz"])
    assert experiment.source.kind == "spot_lists"
    assert experiment.source.path == str(elsewhere / "mine.npz")
