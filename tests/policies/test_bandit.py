"""The bandit finds the good arms, notices that they are used up, and keeps to its grounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autosteer import score
from autosteer.contracts import Aim, Goal, KeepOutBox, OutcomeLimit, PolicyError, Problem, Range
from autosteer.policies import BanditPolicy
from autosteer.policies._arms import Means, Shares
from autosteer.policies._wear import level_left, lifetime_shots
from autosteer.policies.conformance import check_policy
from autosteer.sims.scenarios import scenarios

WELLS = Problem(
    {"well": Range(1, 20, step=1, speed=20)}, (Aim("hits", fraction=True),), rate_hz=100, seed=1
)


def stepped(problem: Problem) -> BanditPolicy:
    """Give the knobs of a conformance check steps, where they have none."""
    knobs = {
        name: knob if knob.step else replace(knob, step=(knob.high - knob.low) / 8)
        for name, knob in problem.knobs.items()
    }
    return BanditPolicy(replace(problem, knobs=knobs))


def test_it_keeps_the_seam() -> None:
    assert check_policy(stepped) == []


class Plate:
    """Wells that are used up, shot at by hand."""

    def __init__(self, shares: Mapping[int, float], lifetime: float, seed: int = 1) -> None:
        self._shares = shares
        self._lifetime = lifetime
        self._rng = np.random.default_rng(seed)
        self.taken = dict.fromkeys(range(1, 21), 0)

    def share(self, well: int) -> float:
        return self._shares.get(well, 0.02) * float(np.exp(-self.taken[well] / self._lifetime))

    def measure(self, point: Mapping[str, Any]) -> dict[str, Any]:
        well, shots = round(point["well"]), point.get("_shots", 50)
        hits = self._rng.binomial(shots, self.share(well))
        self.taken[well] += shots
        return {**point, "hits": hits / shots, "hits_n": shots}


def test_it_stays_at_the_good_well_once_it_is_found() -> None:
    plate, policy = Plate({7: 0.6}, 1e9), BanditPolicy(WELLS)
    for _ in range(60):
        policy.ingest([plate.measure(point) for point in policy.suggest(1)])
    assert policy.best()["well"] == 7
    assert policy.best()["hits"] == pytest.approx(0.6, abs=0.1)
    assert plate.taken[7] > 0.7 * sum(plate.taken.values())


def test_it_leaves_a_well_that_is_used_up_for_the_next() -> None:
    plate, policy = Plate({4: 0.6, 15: 0.5}, 800.0), BanditPolicy(WELLS)
    for _ in range(120):
        policy.ingest([plate.measure(point) for point in policy.suggest(1)])
    assert min(plate.taken[4], plate.taken[15]) > 1000
    assert abs(plate.share(4) - plate.share(15)) < 0.1


def test_a_poor_well_is_given_few_shots_and_may_be_left_early() -> None:
    policy = BanditPolicy(WELLS)
    policy.ingest([{"_id": "a", "well": 3, "hits": 0.6, "hits_n": 400}])
    policy.ingest([{"_id": "b", "well": 4, "hits": 0.0, "hits_n": 100}])
    looks = [point for point in policy.suggest(2) if point["well"] != 3]
    assert looks
    assert all(point["_shots"] <= 40 for point in looks)
    assert all(0 < point["_worse_than"] <= 0.6 for point in looks)
    assert "at the best" in policy.explain(looks[0]["_id"])


@pytest.mark.parametrize("maximize", [True, False])
def test_means_are_followed_as_well_as_shares(maximize: bool) -> None:
    rng = np.random.default_rng(3)
    problem = replace(WELLS, objectives=(Aim("level", maximize=maximize),))
    policy = BanditPolicy(problem)
    true = {well: 5.0 + (well == 12) * (2.0 if maximize else -2.0) for well in range(1, 21)}
    for _ in range(40):
        [point] = policy.suggest(1)
        shots = point["_shots"]
        value = rng.normal(true[round(point["well"])], 1 / np.sqrt(shots))
        told = {"level": value, "level_sem": 1 / np.sqrt(shots), "level_n": shots}
        policy.ingest([{**point, **told}])
    assert policy.best()["well"] == 12


def test_what_lies_between_wells_or_on_the_way_is_no_well() -> None:
    policy = BanditPolicy(WELLS)
    [point] = policy.suggest(1)
    policy.ingest([
        {"_id": "w", "well": 5.0, "hits": 0.3, "hits_n": 100},
        {"_id": "between", "well": 8.5, "hits": 1.0, "hits_n": 100},
        {"_id": f"{point['_id']}/1", "well": 9.0, "hits": 1.0, "hits_n": 100},
    ])
    assert policy.best()["well"] == 5


def test_a_well_that_cannot_be_reached_is_left_alone_for_a_while() -> None:
    plate, policy = Plate({7: 0.6}, 1e9), BanditPolicy(WELLS)
    for _ in range(40):
        policy.ingest([plate.measure(point) for point in policy.suggest(1)])
    [failed] = policy.suggest(1)
    assert failed["well"] == 7
    policy.register_failures([failed])
    wells = []
    for _ in range(12):
        [point] = policy.suggest(1)
        wells.append(point["well"])
        policy.ingest([plate.measure(point)])
    assert 7 not in wells[:10]
    assert 7 in wells[10:]


def test_wells_that_must_be_kept_out_of_are_no_arms() -> None:
    problem = replace(WELLS, keep_out=(KeepOutBox({"well": (5.5, 20.0)}),))
    policy = BanditPolicy(problem)
    plate = Plate({}, 1e9)
    for _ in range(20):
        [point] = policy.suggest(1)
        assert point["well"] <= 5
        policy.ingest([plate.measure(point)])


def test_it_stops_where_the_target_is_reached_and_where_nothing_is_to_be_gained() -> None:
    enough = BanditPolicy(replace(WELLS, goal=Goal(target=0.4)))
    assert enough.should_stop() == (False, "")
    enough.ingest([{"_id": "a", "well": 3, "hits": 0.42, "hits_n": 20}])
    assert not enough.should_stop()[0]
    enough.ingest([{"_id": "a", "well": 3, "hits": 0.55, "hits_n": 200}])
    assert "target of 0.4 is reached" in enough.should_stop()[1]
    dull = BanditPolicy(replace(WELLS, goal=Goal(min_gain=0.02)))
    dull.suggest(1)
    assert not dull.should_stop()[0]
    dull.ingest([
        {"_id": str(well), "well": well, "hits": 0.01, "hits_n": 5000} for well in range(1, 21)
    ])
    dull.suggest(1)
    assert dull.should_stop()[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"knobs": {"x": Range(0, 1)}}, "knob 'x' has no steps"),
        ({"knobs": {"x": Range(0, 1, step=1e-5)}}, "100001 arms"),
        ({"objectives": (Aim("a"), Aim("b"))}, "one objective"),
        ({"limits": (OutcomeLimit("dose", below=1),)}, "no limits on measured quantities"),
        ({"context": ("energy",)}, "context"),
        ({"keep_out": (KeepOutBox({"well": (0, 30)}),)}, "every arm"),
    ],
)
def test_what_it_cannot_do_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        BanditPolicy(replace(WELLS, **change))


@pytest.mark.parametrize("options", [{"horizon_s": 0}, {"memory_shots": -1}], ids=str)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match="must be positive"):
        BanditPolicy(WELLS, **options)


@pytest.mark.parametrize("kind", ["shares", "means"])
def test_the_gain_of_shots_is_what_simulated_shots_bring(kind: str) -> None:
    rng = np.random.default_rng(2)
    bar, shots, draws = np.array([0.5]), np.array([12.0]), 200_000
    if kind == "shares":
        a, b = 2.0, 3.0
        belief: Shares | Means = Shares(np.array([a]), np.array([b]))
        hits = rng.binomial(12, rng.beta(a, b, draws))
        after = (a + hits) / (a + b + 12)
    else:
        belief = Means(np.array([0.4]), np.array([0.04]), 0.2)
        seen = rng.normal(rng.normal(0.4, 0.2, draws), np.sqrt(0.2 / 12))
        after = (0.4 / 0.04 + seen * 12 / 0.2) / (1 / 0.04 + 12 / 0.2)
    [gain] = belief.gain_above(bar, shots)
    assert gain == pytest.approx(np.mean(np.maximum(after - 0.5, 0)), rel=0.05)


def test_the_lifetime_of_arms_is_learned_from_their_counts() -> None:
    rng = np.random.default_rng(5)
    arms = np.repeat(np.arange(3), 30)
    shots = np.full(90, 50.0)
    share = np.repeat([0.6, 0.4, 0.2], 30) * np.exp(-np.tile(np.arange(30) * 50, 3) / 700)
    hits = rng.binomial(50, share).astype(np.float64)
    assert lifetime_shots(arms, hits, shots) == pytest.approx(700, rel=0.25)
    steady = rng.binomial(50, 0.4, 90).astype(np.float64)
    assert lifetime_shots(arms, steady, shots) > 10_000


def test_arms_come_down_to_one_level() -> None:
    shares = np.array([0.1, 0.6, 0.5])
    level = level_left(shares, 1.5)
    assert np.sum(np.log(np.maximum(shares / level, 1))) == pytest.approx(1.5)
    assert level_left(shares, 0.0) == pytest.approx(0.6)


def test_it_works_on_a_plate_of_wells() -> None:
    overrides = ["policy.class=autosteer.policies:BanditPolicy", "policy.options={}"]
    scored = score(scenarios()["wells_44"].file, 3, overrides)
    assert scored.mean > 0.4
