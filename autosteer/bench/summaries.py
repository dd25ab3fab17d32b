"""What a table says of a policy on a scenario: the measures of its courses, over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autosteer.bench.campaign import Result, Unfinished
from autosteer.bench.courses import Course
from autosteer.bench.metrics import (
    AXES,
    Proportion,
    Spread,
    cost_to_hold,
    cumulative_regret,
    held_from,
    hypervolume_share,
    simple_regret,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """How a policy fares on a scenario.

    Parameters
    ----------
    policy : str
        The policy.
    wanted, runs : int
        Seeds asked for; those with a course.
    simple_regret : Spread
        One less the share at the place recommended at the end.
    held : Proportion
        Runs whose recommendation reached the level and held it.
    cost_to_hold : mapping of str to Spread
        What that took, by axis: ``beam_s``, ``shots``, ``moves``, ``sample_ul``.
    cumulative_regret : Spread
        One less the share at the actual place, over the beam time.
    violated : Proportion or None
        Places visited at which a limit was truly broken, over all runs; None without limits.
    hypervolume : Spread
        What the visited places dominate, over what can be; NaN for one objective.
    asks : Spread
        Questions in a run.
    ask_cpu_s : float
        Processor time of an answer, the mean over all runs [s].
    run_cpu_s : float
        Processor time of all answers in a run, the mean over runs [s].
    wall_s : float
        Time that a run took here, the mean over runs [s].
    unfit : str
        Why the policy is not for this scenario; empty where it is.
    failures : tuple of str
        What went wrong in trials that gave no course.
    endings : tuple of str
        Why runs ended that did not end as planned.
    """

    policy: str
    wanted: int
    runs: int
    simple_regret: Spread
    held: Proportion
    cost_to_hold: Mapping[str, Spread]
    cumulative_regret: Spread
    violated: Proportion | None
    hypervolume: Spread
    asks: Spread
    ask_cpu_s: float
    run_cpu_s: float
    wall_s: float
    unfit: str
    failures: tuple[str, ...]
    endings: tuple[str, ...]


def summarize(policy: str, results: Mapping[int, Result | None], level: float) -> Summary:
    """Summarize what became of a policy on a scenario.

    Parameters
    ----------
    policy : str
        The policy.
    results : mapping of int to Course, Unfinished or None
        Result by seed; None where a trial was not begun.
    level : float
        Share that is to be reached and held.

    Returns
    -------
    Summary
        The summary; NaN stands where there is nothing to say.
    """
    courses = {seed: one for seed, one in results.items() if isinstance(one, Course)}
    unfinished = {seed: one for seed, one in results.items() if isinstance(one, Unfinished)}
    runs = list(courses.values())
    asks = sum(run.asks for run in runs)
    ask_cpu_s = sum(run.ask_cpu_s for run in runs)
    return Summary(
        policy=policy,
        wanted=len(results),
        runs=len(runs),
        simple_regret=Spread.of([simple_regret(run) for run in runs]),
        held=Proportion.of(sum(held_from(run, level) is not None for run in runs), len(runs)),
        cost_to_hold={
            axis: Spread.of([cost_to_hold(run, level, axis) for run in runs]) for axis in AXES
        },
        cumulative_regret=Spread.of([cumulative_regret(run) for run in runs]),
        violated=_violated(runs),
        hypervolume=Spread.of([hypervolume_share(run) for run in runs]),
        asks=Spread.of([run.asks for run in runs]),
        ask_cpu_s=ask_cpu_s / asks if asks else np.nan,
        run_cpu_s=ask_cpu_s / len(runs) if runs else np.nan,
        wall_s=sum(run.wall_s for run in runs) / len(runs) if runs else np.nan,
        unfit=_first(one.message for one in unfinished.values() if one.kind == "unfit"),
        failures=tuple(
            f"seed {seed}: {one.message}"
            for seed, one in unfinished.items()
            if one.kind == "failed"
        ),
        endings=tuple(f"seed {seed}: {run.reason}" for seed, run in courses.items() if not run.ok),
    )


def _violated(runs: Sequence[Course]) -> Proportion | None:
    limited = [run for run in runs if run.has_limits]
    if not limited:
        return None
    places = np.concatenate([run.point_violated for run in limited])
    return Proportion.of(int(places.sum()), len(places))


def _first(messages: Iterable[str]) -> str:
    return next(iter(messages), "")
