"""``autosteer report``: the report of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._output import clear_errors, print_line

if TYPE_CHECKING:
    from autosteer.contracts import Experiment
    from autosteer.record.figures import Slice
    from autosteer.record.report import RunContent

_POINTS = 81


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
    from autosteer.cli._experiment import read_experiment
    from autosteer.record.report import read_run, write_report
    from autosteer.record.run_directory import open_run_directory

    run = open_run_directory(path)
    experiment, _ = read_experiment(run.experiment)
    return write_report(run, experiment, _slices(experiment, read_run(run)))


def _slices(experiment: Experiment, content: RunContent) -> tuple[Slice, ...]:
    """Ask the policy's model what it expects along each knob, if it has a model."""
    import numpy as np

    from autosteer.cli._policies import make_policy
    from autosteer.contracts import AutosteerError, KnowsBest, Predicts
    from autosteer.record.figures import Slice

    name = experiment.objective.name
    points = [
        {
            "_id": line["suggestion_id"],
            **line["readback"],
            name: line["estimates"][name]["mean"],
            f"{name}_sem": line["estimates"][name]["sem"],
        }
        for line in content.outcomes
        if name in line["estimates"]
    ]
    try:
        policy = make_policy(experiment)
        if not (isinstance(policy, Predicts) and isinstance(policy, KnowsBest)):
            return ()
        policy.ingest(points)
        best = policy.best()
        slices = []
        for knob, limits in experiment.knobs.items():
            positions = np.linspace(limits.low, limits.high, _POINTS)
            places = [{**best, knob: float(position)} for position in positions]
            mean, sd = policy.posterior(places)
            slices.append(Slice(knob, positions, mean, sd))
    except AutosteerError:
        return ()
    return tuple(slices)
