"""The measures of a course, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from hypothesis import given
from hypothesis import strategies as st

from autosteer.bench import Course
from autosteer.bench.metrics import (
    Proportion,
    Spread,
    band,
    cost_to_hold,
    cumulative_regret,
    held_from,
    hypervolume,
    hypervolume_share,
    lost_beam_s,
    on_grid,
    regret_of_recommended,
    simple_regret,
)
from tests.bench.courses import course

NAN, INF = float("nan"), float("inf")

shares = st.one_of(st.just(NAN), st.floats(-2, 1))
courses = st.lists(st.tuples(shares, shares), min_size=2, max_size=30).map(
    lambda moments: course(*zip(*[(NAN if a != a else r, a) for r, a in moments], strict=True))
)


def test_simple_regret_is_that_of_the_newest_moment_that_counts() -> None:
    assert simple_regret(course([NAN, 0.5, 0.9], [0.1, 0.1, 0.1])) == pytest.approx(0.1)
    # The jet is clogged at the end: what was recommended before counts.
    clogged = course([NAN, 0.75, NAN], [0.1, 0.1, NAN])
    assert regret_of_recommended(clogged).tolist() == [1, 0.25, 0.25]
    # Nothing recommended, nothing gained.
    assert simple_regret(course([NAN, NAN], [0.9, 0.9])) == 1


def test_cumulative_regret_is_the_mean_over_the_time_that_counts() -> None:
    one = course([0, 0, 0, 0, 0], [0.0, 0.2, NAN, 0.6, 1.0])
    assert lost_beam_s(one).tolist() == pytest.approx([0, 0.8, 0.8, 1.2, 1.2])
    assert cumulative_regret(one) == pytest.approx((0.8 + 0.4 + 0) / 3)
    assert np.isnan(cumulative_regret(course([0, 0], [NAN, NAN])))


@pytest.mark.parametrize(
    ("recommended", "actual", "moment"),
    [
        ([NAN, 0.5, 0.96, 0.97], [0.1] * 4, 2),
        # Reached, lost, and reached again: the second time counts.
        ([0.96, 0.5, 0.96, 0.97], [0.1] * 4, 2),
        ([0.96, 0.97, 0.96, 0.5], [0.1] * 4, None),
        ([0.96, 0.97, NAN, NAN], [0.1, 0.1, NAN, NAN], 0),
        ([NAN, NAN, 0.97, 0.97], [NAN, 0.1, NAN, 0.1], 3),
        ([NAN, NAN], [NAN, NAN], None),
        ([1.0, 1.0], [0.1, 0.1], 0),
    ],
)
def test_a_level_counts_from_when_it_is_held(
    recommended: list[float], actual: list[float], moment: int | None
) -> None:
    one = course(recommended, actual)
    assert held_from(one, 0.95) == moment
    expected = [INF, INF, INF] if moment is None else [moment, 10 * moment, moment // 2]
    assert [cost_to_hold(one, 0.95, axis) for axis in ("beam_s", "shots", "moves")] == expected
    assert np.isnan(cost_to_hold(one, 0.95, "sample_ul"))


@given(courses, st.floats(0, 1), st.floats(0, 1))
def test_what_is_held_follows_from_the_regret(one: Course, level: float, other: float) -> None:
    moment = held_from(one, level)
    attainable = ~np.isnan(one.share_actual)
    if moment is not None:
        after = regret_of_recommended(one)[moment:][attainable[moment:]]
        assert (after <= 1 - level + 1e-12).all()
        earlier = np.flatnonzero(attainable[:moment])
        assert not len(earlier) or not one.share_recommended[earlier[-1]] >= level
    elif attainable.any():
        assert not one.share_recommended[attainable][-1] >= level
    # A higher level is not held earlier.
    low, high = sorted((level, other))
    costs = [cost_to_hold(one, each, "beam_s") for each in (low, high)]
    assert costs[0] <= costs[1]


@given(st.lists(st.one_of(st.just(INF), st.floats(-1e6, 1e6)), min_size=1, max_size=20))
def test_quartiles_are_in_order_and_those_of_numpy_where_all_is_finite(values: list[float]) -> None:
    spread = Spread.of([*values, NAN])
    assert spread.low <= spread.median <= spread.high
    if np.isfinite(values).all():
        expected = np.quantile(values, [0.25, 0.5, 0.75])
        assert [spread.low, spread.median, spread.high] == pytest.approx(expected, abs=1e-6)


def test_quartiles_among_runs_that_never_got_there() -> None:
    assert Spread.of([1, 2, INF]) == Spread(2, 1.5, INF)
    assert Spread.of([1, INF]) == Spread(INF, INF, INF)
    assert np.isnan(Spread.of([NAN]).median)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_those_of_wilson(counts: tuple[int, int]) -> None:
    made = Proportion.of(*counts)
    expected = scipy.stats.binomtest(*counts).proportion_ci(method="wilson")
    assert (made.low, made.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_nothing_no_proportion_is_known() -> None:
    # Newcombe 1998, table I: 81 of 263.
    newcombe = Proportion.of(81, 263)
    assert (newcombe.low, newcombe.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert Proportion.of(0, 0) == Proportion(0, 0, 0.0, 1.0)


@given(
    st.integers(1, 4).flatmap(
        lambda k: st.lists(
            st.lists(st.floats(-1, 2, width=32), min_size=k, max_size=k), min_size=1, max_size=8
        )
    )
)
def test_hypervolumes_are_those_of_botorch(points: list[list[float]]) -> None:
    given_points = np.array(points)
    reference = np.zeros(given_points.shape[1])
    made = hypervolume(given_points, reference)
    if given_points.shape[1] == 1:
        assert made == pytest.approx(max(given_points.max(), 0))
    else:
        # BoTorch wants a front.
        beaten = [
            any((other >= one).all() and (other > one).any() for other in given_points)
            for one in given_points
        ]
        front = np.unique(given_points[~np.array(beaten)], axis=0)
        expected = Hypervolume(torch.zeros(given_points.shape[1])).compute(torch.tensor(front))
        assert made == pytest.approx(expected, abs=1e-6)


def test_a_place_that_breaks_a_limit_dominates_nothing() -> None:
    front = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    values = np.array([[0.5, 0.5], [1.0, 1.0]])
    one = course([0, 0], front=front, point_values=values, point_violated=np.array([False, True]))
    assert hypervolume_share(one) == pytest.approx(1)
    lower = course(
        [0, 0], front=front, point_values=0.8 * values[:1], point_violated=np.zeros(1, bool)
    )
    assert hypervolume_share(lower) == pytest.approx(0.16 / 0.25)
    assert np.isnan(hypervolume_share(course([0, 0])))


def test_values_are_read_off_at_the_newest_moment_that_had_cost_no_more() -> None:
    costs, values = np.array([0, 1, 1, 4]), np.array([1.0, 0.8, 0.6, 0.2])
    read = on_grid(costs, values, np.array([0, 0.5, 1, 3.9, 4, 9]))
    assert read.tolist() == [1.0, 1.0, 0.6, 0.6, 0.2, 0.2]
    median, low, high = band([read, read + 1, read + 2])
    assert median.tolist() == pytest.approx((read + 1).tolist())
    assert (high - low).tolist() == pytest.approx([1.0] * 6)
