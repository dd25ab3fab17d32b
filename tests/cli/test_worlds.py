"""The world that an experiment file names: found, made, or refused with its path."""

from __future__ import annotations

from typing import Any

import pytest

from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import Experiment, ExperimentFileError, NameResolutionError
from autosteer.contracts.simulation import SimulatedSfx
from autosteer.sims.virtual import VirtualBeamline
from autosteer.sims.worlds import World, make_world
from tests.experiments import experiment


def custom(world: str, **options: Any) -> Experiment:
    beamline = {"kind": "custom", "world": world, "options": options}
    return experiment(simulation__beamline=beamline)


def no_world(experiment: Experiment, seed: int, answer: int = 42) -> int:
    return answer


def jet_again(experiment: Experiment, seed: int, aligned_mm: float = 0.0) -> World[Any]:
    """Make a world out of the project's own parts, as somebody else would."""
    jet = {"across": "X", "along": "Y", "aligned_across_mm": aligned_mm, "diameter_um": 80}
    section = SimulatedSfx.model_validate({"kind": "sfx", "jet": jet})
    simulation = experiment.simulation
    assert simulation is not None
    changed = simulation.model_copy(update={"beamline": section})
    return make_world(experiment.model_copy(update={"simulation": changed}), seed)


def test_a_world_of_ones_own_is_called_with_experiment_seed_and_options() -> None:
    made = custom(f"{__name__}:jet_again", aligned_mm=-0.012)
    beamline = VirtualBeamline(made, world_of_experiment(made, 1))
    at_start = beamline.standing(0)
    # The motor x starts there; y is 0.2 mm off.
    assert at_start.share == pytest.approx(beamline.standing(0, {"x": -0.012}).share)
    assert beamline.standing(0, {"y": 0.0}).share == pytest.approx(1)
    assert at_start.truths == {}
    assert not at_start.violated
    assert beamline.attainable(0) == ()


@pytest.mark.parametrize(
    ("world", "options", "complaint"),
    [
        (f"{__name__}:no_world", {}, "makes no World: int"),
        (f"{__name__}:no_world", {"depth": 1}, "unexpected keyword argument 'depth'"),
        ("autosteer.sims.scenes.samples:plate_of_wells", {}, "needs the knobs well"),
        ("autosteer.sims.scenes.jets:merging_jet", {"lost_results": 2}, "some must come"),
    ],
)
def test_what_makes_no_world_is_said_with_its_path(
    world: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ExperimentFileError, match=complaint):
        world_of_experiment(custom(world, **options), 1)


def test_a_name_that_leads_nowhere_is_said() -> None:
    with pytest.raises(NameResolutionError, match=r"nor an entry point of 'autosteer\.worlds'"):
        world_of_experiment(custom("nowhere"), 1)


def test_a_world_of_ones_own_gives_tables_only() -> None:
    section = {"kind": "custom", "world": "a:b"}
    with pytest.raises(ExperimentFileError, match=r"'custom' cannot give what source\.kind says"):
        experiment(
            simulation__beamline=section,
            source={"kind": "spot_lists", "rate_hz": 10, "path": "lists.npz"},
            analysis={"indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]}},
        )
