"""Draws that depend on seed and pulse id alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autosteer.sims._draws import PulseDraws, mix64, poisson_quantile, unit_interval

PULSES = np.arange(100_000, dtype=np.uint64)


def test_uniform_draws_are_uniform() -> None:
    uniform = PulseDraws(1, "test").uniform(PULSES, 0)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert 0 < uniform.min() < uniform.max() < 1
    assert len(np.unique(uniform)) == len(uniform)


def test_normal_draws_are_normal() -> None:
    assert stats.kstest(PulseDraws(1, "test").normal(PULSES, 0), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, "test", 0), (2, "test", 0)),
        ((1, "test", 0), (1, "other", 0)),
        ((1, "test", 0), (1, "test", 1)),
    ],
    ids=["seed", "stream", "draw"],
)
def test_draws_of_another_seed_stream_or_number_are_independent(
    first: tuple[int, str, int], second: tuple[int, str, int]
) -> None:
    one, two = (
        PulseDraws(seed, stream).normal(PULSES, draw) for seed, stream, draw in (first, second)
    )
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(len(PULSES))


@pytest.mark.parametrize("stride", [1, 2, 3, 2**20, 2**40])
def test_neighbouring_pulses_are_independent(stride: int) -> None:
    pulses = PULSES[:20_000] * np.uint64(stride)
    normal = PulseDraws(3, "test").normal(pulses, 0)
    assert abs(np.corrcoef(normal[1:], normal[:-1])[0, 1]) < 5 / np.sqrt(len(pulses))


def test_a_slice_gives_the_same_numbers_as_single_draws() -> None:
    draws = PulseDraws(1, "test")
    together = draws.uniform(PULSES[:50], slice(3, 6))
    apart = np.stack([draws.uniform(PULSES[:50], draw) for draw in (3, 4, 5)])
    np.testing.assert_array_equal(together, apart)


@given(bits=st.integers(0, 2**64 - 1))
def test_uniform_numbers_never_reach_the_ends(bits: int) -> None:
    for extreme in (bits, 0, 2**64 - 1):
        uniform = unit_interval(np.array([extreme], dtype=np.uint64))
        assert 0 < uniform[0] < 1


@given(values=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=50, unique=True))
def test_mixing_is_one_to_one(values: list[int]) -> None:
    assert len(np.unique(mix64(np.array(values, dtype=np.uint64)))) == len(values)


@given(mean=st.floats(0, 60), uniform=st.floats(1e-9, 1 - 1e-9))
def test_poisson_quantile_agrees_with_scipy(mean: float, uniform: float) -> None:
    count = poisson_quantile(np.array([uniform]), mean)[0]
    # At a step of the distribution the last bit decides: its neighbourhood must agree.
    below, above = stats.poisson.ppf([uniform * (1 - 1e-9), uniform * (1 + 1e-12)], mean)
    assert max(below, 0) <= count <= above


def test_poisson_quantile_ends_where_rounding_leaves_the_sum_short_of_one() -> None:
    counts = poisson_quantile(np.array([1 - 2.0**-53]), 0.1)
    assert counts[0] < 200


@pytest.mark.parametrize("mean", [-0.1, 701.0, np.nan])
def test_impossible_poisson_means_are_refused(mean: float) -> None:
    with pytest.raises(ValueError, match="Poisson means"):
        poisson_quantile(np.array([0.5]), mean)


def test_generators_belong_to_pulse_and_stream() -> None:
    draws = PulseDraws(1, "test")
    again = draws.generator(2**56 - 1).random(4)
    np.testing.assert_array_equal(again, draws.generator(2**56 - 1).random(4))
    assert not np.array_equal(again, draws.generator(2**56 - 2).random(4))
    assert not np.array_equal(again, PulseDraws(1, "other").generator(2**56 - 1).random(4))
