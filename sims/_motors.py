"""Which simulated motor moves which knob."""

from __future__ import annotations

from autosteer.contracts import Experiment, ExperimentFileError


def motors_of_knobs(experiment: Experiment) -> dict[str, str]:
    """Match knobs with the simulated motors that their devices name.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation.

    Returns
    -------
    dict of str to str
        Motor by knob, in the order of the knobs.

    Raises
    ------
    ExperimentFileError
        If there is no simulation, or a knob's device is no motor of it.
    """
    if experiment.simulation is None:
        raise ExperimentFileError(experiment.name, [("simulation", "needed to simulate")])
    ioc = experiment.simulation.ioc
    matched = {}
    for knob, entry in experiment.knobs.items():
        prefix = experiment.devices[entry.device].prefix
        name = prefix.removeprefix(ioc.prefix)
        if name not in ioc.motors:
            raise ExperimentFileError(
                experiment.name,
                [
                    (
                        f"devices.{entry.device}.prefix",
                        f"'{prefix}' is no simulated motor: there are "
                        + ", ".join(ioc.prefix + motor for motor in ioc.motors),
                    )
                ],
            )
        matched[knob] = name
    return matched
