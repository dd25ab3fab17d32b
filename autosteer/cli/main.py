"""The program ``autosteer``: its commands, and how its errors look."""

from __future__ import annotations

import typer

from autosteer.cli import bench, calibrate, config, train
from autosteer.cli.characterize import characterize
from autosteer.cli.doctor import doctor
from autosteer.cli.find_cell import find_cell
from autosteer.cli.find_spots import find_spots
from autosteer.cli.index import index
from autosteer.cli.ioc import ioc
from autosteer.cli.make_mask import make_mask
from autosteer.cli.policy import policy
from autosteer.cli.recorder import recorder
from autosteer.cli.replay import replay
from autosteer.cli.report import report
from autosteer.cli.run import run
from autosteer.cli.source import source
from autosteer.cli.worker import worker

app = typer.Typer(
    name="autosteer",
    help="Autonomous experiment control for X-ray light sources.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def show_version(value: bool) -> None:
    """Print the version and end.

    Parameters
    ----------
    value : bool
        Whether it was asked for.

    Raises
    ------
    typer.Exit
        If it was.
    """
    if value:
        from autosteer import __version__
        from autosteer.cli._output import print_line

        print_line(f"autosteer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=show_version, is_eager=True
    ),
) -> None:
    """Autonomous experiment control for X-ray light sources."""


for command in (run, replay, report, doctor):
    app.command(rich_help_panel="Experiments")(command)
app.add_typer(config.app, name="config", rich_help_panel="Experiments")
app.add_typer(bench.app, name="bench", rich_help_panel="Experiments")
for analysis in (find_spots, make_mask, index, find_cell, characterize):
    app.command(rich_help_panel="Analysis")(analysis)
app.add_typer(calibrate.app, name="calibrate", rich_help_panel="Analysis")
app.add_typer(train.app, name="train", rich_help_panel="Analysis")
for process in (ioc, source, worker, recorder, policy):
    app.command(rich_help_panel="Processes of a run, each by itself")(process)


def main() -> None:
    """Run the program."""
    app()
