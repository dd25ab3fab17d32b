"""The policy for several objectives: its front, what it promises, and that it is worth having."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from autosteer.bench.metrics import hypervolume
from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import (
    Aim,
    Goal,
    KeepOutBox,
    KnowsFront,
    LinearLimit,
    OutcomeLimit,
    Policy,
    PolicyError,
    Problem,
    Range,
)
from autosteer.policies import ParetoPolicy, RandomPolicy
from autosteer.sims.virtual import VirtualBeamline
from autosteer.steering.events import Action, Announce, Stamped
from autosteer.steering.virtual import VirtualRun
from tests.sims.scenario_runs import scenario

torch.set_num_threads(1)

AIMS = (Aim("gain"), Aim("cost", maximize=False))
KNOBS = {"x": Range(-1.0, 1.0), "y": Range(0.0, 10.0), "z": Range(0.0, 1.0)}
# The gain is best at one place, the cost at another: the front lies on the way between them.
_TOP, _CHEAP = np.array([0.75, 0.3, 0.5]), np.array([0.25, 0.6, 0.4])


def problem(seed: int = 0, **changes: Any) -> Problem:
    return replace(Problem(KNOBS, AIMS, seed=seed), **changes)


def truths(point: Mapping[str, float]) -> tuple[float, float]:
    unit = np.array([(point["x"] + 1) / 2, point["y"] / 10, point["z"]])
    gain = 5 * math.exp(-float(np.sum((unit - _TOP) ** 2)) / 0.18)
    return gain, 20 * float(np.sum((unit - _CHEAP) ** 2))


def measured(
    point: Mapping[str, Any], rng: np.random.Generator, sem: float = 0.05
) -> dict[str, Any]:
    gain, cost = truths(point)
    return {
        **point,
        **{"gain": gain + sem * rng.standard_normal(), "gain_sem": sem},
        **{"cost": cost + sem * rng.standard_normal(), "cost_sem": sem},
    }


def visited(policy: Policy, count: int, sem: float = 0.05) -> list[dict[str, Any]]:
    rng, points = np.random.default_rng(7), []
    for _ in range(count):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng, sem)])
        points.append(point)
    return points


def share_of_front(points: list[dict[str, Any]]) -> float:
    """Return how much of the true front the true values of places dominate."""
    along = np.linspace(0, 1, 400)[:, None]
    # Between two ends neither objective gains by leaving the straight line.
    line = _CHEAP + along * (_TOP - _CHEAP)
    ends = [truths({"x": 2 * a - 1, "y": 10 * b, "z": c}) for a, b, c in line.tolist()]
    signs = np.array([1.0, -1.0])
    front = signs * np.array(ends)
    reference = front.min(axis=0)
    found = signs * np.array([truths(point) for point in points])
    return hypervolume(found, reference) / hypervolume(front, reference)


@pytest.mark.parametrize(
    ("sem", "least"),
    [(0.05, 0.85), pytest.param(0.2, 0.7, marks=pytest.mark.slow)],
)
def test_it_finds_more_of_the_front_than_random_places_do(sem: float, least: float) -> None:
    ours, random = (
        [share_of_front(visited(make(problem(seed)), 24, sem)) for seed in range(2)]
        for make in (ParetoPolicy, RandomPolicy)
    )
    assert min(ours) > least
    assert max(random) < 0.6


def test_the_front_is_one_of_means_and_not_of_lucky_readings() -> None:
    policy = ParetoPolicy(problem())
    rng = np.random.default_rng(2)
    places = [
        {"_id": f"p{number}", "x": x, "y": y, "z": z}
        for number, (x, y, z) in enumerate(
            zip(rng.uniform(-1, 1, 40), rng.uniform(0, 10, 40), rng.random(40), strict=True)
        )
    ]
    policy.ingest([measured(place, rng) for place in places])
    lucky = {"_id": "lucky", "x": -0.9, "y": 9.0, "z": 0.9}
    policy.ingest([{**lucky, "gain": 9.0, "gain_sem": 3.0, "cost": -5.0, "cost_sem": 3.0}])
    front = policy.front()
    assert all(point.knobs["x"] != -0.9 for point in front)
    for point in front:
        gain, cost = truths(point.knobs)
        assert point.mean["gain"] == pytest.approx(gain, abs=0.4)
        assert point.mean["cost"] == pytest.approx(cost, abs=0.4)
        assert 0 < point.sd["gain"] < 0.4


def test_no_place_of_the_front_beats_another_and_the_best_is_one_of_them() -> None:
    policy = ParetoPolicy(problem(3))
    visited(policy, 14)
    front = policy.front()
    assert isinstance(policy, KnowsFront)
    assert len(front) >= 4
    gains = [point.mean["gain"] for point in front]
    costs = [point.mean["cost"] for point in front]
    assert gains == sorted(gains)
    assert costs == sorted(costs)
    best = policy.best()
    assert {name: best[name] for name in KNOBS} in [point.knobs for point in front]
    # The knee is at neither end.
    assert gains[0] < best["gain"] < gains[-1]
    assert best["cost_sd"] > 0


def test_limits_are_kept_and_so_they_are_along_the_front() -> None:
    limit = OutcomeLimit("dose", below=6.0, probability=0.95)
    policy = ParetoPolicy(problem(1, limits=(limit,)))
    rng = np.random.default_rng(3)

    def dose(point: Mapping[str, float]) -> float:
        return 10 * point["y"] / 10

    def told(point: Mapping[str, Any]) -> dict[str, Any]:
        value = dose(point) + 0.1 * rng.standard_normal()
        return {**measured(point, rng), "dose": value, "dose_sem": 0.1}

    policy.ingest([told({"_id": "start", "x": -0.5, "y": 2.0, "z": 0.5})])
    points = []
    for _ in range(20):
        [point] = policy.suggest(1)
        policy.ingest([told(point)])
        points.append(point)
    assert sum(dose(point) > 6 for point in points) <= 1
    assert max(dose(point) for point in points) > 3
    front = policy.front()
    assert front
    assert all(dose(point.knobs) <= 6 for point in front)


def test_before_the_limits_are_known_the_knobs_stay() -> None:
    policy = ParetoPolicy(problem(limits=(OutcomeLimit("dose", below=6.0),)))
    [first] = policy.suggest(1)
    [second] = policy.suggest(1)
    assert {name: first[name] for name in KNOBS} == {name: second[name] for name in KNOBS}
    assert "limits" in policy.explain(first["_id"])


def test_the_same_seed_gives_the_same_run_to_the_bit_and_after_a_restart() -> None:
    policy = ParetoPolicy(problem(5))
    points = visited(policy, 12)
    assert points == visited(ParetoPolicy(problem(5)), 12)
    assert points != visited(ParetoPolicy(problem(6)), 12)
    again = ParetoPolicy(problem(5))
    again.restore(json.loads(json.dumps(policy.checkpoint())))
    assert again.suggest(2) == policy.suggest(2)
    assert again.front() == policy.front()


def test_it_goes_where_the_knobs_may_be() -> None:
    knobs = {"x": Range(-1.0, 1.0, max_step=0.5), "y": Range(0.0, 10.0, step=2.5), "z": KNOBS["z"]}
    box = KeepOutBox({"x": (-0.2, 0.2), "z": (0.0, 0.5)})
    total = LinearLimit({"x": 1.0, "z": 1.0}, below=1.2)
    policy = ParetoPolicy(Problem(knobs, AIMS, keep_out=(box,), linear=(total,), seed=2))
    points = visited(policy, 14)
    for before, point in zip([None, *points], points, strict=False):
        assert point["y"] in {0.0, 2.5, 5.0, 7.5, 10.0}
        assert not (-0.2 <= point["x"] <= 0.2 and point["z"] <= 0.5)
        assert point["x"] + point["z"] <= 1.2
        assert before is None or abs(point["x"] - before["x"]) <= 0.5


def test_pending_places_count_as_measured() -> None:
    policy = ParetoPolicy(problem(4))
    visited(policy, 10)
    points = policy.suggest(4)
    for number, point in enumerate(points):
        for other in points[:number]:
            apart = max(
                abs(point[name] - other[name]) / (knob.high - knob.low)
                for name, knob in KNOBS.items()
            )
            assert apart > 0.01


def test_where_shots_are_counted_it_stays_as_long_as_it_travels() -> None:
    knobs = {name: replace(knob, speed=(knob.high - knob.low) / 2) for name, knob in KNOBS.items()}
    policy = ParetoPolicy(Problem(knobs, AIMS, rate_hz=100.0, rest_s=0.1, seed=1))
    points = visited(policy, 10)
    for before, point in pairwise(points):
        way = max(abs(point[name] - before[name]) / knob.speed for name, knob in knobs.items())
        assert point["_shots"] == pytest.approx(100 * (way + 0.1), abs=1)


def test_it_says_why() -> None:
    policy = ParetoPolicy(problem(4))
    visited(policy, 10)
    [point] = policy.suggest(1)
    why = policy.explain(point["_id"])
    for words in ("expects gain", "cost", "+-", "the front would gain", "runner-up x = "):
        assert words in why
    assert policy.explain("unknown") == ""


def test_it_stops_where_a_measurement_adds_too_little() -> None:
    policy = ParetoPolicy(problem(4, goal=Goal(min_gain=0.01)))
    visited(policy, 8)
    assert policy.should_stop() == (False, "")
    for _ in range(40):
        visited(policy, 1)
        if policy.should_stop()[0]:
            break
    stop, reason = policy.should_stop()
    assert stop
    assert "less than 0.01" in reason


def test_three_objectives_have_a_front_too() -> None:
    aims = (*AIMS, Aim("third"))
    policy = ParetoPolicy(Problem(KNOBS, aims, seed=1))
    rng = np.random.default_rng(1)
    for _ in range(12):
        [point] = policy.suggest(1)
        policy.ingest([{**measured(point, rng), "third": point["z"], "third_sem": 0.01}])
    front = policy.front()
    assert len(front) >= 4
    for one in front:
        for other in front:
            better = [aim.sign * (other.mean[aim.name] - one.mean[aim.name]) > 0 for aim in aims]
            assert not all(better)


@pytest.mark.slow
def test_a_reference_says_what_counts() -> None:
    policy = ParetoPolicy(problem(2), reference={"gain": 3.0, "cost": 12.0})
    points = visited(policy, 20)[10:]
    free = visited(ParetoPolicy(problem(2)), 20)[10:]
    good, usual = (sum(truths(point)[0] > 2.5 for point in some) for some in (points, free))
    assert good > usual


@pytest.mark.parametrize(
    ("changes", "options", "text"),
    [
        ({}, {"reference": {"speed": 1.0}}, "no objective: speed"),
        ({}, {"n_initial": 0}, "n_initial is 0"),
        ({"goal": Goal(target=3.0)}, {}, "no target"),
    ],
)
def test_what_it_cannot_do_is_refused(
    changes: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(PolicyError, match=text):
        ParetoPolicy(problem(**changes), **options)


def test_before_anything_is_measured_there_is_no_front() -> None:
    policy = ParetoPolicy(problem())
    assert policy.front() == ()
    assert policy.best() == {}
    with pytest.raises(PolicyError, match="two measured points"):
        policy.posterior([{"x": 0.0, "y": 1.0, "z": 0.5}])
    policy.ingest([{"_id": "half", "x": 0.0, "y": 1.0, "z": 0.5, "gain": 1.0}])
    assert policy.front() == ()


def test_a_run_records_the_front_and_announces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = scenario("aperture_pareto", "stop.duration_s=8")
    beamline = VirtualBeamline(experiment, world_of_experiment(experiment, 1))
    run = VirtualRun(experiment, beamline, ParetoPolicy(experiment.problem))
    said: list[str] = []
    handle = run.controller.handle

    def handled(stamped: Stamped, batch: pa.RecordBatch | None = None) -> tuple[Action, ...]:
        actions = handle(stamped, batch)
        said.extend(action.text for action in actions if isinstance(action, Announce))
        return actions

    monkeypatch.setattr(run.controller, "handle", handled)
    assert run.run().ok
    best = run.controller.policy.best
    assert best is not None
    assert len(best.front) > 2
    assert best.knobs in [point.knobs for point in best.front]
    assert f"the Pareto front has {len(best.front)} places" in said
