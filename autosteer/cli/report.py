"""``autosteer report``: the report of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors, print_line


def report(run: Annotated[Path, typer.Argument(help="Run directory.")]) -> None:
    """Write one self-contained HTML file with plots, decisions and counters."""
    with clear_errors():
        print_line(str(write_report_of(run)))


def write_report_of(path: Path) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    path : Path
        Run directory.

    Returns
    -------
    Path
        The report.
    """
    from autosteer.cli._beliefs import beliefs_of
    from autosteer.cli._experiment import read_experiment
    from autosteer.record.report import write_report
    from autosteer.record.run_directory import open_run_directory

    run = open_run_directory(path)
    experiment, _ = read_experiment(run.experiment)
    return write_report(run, experiment, beliefs_of(experiment, run))
