"""What the conformance suite tries on a policy, check by check."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autosteer.contracts import (
    Checkpointable,
    Explains,
    KnowsBest,
    Policy,
    Problem,
    Range,
    RegistersFailures,
    Stops,
)

MakePolicy = Callable[[Problem], Policy]

# Two suggestions, or two runs, are the same place within this share of each knob's range.
_SAME = 1e-6
# Two suggestions in flight must be further apart than this share of some knob's range.
_APART = 1e-3


@dataclass(frozen=True, slots=True)
class Trying:
    """What a check works with.

    Parameters
    ----------
    make : callable
        Makes a policy for a problem.
    rounds : int
        Points measured before a policy counts as having learned something.
    """

    make: MakePolicy
    rounds: int


def plain_problem(*, maximize: bool = True, seed: int = 3) -> Problem:
    """Return the problem of most checks: two knobs of different scales, one objective.

    Parameters
    ----------
    maximize : bool, default True
        Whether more is better.
    seed : int, default 3
        Seed of the policy.

    Returns
    -------
    Problem
        The problem.
    """
    knobs = {"x": (-1.0, 1.0), "y": (0.0, 10.0)}
    return Problem.of(knobs, "signal", maximize=maximize, seed=seed)


def stepped_problem() -> Problem:
    """Return a problem whose second knob has places only, of which none lies at its upper limit.

    Returns
    -------
    Problem
        The problem.
    """
    knobs = {"x": Range(-1.0, 1.0), "y": Range(0.0, 10.0, step=0.75)}
    return Problem.of(knobs, "signal", seed=3)


def measure(point: Mapping[str, Any], sign: float = 1.0) -> dict[str, Any]:
    """Measure a smooth peak without noise, as the loop would tell it.

    Parameters
    ----------
    point : mapping
        A suggestion for `plain_problem` or `stepped_problem`.
    sign : float, default 1.0
        -1 turns the peak over.

    Returns
    -------
    dict
        The point with ``signal``, its error and its shots.
    """
    height = math.exp(-(((point["x"] - 0.4) / 0.5) ** 2) - ((point["y"] - 3.0) / 3.0) ** 2)
    return {**point, "signal": sign * height, "signal_sem": 0.01, "signal_n": 100}


def _learned(policy: Policy, rounds: int) -> None:
    """Measure some points that the policy suggests."""
    for _ in range(rounds):
        policy.ingest([measure(point) for point in policy.suggest(1)])


def _distance(problem: Problem, point: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the largest difference in any knob, as a share of its range."""
    return max(
        abs(float(point[name]) - float(other[name])) / (knob.high - knob.low)
        for name, knob in problem.knobs.items()
    )


def _faults(problem: Problem, point: Mapping[str, Any]) -> Iterator[str]:
    if "_id" not in point:
        yield f"the suggestion {dict(point)} has no '_id'"
    extra = [key for key in point if key not in problem.knobs and not key.startswith("_")]
    if extra:
        yield f"the suggestion {dict(point)} has the key '{extra[0]}', which is no knob"
    for name, knob in problem.knobs.items():
        value = point.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value):
            yield f"knob '{name}' of the suggestion {dict(point)} is {value!r}, not a finite number"
        elif not knob.low <= value <= knob.high:
            yield f"knob '{name}' is {value}, outside of [{knob.low}, {knob.high}]"
        elif knob.step is not None:
            steps = (value - knob.low) / knob.step
            if abs(steps - round(steps)) > _SAME:
                yield f"knob '{name}' is {value}, which is no place of step {knob.step}"


def _check_methods(trying: Trying) -> Iterator[str]:
    if not isinstance(trying.make(plain_problem()), Policy):
        yield "it lacks suggest(num_points) or ingest(points)"


def _check_suggestions(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policy = trying.make(problem)
    names: list[Any] = []
    for number in range(trying.rounds):
        points = policy.suggest(1 + number % 2)
        if not points or len(points) > 1 + number % 2:
            yield f"asked for {1 + number % 2} points it suggested {len(points)}"
        for point in points:
            yield from _faults(problem, point)
        names += [point.get("_id") for point in points]
        policy.ingest([measure(point) for point in points])
    if len(set(names)) < len(names):
        yield f"it used an '_id' twice: {names}"


def _check_steps(trying: Trying) -> Iterator[str]:
    problem = stepped_problem()
    policy = trying.make(problem)
    for _ in range(trying.rounds + 1):
        points = policy.suggest(1)
        for point in points:
            yield from _faults(problem, point)
        policy.ingest([measure(point) for point in points])


def _check_given_points(trying: Trying) -> Iterator[str]:
    policy = trying.make(plain_problem())
    policy.ingest([measure({"_id": "by hand", "x": 0.4, "y": 3.0})])
    if isinstance(policy, KnowsBest) and not policy.best():
        yield "it knows no best place after a point that it never suggested"
    _learned(policy, trying.rounds)


def _line(policy: Policy, sign: float) -> None:
    """Tell the policy of a signal that rises, or falls, with x."""
    policy.ingest([
        {"_id": f"p{number}", "x": x, "y": 5.0, "signal": sign * x, "signal_sem": 0.01}
        for number, x in enumerate(np.linspace(-1, 1, 9).tolist())
    ])


def _check_best(trying: Trying) -> Iterator[str]:
    for maximize, where in ((True, 1.0), (False, -1.0)):
        policy = trying.make(plain_problem(maximize=maximize))
        if not isinstance(policy, KnowsBest):
            return
        if policy.best() != {}:
            yield f"before any measurement its best place is {policy.best()}, not {{}}"
        _line(policy, 1.0)
        best = policy.best()
        missing = {"x", "y", "signal"} - set(best)
        if missing:
            yield f"its best place {best} lacks {sorted(missing)}"
        elif abs(best["x"] - where) > 0.15:
            yield (
                f"the signal rises with x and is to be {'max' if maximize else 'min'}imized, but "
                f"its best place is x = {best['x']:.3g}"
            )


def _check_replacement(trying: Trying) -> Iterator[str]:
    policy = trying.make(plain_problem())
    if not isinstance(policy, KnowsBest):
        return
    _line(policy, 1.0)
    # So that the first outcomes are at work, and not only noted.
    policy.suggest(1)
    _line(policy, -1.0)
    if abs(policy.best()["x"] + 1) > 0.15:
        yield (
            "the outcomes of all points were replaced by their negatives, but its best place "
            f"is still x = {policy.best()['x']:.3g}"
        )


def _check_missing_values(trying: Trying) -> Iterator[str]:
    policy = trying.make(plain_problem())
    for values in ({"signal": math.nan, "signal_sem": math.nan}, {}):
        [point] = policy.suggest(1)
        policy.ingest([{**point, **values}])
    _learned(policy, trying.rounds)
    [point] = policy.suggest(1)
    policy.ingest([{**point, "signal": math.nan, "signal_sem": math.nan}])
    _learned(policy, 1)
    if isinstance(policy, KnowsBest):
        value = policy.best().get("signal")
        if value is None or not math.isfinite(value):
            yield f"after points without a value its best place has the signal {value}"


def _check_failures(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policy = trying.make(problem)
    if not isinstance(policy, RegistersFailures):
        return
    policy.register_failures(policy.suggest(1))
    _learned(policy, trying.rounds)
    [failed] = policy.suggest(1)
    policy.register_failures([failed])
    [point] = policy.suggest(1)
    if _distance(problem, failed, point) < _SAME:
        yield f"it suggests {dict(point)} again, which has just failed"
    policy.register_failures([{"_id": "nobody knows", "x": 0.0, "y": 1.0}])
    _learned(policy, 1)


def _check_seed(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policies = [trying.make(problem) for _ in range(2)]
    for number in range(trying.rounds + 1):
        asked = [policy.suggest(1) for policy in policies]
        for point, other in zip(*asked, strict=True):
            if _distance(problem, point, other) > _SAME:
                yield f"two runs of the same seed part at point {number + 1}: {point} and {other}"
                return
        for policy, points in zip(policies, asked, strict=True):
            policy.ingest([measure(point) for point in points])


def _check_checkpoint(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policy, restored = trying.make(problem), trying.make(problem)
    if not (isinstance(policy, Checkpointable) and isinstance(restored, Checkpointable)):
        return
    for rounds in (2, trying.rounds):
        _learned(policy, rounds)
        policy.suggest(1)
        if isinstance(policy, RegistersFailures):
            policy.register_failures(policy.suggest(1))
        restored = trying.make(problem)
        if not isinstance(restored, Checkpointable):
            return
        restored.restore(json.loads(json.dumps(policy.checkpoint())))
        for _ in range(2):
            asked = policy.suggest(1), restored.suggest(1)
            for point, other in zip(*asked, strict=True):
                if point["_id"] != other["_id"] or _distance(problem, point, other) > _SAME:
                    yield f"after a restart it suggests {other}, without it {point}"
                    return
            policy.ingest([measure(point) for point in asked[0]])
            restored.ingest([measure(point) for point in asked[0]])


def _check_pending(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policy = trying.make(problem)
    _learned(policy, trying.rounds)
    [first] = policy.suggest(1)
    for point in policy.suggest(1):
        if _distance(problem, point, first) < _APART:
            yield f"{point} is the place of {first}, which is not measured yet"


def _check_metadata(trying: Trying) -> Iterator[str]:
    problem = plain_problem()
    policy, told_more = trying.make(problem), trying.make(problem)
    for _ in range(trying.rounds + 1):
        asked = policy.suggest(1), told_more.suggest(1)
        for point, other in zip(*asked, strict=True):
            if _distance(problem, point, other) > _SAME:
                yield f"what begins with '_', or is no quantity of the problem, moved it to {other}"
                return
        policy.ingest([measure(point) for point in asked[0]])
        more = {"_run": "r1", "_final": True, "_pulses": [1, 2], "other": 5.0, "other_sem": 0.1}
        told_more.ingest([{**measure(point), **more} for point in asked[1]])


def _check_words(trying: Trying) -> Iterator[str]:
    policy = trying.make(plain_problem())
    _learned(policy, 2)
    points = policy.suggest(1)
    if isinstance(policy, Stops):
        answer: Any = policy.should_stop()
        if (
            not isinstance(answer, tuple)
            or len(answer) != 2
            or not isinstance(answer[0], bool)
            or not isinstance(answer[1], str | None)
        ):
            yield f"should_stop() gave {answer!r}, not (bool, str)"
    if isinstance(policy, Explains):
        for name in [*(point["_id"] for point in points), "unknown"]:
            reason: Any = policy.explain(name)
            if not isinstance(reason, str):
                yield f"explain('{name}') gave {reason!r}, not a string"


Check = Callable[[Trying], Iterator[str]]

CHECKS: dict[str, Check] = {
    "methods": _check_methods,
    "suggestions": _check_suggestions,
    "places of stepped knobs": _check_steps,
    "points never suggested": _check_given_points,
    "best place": _check_best,
    "replaced outcomes": _check_replacement,
    "missing values": _check_missing_values,
    "failures": _check_failures,
    "same seed": _check_seed,
    "restart": _check_checkpoint,
    "points in flight": _check_pending,
    "metadata": _check_metadata,
    "should_stop and explain": _check_words,
}
"""Each check by its name."""
