"""The front of several objectives: what is on it, its volume, and what a place would add."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from autosteer.bench.metrics import hypervolume
from autosteer.policies._frontier import Frontier, extent_of, reference_below, unbeaten

Float = NDArray[np.float64]

values = st.integers(1, 3).flatmap(
    lambda k: st.integers(1, 8).flatmap(
        lambda n: arrays(np.float64, (n, k), elements=st.integers(0, 9).map(float))
    )
)


@given(values)
@settings(max_examples=60, deadline=None)
def test_what_no_row_beats_is_the_front(rows: Float) -> None:
    front = rows[unbeaten(rows)]
    assert len(front)
    for row in rows:
        beaten_by = (rows >= row).all(axis=1) & (rows > row).any(axis=1)
        on_front = (front == row).all(axis=1).any()
        assert on_front != beaten_by.any()


@given(values, st.data())
@settings(max_examples=60, deadline=None)
def test_a_certain_place_adds_the_difference_of_two_volumes(
    rows: Float, data: st.DataObject
) -> None:
    k = rows.shape[1]
    more = data.draw(arrays(np.float64, (k,), elements=st.integers(0, 12).map(float)))
    reference = np.full(k, -1.0)
    frontier = Frontier(rows[unbeaten(rows)], reference)
    before = hypervolume(rows, reference)
    after = hypervolume(np.vstack([rows, more]), reference)
    assert frontier.volume == pytest.approx(before)
    [gain] = frontier.expected_gain(more[None], np.zeros((1, k)))
    assert gain == pytest.approx(after - before, abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_what_an_uncertain_place_adds_is_the_mean_over_what_it_may_be(k: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.random((7, k))
    reference = np.full(k, -0.1)
    frontier = Frontier(rows[unbeaten(rows)], reference)
    mean, sd = rng.random((4, k)), 0.3 * rng.random((4, k))
    gain = frontier.expected_gain(mean, sd)
    before = hypervolume(rows, reference)
    for one in range(4):
        draws = mean[one] + sd[one] * rng.standard_normal((4000, k))
        added = [hypervolume(np.vstack([rows, draw]), reference) - before for draw in draws]
        error = np.std(added) / np.sqrt(len(added))
        assert gain[one] == pytest.approx(np.mean(added), abs=4 * error + 1e-4)


def test_without_a_front_everything_above_the_reference_counts() -> None:
    frontier = Frontier(np.zeros((0, 2)), np.zeros(2))
    assert frontier.volume == 0
    gain = frontier.expected_gain(np.array([[2.0, 3.0], [-1.0, 3.0]]), np.zeros((2, 2)))
    assert gain == pytest.approx([6.0, 0.0])


def test_the_reference_lies_below_the_worst_of_the_front() -> None:
    front = np.array([[0.0, 10.0], [2.0, 5.0]])
    extent = extent_of(front, np.zeros((0, 2)))
    np.testing.assert_allclose(extent, [2, 5])
    np.testing.assert_allclose(reference_below(front, extent), [-0.2, 4.5])


def test_one_place_reaches_as_far_as_all_others_spread() -> None:
    one = np.array([[1.0, 1.0]])
    np.testing.assert_allclose(extent_of(one, np.array([[0.0, 1.0]])), [1, 1])
