"""Our policies and the wrapped peers keep the seam, and the suite finds those that do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch

from autosteer.contracts import Policy, PolicyError, Problem
from autosteer.policies import (
    BayesianPolicy,
    ExtremumSeeking,
    FollowPolicy,
    GridPolicy,
    LineScanPolicy,
    ParetoPolicy,
    RandomPolicy,
    TrustRegionPolicy,
)
from autosteer.policies.conformance import CHECKS, assert_policy, check_policy
from autosteer.policies.peers import AxPolicy, BlopPolicy, OptunaPolicy, XoptPolicy

torch.set_num_threads(1)

PEERS: dict[str, Callable[[Problem], Policy]] = {
    "ax": AxPolicy,
    "blop": BlopPolicy,
    "optuna gp": partial(OptunaPolicy, n_startup_trials=5),
    "optuna tpe": partial(OptunaPolicy, sampler="tpe", n_startup_trials=5),
    "xopt": XoptPolicy,
}


@pytest.mark.parametrize(
    "make",
    [
        BayesianPolicy,
        ExtremumSeeking,
        FollowPolicy,
        GridPolicy,
        LineScanPolicy,
        ParetoPolicy,
        RandomPolicy,
        TrustRegionPolicy,
    ],
)
def test_our_policies_keep_the_seam(make: Callable[[Problem], Policy]) -> None:
    assert check_policy(make) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name.startswith("optuna") else [pytest.mark.slow])
        for name in PEERS
    ],
)
def test_wrapped_peers_keep_the_seam(name: str) -> None:
    assert check_policy(PEERS[name]) == []


@pytest.mark.slow
def test_another_generator_of_xopt_keeps_the_seam() -> None:
    assert check_policy(partial(XoptPolicy, generator="upper_confidence_bound")) == []


class BetweenPlaces(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        names = self._ledger.names
        return [
            {**point, **{name: point[name] + 0.01 for name in names}}
            for point in super().suggest(num_points)
        ]


class Outside(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{**point, "x": 1.1} for point in super().suggest(num_points)]


class Nan(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{**point, "x": math.nan} for point in super().suggest(num_points)]


class Chatty(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{**point, "acquisition": 1.0} for point in super().suggest(num_points)]


class OneName(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{**point, "_id": "s"} for point in super().suggest(num_points)]


class Nameless(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        points = super().suggest(num_points)
        return [{name: value for name, value in one.items() if name != "_id"} for one in points]


class Upwards(RandomPolicy):
    def __init__(self, problem: Problem) -> None:
        super().__init__(Problem.of(problem.knobs, "signal", seed=problem.seed))


class FirstCounts(RandomPolicy):
    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        known = self._ledger.measured
        super().ingest([point for point in points if point["_id"] not in known])


class AlwaysBest(RandomPolicy):
    def best(self) -> dict[str, Any]:
        return super().best() or {"x": 0.0, "y": 0.0, "signal": 0.0}


class Suggested(RandomPolicy):
    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        if any(point["_id"] not in self._ledger.pending for point in points):
            raise KeyError("never heard of it")
        super().ingest(points)


class Touchy(RandomPolicy):
    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        for point in points:
            if not math.isfinite(point["signal"]):
                raise ValueError("no number")
        super().ingest(points)


class Stubborn(RandomPolicy):
    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        points = super().suggest(num_points)
        return [{**point, "x": 0.5, "y": 5.0} for point in points]


class Unseeded(RandomPolicy):
    made = 0

    def __init__(self, problem: Problem) -> None:
        type(self).made += 1
        super().__init__(problem.with_seed(type(self).made))


class Forgetful(RandomPolicy):
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore({**state, "given": 0})


class Pickled(RandomPolicy):
    def checkpoint(self) -> dict[str, Any]:
        return {**super().checkpoint(), "model": object()}


class Swayed(RandomPolicy):
    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        super().ingest(points)
        self._given += sum("_run" in point for point in points)


class StopsWrongly(RandomPolicy):
    def should_stop(self) -> bool:
        return False


class Silent(RandomPolicy):
    def explain(self, suggestion_id: str) -> None:
        return None


@pytest.mark.parametrize(
    ("make", "check", "text"),
    [
        (Outside, "suggestions", "outside of"),
        (Nan, "suggestions", "not a finite number"),
        (Chatty, "suggestions", "'acquisition', which is no knob"),
        (OneName, "suggestions", "used an '_id' twice"),
        (Nameless, "suggestions", "no '_id'"),
        (BetweenPlaces, "places of stepped knobs", "no place of step"),
        (Upwards, "best place", "minimized"),
        (AlwaysBest, "best place", "before any measurement"),
        (FirstCounts, "replaced outcomes", "is still x = 1"),
        (Suggested, "points never suggested", "KeyError"),
        (Touchy, "missing values", "ValueError"),
        (Stubborn, "failures", "which has just failed"),
        (Stubborn, "points in flight", "not measured yet"),
        (Unseeded, "same seed", "part at point 1"),
        (Forgetful, "restart", "after a restart"),
        (Pickled, "restart", "not JSON serializable"),
        (Swayed, "metadata", "moved it"),
        (StopsWrongly, "should_stop and explain", "not (bool, str)"),
        (Silent, "should_stop and explain", "not a string"),
        (object, "methods", "TypeError"),
    ],
)
def test_the_suite_finds_what_is_wrong(make: Any, check: str, text: str) -> None:
    findings = check_policy(make, without=[name for name in CHECKS if name != check])
    assert any(text in finding.message for finding in findings), findings
    assert {finding.check for finding in findings} == {check}


def test_everything_that_is_wrong_is_raised_together() -> None:
    with pytest.raises(PolicyError, match=r"(?s)suggestions: knob 'x' is 1.1.*stepped knobs"):
        assert_policy(Outside)


def test_a_check_that_is_not_there_cannot_be_left_out() -> None:
    with pytest.raises(PolicyError, match="no check 'speed'"):
        check_policy(RandomPolicy, without=["speed"])
