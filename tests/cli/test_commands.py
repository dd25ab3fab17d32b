"""The commands: help, checks of files and machines, and errors that name what to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from autosteer import __version__
from autosteer.cli.main import app
from tests.experiments import experiment_data
from tests.integration.runs import autosteer

cli = CliRunner()
COMMANDS = [
    "run",
    "replay",
    "report",
    "doctor",
    "config",
    "bench",
    "find-spots",
    "make-mask",
    "index",
    "ioc",
    "source",
    "worker",
    "recorder",
    "policy",
]


def write(folder: Path, **changes: Any) -> str:
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment_data(**changes)))
    return str(file)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from autosteer.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"torch", "botorch", "ophyd", "bluesky", "zmq", "numpy", "scipy", "pyarrow", "h5py"}
    assert not loaded & {*heavy, "pydantic", "matplotlib", "asyncio", "autosteer.contracts"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = cli.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_the_version_is_printed() -> None:
    assert cli.invoke(app, ["--version"]).output == f"autosteer {__version__}\n"


def test_a_good_file_is_called_good(tmp_path: Path) -> None:
    done = cli.invoke(app, ["config", "check", write(tmp_path), "--set", "mode=observe"])
    assert done.exit_code == 0
    assert "'test' moves x, y for hits, mode observe, simulated" in done.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"knobs__x__hi": 1}, ["knobs.x.hi", "unknown key"]),
        ({"policy__class": "autosteer.policies:Bayes"}, ["has no 'Bayes'"]),
        ({"policy__class": "my_lab.policies:Best"}, ["there is no module 'my_lab'"]),
        ({"policy__class": "clever"}, ["'clever'", "entry point of 'autosteer.policies'"]),
        ({"devices__motor_x__class": "autosteer.devices:Motor"}, ["has no 'Motor'"]),
        ({"plugins": ["no_such_plugin"]}, ["plugins", "no_such_plugin"]),
        (
            {"simulation__beamline": {"kind": "custom", "world": "my_lab:slit"}},
            ["'my_lab:slit'", "there is no module 'my_lab'"],
        ),
    ],
)
def test_mistakes_in_a_file_are_named(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    done = cli.invoke(app, ["config", "check", write(tmp_path, **changes)])
    assert done.exit_code == 2
    for word in words:
        assert word in done.output


@pytest.mark.parametrize(
    "changes",
    [
        {"policy__class": "autosteer.policies:Bayes"},
        {"devices__motor_x__class": "autosteer.devices:Motor"},
    ],
)
def test_a_run_names_mistakes_before_anything_starts(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    changes["record"] = {"directory": str(tmp_path / "runs")}
    done = autosteer("run", write(tmp_path, **changes))
    assert done.returncode == 2
    assert "autosteer.devices' has no" in done.stderr or "policies' has no" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_and_one_that_is_no_yaml(tmp_path: Path) -> None:
    done = cli.invoke(app, ["config", "check", str(tmp_path / "none.yaml")])
    assert done.exit_code == 2
    assert "No such file" in done.output
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [unfinished\nmode: auto\n")
    done = cli.invoke(app, ["config", "check", str(broken)])
    assert done.exit_code == 2
    assert "line 2" in done.output
    broken.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in cli.invoke(app, ["config", "check", str(broken)]).output


def test_spot_lists_that_are_not_there_are_missed_before_anything_starts(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        source={"kind": "spot_lists", "rate_hz": 100, "path": "nowhere.npz"},
        analysis={"indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]}},
        record={"directory": str(tmp_path / "runs")},
    )
    done = cli.invoke(app, ["run", file])
    assert done.exit_code == 2
    assert "source.path" in done.output
    assert str(tmp_path / "nowhere.npz") in done.output


def test_the_doctor_finds_this_machine_well(tmp_path: Path) -> None:
    done = cli.invoke(app, ["doctor", write(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    findings = json.loads(done.output)
    assert {"good"} <= {finding["status"] for finding in findings} <= {"good", "note"}
    assert any(finding["check"] == "sockets" for finding in findings)


def test_the_doctor_loads_the_estimator_of_pulses(tmp_path: Path) -> None:
    streams = [f"tcp://127.0.0.1:{5700 + number}" for number in range(16)]
    source = {"kind": "sinograms", "rate_hz": 100, "addresses": streams}
    for pulses, status in (({}, "good"), ({"weights": "nowhere.safetensors"}, "bad")):
        file = write(tmp_path, simulation=None, source=source, pulses=pulses)
        done = cli.invoke(app, ["doctor", file, "--no-devices", "--json"])
        [finding] = [one for one in json.loads(done.output) if one["check"] == "pulses"]
        assert finding["status"] == status
    assert "nowhere.safetensors" in finding["found"]


def test_the_doctor_names_a_dead_port_and_a_used_one(tmp_path: Path) -> None:
    with socket.socket() as used, socket.socket() as dead:
        used.bind(("127.0.0.1", 0))
        used.listen()
        dead.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{dead.getsockname()[1]}"
        outside = write(
            tmp_path,
            simulation=None,
            source={
                "kind": "tables",
                "rate_hz": 100,
                "producers": [{"name": "daq", "agent": address, "recorder": address}],
            },
        )
        done = cli.invoke(app, ["doctor", outside, "--no-devices", "--json"])
        assert done.exit_code == 1
        bad = [one for one in json.loads(done.output) if one["status"] == "bad"]
        assert [address in one["found"] for one in bad] == [True, True]
        assert "start the source" in bad[0]["remedy"]
        port = used.getsockname()[1]
        done = cli.invoke(app, ["doctor", write(tmp_path, simulation__ioc__port=port), "--json"])
        assert done.exit_code == 1
        [bad_port] = [one for one in json.loads(done.output) if one["status"] == "bad"]
        assert f"{port} is in use" in bad_port["found"]
