"""A run whose cell is wrong says so while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from autosteer.physics import UnitCell
from tests.analysis.simulated_spots import simulate_stills
from tests.integration.runs import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "replay_spots" / "experiment.yaml"


@pytest.mark.slow
def test_a_wrong_cell_is_announced_and_the_right_one_named(tmp_path: Path) -> None:
    cell = UnitCell(30, 36, 45, 90, 90, 90)
    lists = tmp_path / "lists.npz"
    np.savez(lists, q=simulate_stills(cell, 40, 40, seed=1).q)
    experiment: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    experiment["source"]["path"] = str(lists)
    experiment["analysis"]["indexer"]["unit_cell"] = [28, 33, 41, 90, 98, 90]
    run = Run(tmp_path, "--mode", "auto", "--duration", "60", **experiment)
    try:
        run.wait_for("the cell is wrong: ")
        run.interrupt()
        assert run.finish() == 0, run.text
    finally:
        run.end()
    [line] = [line for line in run.text.splitlines() if "the cell is wrong: " in line]
    assert "worker-0" in line
    named = line.split("have the cell ")[1].split(" in ")[0].replace(",", "").split()
    np.testing.assert_allclose([float(word) for word in named[:3]], cell.lengths, rtol=0.02)
