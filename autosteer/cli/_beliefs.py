"""Asks a policy what it believes after a recorded run: it is made again, and told the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.cli._policies import make_policy, pin_threads
from autosteer.contracts import Experiment, KnowsBest, KnowsFront, ParetoPoint, Policy, Predicts
from autosteer.record.beliefs import Beliefs, Map, Slice
from autosteer.record.outcomes import read_outcomes
from autosteer.record.run_directory import RunDirectory

Float = NDArray[np.float64]
Predict = Callable[[Sequence[Mapping[str, float]]], Mapping[str, tuple[Float, Float]]]

_POINTS = 81
_MAP_POINTS = 41


def beliefs_of(experiment: Experiment, run: RunDirectory) -> Beliefs:
    """Return what the policy of a run believes in the end.

    Parameters
    ----------
    experiment : Experiment
        The run's experiment.
    run : RunDirectory
        The run.

    Returns
    -------
    Beliefs
        As much as there is: a policy without a model, or one that raises, believes nothing.
    """
    pin_threads()
    front: tuple[ParetoPoint, ...] = ()
    try:
        policy = make_policy(experiment)
        predict = _predictor(policy, experiment.objective.name)
        if predict is None or not isinstance(policy, KnowsBest):
            return Beliefs()
        policy.ingest(read_outcomes(run))
        if isinstance(policy, KnowsFront) and len(experiment.problem.objectives) > 1:
            front = policy.front()
        best = policy.best()
        if not best:
            return Beliefs(front=front, missing=("The policy knows no best place.",))
        place = {name: float(best[name]) for name in experiment.knobs}
        slices = _slices(experiment, predict, place)
        return Beliefs(place, slices, _maps(experiment, predict, place, slices), front)
    except Exception as error:
        # The policy may be anybody's, and a report without its pictures is better than none.
        name = experiment.policy.class_name
        return Beliefs(front=front, missing=(f"What {name} believes is not drawn: {error}",))


def _predictor(policy: Policy, objective: str) -> Predict | None:
    """Return what predicts the objectives, if anything does."""
    if isinstance(policy, KnowsFront):
        return policy.posteriors
    if isinstance(policy, Predicts):
        return lambda places: {objective: policy.posterior(places)}
    return None


def _slices(
    experiment: Experiment, predict: Predict, best: Mapping[str, float]
) -> tuple[Slice, ...]:
    slices: list[Slice] = []
    for knob, limits in experiment.knobs.items():
        positions = np.linspace(limits.low, limits.high, _POINTS)
        found = predict([{**best, knob: float(position)} for position in positions])
        slices += [Slice(name, knob, positions, mean, sd) for name, (mean, sd) in found.items()]
    return tuple(slices)


def _maps(
    experiment: Experiment, predict: Predict, best: Mapping[str, float], slices: Sequence[Slice]
) -> tuple[Map, ...]:
    if len(experiment.knobs) < 2:
        return ()
    first, second = _important(slices, list(experiment.knobs))
    x, y = (
        np.linspace(experiment.knobs[name].low, experiment.knobs[name].high, _MAP_POINTS)
        for name in (first, second)
    )
    places: list[dict[str, Any]] = [
        {**best, first: float(along), second: float(up)} for up in y for along in x
    ]
    return tuple(
        Map(name, (first, second), x, y, mean.reshape(len(y), len(x)))
        for name, (mean, _) in predict(places).items()
    )


def _important(slices: Sequence[Slice], knobs: Sequence[str]) -> tuple[str, str]:
    """Return the two knobs along which some objective changes most, in the order of the file."""
    most: dict[str, float] = {}
    for one in slices:
        most[one.objective] = max(most.get(one.objective, 0.0), float(np.ptp(one.mean)))
    share = dict.fromkeys(knobs, 0.0)
    for one in slices:
        change = float(np.ptp(one.mean)) / max(most[one.objective], 1e-300)
        share[one.knob] = max(share[one.knob], change)
    ranked = sorted(knobs, key=lambda knob: -share[knob])[:2]
    first, second = sorted(ranked, key=list(knobs).index)
    return first, second
