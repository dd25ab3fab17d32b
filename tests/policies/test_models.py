"""The model and what is made of it: predictions, the worth of measurements, searches, limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from autosteer.contracts import Aim, KeepOutBox, LinearLimit, OutcomeLimit, Problem, Range
from autosteer.policies._chain import Chained, factor_between
from autosteer.policies._fence import Fence
from autosteer.policies._grounds import Grounds
from autosteer.policies._knowledge import knowledge_gradient
from autosteer.policies._ledger import Ledger
from autosteer.policies._search import Flight, PeakSearch, has_signal
from autosteer.policies._surrogate import Data, Surrogate
from tests.policies.tables import Float, hits, table

SHARE = Aim("hits", fraction=True)


def bumps(x: Float) -> Float:
    value: Float = np.sin(6 * x[:, 0]) + 0.5 * np.cos(4 * x[:, 1])
    return value


@pytest.fixture(scope="module")
def model() -> Surrogate:
    rng = np.random.default_rng(0)
    x = rng.random((40, 2))
    return Surrogate(Data(x, bumps(x) + 0.05 * rng.standard_normal(40), np.full(40, 0.05**2)))


def test_the_model_predicts_with_honest_errors(model: Surrogate) -> None:
    places = np.random.default_rng(1).random((400, 2))
    pull = (model.mean(places) - bumps(places)) / np.sqrt(model.variance(places))
    assert np.std(pull) < 1.5
    assert np.abs(model.mean(places) - bumps(places)).mean() < 0.05


def test_covariance_and_variance_agree(model: Surrogate) -> None:
    places = np.random.default_rng(2).random((20, 2))
    covariance = model.towards(places)(places).covariance
    assert np.diag(covariance).tolist() == pytest.approx(model.variance(places).tolist(), rel=1e-3)
    assert np.linalg.eigvalsh(covariance + 1e-9 * np.eye(20)).min() > 0


def test_what_is_known_jointly_is_what_is_known_of_each(model: Surrogate) -> None:
    rng = np.random.default_rng(7)
    places, others = rng.random((20, 2)), rng.random((3, 2))
    own = Surrogate(Data(model.x, bumps(model.x) ** 2, np.full(40, 0.1**2)))
    for one in (model, Chained(model, 0.7, own)):
        joint = one.towards(others)(places)
        np.testing.assert_allclose(joint.mean, one.mean(places), rtol=1e-9)
        np.testing.assert_allclose(joint.variance, one.variance(places), rtol=1e-9)
        assert joint.covariance.shape == (20, 3)


def test_pending_places_shrink_variances_and_leave_means(model: Surrogate) -> None:
    places = np.random.default_rng(3).random((50, 2))
    later = model.awaiting(places[:3], np.full(3, 0.01))
    assert later.mean(places).tolist() == pytest.approx(model.mean(places).tolist(), abs=1e-6)
    assert np.all(later.variance(places) <= model.variance(places) + 1e-9)
    assert np.all(later.variance(places[:3]) < 0.011)


def test_a_fit_goes_on_from_an_earlier_one(model: Surrogate) -> None:
    again = Surrogate(
        Data(model.x, bumps(model.x), np.full(40, 0.05**2)),
        begin_with=model.hyperparameters,
        refit=False,
    )
    assert again.lengths.tolist() == pytest.approx(model.lengths.tolist())


def test_predictions_do_not_depend_on_the_precision_that_others_made_the_default(
    model: Surrogate,
) -> None:
    before = torch.get_default_dtype()
    try:
        means = []
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            again = Surrogate(Data(model.x, bumps(model.x), np.full(40, 0.05**2)))
            means.append(again.mean(model.x[:5]).tolist())
    finally:
        torch.set_default_dtype(before)
    assert means[0] == means[1]


def test_the_knowledge_gradient_is_the_mean_rise_of_the_maximum(model: Surrogate) -> None:
    rng = np.random.default_rng(4)
    choices, candidates = rng.random((30, 2)), rng.random((5, 2))
    noise = np.full(5, 0.02)
    gain = knowledge_gradient(
        model.mean(choices),
        model.towards(choices)(candidates).covariance,
        model.mean(candidates),
        model.variance(candidates),
        noise,
    )
    z = rng.standard_normal(40_000)
    for index in range(5):
        here = candidates[index : index + 1]
        places = np.concatenate([choices, here])
        shift = model.towards(places)(here).covariance[0] / np.sqrt(model.variance(here) + 0.02)
        mean = model.mean(places)
        expected = np.mean((mean[:, None] + shift[:, None] * z).max(axis=0)) - mean.max()
        assert gain[index] == pytest.approx(expected, abs=0.003)


def test_more_noise_teaches_less(model: Surrogate) -> None:
    rng = np.random.default_rng(5)
    choices, candidates = rng.random((30, 2)), rng.random((20, 2))

    def gain(noise: float) -> Float:
        return knowledge_gradient(
            model.mean(choices),
            model.towards(choices)(candidates).covariance,
            model.mean(candidates),
            model.variance(candidates),
            np.full(20, noise),
        )

    # A maximum of straight lines has kinks, which the quadrature rounds a little.
    assert np.all(gain(0.01) >= gain(1.0) - 0.003)
    assert np.all(gain(1e9) < 1e-3)


def test_a_quantity_that_follows_a_diagnostic_is_known_where_only_that_was_measured() -> None:
    rng = np.random.default_rng(6)
    x = rng.random((60, 2))
    below = Surrogate(Data(x, bumps(x), np.full(60, 1e-4)))
    few = x[:5]
    value = 3 * bumps(few) + 0.1
    factor = factor_between(below.mean(few), value, np.full(5, 1e-4), 1.0)
    assert factor == pytest.approx(3.0, rel=0.25)
    own = Surrogate(Data(few, value - factor * below.mean(few), np.full(5, 1e-4)))
    chained = Chained(below, factor, own)
    places = rng.random((100, 2))
    error = np.abs(chained.mean(places) - (3 * bumps(places) + 0.1))
    assert error.mean() < 0.3
    assert np.all(chained.variance(places) >= own.variance(places))


@pytest.mark.parametrize("n", [4, 30])
def test_noise_is_seldom_taken_for_a_signal_and_a_signal_is_seen(n: int) -> None:
    x = np.random.default_rng(0).random((40, 2))
    shares = np.full(40, 0.01)
    alarms = sum(has_signal(hits(x, shares, n, seed), SHARE) for seed in range(200))
    assert alarms <= 4
    shares[7] = 0.6
    seen = sum(has_signal(hits(x, shares, max(n, 12), seed), SHARE) for seed in range(50))
    assert seen >= 45


def test_many_good_places_are_as_much_of_a_signal_as_one() -> None:
    x = np.linspace(0, 1, 30)
    shares = np.where(x > 0.5, 0.4, 0.05)
    assert all(has_signal(hits(x, shares, 20, seed), SHARE) for seed in range(20))
    alike = [has_signal(hits(x, np.full(30, 0.3), 20, seed), SHARE) for seed in range(200)]
    assert sum(alike) <= 4


def test_readings_that_differ_by_their_errors_only_are_no_signal() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((30, 2))
    aim = Aim("y")
    alarms = sum(has_signal(table(x, rng.normal(5, 0.1, 30), 0.1), aim) for _ in range(200))
    assert alarms <= 3
    assert has_signal(table(x, 5 + np.eye(30)[3], 0.1), aim)
    assert has_signal(table(x, rng.normal(5, 0.1, 30)), aim)


def test_the_search_finds_peaks_sooner_than_a_sequence() -> None:
    def found_at(seed: int, *, search: bool) -> int:
        rng = np.random.default_rng(seed)
        center, tried = rng.beta(3, 3, 4), np.zeros((0, 4))
        peaks = PeakSearch(4, seed)
        sequence = qmc.Sobol(4, rng=np.random.default_rng(seed)).random(32)
        for number in range(30):
            quiet = np.zeros(number)
            place = sequence[number]
            if search:
                place = peaks.next_place(tried, quiet, quiet + 1, lambda x: x, rng)
            if np.sum((place - center) ** 2) < 0.3**2:
                return number
            tried = np.concatenate([tried, place[None]])
        return 30

    searched = np.mean([found_at(seed, search=True) for seed in range(20)])
    sequenced = np.mean([found_at(seed, search=False) for seed in range(20)])
    assert searched < 0.7 * sequenced


def test_a_faint_rise_draws_the_search_to_it() -> None:
    peaks, rng = PeakSearch(2, 0), np.random.default_rng(0)
    tried = rng.random((12, 2))
    deviation = np.zeros(12)
    deviation[4] = 3.0
    place = peaks.next_place(tried, deviation, np.ones(12), lambda x: x, rng)
    assert np.linalg.norm(place - tried[4]) < 0.35


def test_a_flight_goes_where_most_is_seen_on_the_way() -> None:
    peaks, rng = PeakSearch(2, 0), np.random.default_rng(0)
    # Here nothing is; the middle is on the way to the other corner, and not on that along a side.
    tried = np.zeros((1, 2))

    def flight(x: Float) -> Flight:
        parts = np.linspace(0.2, 1, 5)[:, None]
        return Flight(x[:, None] * parts, np.full(len(x), 1.0))

    ends = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    place = peaks.next_place(tried, np.zeros(1), np.ones(1), lambda x: ends, rng, flight=flight)
    assert place.tolist() == [1.0, 1.0]


KNOBS = {"x": Range(0.0, 10.0, step=0.5), "y": Range(-1.0, 1.0, max_step=0.2)}


@given(st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)), min_size=1, max_size=30))
@settings(max_examples=60)
def test_allowed_places_are_within_every_bound(points: list[tuple[float, float]]) -> None:
    problem = Problem(
        KNOBS,
        (Aim("hits"),),
        keep_out=(KeepOutBox({"x": (2.0, 4.0), "y": (0.0, 1.0)}),),
        linear=(LinearLimit({"x": 1.0, "y": 1.0}, below=8.0),),
    )
    grounds = Grounds(problem)
    here = np.array([0.5, 0.4])
    allowed = grounds.allowed(np.array(points), here)
    x, y = grounds.places(allowed).T
    assert np.all(np.abs(x * 2 - np.rint(x * 2)) < 1e-9)
    assert np.all((x >= 0) & (x <= 10) & (np.abs(y) <= 1))
    assert np.all(np.abs(y - (-0.2)) <= 0.2)
    assert not np.any((x >= 2) & (x <= 4) & (y >= 0))
    assert np.all(x + y <= 8 + 1e-9)


def test_the_way_takes_as_long_as_its_slowest_knob() -> None:
    knobs = {"x": Range(0.0, 10.0, speed=5.0), "y": Range(0.0, 1.0, speed=1.0)}
    grounds = Grounds(Problem(knobs, (Aim("hits"),), rest_s=0.1))
    times = grounds.travel_s(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.zeros(2))
    assert times.tolist() == pytest.approx([2.1, 1.1, 0.1])


def test_on_the_way_each_knob_stops_when_it_is_there() -> None:
    knobs = {"x": Range(0.0, 10.0, speed=5.0), "y": Range(0.0, 1.0, speed=1.0)}
    grounds = Grounds(Problem(knobs, (Aim("hits"),)))
    ends = np.array([[1.0, 0.5], [0.0, 0.0]])
    way = grounds.on_the_way(ends, np.zeros(2), 4)
    assert way[0].ravel().tolist() == pytest.approx([0.25, 0.5, 0.5, 0.5, 0.75, 0.5, 1.0, 0.5])
    assert way[:, -1].tolist() == ends.tolist()


def dosed(limit: OutcomeLimit, xs: Float) -> Fence:
    """Learn a limited quantity that rises along x."""
    ledger = Ledger(Problem({"x": Range(0.0, 1.0)}, (Aim("y"),), limits=(limit,)))
    ledger.ingest([
        {"_id": f"p{number}", "x": x, "y": 0.0, "dose": 2 * x, "dose_sem": 0.02}
        for number, x in enumerate(xs.tolist())
    ])
    fence = Fence((limit,), "auto")
    fence.learn(ledger)
    return fence


def test_what_was_measured_to_be_safe_is_safe_and_far_beyond_is_not() -> None:
    fence = dosed(OutcomeLimit("dose", below=1.0), np.linspace(0, 0.4, 8))
    chance = fence.chance(np.array([[0.1], [0.35], [0.9]]))
    assert chance[0] >= 0
    assert chance[1] >= 0
    assert chance[2] < 0


def test_one_measurement_makes_its_neighbourhood_safe_only() -> None:
    fence = dosed(OutcomeLimit("dose", below=1.0), np.array([0.1]))
    places = np.linspace(0, 1, 101)[:, None]
    safe = places[fence.chance(places) >= 0, 0]
    assert 0.1 in safe
    assert safe.max() < 0.5


def test_the_edge_of_what_is_safe_is_what_widens_it() -> None:
    fence = dosed(OutcomeLimit("dose", below=1.0), np.linspace(0, 0.25, 4))
    beyond = np.array([[0.46]])
    worth = fence.widening(beyond, np.array([1.0]))(np.array([[0.0], [0.28]]), None)
    assert worth[1] >= worth[0]
    assert np.all(fence.widening(beyond, np.array([-1.0]))(np.array([[0.2]]), None) == 0)


@pytest.mark.parametrize("shots", [[119], [119, 20, 19, 13], [30, 10, 5], [300, 200]])
def test_zeros_at_one_place_do_not_make_all_places_safe(shots: list[int]) -> None:
    limit = OutcomeLimit("saturated", below=0.1, fraction=True)
    knobs = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}
    ledger = Ledger(Problem(knobs, (Aim("spots"),), limits=(limit,)))
    ledger.ingest([
        {"_id": f"p{number}", "x": 0.9, "y": 0.8, "saturated": 0.0, "spots": 1.0}
        | {"saturated_sem": 0.5 / count, "saturated_n": count}
        for number, count in enumerate(shots)
    ])
    fence = Fence((limit,), "auto")
    fence.learn(ledger)
    near, far = fence.chance(np.array([[0.9, 0.8], [0.1, 0.8]]))
    assert far < -0.05
    assert near > far + 0.1
