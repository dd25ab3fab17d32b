"""``autosteer run``: one run of an experiment file, with everything it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors, print_error, print_line


def run(
    file: Annotated[Path, typer.Argument(help="Experiment file.")],
    mode: Annotated[
        str | None,
        typer.Option(help="observe, suggest, approve or auto; the file's mode if left out."),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds from the first shot; overrides the file.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of policy and simulation.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override, as dotted.path=value.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on standard output.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Write the report at the end.")] = False,
) -> None:
    """Run an experiment: stream, analyse, decide, move.

    Ctrl-C ends after the move in flight and leaves the knobs there; a second Ctrl-C stops the
    motors at once. In a terminal, p pauses, r resumes, y approves and n denies, each with Enter.
    """
    import asyncio

    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._names import resolve
    from autosteer.contracts import ExperimentFileError
    from autosteer.devices.channel_access import simulated_channel_access

    given = list(overrides or ())
    given += [f"mode={mode}"] * (mode is not None)
    given += [f"stop.duration_s={duration}"] * (duration is not None)
    given += [f"seed={seed}"] * (seed is not None)
    with clear_errors():
        experiment, data = read_experiment(file, given)
        if experiment.simulation is not None:
            # Before a device's class is imported: its Channel Access library reads this once.
            simulated_channel_access(experiment.simulation.ioc.port)
        for _, name, group in experiment.named:
            resolve(name, group)
        source = experiment.source
        if source.kind == "spot_lists" and source.path and not Path(source.path).is_file():
            problem = ("source.path", f"no file {source.path}")
            raise ExperimentFileError(str(file), [problem])
        from autosteer.cli._live import make_display
        from autosteer.cli._session import drive

        try:
            summary = asyncio.run(drive(experiment, data, make_display(json_output)))
        except asyncio.CancelledError:
            print_error("autosteer: interrupted before the run had begun; nothing has moved")
            raise typer.Exit(130) from None
        if report:
            from autosteer.cli.report import write_report_of

            path = write_report_of(Path(summary.run_dir))
            print_line(f"report: {path}") if not json_output else None
        if json_output:
            print_line(summary.model_dump_json())
        if not summary.ok:
            raise typer.Exit(1)
