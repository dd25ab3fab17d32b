"""Makes the policy that an experiment file names."""

from __future__ import annotations

import contextlib

from threadpoolctl import threadpool_limits

from autosteer.cli._names import resolve
from autosteer.cli._warm_start import warm_start_points
from autosteer.contracts import Experiment, Policy, PolicyError
from autosteer.steering.policy_host import PolicyHost


def make_policy(experiment: Experiment) -> Policy:
    """Make the policy, as at the start of a run: it has been told what its warm start names.

    Parameters
    ----------
    experiment : Experiment
        The experiment.

    Returns
    -------
    Policy
        The policy.

    Raises
    ------
    PolicyError
        If the class does not take what every policy is given, or the options of the file, or the
        warm start cannot be read.
    """
    policy_class = resolve(experiment.policy.class_name, "autosteer.policies")
    try:
        made = policy_class(experiment.problem, **experiment.policy.options)
    except TypeError as error:
        raise PolicyError(
            f"policy {experiment.policy.class_name} cannot be made: {error}; a policy takes the "
            "problem, and the options of the experiment file"
        ) from error
    if not isinstance(made, Policy):
        raise PolicyError(
            f"policy {experiment.policy.class_name} lacks suggest(num_points) or ingest(points)"
        )
    if experiment.policy.warm_start:
        made.ingest(warm_start_points(experiment))
    return made


def make_host(experiment: Experiment) -> PolicyHost:
    """Make the policy, and what asks it for the controller.

    Parameters
    ----------
    experiment : Experiment
        The experiment.

    Returns
    -------
    PolicyHost
        The host, with the policy as at the start of a run.
    """
    pin_threads()
    return PolicyHost(make_policy(experiment), list(experiment.knobs), experiment.objective.name)


def pin_threads() -> None:
    """Keep linear algebra to one thread.

    More of them cost time on small problems, disturb others, and round differently from run to run.
    """
    threadpool_limits(1)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)


def warm_up(experiment: Experiment) -> None:
    """Use up the cost of first calls on a twin of the policy, before beam is spent on it.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    """
    twin = make_policy(experiment)
    name = experiment.objective.name
    middle = {key: (knob.low + knob.high) / 2 for key, knob in experiment.knobs.items()}
    with contextlib.suppress(Exception):
        twin.ingest([{"_id": "warm", **middle, name: 0.1, f"{name}_sem": 0.1}])
        for number in range(10):
            for point in twin.suggest(1):
                twin.ingest([{**point, name: 0.01 * number, f"{name}_sem": 0.1}])
