"""``autosteer replay``: feeds a recorded run back, and compares what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors, print_line


def replay(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    policy: Annotated[
        bool, typer.Option(help="Ask the policy again, too; otherwise its answers are taken.")
    ] = True,
    json_output: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on standard output.")
    ] = False,
) -> None:
    """Reproduce joins, outcomes, suggestions and decisions of a recorded run.

    Says at which event or decision the replay differs, and ends with code 1 if it does.
    """
    import dataclasses
    import json

    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._policies import make_host
    from autosteer.cli._progress import counting
    from autosteer.record.replay import Replay
    from autosteer.record.run_directory import open_run_directory

    with clear_errors():
        directory = open_run_directory(run)
        experiment, _ = read_experiment(directory.experiment)
        make = (lambda: make_host(experiment)) if policy else None
        with counting("events", quiet=json_output) as count:
            result = Replay(directory, experiment, experiment.mode, make).run(count)
        if json_output:
            print_line(json.dumps({**dataclasses.asdict(result), "exact": result.exact}))
        else:
            print_line(
                f"reproduced {result.events} events, {result.outcomes} outcomes, "
                f"{result.decisions} decisions, {result.suggestions} suggestions"
            )
            print_line("exact" if result.exact else f"differs at {result.difference}")
        if not result.exact:
            raise typer.Exit(1)
