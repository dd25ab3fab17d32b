"""What a beamline's own levers give on a narrow peak, in the beam time of thirty evaluations.

A black box that is evaluated thirty times sees nothing from most places of the scenario
narrow_peak, where four knobs are coupled. In the beam time that thirty settings of 60 shots at
random places take, moves and latency included, ours searches with the same settings of 60 shots;
with stays of its own length; with the shots that are taken in motion; and with a diagnostic that
is graded: the peak's halo, four times as wide. What counts is the truth at the recommended place.

    python benchmarks/levers.py [--seeds 20] [--processes 2] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import mean, median
from typing import Any

from _cells import Cells, Job, fill, table
from _courses import run_course
from _habits import FixedStays
from rich.progress import Progress

from autosteer.bench.metrics import Proportion
from autosteer.cli._policies import make_policy
from autosteer.contracts import Experiment
from autosteer.policies import RandomPolicy

EVALUATIONS, SHOTS = 30, 60
REGRET = 0.1
HALO = "diagnostics=[{name: halo, column: function.halo, reduce: mean}]"
RANDOM = "random places, 60 shots"
LEVERS: Mapping[str, tuple[bool, tuple[str, ...]]] = {
    "60 shots": (True, ()),
    "own stays": (False, ()),
    "own stays, shots in motion": (False, ("dwell.motion=tag",)),
    "own stays, halo": (False, (HALO,)),
    "own stays, both": (False, ("dwell.motion=tag", HALO)),
}


def run_random(seed: int) -> dict[str, Any]:
    """Go to thirty random places."""
    return run_course(
        "narrow_peak",
        lambda experiment: RandomPolicy(experiment.problem),
        [f"dwell.shots={SHOTS}", f"stop.max_settings={EVALUATIONS}"],
        seed,
    )


def run_ours(lever: str, beam_s: float, seed: int) -> dict[str, Any]:
    """Search for a time."""
    fixed, overrides = LEVERS[lever]

    def make(experiment: Experiment) -> Any:
        policy = make_policy(experiment)
        return FixedStays(policy) if fixed else policy

    overrides = (f"dwell.shots={SHOTS}", f"stop.duration_s={beam_s:g}", *overrides)
    return run_course("narrow_peak", make, overrides, seed)


def row(name: str, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up what a lever gave."""
    regrets = [1 - float(cell["end_share"]) for cell in cells]
    found = sum(regret < REGRET for regret in regrets)
    share = Proportion.of(found, len(cells))
    return {
        "how": name,
        "seeds": len(cells),
        f"below {REGRET}": f"{found}/{len(cells)}",
        "95 %": f"{share.low:.2f}-{share.high:.2f}",
        "median regret": median(regrets),
        "worst": max(regrets),
        "beam [s]": mean(float(cell["beam_s"]) for cell in cells),
        "places": mean(float(cell["moves"]) for cell in cells),
    }


def main() -> None:
    """Run what is not in the cache, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    arguments = parser.parse_args()
    cells = Cells("levers", arguments.budget_s)
    seeds = range(arguments.seeds)
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=len(seeds) * (1 + len(LEVERS)))
        jobs = [
            Job(cells, partial(run_random, seed), {"how": RANDOM, "seed": seed}) for seed in seeds
        ]
        for _ in fill(jobs, arguments.processes):
            progress.advance(task)
        times = {seed: cells.known(how=RANDOM, seed=seed) for seed in seeds}
        jobs += [
            Job(cells, partial(run_ours, how, found["beam_s"], seed), {"how": how, "seed": seed})
            for how in LEVERS
            for seed, found in times.items()
            if found is not None
        ]
        for _ in fill(jobs[len(seeds) :], arguments.processes):
            progress.advance(task)
    rows = []
    for how in (RANDOM, *LEVERS):
        found = [cells.known(how=how, seed=seed) for seed in seeds]
        there = [cell for cell in found if cell is not None]
        if there:
            rows.append(row(how, there))
    print(table(rows))


if __name__ == "__main__":
    main()
