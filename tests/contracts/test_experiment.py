"""The experiment file: every error is named with its path, and the schema is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autosteer.contracts import Experiment, ExperimentFileError, parse_experiment
from tests.experiments import experiment_data

ROOT = Path(__file__).parents[2]


def problems(**changes: Any) -> dict[str, str]:
    with pytest.raises(ExperimentFileError) as caught:
        parse_experiment(experiment_data(**changes), "file.yaml")
    assert "file.yaml" in str(caught.value)
    return dict(caught.value.problems)


PRODUCER = "source.producers.1.name"
SINOGRAMS = {"kind": "sinograms", "rate_hz": 1000}


def outside(*names: str) -> dict[str, Any]:
    """Give a source of tables from outside."""
    ports = {"agent": "tcp://127.0.0.1:5601", "recorder": "tcp://127.0.0.1:5602"}
    producers = [{"name": name, **ports} for name in names]
    return {"kind": "tables", "rate_hz": 100, "producers": producers}


def frames(**changes: Any) -> dict[str, Any]:
    """Give a source of frames and their analysis, with dotted paths in it changed."""
    detector = {
        "shape": [64, 64],
        "pixel_size_um": 1000,
        "distance_mm": 80,
        "beam_center_px": [31.5, 31.5],
        "wavelength_angstrom": 1.3,
    }
    indexer = {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]}
    return {
        "source__kind": "frames",
        "analysis": {"detector": detector, "indexer": indexer},
        **{f"analysis__{path}": value for path, value in changes.items()},
    }


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"knobs__x__hi": 3}, "knobs.x.hi", "unknown key"),
        ({"knobs__x__low": 5}, "knobs.x", r"low (5.0) must be below high (0.1)"),
        ({"knobs__x__low": "five"}, "knobs.x.low", "'five'"),
        ({"knobs__x__device": "motor_z"}, "knobs.x.device", "no device 'motor_z'"),
        ({"knobs__x__tolerance": 0}, "knobs.x.tolerance", "greater than 0"),
        ({"objective__column": "indexing.hits"}, "objective.column", "has no column 'hits'"),
        ({"objective__column": "hit"}, "objective.column", "must be written kind.column"),
        ({"objective__column": "spots.q_x"}, "objective.column", "cannot be joined"),
        ({"objective__column": "nothing.hit"}, "objective.column", "no table kind 'nothing'"),
        ({"objective__name": "x"}, "objective.name", "name of a knob"),
        ({"objective__normalize_by": "machine.beam_intensity"}, "objective", "reduce: mean"),
        ({"mode": "automatic"}, "mode", "automatic"),
        ({"source__kind": "frames"}, "analysis", "needed where source.kind is frames"),
        ({"simulation": None}, "source.producers", "needed where nothing is simulated"),
        ({"simulation": None, "source": outside("daq", "daq")}, PRODUCER, "is used twice"),
        ({"simulation": None, "source": outside("daq", "worker-0")}, PRODUCER, "own workers"),
        ({"source": outside("daq")}, "source.producers", "not with a section 'simulation'"),
        (
            {"simulation__ioc__motors__X__start": 4},
            "simulation.ioc.motors.X",
            "start (4.0) must lie within",
        ),
        (
            {"simulation__beamline__jet__across": "Z"},
            "simulation",
            "no motor 'Z'",
        ),
        (
            {"envelope__interlocks": [{"name": "a", "device": "nope", "above": 0}]},
            "envelope.interlocks.0.device",
            "no device 'nope'",
        ),
        (
            {"envelope__keep_out": [{"name": "a", "box": {"z": [0, 1]}}]},
            "envelope.keep_out.0.box.z",
            "no knob 'z'",
        ),
        ({"name": "no spaces please"}, "name", "pattern"),
        (
            frames(detector__wavelength_angstrom=None),
            "analysis.detector",
            "wavelength_angstrom is needed where no geometry_path",
        ),
        (
            frames(detector__wavelength_angstrom=None, detector__geometry_path="a.geom"),
            "analysis.detector.wavelength_angstrom",
            "needed where frames are simulated",
        ),
        (
            frames(calibration__every_frames=29),
            "analysis.calibration.every_frames",
            "greater than or equal to 30",
        ),
        (
            frames(calibration__every_frames=30) | {"source__kind": "tables"},
            "analysis.calibration",
            "only where source.kind is frames, not tables",
        ),
        (
            frames() | {"simulation__beamline__detector": {"distance_error_mm": -80}},
            "simulation.beamline.detector.distance_error_mm",
            "-80 puts the detector, 80 mm away, behind the sample",
        ),
        ({"source": SINOGRAMS}, "pulses", "needed where source.kind is sinograms"),
        (
            {"source": SINOGRAMS, "pulses": {}},
            "simulation.beamline.kind",
            "'sfx' cannot give what source.kind says, sinograms: it gives frames",
        ),
        (
            {"simulation": None, "source": SINOGRAMS, "pulses": {"workers": 2}},
            "source.addresses",
            "0 for 2 workers: each takes 16 streams of its own",
        ),
        ({"source__rate": 100}, "source.rate", "unknown key"),
        ({"simulation__beamline__jet__acros": "X"}, "simulation.beamline.jet.acros", "unknown key"),
        ({"simulation__beamline__kind": "jet"}, "simulation.beamline", "'sfx', 'xleap'"),
        ({"stop__when_sorted": True}, "stop.when_sorted", "needs a section 'sort'"),
        (
            {"sort": {"column": "pulse.delay", "edges": [0, 1], "quota": 1}},
            "sort.column",
            "'pulse' has no column 'delay'",
        ),
        (
            {"objective__zero_unless": [{"column": "pulse.lag", "above": 1}]},
            "objective.zero_unless.0.column",
            "'pulse' has no column 'lag'",
        ),
        (
            {
                "objective__column": "audit.disagrees",
                "simulation": None,
                "source": SINOGRAMS,
                "pulses": {"estimator": "matched"},
            },
            "pulses.audit_fraction",
            "nothing is audited",
        ),
    ],
)
def test_each_error_is_named_with_its_path(changes: dict[str, Any], path: str, text: str) -> None:
    found = problems(**changes)
    assert path in found
    assert text in found[path]


def test_all_errors_are_given_at_once() -> None:
    found = problems(knobs__x__hi=1, mode="?", dwell__shots=-3)
    assert set(found) == {"knobs.x.hi", "mode", "dwell.shots"}


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ExperimentFileError, match="must hold a mapping"):
        parse_experiment([1, 2], "file.yaml")


def test_a_new_file_moves_nothing() -> None:
    assert parse_experiment(experiment_data(mode=None), "f").mode == "suggest"


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((ROOT / "docs" / "experiment.schema.json").read_text())
    current = json.loads(json.dumps(Experiment.model_json_schema(by_alias=True)))
    assert committed == current, "run: autosteer config schema > docs/experiment.schema.json"


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/experiment.yaml")), ids=str)
def test_the_examples_satisfy_the_schema_and_the_models(path: Path) -> None:
    data = yaml.safe_load(path.read_text())
    schema = json.loads((ROOT / "docs" / "experiment.schema.json").read_text())
    jsonschema.validate(json.loads(json.dumps(data)), schema)
    parse_experiment(data, str(path))
