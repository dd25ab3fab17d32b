"""Line scans find the peak, leave flat knobs alone, and know when they are done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer import score
from autosteer.contracts import Aim, KeepOutBox, OutcomeLimit, PolicyError, Problem, Range
from autosteer.policies import LineScanPolicy
from autosteer.policies._peak_fit import fit_peak
from autosteer.policies.conformance import check_policy
from autosteer.sims.scenarios import scenarios

KNOBS = {"x": Range(-1.0, 1.0), "y": Range(0.0, 10.0)}
PROBLEM = Problem(KNOBS, (Aim("flux"),), seed=1)


@pytest.mark.parametrize("options", [{"points": 5}, {"fly": True}], ids=str)
def test_short_lines_and_flights_keep_the_seam(options: dict[str, Any]) -> None:
    assert check_policy(partial(LineScanPolicy, **options)) == []


def flux(point: Mapping[str, float]) -> float:
    return math.exp(-0.5 * ((point["x"] - 0.4) / 0.25) ** 2 - 0.5 * ((point["y"] - 3) / 1.5) ** 2)


def measured(
    point: Mapping[str, Any], rng: np.random.Generator, sem: float = 0.03
) -> dict[str, Any]:
    return {**point, "flux": flux(point) + rng.normal(0, sem), "flux_sem": sem, "flux_n": 50}


def scanned(policy: LineScanPolicy, seed: int, most: int = 150) -> int:
    """Scan until the policy is done; return how many points that took."""
    rng = np.random.default_rng(seed)
    policy.ingest([measured({"_id": "start", "x": 0.0, "y": 5.0}, rng)])
    for number in range(most):
        if policy.should_stop()[0]:
            return number
        policy.ingest([measured(point, rng) for point in policy.suggest(1)])
    return most


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_lines_cross_at_the_peak_and_then_it_stops(seed: int) -> None:
    policy = LineScanPolicy(PROBLEM)
    assert scanned(policy, seed) < 100
    best = policy.best()
    assert flux(best) > 0.97
    assert best["flux"] == pytest.approx(1.0, abs=0.1)
    assert "has moved its knob" in policy.should_stop()[1]


def test_the_first_line_goes_through_the_start_over_the_whole_range() -> None:
    policy = LineScanPolicy(PROBLEM)
    policy.ingest([{"_id": "start", "x": 0.25, "y": 5.0, "flux": 0.1, "flux_sem": 0.1}])
    points = policy.suggest(11)
    assert [point["x"] for point in points] == pytest.approx(np.linspace(-1, 1, 11))
    assert {point["y"] for point in points} == {5.0}
    assert policy.explain(points[0]["_id"]) == "round 1: x"


def test_a_flat_knob_is_left_where_it_is() -> None:
    policy, rng = LineScanPolicy(PROBLEM), np.random.default_rng(4)
    policy.ingest([{"_id": "start", "x": 0.3, "y": 7.0, "flux": 0.5, "flux_sem": 0.02}])
    for _ in range(60):
        for point in policy.suggest(1):
            value = math.exp(-0.5 * ((point["x"] + 0.5) / 0.2) ** 2) + rng.normal(0, 0.02)
            policy.ingest([{**point, "flux": value, "flux_sem": 0.02, "flux_n": 50}])
    assert policy.best()["x"] == pytest.approx(-0.5, abs=0.05)
    assert policy.best()["y"] == 7.0


def test_where_nothing_shows_the_lines_go_elsewhere() -> None:
    policy = LineScanPolicy(PROBLEM)
    places = []
    for _ in range(70):
        for point in policy.suggest(1):
            places.append((point["x"], point["y"]))
            policy.ingest([{**point, "flux": 0.0, "flux_sem": 0.1, "flux_n": 50}])
    assert not policy.should_stop()[0]
    # Lines in x keep to one y each: there is a new one in every round.
    rows = [y for y in {y for _, y in places} if sum(y == other for _, other in places) >= 11]
    assert len(rows) >= 3


def test_a_diagnostic_leads_where_the_objective_shows_nothing() -> None:
    problem = Problem(KNOBS, (Aim("flux"),), diagnostics=(Aim("spots"),), seed=1)
    policy, rng = LineScanPolicy(problem), np.random.default_rng(5)
    for _ in range(60):
        for point in policy.suggest(1):
            spots = 10 * math.exp(-0.5 * ((point["x"] - 0.4) / 0.5) ** 2) + rng.normal(0, 0.3)
            told = {"spots": spots, "spots_sem": 0.3, "spots_n": 50}
            noise = {"flux": rng.normal(0, 1), "flux_sem": 1.0, "flux_n": 50}
            policy.ingest([{**point, **told, **noise}])
    [point] = policy.suggest(1)
    assert point["x"] == pytest.approx(0.4, abs=0.15) or policy.explain(point["_id"])[-1] == "x"
    assert np.asarray(policy.checkpoint()["center"])[0] == pytest.approx(0.7, abs=0.05)


def test_a_flight_goes_from_end_to_end_and_learns_on_the_way() -> None:
    policy, rng = LineScanPolicy(PROBLEM, fly=True), np.random.default_rng(6)
    here = {"x": 0.0, "y": 5.0}
    policy.ingest([measured({"_id": "start", **here}, rng)])
    ends = []
    for _ in range(60):
        if policy.should_stop()[0]:
            break
        [point] = policy.suggest(1)
        ends.append((point["x"], point["y"]))
        pieces = [
            {
                "_id": f"{point['_id']}/{number + 1}",
                **{key: here[key] + share * (point[key] - here[key]) for key in here},
            }
            for number, share in enumerate(np.linspace(0.02, 0.98, 20).tolist())
        ]
        policy.ingest([measured(piece, rng) for piece in [*pieces, point]])
        here = {key: point[key] for key in here}
    assert ends[:2] == [(-1.0, 5.0), (1.0, 5.0)]
    assert policy.should_stop()[0]
    assert flux(policy.best()) > 0.97


def test_barred_places_are_left_out_and_long_ways_are_gone_in_steps() -> None:
    knobs = {"x": Range(-1.0, 1.0, max_step=0.3), "y": Range(0.0, 10.0)}
    box = KeepOutBox({"x": (-0.45, -0.15), "y": (0.0, 10.0)})
    policy, rng = (
        LineScanPolicy(Problem(knobs, (Aim("flux"),), keep_out=(box,))),
        np.random.default_rng(7),
    )
    x = 0.9
    policy.ingest([measured({"_id": "start", "x": x, "y": 5.0}, rng)])
    for _ in range(40):
        [point] = policy.suggest(1)
        assert abs(point["x"] - x) <= 0.3
        assert not -0.45 <= point["x"] <= -0.15
        x = point["x"]
        policy.ingest([measured(point, rng)])


@pytest.mark.parametrize(
    ("problem", "options", "text"),
    [
        (PROBLEM, {"points": 4}, "at least 5"),
        (Problem(KNOBS, (Aim("a"), Aim("b"))), {}, "one objective"),
        (Problem(KNOBS, (Aim("a"),), limits=(OutcomeLimit("dose", below=1),)), {}, "no limits"),
        (Problem(KNOBS, (Aim("a"),), context=("energy",)), {}, "context"),
    ],
)
def test_what_it_cannot_do_is_refused(problem: Problem, options: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        LineScanPolicy(problem, **options)


@given(st.floats(0.2, 0.8), st.floats(0.05, 0.15), st.floats(-3, 3), st.integers(0, 99))
def test_a_peak_is_fitted_to_its_error(
    center: float, width: float, background: float, seed: int
) -> None:
    x = np.linspace(0, 1, 25)
    true = background + np.exp(-0.5 * ((x - center) / width) ** 2)
    peak = fit_peak(x, true + np.random.default_rng(seed).normal(0, 0.02, 25), np.full(25, 0.02))
    assert peak is not None
    assert abs(peak.center - center) < 5 * peak.center_sd < 0.2
    assert peak.width == pytest.approx(width, rel=0.5)
    assert peak.top == pytest.approx(background + 1, abs=0.1)


def test_a_dip_is_no_peak() -> None:
    x = np.linspace(0, 1, 11)
    assert fit_peak(x, np.zeros(11), np.full(11, 0.1)) is None


def test_it_finds_the_jet() -> None:
    overrides = ["policy.class=autosteer.policies:LineScanPolicy", "policy.options={}"]
    assert score(scenarios()["jet_2"].file, 3, overrides).end > 0.9
