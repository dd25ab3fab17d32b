"""The command find-spots."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autosteer.cli.find_spots import find_spots
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames

app = typer.Typer()
app.command()(find_spots)
run = CliRunner()


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    values = blank_frames((3, 1, 128, 128))
    add_spots(values, np.array([[0, 0, 40, 50], [2, 0, 60, 70], [2, 0, 90, 30]]), 300.0)
    path = tmp_path / "run.npz"
    np.savez(path, images=as_counts(values, "uint16"), dark=np.zeros((3, 128, 128), np.uint16))
    return path


def test_table_and_file(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "spots.npz"
    result = run.invoke(app, [str(frames), str(frames), "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "frame", "spots", "background"]
    assert lines[3].split()[:3] == ["run.npz", "2", "2"]
    assert lines[-1] == "6 spots on 6 frames"
    with np.load(out) as columns:
        assert columns["frame"].tolist() == [0, 2, 2, 0, 2, 2]
        assert columns["slow_px"][0] == pytest.approx(40, abs=0.3)


def test_cxi_for_crystfel(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "spots.cxi"
    result = run.invoke(app, [str(frames), "--out", str(out)])
    assert result.exit_code == 0, result.output
    with h5py.File(out) as file:
        assert file["entry_1/result_1/nPeaks"][()].tolist() == [1, 0, 2]
        assert file["entry_1/result_1/peakXPosRaw"][0, 0] == pytest.approx(50, abs=0.3)
    result = run.invoke(app, [str(frames), str(frames), "--out", str(out)])
    assert result.exit_code == 2
    assert "takes the spots of one file of frames, not of 2" in result.stderr


def test_json(frames: Path) -> None:
    result = run.invoke(app, [str(frames), "--json", "--dataset", "images"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["frames"]
    assert [row["n_spots"] for row in rows] == [1, 0, 2]
    assert rows[0]["background_level"] == pytest.approx(60, abs=2)


def test_options_count(frames: Path, tmp_path: Path) -> None:
    mask = np.ones((128, 128), dtype=bool)
    mask[80:] = False
    np.save(tmp_path / "mask.npy", mask)
    result = run.invoke(app, [str(frames), "--json", "--mask", str(tmp_path / "mask.npy")])
    assert [row["n_spots"] for row in json.loads(result.stdout)["frames"]] == [1, 0, 1]
    result = run.invoke(app, [str(frames), "--json", "--max-spots", "1"])
    assert [row["n_spots"] for row in json.loads(result.stdout)["frames"]] == [1, 0, 1]
    result = run.invoke(app, [str(frames), "--json", "--min-snr", "1000"])
    assert [row["n_spots"] for row in json.loads(result.stdout)["frames"]] == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.h5"], "missing.h5: cannot be opened (No such file or directory)"),
        (["{}", "--dataset", "light"], "no array 'light'"),
        (["{}", "--out", "spots.csv"], "written to .npz, .parquet or .cxi"),
        (["{}", "--mask", "none.npy"], "none.npy: cannot read the mask"),
        (["{}", "--min-snr", "0"], "min_snr is 0.0: it must be positive"),
        (["{}", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_bad_input_is_one_line_and_code_2(frames: Path, arguments: list[str], message: str) -> None:
    result = run.invoke(app, [word.format(frames) for word in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_a_picture_is_drawn_where_it_says(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run.invoke(app, [str(frames), "--dataset", "images", "--show"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "wrote run-frame2-spots.png"
    assert (tmp_path / "run-frame2-spots.png").read_bytes().startswith(b"\x89PNG")
    chosen = run.invoke(app, [str(frames), "--show", "--show-frame", "0", "--json"])
    assert json.loads(chosen.stdout)["pictures"] == ["run-frame0-spots.png"]
    missing = run.invoke(app, [str(frames), "--show", "--show-frame", "3"])
    assert missing.exit_code == 2
    assert "has no frame 3: --show-frame counts from 0 to 2" in missing.stderr


def test_rings_are_told_where_the_geometry_is_known(frames: Path, tmp_path: Path) -> None:
    geometry = ["--distance-mm", "50", "--pixel-um", "200", "--wavelength", "1.3"]
    geometry += ["--beam-center", "63.5,63.5"]
    out = tmp_path / "spots.npz"
    result = run.invoke(app, [str(frames), *geometry, "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "frame", "spots", "background", "on", "rings"]
    assert lines[1].split()[-2:] == ["0", "%"]
    with np.load(out) as columns:
        assert columns["on_ring"].tolist() == columns["on_ice"].tolist() == [False] * 3
        assert columns["snr"].min() > 5
    without = run.invoke(app, [str(frames), "--json"])
    assert json.loads(without.stdout)["frames"][0]["ring_score"] is None
