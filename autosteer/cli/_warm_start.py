"""Reads what an experiment's policy is told before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from autosteer.contracts import Experiment, PolicyError
from autosteer.record.outcomes import read_outcomes
from autosteer.record.run_directory import RunDirectory, open_run_directory


def warm_start_points(experiment: Experiment) -> list[dict[str, Any]]:
    """Read the points of all runs and files that an experiment names in ``policy.warm_start``.

    Parameters
    ----------
    experiment : Experiment
        The experiment.

    Returns
    -------
    list of dict
        Points for the policy's ``ingest``.

    Raises
    ------
    PolicyError
        If one cannot be read, lacks a column, or has a knob in other units.
    """
    from autosteer.policies.warm_start import points_of_rows, read_points

    problem = experiment.problem
    points: list[dict[str, Any]] = []
    for number, name in enumerate(experiment.policy.warm_start):
        path = Path(name)
        if path.is_dir():
            run = open_run_directory(path)
            _compare_units(experiment, run)
            found = points_of_rows(read_outcomes(run), problem, name)
        else:
            found = read_points(path, problem)
        # Two files of the same name must not replace each other's points.
        points += [{**point, "_id": f"{number + 1}:{point['_id']}"} for point in found]
    return points


def _compare_units(experiment: Experiment, run: RunDirectory) -> None:
    recorded = yaml.safe_load(run.experiment.read_text(encoding="utf-8"))["knobs"]
    for name, knob in experiment.knobs.items():
        units = recorded.get(name, {}).get("units", knob.units)
        if units != knob.units:
            raise PolicyError(
                f"{run.path}: knob '{name}' was in '{units}', in this experiment it is in "
                f"'{knob.units}'"
            )
