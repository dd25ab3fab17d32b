"""The join: against an oracle, and every row accounted for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.stream import Channel, JoinedShots, RingJoin
from tests.stream.tables import SHOT_NS, indexing, machine

CHANNELS = [Channel("machine", ("beam_intensity",)), Channel("indexing", ("hit", "n_spots"))]
SECOND = 1_000_000_000


def two_channels(slots: int = 64, stride: int = 1) -> RingJoin:
    return RingJoin(CHANNELS, slots, stride, deadline_s=1.0, silent_after_s=0.5)


def feed(join: RingJoin, kind: str, pulse_ids: list[int], now_ns: int = 0) -> None:
    batch = machine(pulse_ids) if kind == "machine" else indexing(pulse_ids)
    join.add(kind, batch, now_ns)
    join.heard(kind, f"{kind}-source", max(pulse_ids, default=0), now_ns)


def conserved(join: RingJoin) -> bool:
    return all(
        c.rows_in == c.joined + c.duplicate + c.late + c.future + c.pending
        for c in join.counters.values()
    )


def test_complete_shots_come_out_in_order_with_their_values() -> None:
    join = two_channels()
    feed(join, "machine", [1, 2, 3])
    assert len(join.emit(0)) == 0
    feed(join, "indexing", [1, 2])
    shots = join.emit(0)
    assert shots.pulse_id.tolist() == [1, 2]
    assert shots.timestamp_ns.tolist() == [SHOT_NS, 2 * SHOT_NS]
    assert shots.columns["indexing.hit"].tolist() == [1.0, 1.0]
    assert shots.columns["machine.beam_intensity"].tolist() == [1.0, 1.0]
    assert shots.present["indexing"].all()
    assert conserved(join)


def test_a_shot_that_one_channel_left_out_comes_with_a_hole() -> None:
    join = two_channels()
    feed(join, "machine", [1, 2, 3])
    feed(join, "indexing", [1, 3])
    shots = join.emit(0)
    assert shots.pulse_id.tolist() == [1, 2, 3]
    assert shots.present["indexing"].tolist() == [True, False, True]
    assert np.isnan(shots.columns["indexing.hit"][1])


def test_a_silent_channel_holds_shots_only_until_it_counts_as_silent() -> None:
    join = two_channels()
    feed(join, "machine", [1])
    feed(join, "indexing", [1])
    assert len(join.emit(0)) == 1
    feed(join, "machine", [2, 3], now_ns=SECOND // 10)
    assert len(join.emit(SECOND // 10)) == 0
    join.heard("machine", "machine-source", 3, SECOND * 6 // 10)
    shots = join.emit(SECOND * 6 // 10)
    assert shots.pulse_id.tolist() == [2, 3]
    assert not shots.present["indexing"].any()
    # When it comes back, what is too late is counted, and it holds shots again.
    feed(join, "indexing", [2, 3, 4], now_ns=SECOND * 7 // 10)
    assert join.counters["indexing"].late == 2
    assert len(join.emit(SECOND * 7 // 10)) == 0
    assert conserved(join)


def test_a_channel_that_has_never_spoken_holds_shots_until_the_deadline() -> None:
    join = two_channels()
    feed(join, "machine", [1, 2])
    assert len(join.emit(SECOND - 1)) == 0
    assert join.emit(SECOND).pulse_id.tolist() == [1, 2]


def test_the_slowest_of_several_producers_of_a_channel_holds_shots() -> None:
    join = two_channels()
    feed(join, "machine", [1, 2, 3, 4])
    join.add("indexing", indexing([2, 4]), 0)
    join.heard("indexing", "worker-1", 4, 0)
    join.heard("indexing", "worker-0", 0, 0)
    assert len(join.emit(0)) == 0
    join.add("indexing", indexing([1, 3]), 0)
    join.heard("indexing", "worker-0", 3, 0)
    assert join.emit(0).pulse_id.tolist() == [1, 2, 3]
    join.ended("indexing", "worker-0")
    assert join.emit(0).pulse_id.tolist() == [4]


def test_duplicates_lose_against_the_first_and_are_counted() -> None:
    join = two_channels()
    join.add("machine", machine([5, 5, 6], 1.0), 0)
    join.add("machine", machine([6, 7], 2.0), 0)
    shots = join.flush()
    assert shots.columns["machine.beam_intensity"].tolist() == [1.0, 1.0, 2.0]
    assert join.counters["machine"].duplicate == 2
    assert conserved(join)


def test_one_stray_pulse_id_does_not_move_the_ring() -> None:
    join = two_channels(slots=16)
    feed(join, "machine", [1, 2])
    feed(join, "machine", [10**15])
    feed(join, "machine", [3])
    assert join.counters["machine"].future == 1
    assert join.flush().pulse_id.tolist() == [1, 2, 3]
    assert join.reanchored == 0
    assert conserved(join)


@pytest.mark.parametrize("jump_to", [1000, 10_000_000])
def test_a_stream_that_has_moved_for_good_moves_the_ring(jump_to: int) -> None:
    join = two_channels(slots=64)
    start = 5_000_000
    feed(join, "machine", [start, start + 1])
    emitted: list[int] = []
    for step in range(10):
        feed(join, "machine", list(range(jump_to + 20 * step, jump_to + 20 * step + 20)))
        emitted += join.emit(2 * SECOND).pulse_id.tolist()
    assert join.reanchored == 1
    assert emitted[:2] == [start, start + 1]
    assert emitted[2] == jump_to + 40
    assert emitted[-1] == jump_to + 199
    assert conserved(join)


def test_pulse_ids_up_to_the_last_of_56_bits() -> None:
    join = two_channels()
    top = 2**56 - 1
    feed(join, "machine", [top - 1, top])
    feed(join, "indexing", [top - 1, top])
    assert join.emit(0).pulse_id.tolist() == [top - 1, top]


def test_low_rate_channel_leaves_holes_and_no_delay() -> None:
    join = two_channels()
    feed(join, "machine", list(range(1, 31)))
    feed(join, "indexing", [10, 20, 30])
    shots = join.emit(0)
    assert len(shots) == 30
    assert shots.pulse_id[shots.present["indexing"]].tolist() == [10, 20, 30]


@dataclass(frozen=True)
class Piece:
    kind: str
    pulse_ids: list[int]
    pause_ns: int


pieces = st.lists(
    st.builds(
        Piece,
        st.sampled_from(["machine", "indexing"]),
        st.lists(st.integers(1, 120), max_size=12),
        st.sampled_from([0, 0, SECOND // 20, SECOND // 3]),
    ),
    max_size=40,
)


@given(pieces, st.sampled_from([8, 64]), st.sampled_from([1, 2, 3]))
def test_every_row_is_accounted_for_whatever_comes(
    script: list[Piece], slots: int, stride: int
) -> None:
    join = two_channels(slots, stride)
    now_ns = 0
    out: list[JoinedShots] = []
    for piece in script:
        now_ns += piece.pause_ns
        feed(join, piece.kind, piece.pulse_ids, now_ns)
        out.append(join.emit(now_ns))
        assert conserved(join)
    out.append(join.flush())
    assert conserved(join)
    for kind, counters in join.counters.items():
        assert counters.pending == 0
        assert counters.joined == sum(int(shots.present[kind].sum()) for shots in out)
    if join.reanchored == 0:
        ids = np.concatenate([shots.pulse_id for shots in out])
        assert np.all(ids[1:] > ids[:-1])


@given(st.permutations(range(1, 41)), st.permutations(range(1, 41)), st.integers(1, 13))
def test_any_interleaving_of_the_same_rows_gives_the_same_shots(
    first: list[int], second: list[int], size: int
) -> None:
    join = two_channels(slots=64)
    # The ring starts at the first row it sees: let that be the earliest.
    feed(join, "machine", [0])
    for start in range(0, 40, size):
        join.add("machine", machine(first[start : start + size]), 0)
        join.add("indexing", indexing(second[start : start + size]), 0)
    shots = join.flush()
    assert shots.pulse_id.tolist() == list(range(41))
    assert shots.present["machine"].all()
    assert shots.present["indexing"].tolist() == [False, *[True] * 40]
    assert conserved(join)


def test_memory_does_not_grow_with_a_stalled_channel() -> None:
    join = two_channels(slots=64)
    feed(join, "indexing", [1])
    for step in range(200):
        join.heard("indexing", "indexing-source", 1, step)
        feed(join, "machine", list(range(1 + step * 10, 11 + step * 10)), now_ns=step)
    assert join.counters["machine"].pending <= 64
    assert conserved(join)
