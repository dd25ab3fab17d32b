"""Wander and clogging as functions of time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosteer.sims._processes import OrnsteinUhlenbeck, RandomTelegraph, SlowWander


def wander(rms: float = 3.0, correlation_time_s: float = 5.0) -> OrnsteinUhlenbeck:
    return OrnsteinUhlenbeck(rms, correlation_time_s, np.random.default_rng(7))


def clogs(rate_per_s: float = 0.2, mean_on_s: float = 3.0) -> RandomTelegraph:
    return RandomTelegraph(rate_per_s, mean_on_s, np.random.default_rng(7))


@pytest.mark.parametrize("correlation_time_s", [0.5, 5.0])
def test_wander_has_its_rms_and_correlation_time(correlation_time_s: float) -> None:
    step_s = correlation_time_s / 4
    values = wander(3.0, correlation_time_s).at(
        np.linspace(0, 40_000 * step_s, 40_000, endpoint=False)
    )
    assert values.std() == pytest.approx(3.0, rel=0.05)
    assert abs(values.mean()) < 0.15
    for lag in (1, 4, 8):
        correlation = np.corrcoef(values[lag:], values[:-lag])[0, 1]
        assert correlation == pytest.approx(np.exp(-lag / 4), abs=0.04)


def test_wander_is_continuous() -> None:
    values = wander().at(np.arange(0, 10, 0.001))
    assert np.abs(np.diff(values)).max() < 0.05


def test_no_wander_stays_at_zero() -> None:
    assert not wander(rms=0.0).at(np.linspace(0, 1e6, 5)).any()


@given(times=st.lists(st.floats(0, 3000), min_size=1, max_size=30))
@settings(max_examples=30)
def test_values_do_not_depend_on_what_was_asked_before(times: list[float]) -> None:
    together = np.array(times)
    one_wander, one_clogs = wander(), clogs()
    apart = [(one_wander.at(t[None])[0], one_clogs.is_on(t[None])[0]) for t in together]
    np.testing.assert_array_equal(wander().at(together), [pair[0] for pair in apart])
    np.testing.assert_array_equal(clogs().is_on(together), [pair[1] for pair in apart])


def test_clogs_take_their_share_of_time() -> None:
    times = np.arange(0, 50_000, 0.1)
    on = clogs(0.2, 3.0).is_on(times)
    assert not on[0]
    assert on.mean() == pytest.approx(0.2 * 3 / (1 + 0.2 * 3), abs=0.02)
    starts = np.count_nonzero(on[1:] & ~on[:-1])
    assert starts / times[-1] == pytest.approx(1 / (1 / 0.2 + 3), rel=0.05)


def test_without_a_rate_nothing_clogs() -> None:
    never = clogs(rate_per_s=0.0)
    assert not never.is_on(np.linspace(0, 1e9, 100)).any()
    assert never.longest_s == np.inf


def test_a_slow_wander_has_its_rms_and_length_at_any_pulse() -> None:
    values = []
    for seed in range(60):
        one = SlowWander(2.0, 1000.0, seed, "test")
        pulses = np.uint64(10**15) + np.arange(0, 100_000, 50, dtype=np.uint64)
        here = one.at(pulses)
        values.append(here)
        # Within a twentieth of its shortest length it hardly moves.
        assert np.abs(np.diff(here)).max() < 0.5
        np.testing.assert_array_equal(here[7:9], one.at(pulses[7:9]))
    assert np.std(values) == pytest.approx(2.0, rel=0.1)
    assert not SlowWander(0.0, 1000.0, 1, "test").at(pulses).any()
