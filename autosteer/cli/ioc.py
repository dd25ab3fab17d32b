"""``autosteer ioc``: the soft IOC of an experiment file's simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors


def ioc(
    file: Annotated[Path, typer.Argument(help="Experiment file with a section 'simulation'.")],
) -> None:
    """Serve the simulated motors over Channel Access, until interrupted.

    The port is that of EPICS_CA_SERVER_PORT.
    """
    import asyncio
    import contextlib
    import os

    from autosteer.cli._experiment import read_experiment
    from autosteer.contracts import ExperimentFileError
    from autosteer.service.child import ChildRuntime, configure_logging

    with clear_errors():
        configure_logging()
        experiment, _ = read_experiment(file)
        if experiment.simulation is None:
            raise ExperimentFileError(str(file), [("simulation", "needed to simulate motors")])
        config = experiment.simulation.ioc
        from autosteer.devices.ioc import serve, start_repeater

        runtime = ChildRuntime("ioc")
        start_repeater()

        async def main() -> None:
            port = int(os.environ.get("EPICS_CA_SERVER_PORT", "5064"))
            loop = asyncio.get_running_loop()
            told = asyncio.Event()
            runtime.on_stop(lambda: loop.call_soon_threadsafe(told.set))
            serving = asyncio.create_task(
                serve(config, lambda: runtime.tell("ready", port=port, prefix=config.prefix))
            )
            waiting = asyncio.create_task(told.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            for task in (serving, waiting):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        asyncio.run(main())
