"""What the page about scenarios says of them is so, and what it shows runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autosteer.sims.scene import Scene
from autosteer.sims.scenes.tables import FOCUS
from tests.sims.scenario_runs import SCENARIOS, scenario

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


def rows() -> dict[str, list[str]]:
    """Return the cells after the name, by scenario."""
    found = {}
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            names, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            for name in names.split(","):
                found[name.strip(" `")] = cells
    return found


def test_every_scenario_stands_on_the_page() -> None:
    assert set(rows()) == set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_knobs_rate_and_latency_are_those_of_the_file(name: str) -> None:
    _, knobs, rate_hz, latency_s, *_ = rows()[name]
    experiment = scenario(name)
    assert knobs.split(", ") == list(experiment.knobs)
    assert float(rate_hz) == experiment.source.rate_hz
    assert experiment.simulation is not None
    beamline = experiment.simulation.beamline
    if beamline.kind == "custom":
        assert float(latency_s) == beamline.options["latency_s"]
    else:
        assert float(latency_s) == beamline.analysis_latency_s


def test_the_scene_on_the_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = [
        block.split("```")[0] for block in PAGE.split("```python\n") if "class SlitScene" in block
    ]
    tables = ModuleType("mybeamline.tables")
    tables.DIODE = FOCUS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mybeamline", ModuleType("mybeamline"))
    monkeypatch.setitem(sys.modules, "mybeamline.tables", tables)
    names: dict[str, type[Scene]] = {"__name__": "page"}  # type: ignore[dict-item]
    exec(code, names)
    scene = names["SlitScene"](1)
    at_best = scene.expected({"gap": np.array([1.7, 2.1])}, np.zeros(2))["photons"]
    assert at_best == pytest.approx([200, 200 * np.exp(-0.5)])
