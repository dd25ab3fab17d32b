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
    Checkpointable,
    Explains,
    KnowsBest,
    Policy,
    PolicyError,
    Predicts,
    Problem,
    RegistersFailures,
    Stops,
)
from autosteer.policies import BayesianPolicy, GridPolicy, RandomPolicy
from autosteer.policies._links import ArcsineLink, IdentityLink, make_link

torch.set_num_threads(1)

KNOBS = {"x": (-1.0, 1.0), "y": (0.0, 10.0)}


class FullPolicy(Policy, KnowsBest, Checkpointable, RegistersFailures, Protocol):
    """What all policies of the package can do."""


def make(name: str, seed: int = 0, maximize: bool = True) -> FullPolicy:
    classes: dict[str, Any] = {
        "bayes": BayesianPolicy,
        "grid": GridPolicy,
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


every = pytest.mark.parametrize("name", ["bayes", "grid", "random"])


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
    assert name == "grid" or run(3) != run(4)


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
    assert sorted(regret(seed, 20, link="arcsine") for seed in range(5))[3] < 0.1


def test_the_bayesian_policy_says_why_and_predicts() -> None:
    policy, rng = BayesianPolicy(Problem.of(KNOBS, "hits", seed=1)), np.random.default_rng(1)
    assert isinstance(policy, Explains)
    assert isinstance(policy, Predicts)
    assert not isinstance(policy, Stops)
    with pytest.raises(PolicyError, match="two measured points"):
        policy.posterior([{"x": 0, "y": 0}])
    [point] = policy.suggest(1)
    assert "opening point" in policy.explain(point["_id"])
    for _ in range(8):
        [point] = policy.suggest(1)
        policy.ingest([measured(point, rng)])
    assert "log improvement" in policy.explain(point["_id"])
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
    [({"n_initial": 0}, "n_initial is 0"), ({"link": "logit"}, "no link 'logit'")],
)
def test_impossible_options_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        BayesianPolicy(Problem.of(KNOBS, "hits"), **options)


def test_the_arcsine_link_makes_the_variance_of_fractions_equal() -> None:
    rng = np.random.default_rng(0)
    n = 80
    for p in (0.02, 0.1, 0.4, 0.9):
        fraction = rng.binomial(n, p, 20_000) / n
        value, variance = ArcsineLink().forward(
            fraction, np.full(20_000, np.nan), np.full(20_000, float(n))
        )
        assert variance is not None
        if p >= 0.1:
            assert np.var(value) == pytest.approx(variance.mean(), rel=0.08)


@given(st.floats(0.05, 1.5), st.floats(0.001, 0.3))
@settings(max_examples=30)
def test_the_arcsine_link_comes_back_with_mean_and_spread(mu: float, sd: float) -> None:
    y = mu + sd * np.random.default_rng(0).standard_normal(200_000)
    mean, spread = ArcsineLink().inverse(np.array([mu]), np.array([sd]))
    assert mean[0] == pytest.approx(float(np.mean(np.sin(y) ** 2)), abs=0.003)
    assert spread[0] == pytest.approx(float(np.std(np.sin(y) ** 2)), abs=0.003)


def test_links_fill_in_what_is_not_known() -> None:
    nan = math.nan
    mean = np.array([0.1, 0.2, 0.3])
    _, variance = IdentityLink().forward(mean, np.array([0.1, nan, 0.3]), np.full(3, nan))
    assert variance is not None
    assert variance.tolist() == pytest.approx([0.01, 0.04, 0.09])
    assert IdentityLink().forward(mean, np.full(3, nan), np.full(3, nan))[1] is None
    assert make_link("arcsine").forward(mean, np.full(3, nan), np.full(3, nan))[1] is None
    with pytest.raises(PolicyError, match="for fractions"):
        ArcsineLink().forward(np.array([1.4]), np.array([0.1]), np.array([10.0]))
