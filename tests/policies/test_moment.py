"""Context and drift: the best place is the best now."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autosteer.contracts import Aim, PolicyError, Problem, Range
from autosteer.policies import BayesianPolicy
from autosteer.policies._moment import inputs_besides_knobs
from tests.policies.tables import table

RANGES = {"x": Range(0.0, 1.0)}


def test_context_and_age_are_inputs_in_units_of_their_own() -> None:
    measured = table(np.linspace(0, 1, 3), np.zeros(3))
    then, now = inputs_besides_knobs(measured, np.zeros(0), None)
    assert then.shape == (3, 0)
    assert now.shape == (0,)
    then, now = inputs_besides_knobs(measured, np.zeros(0), 60.0)
    assert then.tolist() == [[0.0]] * 3
    assert now.tolist() == [0.0]


def test_the_best_place_follows_the_context() -> None:
    policy = BayesianPolicy(Problem(RANGES, (Aim("y"),), context=("energy",)))
    rng = np.random.default_rng(0)

    def point(number: int, x: float, energy: float) -> dict[str, Any]:
        y = -((x - 0.3 - 0.4 * (energy - 9.0)) ** 2) + 0.01 * rng.standard_normal()
        return {"_id": f"p{number}", "x": x, "y": y, "y_sem": 0.01, "energy": energy}

    for number in range(30):
        policy.ingest([point(number, float(rng.random()), 9.0 + float(rng.random()))])
    for energy in (9.1, 9.9):
        policy.ingest([point(100, 0.5, energy)])
        assert policy.best()["x"] == pytest.approx(0.3 + 0.4 * (energy - 9.0), abs=0.1)


def test_the_best_place_follows_an_optimum_that_wanders() -> None:
    steady = BayesianPolicy(Problem(RANGES, (Aim("y"),)))
    aware = BayesianPolicy(Problem(RANGES, (Aim("y"),)), drift_s=30.0)
    rng = np.random.default_rng(1)
    for number in range(120):
        t_s = 2.0 * number
        center = 0.25 + 0.5 * number / 119
        x = float(rng.random())
        y = math.exp(-0.5 * ((x - center) / 0.12) ** 2) + 0.02 * rng.standard_normal()
        point = {"_id": f"p{number}", "x": x, "y": y, "y_sem": 0.02, "_t_s": 1.7e9 + t_s}
        steady.ingest([point])
        aware.ingest([point])
    assert aware.best()["x"] == pytest.approx(0.75, abs=0.08)
    assert abs(steady.best()["x"] - 0.75) > abs(aware.best()["x"] - 0.75)


@pytest.mark.parametrize("options", [{"drift_s": 0.0}, {"horizon_s": -1.0}])
def test_times_must_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="must be positive"):
        BayesianPolicy(Problem(RANGES, (Aim("y"),)), **options)
