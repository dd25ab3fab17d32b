"""Event building of arrays: channels that come late, twice, not at all or out of order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.stream import ArrayJoin, ArrayShots

NAMES = ["a", "b", "c"]
MS = 1_000_000
SHOT_NS = 1_000_000
WAIT_MS = 200


def join(stride: int = 1) -> ArrayJoin:
    return ArrayJoin(NAMES, 4, 64, stride, deadline_s=WAIT_MS / 1000)


def rows(channel: str, pulses: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Give rows that tell where they come from."""
    number = NAMES.index(channel)
    values = [[1000 * number + pulse % 100, number, pulse % 7, 1] for pulse in pulses]
    return np.array(values, dtype=np.uint16).reshape(len(pulses), 4)


def feed(one: ArrayJoin, channel: str, pulses: list[int], now_ms: int = 0) -> None:
    ids = np.array(pulses, dtype=np.uint64)
    one.add(channel, ids, ids.astype(np.int64) * SHOT_NS, rows(channel, pulses), now_ms * MS)
    one.heard(channel, f"source-{channel}", max(pulses), now_ms * MS)


def check(shots: ArrayShots) -> None:
    """Check that every row stands with its pulse and its channel."""
    assert (np.diff(shots.pulse_id.astype(np.int64)) > 0).all()
    for index, name in enumerate(NAMES):
        expected = rows(name, shots.pulse_id.tolist())
        there = ~np.isnan(shots.values[:, index, 0])
        np.testing.assert_array_equal(shots.values[there, index], expected[there])


def test_shots_are_given_when_they_are_whole() -> None:
    one = join()
    feed(one, "a", [5, 6, 7])
    feed(one, "b", [5, 6])
    assert len(one.emit(0)) == 0
    feed(one, "c", [5, 6, 7])
    shots = one.emit(0)
    assert shots.pulse_id.tolist() == [5, 6]
    assert shots.timestamp_ns.tolist() == [5 * SHOT_NS, 6 * SHOT_NS]
    assert shots.values.dtype == np.float32
    assert not np.isnan(shots.values).any()
    check(shots)
    feed(one, "b", [7])
    assert one.emit(0).pulse_id.tolist() == [7]


def test_messages_that_overtake_each_other_are_put_together() -> None:
    one = join()
    for channel in NAMES:
        feed(one, channel, [1])
    assert len(one.emit(0)) == 1
    feed(one, "a", [2, 3])
    feed(one, "a", [4, 5])
    feed(one, "b", [4, 5])
    feed(one, "c", [4, 5])
    # All channels have come to 5; what they have left out before may still be on its way.
    assert len(one.emit(0)) == 0
    feed(one, "c", [2, 3])
    feed(one, "b", [2, 3])
    shots = one.emit(MS)
    assert shots.pulse_id.tolist() == [2, 3, 4, 5]
    assert not np.isnan(shots.values).any()


def test_a_channel_that_does_not_come_is_nan_after_the_deadline() -> None:
    one = join()
    for channel in NAMES:
        feed(one, channel, [1])
    one.emit(0)
    feed(one, "a", [2, 3], 10)
    feed(one, "c", [2, 3], 10)
    feed(one, "b", [3], 10)
    assert len(one.emit((WAIT_MS + 9) * MS)) == 0
    shots = one.emit((WAIT_MS + 10) * MS)
    assert shots.pulse_id.tolist() == [2, 3]
    assert np.isnan(shots.values[0, 1]).all()
    assert not np.isnan(shots.values[1]).any()
    feed(one, "b", [2], WAIT_MS + 11)
    assert one.counters["b"].late == 1


def test_pulses_that_no_channel_gives_are_not_waited_for() -> None:
    one = join(stride=2)
    for channel in NAMES:
        feed(one, channel, [2, 4, 10])
    assert one.emit(0).pulse_id.tolist() == [2, 4, 10]


def test_a_silent_channel_is_not_waited_for() -> None:
    one = join()
    for channel in NAMES:
        feed(one, channel, [1])
    one.emit(0)
    feed(one, "a", [2], 3000)
    feed(one, "b", [2], 3000)
    assert one.emit(3000 * MS).pulse_id.tolist() == [2]


def test_a_full_counter_is_infinite() -> None:
    one = ArrayJoin(["a"], 3, 8)
    ids = np.array([1], dtype=np.uint64)
    one.add("a", ids, np.zeros(1, np.int64), np.array([[1, 255, 0]], dtype=np.uint8), 0)
    one.heard("a", "source", 1, 0)
    assert one.emit(0).values.tolist() == [[[1.0, np.inf, 0.0]]]


def test_rows_of_another_length_are_an_error() -> None:
    one = join()
    ids = np.array([1], dtype=np.uint64)
    with pytest.raises(ValueError, match=r"channel 'a' gives rows of shape \(1, 3\)"):
        one.add("a", ids, np.zeros(1, np.int64), np.zeros((1, 3), np.uint16), 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(1, 40), st.integers(1, 4)),
        max_size=60,
    ),
    st.integers(0, 5),
)
def test_nothing_is_given_twice_or_mixed_up(
    messages: list[tuple[str, int, int]], every: int
) -> None:
    one, given_shots = join(), []
    for step, (channel, first, length) in enumerate(messages):
        feed(one, channel, list(range(first, first + length)), step)
        if every and step % every == 0:
            given_shots.append(one.emit(step * MS))
    given_shots.append(one.emit((len(messages) + 2 * WAIT_MS) * MS))
    given_shots.append(one.flush())
    for shots in given_shots:
        check(shots)
    pulses = [pulse for shots in given_shots for pulse in shots.pulse_id.tolist()]
    assert pulses == sorted(set(pulses))
    for counters in one.counters.values():
        assert counters.pending == 0
        assert counters.rows_in == (
            counters.joined + counters.duplicate + counters.late + counters.future
        )
    present = sum(int((~np.isnan(shots.values[:, :, 0])).sum()) for shots in given_shots)
    assert present == sum(counters.joined for counters in one.counters.values())


def test_rows_that_the_ring_refuses_are_not_kept() -> None:
    one = join()
    for channel in NAMES:
        feed(one, channel, [1])
    one.emit(0)
    for stray in range(1000):
        feed(one, "a", [10**6 + stray * 10**4])
        feed(one, "a", [2 + stray % 3])
    assert one.counters["a"].future >= 900
    assert one.rows_held <= 3
