"""``autosteer config``: the schema of experiment files, and the check of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors, print_line

app = typer.Typer(help="Schema and check of experiment files.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files."""
    from autosteer.contracts import Experiment

    print_line(json.dumps(Experiment.model_json_schema(by_alias=True), indent=2))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Experiment file.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override, as dotted.path=value.")
    ] = None,
) -> None:
    """Check an experiment file, and name the path of every error."""
    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._names import resolve

    with clear_errors():
        experiment, _ = read_experiment(file, overrides or ())
        for _, name, group in experiment.named:
            resolve(name, group)
        knobs = ", ".join(experiment.knobs)
        print_line(
            f"{file}: good. '{experiment.name}' moves {knobs} for {experiment.objective.name}, "
            f"mode {experiment.mode}{', simulated' if experiment.simulation else ''}"
        )
