"""What the tests of scenarios share: reading them, running them, places in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.cli._experiment import read_experiment
from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import Experiment, Problem
from autosteer.policies import RandomPolicy
from autosteer.sims._motors import motors_of_knobs
from autosteer.sims.scenarios import scenarios
from autosteer.sims.virtual import VirtualBeamline
from autosteer.sims.worlds import World
from autosteer.steering.virtual import VirtualRun

Float = NDArray[np.float64]

SCENARIOS = scenarios()
_DATA = {name: read_experiment(scenario.file)[0] for name, scenario in SCENARIOS.items()}
CUSTOM = [
    name
    for name, one in _DATA.items()
    if one.simulation is not None and one.simulation.beamline.kind == "custom"
]


def scenario(name: str, *overrides: str) -> Experiment:
    """Read a scenario, with overrides."""
    return read_experiment(SCENARIOS[name].file, overrides)[0]


def world(name: str, seed: int, *overrides: str) -> World[Any]:
    """Make the world of a scenario."""
    return world_of_experiment(scenario(name, *overrides), seed)


class RandomPlaces:
    """Random places, where knobs with steps stand on one."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._random = RandomPolicy(problem)

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        points = self._random.suggest(num_points)
        for point in points:
            for name, knob in self._problem.knobs.items():
                if knob.step is not None:
                    steps = round((point[name] - knob.low) / knob.step)
                    point[name] = knob.low + steps * knob.step
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        self._random.ingest(points)


def run(name: str, seed: int, *overrides: str) -> tuple[VirtualRun, VirtualBeamline]:
    """Make a run of random places on the virtual clock."""
    experiment = scenario(name, f"seed={seed}", *overrides)
    beamline = VirtualBeamline(experiment, world_of_experiment(experiment, seed))
    return VirtualRun(experiment, beamline, RandomPlaces(experiment.problem)), beamline


def random_places(name: str, count: int, seed: int) -> list[dict[str, float]]:
    """Draw places of a scenario, by motor."""
    experiment = scenario(name)
    rng = np.random.default_rng(seed)
    places = []
    for _ in range(count):
        place = {}
        for knob, motor in motors_of_knobs(experiment).items():
            limits = experiment.knobs[knob]
            value = rng.uniform(limits.low, limits.high)
            if limits.step is not None:
                value = limits.low + round((value - limits.low) / limits.step) * limits.step
            place[motor] = value
        places.append(place)
    return places
