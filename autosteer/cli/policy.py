"""``autosteer policy``: the policy of an experiment file, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors

_NICENESS = 15


def policy(
    file: Annotated[Path, typer.Argument(help="Experiment file.")],
    connect: Annotated[str, typer.Option(help="Address of the agent, tcp://127.0.0.1:port.")],
) -> None:
    """Answer the agent's asks, until interrupted."""
    import os

    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._policies import make_host, warm_up
    from autosteer.service.child import ChildRuntime, configure_logging

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime("policy")
        experiment, _ = read_experiment(file)
        from autosteer.steering.policy_process import serve_policy

        host = make_host(experiment)
        warm_up(experiment)
        # An ask may take a core for a while: the shots that come meanwhile go first.
        os.nice(_NICENESS)
        runtime.tell("ready", policy=experiment.policy.class_name)
        serve_policy(host, connect, runtime.should_stop)
