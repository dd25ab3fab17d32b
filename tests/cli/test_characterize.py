"""The commands characterize and calibrate pulses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from autosteer.analysis.pulses import PulseCalibration
from autosteer.cli.main import app
from autosteer.sims.sinogram_files import main as simulate

COLUMNS = {
    "n_spikes", "probabilities", "phase", "delta_phase", "delta_phase_sigma", "delay_as",
    "goodness", "ambiguous", "abstained",
}  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sinograms") / "two.npz"
    simulate([str(path), "--count", "60", "--spikes", "2", "--truth", str(path.parent / "t.npz")])
    return path


def test_pulses_of_a_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    done = CliRunner().invoke(app, ["characterize", str(file), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "60 shots: 0 with no, " in done.output
    assert "two sub-spikes: median delay " in done.output
    with np.load(out) as found, np.load(file.parent / "t.npz") as truth:
        assert set(found.files) == COLUMNS
        assert found["probabilities"].shape == (60, 5)
        assert np.nanmedian(np.abs(found["delta_phase"] - truth["delta_phase"])) < 2e-3


def test_a_table_and_a_summary(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    options = ["--out", str(out), "--wavelength-um", "10.6", "--json"]
    done = CliRunner().invoke(app, ["characterize", str(file), *options])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.output)
    assert summary["shots"] == 60
    assert summary["two"] >= 58
    table = pq.read_table(out)
    assert set(table.column_names) == COLUMNS - {"probabilities"} | {f"p_{n}" for n in range(5)}
    delay, phase = (table.column(name).to_numpy() for name in ("delay_as", "delta_phase"))
    np.testing.assert_allclose(delay, phase * 261.8e3 / 46.52, rtol=1e-3)


def test_pulses_of_a_file_by_a_network(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    options = ["--out", str(out), "--estimator", "dciphr-small"]
    done = CliRunner().invoke(app, ["characterize", str(file), *options])
    assert done.exit_code == 0, done.output
    with np.load(out) as found, np.load(file.parent / "t.npz") as truth:
        assert set(found.files) == COLUMNS
        assert np.nanmedian(np.abs(found["delta_phase"] - truth["delta_phase"])) < 0.03


def test_a_calibration_of_a_file(tmp_path: Path) -> None:
    simulate([str(tmp_path / "some.npz"), "--count", "250"])
    out = tmp_path / "calibration.json"
    done = CliRunner().invoke(
        app, ["calibrate", "pulses", str(tmp_path / "some.npz"), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "250 shots: lines of 1." in done.output
    assert PulseCalibration.read(out).n_shots == 250


def test_a_calibration_that_has_nowhere_to_go_is_not_begun(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "no" / "calibration.json"
    done = CliRunner().invoke(app, ["calibrate", "pulses", str(file), "--out", str(out)])
    assert done.exit_code == 2
    assert f"{out}: cannot be written, there is no folder {out.parent}" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.npz", "--out", "x.npz"], "gone.npz: there is no such file"),
        (["FILE", "--out", "x.txt"], "x.txt: results are written to .npz or .parquet files"),
        (["FILE", "--out", "no/x.npz"], "no/x.npz: cannot be written, there is no folder no"),
        (["FILE", "--out", "x.npz", "--wavelength-um", "0"], "wavelength_um is 0"),
        (["FILE", "--out", "x.npz", "--estimator", "guess"], "no estimator 'guess'"),
        (["FILE", "--out", "x.npz", "--calibration", "gone.json"], "gone.json: No such file"),
        (
            ["FILE", "--out", "x.npz", "--estimator", "dciphr-small", "--weights", "gone.st"],
            "gone.st: there is no such file; make weights with 'autosteer train pulses",
        ),
        (["FILE", "--out", "x.npz", "--estimator", "dciphr"], "and none come with the package"),
        (["FILE", "--out", "x.npz", "--weights", "w.st"], "'matched' takes no weights"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], words: str, file: Path) -> None:
    filled = [str(file) if word == "FILE" else word for word in arguments]
    done = CliRunner().invoke(app, ["characterize", *filled])
    assert done.exit_code == 2
    assert words in done.output
