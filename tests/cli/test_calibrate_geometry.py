"""The command calibrate geometry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autosteer.cli.calibrate_geometry import calibrate_geometry
from autosteer.cli.index import index
from autosteer.physics import Detector
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames
from tests.analysis.simulated_spots import LYSOZYME, WAVELENGTH, random_lattice, reflections

calibration = typer.Typer()
calibration.command()(calibrate_geometry)
indexing = typer.Typer()
indexing.command()(index)
run = CliRunner()

CELL = ["--cell", "79.1,79.1,37.9,90,90,90"]
# The beam meets the detector at (255.5, 255.5).
GEOMETRY = ["--distance-mm", "120", "--pixel-um", "300", "--beam-center", "257.0,254.5"]
GEOMETRY += ["--wavelength", str(WAVELENGTH)]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    detector = Detector.flat((512, 512), 0.3, 120.0, (255.5, 255.5))
    values = blank_frames((12, 1, 512, 512))
    for frame in range(12):
        q = reflections(LYSOZYME, random_lattice(LYSOZYME, rng), rng)[:50]
        _, slow, fast = detector.project(q + np.array([0, 0, 1 / WAVELENGTH]))
        places = np.stack([np.full(len(q), frame), np.zeros(len(q)), slow, fast], axis=1)
        add_spots(values, places[np.isfinite(slow)], 200.0, sigma_px=0.7)
    path = tmp_path_factory.mktemp("frames") / "run.npz"
    np.savez(path, images=as_counts(values, "uint16"))
    return path


def test_the_calibrated_geometry_serves_the_next_command(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.json"
    arguments = [str(frames), *CELL, *GEOMETRY, "--valid-from-pulse", "1200"]
    result = run.invoke(calibration, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    # Down by 1.5 and right by 1 pixel; the shift takes it back.
    assert lines[1][:3] == ["shift", "x", "all"]
    assert float(lines[1][7]) == pytest.approx(-1.0, abs=0.1)
    assert float(lines[2][7]) == pytest.approx(1.5, abs=0.1)
    assert lines[3][:2] == ["cell", "scale"]
    assert result.stdout.splitlines()[-1].endswith("valid from pulse 1200 on")
    written = json.loads(out.read_text())["autosteer"]["calibrations"]
    assert [one["quantity"] for one in written] == [
        "shift_x",
        "shift_y",
        "cell_scale",
        "cell_distortion",
    ]
    again = run.invoke(calibration, [str(frames), *CELL, "--geometry", str(out), "--json"])
    assert again.exit_code == 0, again.output
    for one in json.loads(again.stdout)["calibrations"][:2]:
        assert abs(one["value"]) < 0.05 * 0.3
    indexed = run.invoke(indexing, [str(frames), *CELL, "--geometry", str(out)])
    assert indexed.stdout.splitlines()[-1] == "indexed 12 of 12 frames"


def test_an_untrusted_calibration_is_shown_and_not_written(frames: Path, tmp_path: Path) -> None:
    with np.load(frames) as archive:
        np.savez(tmp_path / "few.npz", images=archive["images"][:5])
    out = tmp_path / "out.json"
    arguments = [str(tmp_path / "few.npz"), *CELL, *GEOMETRY, "--out", str(out)]
    result = run.invoke(calibration, arguments)
    assert result.exit_code == 2
    assert "untrusted, from 5 indexed frames" in result.stdout
    assert "not written, for the calibration is untrusted" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.geom"], "written to a .json file"),
        (["--search-px", "-3"], "search_px is -3.0"),
        (["--cell", "1,2,3"], "--cell: '1,2,3' is no unit cell"),
    ],
)
def test_bad_input_is_one_line_and_code_2(frames: Path, arguments: list[str], message: str) -> None:
    result = run.invoke(calibration, [str(frames), *CELL, *GEOMETRY, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
