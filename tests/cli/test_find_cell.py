"""The command find-cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from autosteer.cli.main import app
from autosteer.physics import UnitCell
from tests.analysis.simulated_spots import scramble, simulate_stills

run = CliRunner()
SMALL = UnitCell(28, 33, 41, 90, 98, 90)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    path = tmp_path / "spots.npz"
    np.savez(path, q=simulate_stills(SMALL, 12, 40, outliers=0.2, seed=1).q)
    return path


def test_the_cell_is_printed_with_the_command_that_uses_it(lists: Path) -> None:
    result = run.invoke(app, ["find-cell", str(lists), "--longest", "60"])
    assert result.exit_code == 0, result.output
    assert "monoclinic P" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert last.startswith("sure; autosteer index ... --cell ")
    found = UnitCell.from_text(last.split("--cell ")[1])
    np.testing.assert_allclose(found.lengths, SMALL.lengths, rtol=5e-3)


def test_json(lists: Path) -> None:
    result = run.invoke(app, ["find-cell", str(lists), "--longest", "60", "--json"])
    answer = json.loads(result.stdout)
    assert answer["sure"] is True
    assert answer["n_frames"] == 12
    np.testing.assert_allclose(answer["forms"][0]["cell"][:3], SMALL.lengths, rtol=5e-3)


def test_no_cell_is_said_and_is_no_success(tmp_path: Path) -> None:
    q = scramble(simulate_stills(SMALL, 6, 15, seed=4).q, np.random.default_rng(4))
    path = tmp_path / "noise.npz"
    np.savez(path, q=q.astype(np.float32))
    result = run.invoke(app, ["find-cell", str(path), "--longest", "60"])
    assert result.exit_code == 1
    assert "no cell found in 6 frames" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shortest", "100", "--longest", "60"], "the range must"),
        (["--device", "no-such"], "cannot be used"),
        (["--key", "p"], "no array 'p'"),
    ],
)
def test_what_cannot_be_is_named(lists: Path, options: list[str], message: str) -> None:
    result = run.invoke(app, ["find-cell", str(lists), *options])
    assert result.exit_code != 0
    assert message in result.stderr
