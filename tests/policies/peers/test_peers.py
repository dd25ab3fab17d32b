"""Wrapped peers: what they are told, what they can do, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from autosteer.contracts import (
    Aim,
    Checkpointable,
    Explains,
    KeepOutBox,
    KnowsBest,
    LinearLimit,
    MissingExtraError,
    OutcomeLimit,
    Policy,
    PolicyError,
    Problem,
    Range,
    RegistersFailures,
)
from autosteer.policies.peers import (
    AxPolicy,
    BlopPolicy,
    OptunaPolicy,
    XoptPolicy,
    problem_of_vocs,
    vocs_of_problem,
)

torch.set_num_threads(1)

KNOBS = {"x": Range(-1.0, 1.0), "y": Range(0.0, 10.0)}
PLAIN = Problem(KNOBS, (Aim("signal"),), seed=5)
LIMITED = Problem(KNOBS, (Aim("signal"),), limits=(OutcomeLimit("dose", below=0.5),), seed=5)
SEVERAL = Problem(KNOBS, (Aim("signal"), Aim("width", maximize=False)), seed=5)

ALL: dict[str, Callable[[Problem], Any]] = {
    "ax": AxPolicy,
    "blop": BlopPolicy,
    "optuna": partial(OptunaPolicy, n_startup_trials=4),
    "xopt": partial(XoptPolicy, n_initial=4),
}

every = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


def grid(**more: Callable[[float, float], float]) -> list[dict[str, Any]]:
    """Measure a peak at (0.4, 3), and whatever else, on a grid."""
    return [
        {
            "_id": f"g{x:g},{y:g}",
            "x": float(x),
            "y": float(y),
            "signal": math.exp(-((x - 0.4) ** 2) / 0.2 - (y - 3) ** 2 / 10),
            "signal_sem": 0.01,
            **{name: value(x, y) for name, value in more.items()},
        }
        for x in np.linspace(-1, 1, 4)
        for y in np.linspace(0, 10, 3)
    ]


@every
def test_they_can_do_what_our_own_can(make: Callable[[Problem], Any]) -> None:
    policy = make(PLAIN)
    for protocol in (Policy, KnowsBest, RegistersFailures, Explains):
        assert isinstance(policy, protocol)
    assert isinstance(policy, Checkpointable) == (not isinstance(policy, BlopPolicy))


@every
def test_they_go_up_the_hill(make: Callable[[Problem], Any]) -> None:
    policy = make(PLAIN)
    policy.ingest(grid())
    for _ in range(4):
        [point] = policy.suggest(1)
        height = math.exp(-((point["x"] - 0.4) ** 2) / 0.2 - (point["y"] - 3) ** 2 / 10)
        policy.ingest([{**point, "signal": height, "signal_sem": 0.01}])
    best = policy.best()
    assert abs(best["x"] - 0.4) < 0.25
    assert abs(best["y"] - 3) < 2.0
    assert best["signal"] > 0.85


@every
@pytest.mark.parametrize(
    ("point", "text"),
    [
        ({"x": 0.1, "y": 1.0, "signal": 0.1}, "no '_id'"),
        ({"_id": "a", "x": 0.1, "signal": 0.1}, "lacks a finite value"),
    ],
)
def test_points_that_are_no_points_are_refused_and_harm_nothing(
    make: Callable[[Problem], Any], point: dict[str, Any], text: str
) -> None:
    policy = make(PLAIN)
    with pytest.raises(PolicyError, match=text):
        policy.ingest([{"_id": "good", "x": 0.5, "y": 5.0, "signal": 0.5}, point])
    assert policy.best() == {}
    with pytest.raises(PolicyError, match="num_points is 0"):
        policy.suggest(0)


@every
def test_limits_on_quantities_keep_the_best_place_from_where_they_are_broken(
    make: Callable[[Problem], Any],
) -> None:
    policy = make(LIMITED)
    policy.ingest(grid(dose=lambda x, y: 0.5 + x))
    assert policy.best()["x"] < 0.1
    [point] = policy.suggest(1)
    assert point["x"] < 0.4


@pytest.mark.parametrize("name", ["ax", "optuna", "blop"])
def test_several_objectives_have_a_best_place_for_the_first(name: str) -> None:
    policy = ALL[name](SEVERAL)
    policy.ingest(grid(width=lambda x, y: y))
    policy.suggest(1)
    assert policy.best()["signal"] > 0.5


@pytest.mark.slow
def test_the_generator_for_several_objectives_takes_them() -> None:
    policy = XoptPolicy(
        SEVERAL,
        "mobo",
        n_initial=4,
        reference_point={"signal": 0.0, "width": 10.0},
        numerical_optimizer={"name": "LBFGS", "n_restarts": 2, "max_iter": 5},
    )
    policy.ingest(grid(width=lambda x, y: y))
    [point] = policy.suggest(1)
    assert -1 <= point["x"] <= 1
    assert policy.best()["signal"] > 0.5


def test_xopt_goes_where_the_context_of_the_last_point_says() -> None:
    problem = Problem({"x": Range(-1.0, 1.0)}, (Aim("signal"),), context=("drift",), seed=2)
    policy = XoptPolicy(problem, n_initial=4)
    points = [
        {"_id": f"{x:g}/{drift:g}", "x": x, "drift": drift, "signal": -((x - drift) ** 2)}
        for drift in (-0.5, 0.5)
        for x in np.linspace(-1, 1, 6).tolist()
    ]
    policy.ingest(points)
    assert abs(policy.suggest(1)[0]["x"] - 0.5) < 0.3
    assert abs(policy.best()["x"] - 0.5) < 0.2
    policy.ingest([{"_id": "now", "x": 0.0, "drift": -0.5, "signal": -0.25}])
    assert abs(policy.best()["x"] + 0.5) < 0.2


def test_ax_keeps_limits_on_sums_of_knobs() -> None:
    problem = Problem(
        {"x": Range(0.0, 1.0), "z": Range(0.0, 1.0)},
        (Aim("signal"),),
        linear=(LinearLimit({"x": 1.0, "z": 2.0}, below=1.0),),
        seed=1,
    )
    policy = AxPolicy(problem)
    for _ in range(7):
        [point] = policy.suggest(1)
        assert point["x"] + 2 * point["z"] <= 1.0 + 1e-6
        policy.ingest([{**point, "signal": point["x"] + point["z"], "signal_sem": 0.01}])


def test_ax_learns_where_a_point_was_really_measured() -> None:
    policy = AxPolicy(PLAIN)
    [point] = policy.suggest(1)
    policy.ingest([{**point, "x": 0.8, "y": 9.0, "signal": 1.0, "signal_sem": 0.01}])
    policy.ingest([{"_id": "other", "x": -0.5, "y": 1.0, "signal": 0.0, "signal_sem": 0.01}])
    best = policy.best()
    assert (best["x"], best["y"]) == pytest.approx((0.8, 9.0))


@every
def test_a_readback_a_little_beyond_the_limit_is_at_the_limit(
    make: Callable[[Problem], Any],
) -> None:
    policy = make(PLAIN)
    policy.ingest([
        {"_id": "a", "x": 1.001, "y": 5.0, "signal": 0.9},
        {"_id": "far", "x": 3.0, "y": 5.0, "signal": 1.5},
        {"_id": "b", "x": 0.0, "y": 5.0, "signal": 0.1},
    ])
    assert policy.best()["x"] == 1.0
    policy.suggest(1)


@pytest.mark.parametrize(
    ("make", "problem", "text"),
    [
        (AxPolicy, Problem(KNOBS, (Aim("s"),), context=("t",)), "Ax knows no context"),
        (
            OptunaPolicy,
            Problem(KNOBS, (Aim("s"),), linear=(LinearLimit({"x": 1.0}, below=0.5),)),
            "Optuna knows no limits on sums of knobs",
        ),
        (
            XoptPolicy,
            Problem(KNOBS, (Aim("s"),), linear=(LinearLimit({"x": 1.0}, below=0.5),)),
            "Xopt knows no limits on sums",
        ),
        (
            BlopPolicy,
            Problem(KNOBS, (Aim("s"),), keep_out=(KeepOutBox({"x": (0, 1), "y": (0, 1)}),)),
            "blop knows no boxes to stay out of: leave them out",
        ),
        (AxPolicy, Problem.of({"x-y": (0.0, 1.0)}, "s"), "cannot read the name 'x-y'"),
        (partial(OptunaPolicy, sampler="cmaes"), PLAIN, "no sampler 'cmaes': use gp"),
        (partial(OptunaPolicy, sampler="random"), LIMITED, "'random' knows no limits"),
        (partial(OptunaPolicy, kernel="rbf"), PLAIN, "cannot be made.*kernel"),
        (partial(XoptPolicy, generator="gradient"), PLAIN, "no generator 'gradient': it has"),
        (partial(XoptPolicy, generator="neldermead"), PLAIN, "a course of its own"),
        (partial(XoptPolicy, turbo_controller="optimize"), PLAIN, "leave out turbo_controller"),
        (partial(XoptPolicy, n_initial=1), PLAIN, "n_initial is 1"),
        (XoptPolicy, SEVERAL, "does not take this problem.*multi-objective"),
        (partial(BlopPolicy, optimizer="tpe"), PLAIN, "no optimizer 'tpe'"),
        (partial(BlopPolicy, optimizer=3), PLAIN, "no blop optimizer: no suggest"),
        (partial(AxPolicy, method="magic"), PLAIN, "Ax does not take"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    make: Callable[[Problem], Any], problem: Problem, text: str
) -> None:
    with pytest.raises(PolicyError, match=text):
        make(problem)


@pytest.mark.parametrize("name", ["ax", "optuna", "xopt", "blop"])
def test_a_package_that_is_missing_is_named_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    there = importlib.import_module

    def without(module: str, package: str | None = None) -> Any:
        if module.partition(".")[0] in {"ax", "optuna", "gest_api", "blop"}:
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)
        return there(module, package)

    monkeypatch.setattr("autosteer.policies.peers._loading.import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'autosteer\[peers\]'"):
        ALL[name](PLAIN)


def test_a_ready_made_generator_is_taken_if_it_is_for_this_problem() -> None:
    from xopt.generators.bayesian import UpperConfidenceBoundGenerator

    policy = XoptPolicy(
        PLAIN, UpperConfidenceBoundGenerator(vocs=vocs_of_problem(PLAIN)), n_initial=4
    )
    policy.ingest(grid())
    assert policy.suggest(1)
    with pytest.raises(PolicyError, match="not those of the problem"):
        XoptPolicy(LIMITED, UpperConfidenceBoundGenerator(vocs=vocs_of_problem(PLAIN)))


def test_any_optimizer_of_blop_is_taken() -> None:
    from blop.xopt.optimizer import XoptOptimizer
    from xopt.generators.bayesian import ExpectedImprovementGenerator

    generator = ExpectedImprovementGenerator(vocs=vocs_of_problem(PLAIN))
    policy = BlopPolicy(PLAIN, XoptOptimizer(generator))
    policy.ingest(grid())
    [point] = policy.suggest(1)
    policy.ingest([{**point, "signal": 2.0}])
    assert policy.best()["signal"] == 2.0
    policy.ingest([{**point, "signal": 0.0}])
    assert policy.best()["signal"] < 2.0
    assert policy.should_stop() == (False, "")


def test_an_ask_leaves_the_global_random_numbers_alone() -> None:
    policy = ALL["xopt"](PLAIN)
    policy.ingest(grid())
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1), np.random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    policy.suggest(1)
    assert (torch.rand(1), np.random.random()) == expected


def test_problems_go_to_vocs_and_back() -> None:
    problem = Problem(
        {"x": Range(-1.0, 1.0), "well": Range(0.0, 3.0, step=0.5)},
        (Aim("signal"), Aim("width", maximize=False)),
        limits=(
            OutcomeLimit("dose", below=0.5),
            OutcomeLimit("rate", above=10.0),
            OutcomeLimit("energy", above=9.0, below=9.5),
        ),
        context=("temperature",),
        seed=4,
    )
    assert problem_of_vocs(vocs_of_problem(problem), seed=4) == problem


@pytest.mark.parametrize(
    ("variables", "objectives", "text"),
    [
        ({"x": {0.0, 1.0, 3.0}}, {"s": "MAXIMIZE"}, "evenly spaced"),
        ({"x": [0.0, 1.0]}, {"s": "EXPLORE"}, "is to be explored"),
    ],
)
def test_vocs_that_are_no_problem_are_refused(
    variables: dict[str, Any], objectives: dict[str, str], text: str
) -> None:
    from gest_api.vocs import VOCS

    with pytest.raises(PolicyError, match=text):
        problem_of_vocs(VOCS(variables=variables, objectives=objectives))
