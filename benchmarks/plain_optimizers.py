"""Ours and other people's optimizers on plain functions: one row per evaluation, no beamline.

Every optimizer gets the same starts, the same noise and the standard error of each reading. What
counts is the truth at the place that it recommends in the end, and the processor time of its asks.
Packages that are not installed are left out: pip install 'autosteer[peers]'; gpCAM, which comes
under the GPL, is no part of that extra.

Cells of peers are kept by the version of what they depend on, which is not our own policies.

    python benchmarks/plain_optimizers.py [--seeds 20] [--only ax,ours] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from _cells import EVERYTHING, Cells, Job, fill, table, version_of_the_code
from _gpcam import GpcamPolicy
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.stats import qmc

from autosteer.bench.metrics import Proportion
from autosteer.cli._policies import pin_threads
from autosteer.contracts import MissingExtraError, Problem
from autosteer.policies import BayesianPolicy, RandomPolicy
from autosteer.policies.peers import AxPolicy, BlopPolicy, OptunaPolicy, XoptPolicy
from autosteer.sims.functions import hartmann_4, narrow_peak

DIMENSION = 4
STARTS = 8
EVALUATIONS = 30
SUCCESS = 0.1
TIMED_AT = (20, 100, 300)
# What a peer's cell depends on, besides the peer.
PEERS_CODE = (
    "autosteer/contracts/problem.py",
    "policies/peers",
    "policies/_points.py",
    "sims/functions.py",
    "benchmarks/_gpcam.py",
    "benchmarks/plain_optimizers.py",
)

# The starts take the place of everybody's own opening.
OURS: dict[str, Callable[[Problem], Any]] = {"ours": BayesianPolicy, "random": RandomPolicy}
PEERS: dict[str, Callable[[Problem], Any]] = {
    "ax": AxPolicy,
    "xopt": XoptPolicy,
    "gpcam": GpcamPolicy,
    "optuna": partial(OptunaPolicy, n_startup_trials=STARTS),
    "blop": BlopPolicy,
}
POLICIES = {**OURS, **PEERS}


@dataclass(frozen=True, slots=True)
class Function:
    """A function to be maximized over the unit cube.

    Parameters
    ----------
    value : callable
        Its values at places, shape (n, 4).
    optimum : float
        Its largest value.
    noise_sd : float
        Standard deviation of the noise of a reading.
    """

    value: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    optimum: float
    noise_sd: float


def hartmann(seed: int) -> Function:
    """Make Hartmann's function of four variables, several smooth hills: always the same."""
    del seed
    return Function(hartmann_4, 3.134494, 0.1)


def peak(seed: int) -> Function:
    """Make a narrow peak on a plain, in the middle half of each axis."""
    center = np.random.default_rng([seed, 1]).uniform(0.25, 0.75, DIMENSION)
    return Function(partial(narrow_peak, center=center), 1.0, 0.02)


FUNCTIONS: dict[str, Callable[[int], Function]] = {"hartmann4": hartmann, "peak4": peak}


def starts(seed: int, count: int) -> NDArray[np.float64]:
    """Return scrambled Sobol points of the unit cube, shape (count, 4)."""
    engine = qmc.Sobol(DIMENSION, rng=np.random.default_rng([seed, 2]))
    points: NDArray[np.float64] = engine.random_base2((count - 1).bit_length())
    return points[:count]


class Readings:
    """Reads a function, with noise that depends on the seed and the number of the reading alone.

    Parameters
    ----------
    function : Function
        The function.
    seed : int
        Draws the noise.
    """

    def __init__(self, function: Function, seed: int) -> None:
        self._function = function
        self._rng = np.random.default_rng([seed, 3])

    def read(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Read the function at a point."""
        noise = self._function.noise_sd * self._rng.standard_normal()
        value = float(self._function.value(place(point))[0]) + noise
        return {**point, "signal": value, "signal_sem": self._function.noise_sd}


def problem(seed: int) -> Problem:
    """Return the unit cube with a signal to be maximized."""
    return Problem.of({f"k{n}": (0.0, 1.0) for n in range(DIMENSION)}, "signal", seed=seed)


def place(point: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the place of a point, shape (1, 4)."""
    return np.array([[float(point[f"k{n}"]) for n in range(DIMENSION)]])


def given(points: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Write places as points that nobody suggested."""
    return [
        {"_id": f"start-{number}", **{f"k{n}": float(x) for n, x in enumerate(row)}}
        for number, row in enumerate(points)
    ]


@contextlib.contextmanager
def calm() -> Generator[None]:
    """Leave out warnings of peers that are not wrapped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def search(name: str, function: str, seed: int) -> dict[str, float]:
    """Search once; return the true regret of the recommendation, and the time of the asks [s]."""
    wanted = FUNCTIONS[function](seed)
    readings = Readings(wanted, seed)
    policy = POLICIES[name](problem(seed))
    ask_s = 0.0
    with calm():
        policy.ingest([readings.read(point) for point in given(starts(seed, STARTS))])
        for _ in range(EVALUATIONS - STARTS):
            begin_s = time.process_time()
            points = policy.suggest(1)
            ask_s += time.process_time() - begin_s
            policy.ingest([readings.read(point) for point in points])
        best = policy.best()
    return {"regret": wanted.optimum - float(wanted.value(place(best))[0]), "ask_s": ask_s}


def ask_time_s(name: str, count: int) -> float:
    """Return the processor time of an ask after `count` readings: the middle one of three [s]."""
    readings = Readings(hartmann(0), 0)
    policy = POLICIES[name](problem(0))
    times = []
    with calm():
        policy.ingest([readings.read(point) for point in given(starts(0, count))])
        for _ in range(4):
            begin_s = time.process_time()
            points = policy.suggest(1)
            times.append(time.process_time() - begin_s)
            policy.ingest([readings.read(point) for point in points])
    return statistics.median(times[1:])


def regret_row(function: str, name: str, cells: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Sum up the searches of one policy on one function."""
    regrets = np.array([cell["regret"] for cell in cells])
    successes = int((regrets < SUCCESS).sum())
    share = Proportion.of(successes, len(regrets))
    return {
        "function": function,
        "policy": name,
        "seeds": len(regrets),
        "median regret": float(np.median(regrets)),
        "mean": float(regrets.mean()),
        "worst": float(regrets.max()),
        f"below {SUCCESS}": f"{successes}/{len(regrets)}",
        "95 %": f"{share.low:.2f}-{share.high:.2f}",
        "asks of a run [cpu s]": float(np.mean([cell["ask_s"] for cell in cells])),
    }


def installed(names: Sequence[str]) -> list[str]:
    """Return the policies whose packages are there."""
    found = []
    for name in names:
        with contextlib.suppress(MissingExtraError):
            POLICIES[name](problem(0))
            found.append(name)
    return found


def main() -> None:
    """Run what is not in the cache, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default=",".join(POLICIES), help="policies, with commas")
    parser.add_argument("--functions", default=",".join(FUNCTIONS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    arguments = parser.parse_args()
    pin_threads()
    names = installed(arguments.only.split(","))
    functions = arguments.functions.split(",")
    ours, peers = (
        Cells("plain_optimizers", arguments.budget_s, version_of_the_code(files))
        for files in (EVERYTHING, PEERS_CODE)
    )

    def job(name: str, make: Callable[..., Any], **parameters: Any) -> Job:
        cells = peers if name in PEERS else ours
        return Job(cells, partial(make, name, **parameters), {"policy": name, **parameters})

    timings = [job(name, ask_time_s, count=count) for count in TIMED_AT for name in names]
    searches = [
        job(name, search, function=function, seed=seed)
        for seed in range(arguments.seeds)
        for function in functions
        for name in names
    ]
    with Progress(transient=True) as progress:
        task = progress.add_task("asks timed, one by one", total=len(timings))
        for _ in fill(timings):
            progress.advance(task)
        task = progress.add_task("searches", total=len(searches))
        for _ in fill(searches, arguments.processes):
            progress.advance(task)
    times: dict[str, dict[int, float]] = {name: {} for name in names}
    for one in timings:
        timed = one.cells.known(**one.parameters)
        if timed is not None:
            times[one.parameters["policy"]][one.parameters["count"]] = timed
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for one in searches:
        cell = one.cells.known(**one.parameters)
        if cell is not None:
            key = one.parameters["function"], one.parameters["policy"]
            found.setdefault(key, []).append(cell)
    print(
        f"truth at the recommended place after {EVALUATIONS} evaluations, {STARTS} of them starts"
    )
    print(table([regret_row(*key, found[key]) for key in sorted(found)]))
    print("\nan ask after so many readings of hartmann4 [cpu s]")
    print(
        table([
            {"policy": name, **{str(n): times[name].get(n, math.nan) for n in TIMED_AT}}
            for name in names
        ])
    )


if __name__ == "__main__":
    main()
