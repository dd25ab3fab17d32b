"""Makes the simulated world that an experiment file names."""

from __future__ import annotations

from typing import Any

from autosteer.cli._names import resolve
from autosteer.contracts import Experiment, ExperimentFileError
from autosteer.sims.worlds import World, make_world


def world_of_experiment(experiment: Experiment, seed: int) -> World[Any]:
    """Make the world of an experiment's simulation.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation.
    seed : int
        Seed of everything that is drawn.

    Returns
    -------
    World
        The world.

    Raises
    ------
    ExperimentFileError
        If the experiment has no simulation, there is nothing to score by, or the world that it
        names does not take its options or is none.
    """
    config = experiment.simulation.beamline if experiment.simulation is not None else None
    if config is None or config.kind != "custom":
        return make_world(experiment, seed)
    factory = resolve(config.world, "autosteer.worlds")
    try:
        made = factory(experiment, seed, **config.options)
    except (TypeError, ValueError) as error:
        if isinstance(error, ExperimentFileError):
            raise
        raise ExperimentFileError(
            experiment.name, [("simulation.beamline.options", f"{config.world}: {error}")]
        ) from error
    if not isinstance(made, World):
        raise ExperimentFileError(
            experiment.name,
            [
                (
                    "simulation.beamline.world",
                    f"{config.world} makes no World: {type(made).__name__}",
                )
            ],
        )
    return made
