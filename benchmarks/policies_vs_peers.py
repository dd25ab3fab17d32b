"""Ours and other people's optimizers on simulated beamlines: same starts, same noise, one clock.

Every policy goes through the real controller, on the virtual clock, against the same simulated
beamline; each ask is taken to last 0.15 s of beam time, however long it really takes. Policies
whose stays are fixed have them tuned on seeds of their own, over five lengths, with and without
waiting for results where they know points in flight; the worse half is left out after two seeds
(in the last part after one). A run in which a policy takes more than twice the length of the run in
processor time has failed: no beam waits for that. Peers are told the standard error of each reading
where they take it, but not the diagnostics, which they have no word for.

Parts: ``reach``, beam time until the recommended place is as good as 95 % of the optimum and stays
so for 20 s, on jet_4 (a run that does not get there counts with its whole length); there peers
also are ``guided``: they optimize the diagnostic that reaches farthest until the objective shows
something, and then the objective with all points so far; ``ablation``, ours on the same with one
thing left out; ``limits``, detector_damage: places tested that truly break the limit, and the time
with and without it; ``wander``, jet_wander: the mean loss over ten minutes at the actual place.
Ours is `FollowPolicy` there, with `BayesianPolicy` beside it. Peers have a model of time, or go on
with the newest 100 to 150 points, or search for a minute, hold the best place until the objective
has been below 70 % for five seconds, and search again; ``then near``: 30 s, later within a quarter
of each range.

Cells are kept by the version of what they depend on: those of peers do not depend on our own
policies, and `--peers-version` takes those of an earlier version. Packages that are not installed
are left out: pip install 'autosteer[peers]'; gpCAM, which comes under the GPL, is no part of that.

    python benchmarks/policies_vs_peers.py [--parts reach] [--only ax,ours] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from _cells import Cells, Job, fill, table, version_of_the_code
from _contenders import ABLATION, FOLLOW, FOLLOWERS, GUIDED, OURS, PEERS, RANDOM, Contender, Tuning
from _courses import run_course
from _intervals import bootstrap_ratio, upper_bound
from rich.progress import Progress

from autosteer.bench.metrics import Proportion
from autosteer.cli._policies import make_policy
from autosteer.contracts import Experiment

LEVEL, HOLD_S = 0.95, 20.0
MOST_CPU_PER_BEAM = 2.0
FIRST_TUNING_SEED = 1000
# What a peer's cell depends on, besides the scenario and the peer.
PEERS_CODE = (
    "autosteer/contracts",
    "autosteer/physics",
    "autosteer/stream",
    "autosteer/steering",
    "autosteer/cli/_experiment.py",
    "autosteer/cli/_worlds.py",
    "sims/*.py",
    "sims/scenes",
    "policies/peers",
    "policies/_grounds.py",
    "benchmarks/_courses.py",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A scenario, and who takes part in it.

    Parameters
    ----------
    scenario : str
        Name of the scenario.
    contenders : mapping of str to Contender
        Who takes part.
    length_s : float
        Length of a run [s].
    measure : {"reach", "loss"}
        What counts: beam time to the optimum [s], or mean loss.
    hold_s : float
        A run ends early when the level is held for so long [s].
    tuning_seeds : int
        Seeds with which stays are tuned.
    heat_seeds : int
        Those of them after which the worse half of the tunings is left out.
    """

    scenario: str
    contenders: Mapping[str, Contender]
    length_s: float
    measure: Literal["reach", "loss"] = "reach"
    hold_s: float = math.inf
    tuning_seeds: int = 5
    heat_seeds: int = 2

    def cost(self, cell: Mapping[str, Any]) -> float:
        """Return what a run has cost."""
        if self.measure == "loss":
            return 1 - float(cell["mean_share"])
        return self.length_s if cell["reach_s"] is None else float(cell["reach_s"])

    def ratio(self, costs: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
        """Return how much more it has cost than others."""
        statistic = np.mean if self.measure == "loss" else np.median
        ratio, low, high = bootstrap_ratio(costs, others, statistic)
        # A run that does not get there might have taken any time.
        least = ">= " if self.measure == "reach" and median(costs) >= self.length_s else ""
        return {"over ours": f"{least}{ratio:.2f}", "95 % ": f"{low:.2f}-{high:.2f}"}


PARTS: Mapping[str, Part] = {
    "reach": Part(
        "jet_4", {"ours": OURS, "random": RANDOM, **PEERS, **GUIDED}, 120.0, hold_s=HOLD_S
    ),
    "ablation": Part("jet_4", ABLATION, 120.0, hold_s=HOLD_S),
    "limits": Part(
        "detector_damage",
        {
            "ours": Contender(),
            "ours unlimited": Contender(overrides=("constraints=[]",)),
            **{name: PEERS[name] for name in ("ax", "optuna", "blop", "xopt")},
        },
        90.0,
    ),
    "wander": Part(
        "jet_wander",
        {"ours": FOLLOW, "bayes": Contender(), **FOLLOWERS},
        600.0,
        "loss",
        tuning_seeds=3,
        heat_seeds=1,
    ),
}


@cache
def _version_of(files: tuple[str, ...]) -> str:
    return version_of_the_code(files) if files else ""


def run_cell(part: str, name: str, tuning: Tuning, seed: int) -> dict[str, Any]:
    """Run one policy with one seed."""
    wanted = PARTS[part]
    contender = wanted.contenders[name]

    def make(experiment: Experiment) -> Any:
        if contender.make is None:
            return contender.habit(make_policy(experiment))
        return contender.habit(contender.make(experiment.problem))

    overrides = [f"stop.duration_s={wanted.length_s}", *contender.overrides]
    if tuning.stay_s is not None:
        # Enough for the longest stay and its results.
        overrides += [f"dwell.shots={round(tuning.stay_s * 120)}", "dwell.max_s=10"]
    if tuning.in_flight is not None:
        overrides.append(f"dwell.in_flight={tuning.in_flight}")
    return run_course(
        wanted.scenario,
        make,
        overrides,
        seed,
        level=LEVEL,
        hold_s=wanted.hold_s,
        most_cpu_s=MOST_CPU_PER_BEAM * wanted.length_s,
    )


@dataclass(frozen=True, slots=True)
class Field:
    """The cells of all who take part.

    Parameters
    ----------
    ours, peers : Cells
        Cells that depend on all of the code, and on what peers use of it.
    """

    ours: Cells
    peers: Cells

    def job(self, part: str, name: str, tuning: Tuning, seed: int) -> Job:
        """Return the job of making a cell."""
        wanted = PARTS[part]
        contender = wanted.contenders[name]
        return Job(
            self.peers if contender.packages else self.ours,
            partial(run_cell, part, name, tuning, seed),
            {
                "scenario": _version_of((f"sims/scenarios/{wanted.scenario}.yaml",)),
                "policy": name,
                "overrides": contender.overrides,
                "versions": contender.versions,
                "files": _version_of(contender.files),
                "tuning": str(tuning),
                "in_flight": tuning.in_flight,
                "length_s": wanted.length_s,
                "level": LEVEL,
                "hold_s": wanted.hold_s,
                "seed": seed,
            },
        )

    def heat(self, part: str, name: str, tunings: Sequence[Tuning], seeds: int) -> list[Job]:
        """Return the jobs by which tunings are compared, on seeds of their own."""
        return [
            self.job(part, name, tuning, FIRST_TUNING_SEED + number)
            for number in range(seeds)
            for tuning in tunings
        ]

    def ranked(
        self, part: str, name: str, tunings: Sequence[Tuning], seeds: int
    ) -> list[Tuning] | None:
        """Return tunings from the best to the worst; None where that is not yet known."""
        wanted = PARTS[part]
        costs = {}
        for tuning in tunings:
            cells = self.cells(part, name, tuning, FIRST_TUNING_SEED, seeds)
            if len(cells) < seeds:
                return None
            # Among those that never get there, the one that gets nearest.
            costs[tuning] = fmean(map(wanted.cost, cells)), -fmean(c["end_share"] for c in cells)
        return sorted(tunings, key=lambda tuning: costs[tuning])

    def finalists(self, part: str, name: str) -> list[Tuning] | None:
        """Return the better half of the tunings after a few seeds; None if not yet known."""
        tunings = PARTS[part].contenders[name].tunings
        ranked = self.ranked(part, name, tunings, PARTS[part].heat_seeds)
        return None if ranked is None else ranked[: (len(tunings) + 1) // 2]

    def tuned(self, part: str, name: str) -> Tuning | None:
        """Return the best tuning; None where it is not yet known."""
        tunings = PARTS[part].contenders[name].tunings
        if len(tunings) == 1:
            return tunings[0]
        finalists = self.finalists(part, name)
        if finalists is None:
            return None
        ranked = self.ranked(part, name, finalists, PARTS[part].tuning_seeds)
        return None if ranked is None else ranked[0]

    def stages(self, part: str, name: str, seeds: int) -> Iterator[list[Job]]:
        """Yield the jobs of a policy, each time those that follow from the cells there are."""
        wanted = PARTS[part]
        tunings = wanted.contenders[name].tunings
        if len(tunings) > 1:
            yield self.heat(part, name, tunings, wanted.heat_seeds)
            finalists = self.finalists(part, name)
            if finalists is None:
                return
            yield self.heat(part, name, finalists, wanted.tuning_seeds)
        tuning = self.tuned(part, name)
        if tuning is not None:
            yield [self.job(part, name, tuning, seed) for seed in range(seeds)]

    def cells(
        self, part: str, name: str, tuning: Tuning, first_seed: int, seeds: int
    ) -> list[dict[str, Any]]:
        """Return those cells that are there."""
        jobs = [self.job(part, name, tuning, first_seed + number) for number in range(seeds)]
        found = [job.cells.known(**job.parameters) for job in jobs]
        return [cell for cell in found if cell is not None]

    def complete(self, part: str, names: Sequence[str], seeds: int, processes: int) -> None:
        """Make the cells that are missing, as far as the budget goes."""
        with Progress(transient=True) as progress:
            for name in names:
                task = progress.add_task(f"{part}: {name}", total=None)
                for jobs in self.stages(part, name, seeds):
                    progress.update(task, total=len(jobs), completed=0)
                    for _ in fill(jobs, processes):
                        progress.advance(task)

    def rows(self, part: str, names: Sequence[str], seeds: int) -> list[dict[str, Any]]:
        """Return the table of a part: a row for each who has a cell."""
        wanted = PARTS[part]
        rows = []
        ours: list[float] = []
        for name in names:
            tuning = self.tuned(part, name)
            cells = [] if tuning is None else self.cells(part, name, tuning, 0, seeds)
            if not cells:
                continue
            costs = [wanted.cost(cell) for cell in cells]
            if name == "ours":
                ours = costs
            row = {"policy": name, "stays": str(tuning), "seeds": len(cells)}
            row |= _limits(cells) if part == "limits" else {}
            row |= _loss(costs) if wanted.measure == "loss" else _reach(costs, cells)
            row |= wanted.ratio(costs, ours) if ours else {"over ours": "-", "95 % ": "-"}
            row["policy [cpu s]"] = fmean(cell["policy_cpu_s"] for cell in cells)
            row["failed"] = sum(bool(cell["failure"]) for cell in cells)
            rows.append(row)
        return rows

    def tuning_rows(self, part: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return how well each tuning does, as far as that is known."""
        wanted = PARTS[part]
        rows = []
        for name in names:
            tunings = wanted.contenders[name].tunings
            for tuning in tunings if len(tunings) > 1 else ():
                cells = self.cells(part, name, tuning, FIRST_TUNING_SEED, wanted.tuning_seeds)
                if cells:
                    row = {"policy": name, "stays": str(tuning), "seeds": len(cells)}
                    row["mean cost"] = fmean(map(wanted.cost, cells))
                    row["share in the end"] = fmean(cell["end_share"] for cell in cells)
                    rows.append(row)
        return rows


def _reach(costs: Sequence[float], cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reached = sum(cell["reach_s"] is not None for cell in cells)
    share = Proportion.of(reached, len(cells))
    return {
        "reached": f"{reached}/{len(cells)}",
        "95 %": f"{share.low:.2f}-{share.high:.2f}",
        "median [s]": median(costs),
        "mean [s]": fmean(costs),
        "worst [s]": max(costs),
        "moves per s": fmean(cell["moves"] / cell["beam_s"] for cell in cells),
    }


def _loss(costs: Sequence[float]) -> dict[str, Any]:
    return {"median loss": median(costs), "mean": fmean(costs), "worst": max(costs)}


def _limits(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tested, violated = (sum(cell[key] for cell in cells) for key in ("tested", "violated"))
    return {"violated": f"{violated}/{tested}", "below": upper_bound(violated, max(tested, 1))}


def main() -> None:
    """Run what is not in the cache, and print the tables of all that is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--only", default="", help="policies, with commas")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    parser.add_argument("--tunings", action="store_true", help="print also how they were tuned")
    parser.add_argument("--peers-version", help="take peers' cells of this version")
    arguments = parser.parse_args()
    peers_version = arguments.peers_version or version_of_the_code(PEERS_CODE)
    field = Field(
        Cells("policies_vs_peers", arguments.budget_s),
        Cells("policies_vs_peers", arguments.budget_s, peers_version),
    )
    parts = arguments.parts.split(",")
    only = arguments.only.split(",") if arguments.only else []
    names = {
        part: [
            name
            for name, contender in PARTS[part].contenders.items()
            if contender.versions is not None and (not only or name in only)
        ]
        for part in parts
    }
    for part in parts:
        field.complete(part, names[part], arguments.seeds, arguments.processes)
    print(f"versions: peers {field.peers.version}, ours {field.ours.version}")
    for part in parts:
        print(f"\n{part}: {PARTS[part].scenario}")
        everybody = list(PARTS[part].contenders)
        if arguments.tunings:
            print(table(field.tuning_rows(part, everybody)), end="\n\n")
        print(table(field.rows(part, everybody, arguments.seeds)))


if __name__ == "__main__":
    main()
