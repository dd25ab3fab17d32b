"""Trials: what is written down of a run is what was truly so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autosteer import score
from autosteer.bench import Course, run_trial
from autosteer.cli._experiment import read_experiment
from autosteer.cli._worlds import world_of_experiment
from autosteer.contracts import Experiment, Policy
from autosteer.policies import GridPolicy, RandomPolicy
from autosteer.sims.scenarios import scenarios
from autosteer.sims.virtual import VirtualBeamline
from tests.bench.courses import same
from tests.bench.policies import Nameless, Naming

SCENARIOS = scenarios()


def read(name: str, *overrides: str) -> tuple[Experiment, VirtualBeamline]:
    experiment, _ = read_experiment(SCENARIOS[name].file, ["stop.duration_s=8", *overrides])
    return experiment, VirtualBeamline(experiment, world_of_experiment(experiment, experiment.seed))


def trial(name: str, make: Any, *overrides: str) -> tuple[Course, VirtualBeamline]:
    experiment, beamline = read(name, *overrides)
    policy: Policy = make(experiment.problem)
    return run_trial(experiment, beamline, policy), beamline


@pytest.mark.parametrize("name", ["jet_wander", "wells_44", "aperture_pareto"])
def test_the_same_trial_gives_the_same_course(name: str) -> None:
    made, again, other = (trial(name, RandomPolicy, f"seed={seed}")[0] for seed in (1, 1, 2))
    assert same(made, again)
    assert not same(made, other)


def test_costs_rise_and_end_where_the_run_ends() -> None:
    made, beamline = trial("jet_2", RandomPolicy)
    for axis in ("beam_s", "shots", "moves", "sample_ul"):
        costs = getattr(made, axis)
        assert (np.diff(costs) >= 0).all()
        assert costs[0] == 0
    assert made.ok
    assert 8 <= made.beam_s[-1] < 14
    assert made.sample_ul[-1] == pytest.approx(20 / 60 * made.beam_s[-1])
    assert 0 < made.shots[-1] < 120 * made.beam_s[-1]
    assert made.moves[-1] == len(beamline.visited)
    assert len(made.point_violated) == len(beamline.visited) + 1
    # One more ask than moves at least: that for the best place, at the end.
    assert made.asks >= made.moves[-1]
    assert np.isnan(trial("branin", RandomPolicy)[0].sample_ul).all()


def test_a_run_that_ends_early_is_followed_to_its_time() -> None:
    experiment, beamline = read("jet_wander", "stop.duration_s=60")
    policy = GridPolicy(experiment.problem, points_per_knob=2)
    made = run_trial(experiment, beamline, policy, at_least_s=60)
    assert "grid" in made.reason
    assert made.beam_s[-1] == pytest.approx(60)
    assert np.diff(made.beam_s) == pytest.approx(0.1)
    rest = len(made.beam_s) - 200
    # Nothing moves any more, but for the jet.
    assert len(set(made.shots[rest:])) == len(set(made.moves[rest:])) == 1
    assert len(set(made.share_actual[rest:])) > 100
    place = beamline.visited[-1][1]
    expected = beamline.standing(1_700_000_000_000_000_000 + 60_000_000_000, place).share
    assert made.share_actual[-1] == pytest.approx(expected)


def test_limits_are_judged_at_each_place_that_is_visited() -> None:
    experiment, beamline = read("detector_damage")
    rng = np.random.default_rng(1)
    candidates = [
        {
            name: float(rng.uniform(knob.low, knob.high))
            for name, knob in experiment.problem.knobs.items()
        }
        for _ in range(50)
    ]
    broken = [beamline.standing(0, place).violated for place in candidates]
    places = [candidates[broken.index(False)], candidates[broken.index(True)]]
    stay = "stop.then=stay"
    made, _ = trial("detector_damage", lambda problem: Nameless(problem, places), stay)
    assert made.has_limits
    assert made.point_violated[:3].tolist() == [False, False, True]
    assert made.point_violated[3:].all()
    assert made.violated[-1]
    assert not made.violated[0]
    # Without a name for the best place, it is where the knobs are left.
    np.testing.assert_array_equal(made.share_recommended, made.share_actual)
    named, beamline = trial("detector_damage", lambda problem: Naming(problem, places), stay)
    share = beamline.standing(0, places[0]).share
    known = ~np.isnan(named.share_recommended)
    assert not known[0]
    assert known[-1]
    assert named.share_recommended[known] == pytest.approx(share)


def test_two_objectives_are_written_down_so_that_more_is_better() -> None:
    made, beamline = trial("aperture_pareto", RandomPolicy)
    start = beamline.standing(0, {"aperture": 60.0, "beamstop": 6.0}).truths
    expected = [start["signal"], -start["background"]]
    assert made.point_values[0] == pytest.approx(expected)
    assert made.front.shape[1] == 2
    assert len(made.front) > 100
    assert (made.point_values <= made.front.max(axis=0) + 1e-9).all()


def test_a_score_is_read_off_a_course() -> None:
    overrides = ["policy.class=autosteer.policies:RandomPolicy", "policy.options={}"]
    overrides.append("stop.duration_s=8")
    made = score(SCENARIOS["jet_2"].file, 1, overrides)
    assert made.start == pytest.approx(read("jet_2")[1].standing(0).share)
    assert made.moves >= 3
    assert 0 < made.mean < 1
    assert made.violated == 0
