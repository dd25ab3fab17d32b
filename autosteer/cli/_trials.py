"""Trials of the bench, composed: the work that its executors do."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from autosteer.analysis.executors import Work
from autosteer.bench import Cell, PolicyEntry, Unfinished, run_trial
from autosteer.bench.campaign import Result
from autosteer.bench.fingerprint import fingerprint
from autosteer.cli._experiment import import_plugins, read_experiment
from autosteer.cli._names import package_of
from autosteer.cli._policies import make_policy, pin_threads
from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import PolicyError, parse_experiment
from autosteer.sims.virtual import VirtualBeamline

if TYPE_CHECKING:
    from autosteer.sims.scenarios import Scenario


def cells_of(
    scenario: Scenario, entry: PolicyEntry, seeds: Sequence[int], overrides: Sequence[str]
) -> list[Cell]:
    """Make the trials of a policy on a scenario.

    Parameters
    ----------
    scenario : Scenario
        The scenario.
    entry : PolicyEntry
        The policy.
    seeds : sequence of int
        Seeds, each of which gives a trial.
    overrides : sequence of str
        What is changed for every policy alike, as ``dotted.path=value``.

    Returns
    -------
    list of Cell
        One for each seed.

    Raises
    ------
    ExperimentFileError
        If an override is wrong.
    NameResolutionError
        If a name leads nowhere.
    """
    _, as_written = read_experiment(scenario.file)
    changes = [*overrides, *entry.overrides_for(as_written.get("policy"))]
    experiment, data = read_experiment(scenario.file, changes)
    packages = {
        package_of(name, group)
        for _, name, group in experiment.named
        if group != "autosteer.devices"
    }
    packages |= {plugin.partition(".")[0] for plugin in data.get("plugins") or ()}
    code = fingerprint(packages)
    return [Cell(scenario.name, entry.label, seed, {**data, "seed": seed}, code) for seed in seeds]


def prepare(begin_before_s: float = math.inf, *, alone: bool = False) -> Work:
    """Prepare a process for trials.

    Parameters
    ----------
    begin_before_s : float, optional
        Time at which no further trial is begun [s UTC].
    alone : bool, default False
        Whether the process is there for this only; a Ctrl-C then ends it without a word.

    Returns
    -------
    callable
        Turns a `Cell` into a `Result`.
    """
    if alone:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    pin_threads()
    return partial(_result, begin_before_s)


def _result(begin_before_s: float, cell: Cell) -> Result:
    """Run a trial; what goes wrong is its result."""
    if time.time() >= begin_before_s:
        return Unfinished("late")
    try:
        import_plugins(cell.data.get("plugins") or (), cell.scenario)
        experiment = parse_experiment(cell.data, cell.scenario)
        beamline = VirtualBeamline(experiment, world_of_experiment(experiment, cell.seed))
        try:
            policy = make_policy(experiment)
        except PolicyError as error:
            # A wrong option or warm start is a mistake; what a policy says of the problem is not.
            mistaken = isinstance(error.__cause__, TypeError) or experiment.policy.warm_start
            return Unfinished("failed" if mistaken else "unfit", str(error))
        # Who stops early has not escaped what drifts.
        lasts_s = experiment.stop.duration_s or 0.0
        return run_trial(experiment, beamline, policy, at_least_s=lasts_s)
    except Exception as error:
        return Unfinished("failed", f"{type(error).__name__}: {error}")
