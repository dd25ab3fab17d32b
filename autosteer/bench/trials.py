"""One run of one policy on one scenario, on the virtual clock, with its course written down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autosteer.bench.courses import Course
from autosteer.contracts import Aim, Experiment, KnowsBest, Policy
from autosteer.sims.virtual import Standing, VirtualBeamline
from autosteer.steering.virtual import VirtualRun, VirtualTimes

Float = NDArray[np.float64]

TIMES = VirtualTimes(ask_s=0.15)
"""Every policy answers after the same time: that one is slow shows by its processor time alone."""


def run_trial(
    experiment: Experiment,
    beamline: VirtualBeamline,
    policy: Policy,
    times: VirtualTimes = TIMES,
    at_least_s: float = 0.0,
) -> Course:
    """Run a policy, and write down the course of it.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation.
    beamline : VirtualBeamline
        That simulation, made for this run.
    policy : Policy
        The policy, made for this run; it sees nothing of the truth.
    times : VirtualTimes, optional
        How long things take on the virtual clock.
    at_least_s : float, default 0
        Where the run ends earlier, its course goes on for so long, with the knobs at rest [s].

    Returns
    -------
    Course
        The course; apart from the times that the run itself took, it depends on the arguments
        alone.
    """
    begin_s = time.monotonic()
    run = VirtualRun(experiment, beamline, policy, times)
    course = _Log(experiment, run, beamline, names_best=isinstance(policy, KnowsBest))
    finish = run.run(course.note)
    step_ns = round(times.step_s * 1e9)
    end_ns = course.start_ns + round(at_least_s * 1e9)
    for now_ns in range(run.now_ns + step_ns, end_ns + 1, step_ns):
        course.note(now_ns)
    return course.finished(time.monotonic() - begin_s, ok=finish.ok, reason=finish.reason)


class _Log:
    """Writes a course down, step by step."""

    def __init__(
        self,
        experiment: Experiment,
        run: VirtualRun,
        beamline: VirtualBeamline,
        *,
        names_best: bool,
    ) -> None:
        self._controller = run.controller
        self._beamline = beamline
        self._names_best = names_best
        self._problem = experiment.problem
        flow = experiment.sample.flow_ul_per_min
        self._ul_per_s = np.nan if flow is None else flow / 60
        self.start_ns = self._now_ns = run.now_ns
        self._asks = 0
        # beam_s, shots, moves, shares at the recommended and the actual place, violated
        self._moments: list[tuple[float, int, int, float, float, bool]] = []
        self._points: list[Standing] = []
        self._visited = 0
        start = beamline.standing(run.now_ns)
        self._points.append(start)
        self._note(run.now_ns, start)

    def note(self, now_ns: int) -> None:
        """Note how things stand after a step."""
        visited = self._beamline.visited
        while self._visited < len(visited) and visited[self._visited][0] <= now_ns:
            self._points.append(self._beamline.standing(*visited[self._visited]))
            self._visited += 1
        self._note(now_ns, self._beamline.standing(now_ns))

    def _note(self, now_ns: int, here: Standing) -> None:
        controller = self._controller
        self._now_ns = now_ns
        if controller.policy.asking is not None:
            # An answer takes longer than a step, so that no question is missed.
            self._asks = controller.policy.asking.request
        shots = controller.observer.shots
        self._moments.append((
            (now_ns - self.start_ns) / 1e9,
            shots.folded + shots.tagged,
            controller.moves,
            self._share_recommended(now_ns, here),
            here.share,
            here.violated,
        ))

    def _share_recommended(self, now_ns: int, here: Standing) -> float:
        best = self._controller.policy.best
        if best is not None:
            return self._beamline.standing(now_ns, best.knobs).share
        return float("nan") if self._names_best else here.share

    def finished(self, wall_s: float, *, ok: bool, reason: str) -> Course:
        """Return what was written down."""
        beam_s, shots, moves, recommended, actual, violated = zip(*self._moments, strict=True)
        aims = self._problem.objectives
        return Course(
            beam_s=np.array(beam_s),
            shots=np.array(shots, np.int64),
            moves=np.array(moves, np.int64),
            sample_ul=np.array(beam_s) * self._ul_per_s,
            share_recommended=np.array(recommended, np.float64),
            share_actual=np.array(actual, np.float64),
            violated=np.array(violated, np.bool_),
            point_violated=np.array([one.violated for one in self._points], np.bool_),
            point_values=_values([one.truths for one in self._points], aims),
            front=_values(self._beamline.attainable(self._now_ns), aims),
            has_limits=bool(self._problem.limits),
            asks=self._asks,
            ask_cpu_s=self._controller.policy_cpu_s,
            wall_s=wall_s,
            ok=ok,
            reason=reason,
        )


def _values(truths: Sequence[Mapping[str, float]], aims: Sequence[Aim]) -> Float:
    """Give the objectives, shape (n, k), so that more is better."""
    signs = np.array([aim.sign for aim in aims])
    rows = [[truth.get(aim.name, np.nan) for aim in aims] for truth in truths]
    values: Float = signs * np.array(rows, np.float64).reshape(-1, len(aims))
    return values
