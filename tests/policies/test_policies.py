"""What our policies promise beyond the seam; the Bayesian one finds what there is to find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autosteer.contracts import (
    Aim,
    Checkpointable,
    Explains,
    Goal,
    KnowsBest,
    OutcomeLimit,
    Policy,
    PolicyError,
    Predicts,
    Problem,
    Range,
    RegistersFailures,
    Stops,
)
from autosteer.policies import (
    BayesianPolicy,
    ExtremumSeeking,
    GridPolicy,
    LineScanPolicy,
    RandomPolicy,
)

torch.set_num_threads(1)

KNOBS = {"x": (-1.0, 1.0), "y": (0.0, 10.0)}


class FullPolicy(Policy, KnowsBest, Checkpointable, RegistersFailures, Protocol):
    """What all policies of the package can do."""


def make(name: str, seed: int = 0, maximize: bool = True) -> FullPolicy:
    classes: dict[str, Any] = {
        "bayes": BayesianPolicy,
        "extremum": ExtremumSeeking,
        "grid": GridPolicy,
        "lines": LineScanPolicy,
        "random": RandomPolicy,
    }
    made: FullPolicy = classes[name](Problem.of(KNOBS, "hits", maximize=maximize, seed=seed))
    return made


def peak(point: Mapping[str, float]) -> float:
    return 0.4 * math.exp(
        -0.5 * ((point["x"] - 0.4) / 0.3) ** 2 - 0.5 * ((point["y"] - 3) / 2.0) ** 2
    )


def measured(point: Mapping[str, Any], rng: np.random.Generator, n: int = 80) -> dict[str, Any]:
    """Measure the peak with binomial noise."""
    k = int(rng.binomial(n, peak(point)))
    sem = math.sqrt((k + 0.5) * (n - k + 0.5) / (n + 2)) / (n + 1)
    return {**point, "hits": k / n, "hits_sem": sem, "hits_n": n}


every = pytest.mark.parametrize("name", ["bayes", "extremum", "grid", "lines", "random"])


@every
def test_the_same_seed_gives_the_same_run_to_the_bit(name: str) -> None:
    def run(seed: int) -> list[dict[str, Any]]:
        policy, rng = make(name, seed), np.random.default_rng(1)
        points = []
        for _ in range(10):
            [point] = policy.suggest(1)
            policy.ingest([measured(point, rng)])
            points.append({**point, **policy.best()})
        return points

    assert run(3) == run(3)
    assert name not in {"bayes", "random"} or run(3) != run(4)


@every
@pytest.mark.parametrize(
    ("point", "text"),
    [
        ({"x": 0.1, "y": 1.0, "hits": 0.1}, "no '_id'"),
        ({"_id": "a", "x": 0.1, "hits": 0.1}, "lacks a finite value"),
        ({"_id": "a", "x": math.nan, "y": 1.0, "hits": 0.1}, "lacks a finite value"),
    ],
)
def test_points_that_are_no_points_are_refused_and_harm_nothing(
    name: str, point: dict[str, Any], text: str
) -> None:
    policy = make(name)
    good = {"_id": "good", "x": 0.5, "y": 5.0, "hits": 0.5}
    with pytest.raises(PolicyError, match=text):
        policy.ingest([good, point])
    assert policy.best() == {}
    policy.ingest([good])
    assert policy.best()["x"] == 0.5


@pytest.mark.parametrize(
    "knobs", [{}, {"x": (1.0, 0.0)}, {"x": (0.0, math.inf)}, {"x": (0.0,)}], ids=str
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        RandomPolicy(Problem.of(knobs, "hits"))


@given(st.integers(1, 4), st.integers(2, 5))
@settings(max_examples=20)
def test_a_grid_visits_every_point_once_one_step_at_a_time(dimension: int, per_knob: int) -> None:
    knobs = {f"k{number}": (0.0, float(per_knob - 1)) for number in range(dimension)}
    policy = GridPolicy(Problem.of(knobs, "hits"), points_per_knob=per_knob)
    points = []
    while not policy.should_stop()[0]:
        for point in policy.suggest(3):
            points.append([round(point[name]) for name in knobs])
            policy.ingest([{**point, "hits": 0.0}])
    assert len(points) == len({tuple(point) for point in points}) == per_knob**dimension
    steps = np.abs(np.diff(points, axis=0)).sum(axis=1)
    assert np.all(steps == 1)
    assert "points of the grid are measured" in policy.should_stop()[1]


def regret(seed: int, asks: int, **options: Any) -> float:
    """Return how far the truth at the best place falls short of the peak, as a share of it."""
    policy = BayesianPolicy(Problem.of(KNOBS, "hits", seed=seed), **options)
    rng = np.random.default_rng(seed)
    policy.ingest([measured({"_id": "start", "x": -0.3, "y": 7.0}, rng)])
    for _ in range(asks):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng)])
    return 1 - peak(policy.best()) / 0.4


def test_the_peak_is_found_from_binomial_counts() -> None:
    assert sorted(regret(seed, 20) for seed in range(5))[3] < 0.1


def test_the_bayesian_policy_says_why_and_predicts() -> None:
    policy, rng = BayesianPolicy(Problem.of(KNOBS, "hits", seed=1)), np.random.default_rng(1)
    assert isinstance(policy, Explains)
    assert isinstance(policy, Predicts)
    assert isinstance(policy, Stops)
    with pytest.raises(PolicyError, match="two measured points"):
        policy.posterior([{"x": 0, "y": 0}])
    [point] = policy.suggest(1)
    assert "looking for a signal" in policy.explain(point["_id"])
    for _ in range(8):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng)])
    assert "a measurement is worth" in policy.explain(point["_id"])
    assert policy.explain("unknown") == ""
    mean, sd = policy.posterior([policy.best(), {"x": -1.0, "y": 10.0}])
    assert mean[0] == pytest.approx(policy.best()["hits"])
    assert mean[0] > mean[1]
    assert np.all(sd > 0)


def test_an_ask_does_not_touch_the_global_random_state() -> None:
    policy, rng = BayesianPolicy(Problem.of(KNOBS, "hits", seed=2)), np.random.default_rng(2)
    for _ in range(7):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng)])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    policy.suggest(1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "text"),
    [({"n_initial": 0}, "n_initial is 0"), ({"candidates": 0}, "candidates is 0")],
)
def test_impossible_options_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        BayesianPolicy(Problem.of(KNOBS, "hits"), **options)


def test_shares_of_shots_stay_below_one() -> None:
    problem = Problem.of({"x": (0.0, 1.0)}, "hits", fraction=True)
    policy = BayesianPolicy(problem)
    for number, x in enumerate(np.linspace(0, 1, 12).tolist()):
        n = 6
        hit = float(0.3 < x < 0.7)
        policy.ingest([{"_id": f"p{number}", "x": x, "hits": hit, "hits_sem": 0.1, "hits_n": n}])
    assert 0.3 < policy.best()["x"] < 0.7
    assert 0.5 < policy.best()["hits"] <= 1


LIMITED = Problem(
    {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)},
    (Aim("gain"),),
    limits=(OutcomeLimit("dose", below=1.0, probability=0.95),),
    seed=3,
)


def limited(point: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Measure a gain that rises with x, and a dose that rises faster."""
    gain = point["x"] - (point["y"] - 0.4) ** 2 + 0.02 * rng.standard_normal()
    dose = 1.6 * point["x"] ** 1.5 + 0.02 * rng.standard_normal()
    return {**point, "gain": gain, "gain_sem": 0.02, "dose": dose, "dose_sem": 0.02}


def test_limits_are_kept_on_the_way_and_reached_in_the_end() -> None:
    policy, rng = BayesianPolicy(LIMITED), np.random.default_rng(0)
    policy.ingest([limited({"_id": "start", "x": 0.05, "y": 0.8}, rng)])
    doses = []
    for _ in range(30):
        [point] = policy.suggest(1)
        doses.append(1.6 * point["x"] ** 1.5)
        policy.ingest([limited(point, rng)])
    assert np.mean(np.array(doses) > 1) <= 0.1
    # The dose is 1 at x = 0.731.
    assert 0.62 < policy.best()["x"] < 0.74
    assert abs(policy.best()["y"] - 0.4) < 0.15


def test_with_limits_nothing_is_tried_before_they_are_measured() -> None:
    policy = BayesianPolicy(LIMITED)
    first, second = policy.suggest(2)
    assert (first["x"], first["y"]) == (second["x"], second["y"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("goal", "text"), [(Goal(target=0.25), "target of 0.25"), (Goal(min_gain=0.02), "worth")]
)
def test_the_policy_stops_at_its_goal_and_says_why(goal: Goal, text: str) -> None:
    ranges = {name: Range(*limits) for name, limits in KNOBS.items()}
    problem = Problem(ranges, (Aim("hits", fraction=True),), goal=goal, seed=2)
    policy, rng = BayesianPolicy(problem), np.random.default_rng(2)
    assert policy.should_stop() == (False, "")
    for _ in range(40):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng, 400)])
        stop, reason = policy.should_stop()
        if stop:
            break
    assert stop
    assert text in reason
    assert peak(policy.best()) > 0.25


def test_several_objectives_are_for_another_policy() -> None:
    ranges = {name: Range(*limits) for name, limits in KNOBS.items()}
    with pytest.raises(PolicyError, match="take autosteer"):
        BayesianPolicy(Problem(ranges, (Aim("hits"), Aim("background", False))))


def test_shots_are_as_many_as_the_place_is_worth() -> None:
    ranges = {name: Range(*limits) for name, limits in KNOBS.items()}
    problem = Problem(ranges, (Aim("hits", fraction=True),), rate_hz=120.0, rest_s=0.05, seed=1)
    policy, rng = BayesianPolicy(problem), np.random.default_rng(1)
    shots = []
    for _ in range(25):
        [point] = policy.suggest(1)
        shots.append(point["_shots"])
        policy.ingest([measured(point, rng, point["_shots"])])
    assert min(shots) >= 4
    # The better the peak is known, the more shots it takes to learn more.
    assert np.mean(shots[-6:]) > np.mean(shots[6:12])


def test_no_stay_is_too_short_for_a_quantity_that_is_costly() -> None:
    ranges = {name: Range(*limits) for name, limits in KNOBS.items()}
    aim = Aim("hits", fraction=True, min_shots=200)
    problem = Problem(ranges, (aim,), rate_hz=120.0, rest_s=0.05, seed=1)
    policy, rng = BayesianPolicy(problem, horizon_s=20.0), np.random.default_rng(1)
    points = []
    for _ in range(25):
        points += policy.suggest(1)
        policy.ingest([measured(points[-1], rng, points[-1]["_shots"])])
    assert min(point["_shots"] for point in points) == 200
    # In the end it stays at the best, and goes on measuring there.
    assert len({(round(one["x"], 2), round(one["y"], 1)) for one in points[-5:]}) <= 2


def test_a_diagnostic_leads_to_what_shows_nothing_at_first() -> None:
    ranges = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}

    def asks_until_seen(diagnostics: tuple[Aim, ...], seed: int) -> int:
        problem = Problem(ranges, (Aim("hits", fraction=True),), diagnostics=diagnostics, seed=seed)
        policy, rng = BayesianPolicy(problem), np.random.default_rng(seed)
        center = rng.uniform(0.15, 0.85, 2)
        for number in range(60):
            [point] = policy.suggest(1)
            distance = math.hypot(point["x"] - center[0], point["y"] - center[1])
            share = 0.5 * math.exp(-0.5 * (distance / 0.03) ** 2)
            if share > 0.25:
                return number
            k = int(rng.binomial(40, share))
            light = 100 * math.exp(-0.5 * (distance / 0.2) ** 2) + rng.normal()
            policy.ingest([
                {
                    **point,
                    "hits": k / 40,
                    "hits_sem": math.sqrt((k + 0.5) * (40.5 - k) / 42) / 41,
                    "hits_n": 40,
                    "light": light,
                    "light_sem": 1.0,
                }
            ])
        return 60

    led = [asks_until_seen((Aim("light"),), seed) for seed in range(4)]
    blind = [asks_until_seen((), seed) for seed in range(4)]
    assert sum(led) < 0.6 * sum(blind)


def test_the_best_that_was_measured_keeps_the_limits() -> None:
    policy = BayesianPolicy(
        Problem({"x": Range(0.0, 1.0)}, (Aim("hits"),), limits=(OutcomeLimit("dose", below=1.0),))
    )
    policy.ingest([{"_id": "a", "x": 0.9, "hits": 5.0, "dose": 2.0}])
    assert policy.best() == {}
    # With one point of the objective that keeps it, there is no model yet.
    policy = BayesianPolicy(
        Problem({"x": Range(0.0, 1.0)}, (Aim("hits"),), limits=(OutcomeLimit("dose", below=1.0),))
    )
    policy.ingest([{"_id": "b", "x": 0.1, "hits": 3.0, "dose": 0.5}])
    assert policy.best()["x"] == pytest.approx(0.1)


def test_the_reason_names_the_runner_up_what_a_second_is_worth_and_active_limits() -> None:
    knobs = {name: Range(low, high, speed=high - low) for name, (low, high) in KNOBS.items()}
    limit = OutcomeLimit("dose", below=0.5, probability=0.95)
    policy = BayesianPolicy(Problem(knobs, (Aim("hits"),), limits=(limit,), rate_hz=100.0, seed=1))
    rng = np.random.default_rng(1)
    start = {"_id": "start", "x": -0.5, "y": 5.0}
    reasons = []

    def told(point: Mapping[str, Any]) -> dict[str, Any]:
        # More hits are further right, and so is the dose: the best that is allowed is at the limit.
        dose = (point["x"] + 1) / 2 + 0.01 * rng.standard_normal()
        hits = point["x"] + 0.01 * rng.standard_normal()
        return {**point, "hits": hits, "hits_sem": 0.01, "dose": dose, "dose_sem": 0.01}

    policy.ingest([told(start)])
    for _ in range(12):
        [point] = policy.suggest(1)
        reasons.append(policy.explain(point["_id"]))
        policy.ingest([told(point)])
    last = reasons[-1]
    assert "a second; runner-up x = " in last
    assert any("limit on dose kept with 9" in reason for reason in reasons)
