"""Ways to use policies in benchmarks do what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from _habits import FixedStays, Guided, Opened, Renewed, WithoutErrors
from _holding import Holding

from autosteer.contracts import Aim, Problem, Range
from autosteer.policies import RandomPolicy

PROBLEM = Problem(
    {"x": Range(0.0, 1.0)}, (Aim("hits"),), diagnostics=(Aim("light"),), rate_hz=100.0, seed=3
)


class Listener(RandomPolicy):
    """Goes anywhere, asks for ten shots, and remembers what it was told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.told: list[Mapping[str, Any]] = []

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return [{**point, "_shots": 10} for point in super().suggest(num_points)]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        super().ingest(points)
        self.told += points


def made() -> tuple[list[Listener], Callable[[Problem], Listener]]:
    policies: list[Listener] = []

    def make(problem: Problem) -> Listener:
        policies.append(Listener(problem))
        return policies[-1]

    return policies, make


def drive(
    policy: Any, seconds: int, hits: Callable[[float, float], float], begin_s: float = 0.0
) -> list[dict[str, Any]]:
    """Measure one point a second; return what was suggested."""
    suggested = []
    for second in range(seconds):
        t_s = begin_s + second
        [point] = policy.suggest(1)
        suggested.append(point)
        reading = {"hits": hits(point["x"], t_s), "hits_sem": 0.1, "hits_n": 9, "light": point["x"]}
        policy.ingest([{**point, **reading, "_t_s": t_s, "_final": True}])
    return suggested


def test_fixed_stays_leave_the_stay_to_the_file() -> None:
    [point] = FixedStays(Listener(PROBLEM)).suggest(1)
    assert set(point) == {"_id", "x"}


def test_without_errors_nothing_is_said_of_them() -> None:
    inner = Listener(PROBLEM)
    drive(WithoutErrors(inner), 2, lambda x, t_s: x)
    assert not any(name.endswith(("_sem", "_n")) for point in inner.told for name in point)
    assert all("hits" in point for point in inner.told)


def test_a_policy_without_opening_is_asked_only_when_enough_is_measured() -> None:
    policies, make = made()
    names = [point["_id"] for point in drive(Opened(PROBLEM, make, count=4), 6, lambda x, t_s: x)]
    assert [name.startswith("opening-") for name in names] == [True] * 4 + [False] * 2
    assert len(policies[0].told) == 6


def test_a_renewed_policy_knows_the_newest_points_and_its_own() -> None:
    policies, make = made()
    suggested = drive(Renewed(PROBLEM, make, most=5, kept=3), 8, lambda x, t_s: x)
    assert len(policies) == 2
    assert len({point["_id"] for point in suggested}) == len(suggested)
    assert [point["x"] for point in policies[1].told[:3]] == [p["x"] for p in suggested[3:6]]
    # What it has suggested itself comes back under the name that it gave.
    assert policies[1].told[3]["_id"] == suggested[6]["_id"].removeprefix("1.")
    assert policies[0].problem.seed != policies[1].problem.seed


def test_a_guided_policy_turns_to_the_objective_with_all_points() -> None:
    policies, make = made()
    # The standard error of a reading is 0.1.
    drive(Guided(PROBLEM, make), 8, lambda x, t_s: 0.6 if t_s == 5 else 0.4)
    assert [one.problem.objective.name for one in policies] == ["light", "hits"]
    assert len(policies[1].told) == 8


def test_holding_stays_at_the_best_place_until_it_is_good_no_more() -> None:
    policies, make = made()
    policy = Holding(PROBLEM, make, search_s=10.0, near=0.1)
    searched = drive(policy, 11, lambda x, t_s: 1 - abs(x - 0.3))
    held = drive(policy, 10, lambda x, t_s: 0.9, begin_s=11)
    best = min((point["x"] for point in searched), key=lambda x: abs(x - 0.3))
    assert {point["x"] for point in held} == {best}
    assert {point["_shots"] for point in held} == {100}
    # A clog is waited for; what lasts longer is a reason to search again, nearby.
    drive(policy, 4, lambda x, t_s: 0.0, begin_s=21)
    drive(policy, 3, lambda x, t_s: 0.9, begin_s=25)
    assert len(policies) == 1
    drive(policy, 5, lambda x, t_s: 0.0, begin_s=28)
    again = drive(policy, 8, lambda x, t_s: 1 - abs(x - 0.3), begin_s=33)
    assert len(policies) == 2
    assert all(abs(point["x"] - best) <= 0.1 for point in again)


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_holding_does_not_hold_where_nothing_is_seen(level: float) -> None:
    policies, make = made()
    policy = Holding(PROBLEM, make, search_s=5.0)
    drive(policy, 20, lambda x, t_s: 0.9 if t_s < 12 else level)
    drive(policy, 20, lambda x, t_s: level, begin_s=20)
    assert len(policies) >= 3
