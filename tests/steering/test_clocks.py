"""Times: pulse ids to times, and latencies to quantiles."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.contracts import Clock
from autosteer.steering.latency import LatencyHistogram
from autosteer.steering.pulse_clock import PulseClock
from autosteer.stream import RealClock, VirtualClock

START_NS = 1_700_000_000_000_000_000


def test_the_line_takes_the_jitter_out_and_states_it() -> None:
    rng = np.random.default_rng(3)
    clock = PulseClock()
    ids = np.arange(10**9, 10**9 + 2000, 2, dtype=np.uint64)
    true_ns = START_NS + (np.arange(1000) * 10_000_000).astype(np.int64)
    jitter_ns = rng.normal(0, 500_000, 1000).astype(np.int64)
    for part in np.array_split(np.arange(1000), 90):
        clock.update(ids[part], true_ns[part] + jitter_ns[part])
    found = clock.time_ns(ids[-200:], true_ns[-200:] + jitter_ns[-200:])
    assert np.abs(found - true_ns[-200:]).max() < 200_000
    assert 400_000 < clock.sigma_ns < 600_000


def test_before_there_is_a_line_the_time_stamps_hold() -> None:
    clock = PulseClock()
    ids, times = np.array([5], np.uint64), np.array([START_NS])
    clock.update(ids, times)
    assert clock.time_ns(ids, times).tolist() == [START_NS]


def test_a_jump_of_the_pulse_ids_begins_a_new_line() -> None:
    clock = PulseClock()
    ids = np.arange(100, dtype=np.uint64)
    times = START_NS + (np.arange(100) * 1000).astype(np.int64)
    clock.update(ids, times)
    far = ids + np.uint64(10**14)
    for _ in range(3):
        clock.update(far, times + 10**9)
    assert np.abs(clock.time_ns(far, times + 10**9) - (times + 10**9)).max() < 2


@given(st.lists(st.floats(1e-4, 500), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_are_good_to_two_percent(latencies: list[float], q: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(latencies[: len(latencies) // 2])
    histogram.add(latencies[len(latencies) // 2 :])
    exact = float(np.quantile(latencies, q, method="inverted_cdf"))
    assert exact / 1.0201 <= histogram.quantile(q) <= exact * 1.0201
    assert len(histogram) == len(latencies)


def test_clocks_that_disagree_do_not_break_the_histogram() -> None:
    histogram = LatencyHistogram()
    assert np.isnan(histogram.quantile(0.5))
    histogram.add([-3.0, 1e9])
    assert len(histogram) == 2
    edges, counts = histogram.counts()
    assert counts.sum() == 2
    assert len(edges) == len(counts) + 1


async def test_the_virtual_clock_wakes_sleepers_in_order() -> None:
    clock = VirtualClock(START_NS)
    assert isinstance(clock, Clock)
    assert isinstance(RealClock(), Clock)
    woken: list[str] = []

    async def sleeper(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append(name)

    tasks = [asyncio.create_task(sleeper("late", 2)), asyncio.create_task(sleeper("early", 1))]
    await asyncio.sleep(0)
    clock.advance(0.5)
    await asyncio.sleep(0)
    assert woken == []
    clock.advance(1.5)
    await asyncio.gather(*tasks)
    assert woken == ["early", "late"]
    assert clock.monotonic_s() == 2.0
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
