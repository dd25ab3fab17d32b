"""The command make-mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autosteer.cli.make_mask import make_mask

app = typer.Typer()
app.command()(make_mask)
run = CliRunner()


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).normal(40, 3, (20, 64, 64)).astype(np.float32)
    frames[:, 5, 6] = 900
    path = tmp_path / "dark.npz"
    np.savez(path, images=frames)
    return path


def test_mask_is_written_and_told(dark: Path, tmp_path: Path) -> None:
    out = tmp_path / "mask.npy"
    result = run.invoke(app, [str(dark), "--out", str(out)])
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == "20 dark frames: 0 hot, 0 noisy and 1 dead of 4096 pixels"
    assert second == f"wrote {out}"
    mask = np.load(out)
    assert mask.shape == (1, 64, 64)
    assert np.argwhere(~mask).tolist() == [[0, 5, 6]]


def test_lit_frames_and_a_mask_before_count(dark: Path, tmp_path: Path) -> None:
    lit = np.random.default_rng(1).normal(140, 9, (20, 64, 64)).astype(np.float32)
    lit[:, 30, 31] = 40
    np.savez(tmp_path / "lit.npz", images=lit)
    before = np.ones((64, 64), dtype=bool)
    before[:, 0] = False
    np.save(tmp_path / "before.npy", before)
    options = ["--lit", str(tmp_path / "lit.npz"), "--mask", str(tmp_path / "before.npy")]
    out = tmp_path / "mask.npy"
    result = run.invoke(app, [str(dark), "--out", str(out), *options, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["masked_before"] == 64
    assert told["dead"] == 2
    assert told["good"] == np.load(out).sum() == 4096 - 66


@pytest.mark.parametrize(
    ("out", "message"),
    [("mask.npz", "let its name end in .npy"), ("nowhere/mask.npy", "cannot write the mask")],
)
def test_files_that_cannot_be_written_are_named(
    dark: Path, tmp_path: Path, out: str, message: str
) -> None:
    result = run.invoke(app, [str(dark), "--out", str(tmp_path / out)])
    assert result.exit_code == 2
    assert message in result.stderr
