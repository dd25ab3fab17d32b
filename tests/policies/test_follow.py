"""It finds an optimum, follows it, and finds it again after it has jumped."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autosteer.contracts import Aim, PolicyError, Problem, Range
from autosteer.policies.follow import FollowPolicy
from tests.policies.tables import Float

KNOBS = {"x": Range(0.0, 1.0, speed=2.0), "y": Range(-1.0, 1.0, speed=4.0)}
PROBLEM = Problem(KNOBS, (Aim("flux"),), rate_hz=100.0, seed=2)


def course(policy: FollowPolicy, optimum: Float, begin: int = 0) -> Float:
    """Follow an optimum that moves, one setting a second; return how good each place was."""
    rng, shares = np.random.default_rng(1), []
    for second, place in enumerate(optimum, begin):
        [point] = policy.suggest(1)
        away = (np.array([point["x"], point["y"] / 2]) - place) / 0.12
        shares.append(np.exp(-0.5 * np.sum(away**2)))
        flux = 3 + 2 * shares[-1] + 0.02 * rng.standard_normal()
        told = {"flux": flux, "flux_sem": 0.02, "flux_n": 50, "_t_s": float(second), "_final": True}
        policy.ingest([{**point, **told}])
    return np.array(shares)


def test_it_follows_what_wanders_and_finds_again_what_has_jumped() -> None:
    seconds = np.arange(220.0)
    wanders = np.stack([0.4 + 0.1 * np.sin(seconds / 40), 0.1 + 0.1 * np.cos(seconds / 50)], axis=1)
    wanders[130:] += [0.3, -0.25]
    shares = course(FollowPolicy(PROBLEM), wanders)
    assert shares[40:130].mean() > 0.85
    assert shares[130:140].mean() < 0.3
    assert shares[180:].mean() > 0.85


def test_a_short_dropout_is_waited_for() -> None:
    policy = FollowPolicy(PROBLEM)
    still = np.full((60, 2), [0.6, 0.2])
    course(policy, still)
    before = policy.checkpoint()["part"]
    course(policy, np.full((4, 2), 9.0), 60)
    course(policy, still[:20], 64)
    assert policy.checkpoint()["part"] == before
    course(policy, np.full((12, 2), 9.0), 84)
    assert policy.checkpoint()["part"] == before + 1


def test_after_a_restart_it_goes_on_as_it_would_have() -> None:
    policy = FollowPolicy(PROBLEM)
    for begin, end in ((0, 8), (8, 50)):
        course(policy, np.full((end - begin, 2), [0.6, 0.2]), begin)
        restored = FollowPolicy(PROBLEM)
        restored.restore(json.loads(json.dumps(policy.checkpoint())))
        for _ in range(3):
            assert restored.suggest(1) == policy.suggest(1)


def test_options_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(PolicyError, match="patience_s is 0"):
        FollowPolicy(PROBLEM, patience_s=0.0)
    with pytest.raises(PolicyError, match="amplitude"):
        FollowPolicy(PROBLEM, amplitude=0.5)
