"""Extremum seeking follows what wanders, whatever its scale, and keeps still in noise."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer import score
from autosteer.contracts import Aim, KeepOutBox, OutcomeLimit, PolicyError, Problem, Range
from autosteer.policies import ExtremumSeeking
from autosteer.sims.scenarios import scenarios

Float = NDArray[np.float64]


def problem(knobs: int, **more: Any) -> Problem:
    ranges = {f"k{number}": Range(0.0, 1.0) for number in range(knobs)}
    return Problem(ranges, (Aim("flux"),), **more)


def followed(
    policy: ExtremumSeeking,
    optimum: Float,
    *,
    noise: float = 0.003,
    scale: float = 1.0,
    offset: float = 0.0,
    late: int = 0,
) -> Float:
    """Follow an optimum that moves; return the distance of the center from it after each setting.

    Parameters
    ----------
    optimum : ndarray of float64, shape (n, n_knobs)
        Where it is, setting by setting.
    late : int
        Settings by which results are late.
    """
    rng = np.random.default_rng(1)
    waiting: deque[dict[str, Any]] = deque()
    away = []
    for place in optimum:
        [point] = policy.suggest(1)
        x = np.array([point[f"k{number}"] for number in range(len(place))])
        value = np.exp(-0.5 * np.sum(((x - place) / 0.1) ** 2)) + rng.normal(0, noise)
        told = {"flux": offset + scale * value, "flux_sem": abs(scale) * noise, "flux_n": 60}
        waiting.append({**point, **told})
        if len(waiting) > late:
            policy.ingest([waiting.popleft()])
        best = policy.best()
        if best:
            center = np.array([best[f"k{number}"] for number in range(len(place))])
            away.append(np.max(np.abs(center - place)))
    return np.array(away)


def start(knobs: int, at: float) -> dict[str, float]:
    return {f"k{number}": at for number in range(knobs)}


@pytest.mark.parametrize("knobs", [1, 2, 4, 7])
def test_all_knobs_climb_at_once(knobs: int) -> None:
    policy = ExtremumSeeking(problem(knobs), start=start(knobs, 0.42))
    away = followed(policy, np.full((120, knobs), 0.5))
    assert away[0] > 0.05
    assert np.max(away[-20:]) < 0.03


@pytest.mark.parametrize("late", [0, 1, 2])
def test_an_optimum_that_wanders_is_followed_though_results_are_late(late: int) -> None:
    path = 0.5 + 0.15 * np.sin(np.arange(400)[:, None] / 60 + np.array([0.0, 1.0]))
    policy = ExtremumSeeking(problem(2), start=start(2, 0.55))
    away = followed(policy, path, late=late)
    assert np.mean(away[100:]) < 0.03
    # Who stays would be off by more than a width of the peak at times.
    assert np.max(np.abs(path - path.mean(axis=0))) > 0.14


@pytest.mark.parametrize(("scale", "offset"), [(1e6, 0.0), (1e-6, 0.0), (1.0, -50.0)])
def test_neither_scale_nor_offset_of_the_objective_matters(scale: float, offset: float) -> None:
    path = np.full((60, 2), 0.5)
    usual = followed(ExtremumSeeking(problem(2), start=start(2, 0.45)), path)
    scaled = followed(
        ExtremumSeeking(problem(2), start=start(2, 0.45)), path, scale=scale, offset=offset
    )
    assert scaled == pytest.approx(usual, abs=1e-6)


def test_less_is_better_where_it_is_to_be_minimized() -> None:
    lower = replace(problem(2), objectives=(Aim("flux", maximize=False),))
    policy = ExtremumSeeking(lower, start=start(2, 0.43))
    assert followed(policy, np.full((80, 2), 0.5), scale=-1.0)[-1] < 0.03


def test_in_noise_alone_the_center_hardly_moves() -> None:
    rng = np.random.default_rng(3)
    policy = ExtremumSeeking(problem(2), start=start(2, 0.5))
    for _ in range(200):
        [point] = policy.suggest(1)
        policy.ingest([{**point, "flux": rng.normal(), "flux_sem": 1.0, "flux_n": 60}])
    # A step in the same direction each time would lead to the limit within 50 settings.
    assert abs(policy.best()["k0"] - 0.5) < 0.2
    assert abs(policy.best()["k1"] - 0.5) < 0.2


def test_it_begins_at_the_best_of_what_it_is_told_and_says_what_it_sees() -> None:
    policy = ExtremumSeeking(problem(2))
    policy.ingest([
        {"_id": "a", "k0": 0.2, "k1": 0.2, "flux": 0.1, "flux_sem": 0.1},
        {"_id": "b", "k0": 0.7, "k1": 0.3, "flux": 0.9, "flux_sem": 0.1},
    ])
    points = policy.suggest(4)
    assert np.mean([point["k0"] for point in points]) == pytest.approx(0.7)
    assert np.mean([point["k1"] for point in points]) == pytest.approx(0.3)
    assert policy.explain(points[0]["_id"]) == "the dither begins"
    policy.ingest([{**point, "flux": point["k0"], "flux_sem": 0.001} for point in points])
    [point] = policy.suggest(1)
    assert policy.explain(point["_id"]).startswith("flux by amplitudes: k0 0.02 +-")


def test_stays_are_as_long_as_the_ways_are_worth() -> None:
    policy = ExtremumSeeking(problem(1, rate_hz=100, rest_s=0.3))
    assert policy.suggest(1)[0]["_shots"] == 100


def test_limits_of_knobs_steps_and_boxes_are_kept() -> None:
    knobs = {"k0": Range(0.0, 1.0, max_step=0.03), "k1": Range(0.0, 1.0, step=0.1)}
    box = KeepOutBox({"k0": (0.6, 1.0), "k1": (0.0, 1.0)})
    policy = ExtremumSeeking(
        Problem(knobs, (Aim("flux"),), keep_out=(box,)), start={"k0": 0.5, "k1": 0.0}
    )
    here = None
    for _ in range(60):
        [point] = policy.suggest(1)
        assert 0 <= point["k0"] < 0.6
        assert point["k1"] * 10 == pytest.approx(round(point["k1"] * 10))
        assert here is None or abs(point["k0"] - here) <= 0.03
        here = point["k0"]
        policy.ingest([{**point, "flux": point["k0"], "flux_sem": 0.001, "flux_n": 50}])
    assert policy.best()["k0"] > 0.54


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({}, {"amplitude": 0.5}, "up to 0.25"),
        ({}, {"amplitude": {"z": 0.1}}, "names no knob: z"),
        ({}, {"gain": 0.0}, "gain is 0.0"),
        ({}, {"memory": -1.0}, "memory is -1.0"),
        ({}, {"start": {"k0": 0.5}}, "give a place for"),
        ({}, {"start": {"k0": 0.5, "k1": 2.0}}, "must lie in"),
        ({"objectives": (Aim("a"), Aim("b"))}, {}, "one objective"),
        ({"limits": (OutcomeLimit("dose", below=1),)}, {}, "no limits"),
    ],
)
def test_what_it_cannot_do_is_refused(
    change: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(PolicyError, match=text):
        ExtremumSeeking(replace(problem(2), **change), **options)


@pytest.mark.slow
def test_it_follows_the_jet() -> None:
    overrides = [
        "policy.class=autosteer.policies:ExtremumSeeking",
        "policy.options={}",
        "policy.options.start.x=0.01",
        "policy.options.start.y=-0.06",
        "stop.duration_s=180",
    ]
    assert score(scenarios()["jet_wander"].file, 3, overrides).mean > 0.6
