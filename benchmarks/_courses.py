"""One run of a policy through the real controller on the virtual clock, and how good it was.

The truth of the simulator is read for the score alone.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from _cells import ROOT

from autosteer.cli._experiment import read_experiment
from autosteer.cli._policies import pin_threads
from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import Experiment, PolicyError
from autosteer.sims.virtual import VirtualBeamline
from autosteer.steering.virtual import VirtualRun, VirtualTimes

SCENARIOS = ROOT / "sims" / "scenarios"
ASK_S = 0.15
"""Every policy is taken to answer after this time, however long it really takes [s]."""


class _DecidedError(Exception):
    """Ends a run that can only go on as it is, or that nobody would wait for."""


@dataclass(slots=True)
class Course:
    """How good the recommended place and the actual one were, step by step.

    Parameters
    ----------
    level : float
        Share of the optimum that counts as reached.
    hold_s : float
        It is held when the recommended place is as good for so long [s].
    """

    level: float
    hold_s: float
    t_s: list[float] = field(default_factory=list)
    recommended: list[float] = field(default_factory=list)
    actual: list[float] = field(default_factory=list)
    _good_since_s: float | None = None

    def add(self, t_s: float, recommended: float, actual: float) -> None:
        """Add a step.

        Parameters
        ----------
        t_s : float
            Beam time so far [s].
        recommended, actual : float
            Shares of the optimum; NaN while nothing can be attained.
        """
        self.t_s.append(t_s)
        self.recommended.append(recommended)
        self.actual.append(actual)
        if recommended < self.level:
            self._good_since_s = None
        elif self._good_since_s is None:
            self._good_since_s = t_s

    @property
    def held_since_s(self) -> float | None:
        """Beam time at which the recommended place became good, and has been so since [s]."""
        return self._good_since_s

    @property
    def held(self) -> bool:
        """Whether it has been so for long enough."""
        return self._good_since_s is not None and self.t_s[-1] - self._good_since_s >= self.hold_s

    @property
    def first_s(self) -> float | None:
        """Beam time at which the recommended place was good for the first time [s]."""
        good = (
            t for t, share in zip(self.t_s, self.recommended, strict=True) if share >= self.level
        )
        return next(good, None)


def run_course(
    scenario: str,
    make: Callable[[Experiment], Any],
    overrides: Sequence[str],
    seed: int,
    *,
    level: float = 0.95,
    hold_s: float = math.inf,
    most_cpu_s: float = math.inf,
) -> dict[str, Any]:
    """Run a policy once, until the recommended place has been good for long enough or time is up.

    Parameters
    ----------
    scenario : str
        Name of the scenario.
    make : callable
        Makes the policy.
    overrides : sequence of str
        Overrides of the scenario's file.
    seed : int
        Seed of the policy, and of everything simulated.
    level : float, default 0.95
        Share of the optimum that is to be reached.
    hold_s : float, default inf
        The run ends when it has been held for so long [s].
    most_cpu_s : float, default inf
        The run fails when the policy has taken more processor time than this [s].

    Returns
    -------
    dict
        ``reach_s``: beam time from which the recommended place stays good, None if it does not;
        ``first_s``; ``end_share`` of the recommended place; ``mean_share`` of the actual one;
        ``tested`` places and how many of them ``violated`` a limit; ``moves``, ``beam_s``,
        ``policy_cpu_s`` and ``cpu_s``; ``failure`` of the policy, or an empty string.
    """
    pin_threads()
    experiment, _ = read_experiment(SCENARIOS / f"{scenario}.yaml", [*overrides, f"seed={seed}"])
    beamline = VirtualBeamline(experiment, world_of_experiment(experiment, seed))
    run = VirtualRun(experiment, beamline, make(experiment), VirtualTimes(ask_s=ASK_S))
    begin_ns, begin_s = run.now_ns, time.process_time()
    course = Course(level, hold_s)

    def step(now_ns: int) -> None:
        best = run.controller.policy.best
        course.add(
            (now_ns - begin_ns) / 1e9,
            beamline.standing(now_ns, best.knobs).share if best else 0.0,
            beamline.standing(now_ns).share,
        )
        if course.held:
            raise _DecidedError
        if run.controller.policy_cpu_s > most_cpu_s:
            raise _DecidedError(f"too slow: more than {most_cpu_s:g} s of processor time")

    failure = ""
    try:
        # Peers that are not wrapped warn of this and that.
        with warnings.catch_warnings(action="ignore"):
            run.run(step)
    except (_DecidedError, PolicyError) as error:
        failure = str(error)
    tested = [
        beamline.standing(run.now_ns, outcome.readback)
        for name, outcome in run.controller.outcomes.items()
        if name not in {"start", "final"}
    ]
    actual = [share for share in course.actual if not math.isnan(share)]
    return {
        "reach_s": None if failure else course.held_since_s,
        "first_s": course.first_s,
        "end_share": course.recommended[-1],
        "mean_share": sum(actual) / len(actual),
        "tested": len(tested),
        "violated": sum(one.violated for one in tested),
        "moves": run.controller.moves,
        "beam_s": course.t_s[-1],
        "policy_cpu_s": run.controller.policy_cpu_s,
        "cpu_s": time.process_time() - begin_s,
        "failure": failure,
    }
