"""The result of a run, as ``autosteer run --json`` prints it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autosteer.contracts import Experiment, Outcome, ParetoPoint
from autosteer.service.usage import UsageMeter
from autosteer.steering.agent import Agent
from autosteer.steering.controller import FINAL
from autosteer.steering.events import Finish
from autosteer.stream import StreamCounters


class SortedBin(BaseModel):
    """A bin of shots, and how full it became."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    sorted: int = Field(description="Shots sorted into it")
    offered: int = Field(description="Shots that would have fitted, had there been no quota")
    quota: int


class FrontPlace(BaseModel):
    """A place of the Pareto front, as the policy knew it at the end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    knobs: dict[str, float]
    mean: dict[str, float] = Field(description="Posterior mean of each objective")
    sd: dict[str, float | None] = Field(description="Its standard deviation")


class RunSummary(BaseModel):
    """What a run has done, in numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_dir: str = Field(description="The run's directory")
    ok: bool = Field(description="Whether the run ended as planned")
    reason: str = Field(description="Why it ended")
    mode: str
    seed: int
    duration_s: float = Field(description="From the first shot to the end [s]")
    shots: int = Field(description="Shots joined")
    frames_sent: int = Field(description="Shots that the source has published")
    frames_analysed: int = Field(description="Shots that came back analysed")
    frames_hit: int = Field(description="Analysed shots that were hits")
    frames_indexed: int = Field(description="Analysed shots with a lattice")
    pulses_paired: int = Field(description="Analysed pulses with two sub-spikes")
    pulses_abstained: int = Field(description="Analysed pulses of which nothing can be said")
    phases_audited: int = Field(description="Phases that a second estimator has measured as well")
    phases_disagreed: int = Field(description="Those of them that disagree")
    bins: list[SortedBin] = Field(description="Bins that shots were sorted into")
    rate_hz: float = Field(description="Analysed shots per second after the first")
    latency_p50_s: float | None = Field(description="Result latency: exposure to accumulator [s]")
    latency_p99_s: float | None
    decision_latency_p50_s: float | None = Field(
        description="Exposure of the newest shot that a decision rests on to the set call [s]"
    )
    decision_latency_p99_s: float | None
    information_age_p50_s: float | None = Field(
        description="Exposure of the newest shot that the policy knew to the set call [s]"
    )
    information_age_p99_s: float | None
    set_latency_p50_s: float | None = Field(description="Decision to set call [s]")
    set_latency_p99_s: float | None
    moves: int = Field(description="Moves that arrived")
    decisions: int
    refusals: int
    settings: int = Field(description="Settings measured")
    objective_first: float | None = Field(description="Mean over the first setting")
    objective_best: float | None = Field(description="Posterior mean at knobs_best")
    objective_best_sd: float | None
    objective_final: float | None = Field(description="Mean over the closing setting")
    knobs_best: dict[str, float] | None
    front: list[FrontPlace] = Field(description="With several objectives, the Pareto front")
    knobs_final: dict[str, float] = Field(description="Where the knobs were left, as read")
    policy_cpu_s: float = Field(description="Processor time of all asks [s]")
    cpu_s: dict[str, float] = Field(description="Processor time by process, its start included [s]")
    run_cpu_s: dict[str, float] = Field(description="Processor time while shots came [s]")
    memory_mib: dict[str, float] = Field(description="Largest resident memory by process [MiB]")
    counters: dict[str, Any] = Field(description="Counters of every process")


def summarize(
    run_dir: str,
    experiment: Experiment,
    agent: Agent,
    finish: Finish,
    children: Mapping[str, Mapping[str, Any]],
    usage: UsageMeter,
) -> RunSummary:
    """Collect the numbers of a run that has ended.

    Parameters
    ----------
    run_dir : str
        The run's directory.
    experiment : Experiment
        The experiment.
    agent : Agent
        The agent, at its end.
    finish : Finish
        How the run ended.
    children : mapping of str to mapping
        What each process has counted.
    usage : UsageMeter
        Processor time and memory.

    Returns
    -------
    RunSummary
        The numbers.
    """
    controller = agent.controller
    observer = controller.observer
    kind = experiment.objective.column.split(".", 1)[0]
    received = agent.receiver.counters
    analysed = sum(counters.shots for (_, stream), counters in received.items() if stream == kind)
    outcomes, best = controller.outcomes, controller.policy.best
    name = experiment.objective.name
    return RunSummary(
        run_dir=run_dir,
        ok=finish.ok,
        reason=finish.reason,
        mode=experiment.mode,
        seed=experiment.seed,
        duration_s=(observer.t_newest_shot_ns - observer.t_first_shot_ns) / 1e9,
        shots=observer.shots.folded + observer.shots.outside,
        frames_sent=_sent(children, received, kind),
        frames_analysed=analysed,
        frames_hit=observer.shots.hits,
        frames_indexed=observer.shots.indexed,
        pulses_paired=observer.shots.pairs,
        pulses_abstained=observer.shots.abstained,
        phases_audited=observer.shots.audited,
        phases_disagreed=observer.shots.disagreed,
        bins=[SortedBin(**asdict(one)) for one in observer.sorter.bins] if observer.sorter else [],
        rate_hz=observer.shots.rate_hz,
        latency_p50_s=_number(observer.latency.quantile(0.5)),
        latency_p99_s=_number(observer.latency.quantile(0.99)),
        decision_latency_p50_s=_number(controller.decision_latency.quantile(0.5)),
        decision_latency_p99_s=_number(controller.decision_latency.quantile(0.99)),
        information_age_p50_s=_number(controller.information_age.quantile(0.5)),
        information_age_p99_s=_number(controller.information_age.quantile(0.99)),
        set_latency_p50_s=_number(controller.set_latency.quantile(0.5)),
        set_latency_p99_s=_number(controller.set_latency.quantile(0.99)),
        moves=controller.moves,
        decisions=controller.decisions,
        refusals=controller.refusals,
        settings=len(outcomes),
        objective_first=_mean(next(iter(outcomes.values()), None), name),
        objective_best=best.mean if best else None,
        objective_best_sd=_number(best.sd) if best else None,
        objective_final=_mean(outcomes.get(FINAL), name),
        knobs_best=dict(best.knobs) if best else None,
        front=[_front_place(point) for point in best.front] if best else [],
        knobs_final=observer.positions,
        policy_cpu_s=round(controller.policy_cpu_s, 3),
        cpu_s=usage.cpu_s,
        run_cpu_s=usage.run_cpu_s,
        memory_mib=usage.memory_mib,
        counters={"agent": agent.counters(), **children},
    )


def _sent(
    children: Mapping[str, Mapping[str, Any]],
    received: Mapping[tuple[str, str], StreamCounters],
    kind: str,
) -> int:
    """Count the shots sent: as the simulated source says, or by what came and what is missing."""
    if "source" in children:
        return int(children["source"].get("shots", 0))
    workers = [child for name, child in children.items() if name.startswith("worker-")]
    if workers:
        streams = [one for child in workers for one in child.get("received", {}).values()]
    else:
        streams = [asdict(one) for (_, stream), one in received.items() if stream == kind]
    return sum(one["shots"] + one["dropped_shots"] for one in streams)


def _front_place(point: ParetoPoint) -> FrontPlace:
    sd = {name: _number(value) for name, value in point.sd.items()}
    return FrontPlace(knobs=dict(point.knobs), mean=dict(point.mean), sd=sd)


def _number(value: float) -> float | None:
    """Give None for what JSON cannot say."""
    return None if math.isnan(value) else value


def _mean(outcome: Outcome | None, objective: str) -> float | None:
    """Return the objective's mean at a setting, if it was measured."""
    estimate = outcome.estimates.get(objective) if outcome else None
    return estimate.mean if estimate else None
