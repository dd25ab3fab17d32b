"""The wire: what is encoded comes back, and nothing that comes can do harm."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.contracts import (
    Header,
    OutOfOrderError,
    StaleRunError,
    UnknownSchemaError,
    WireError,
    WireSizeError,
    WireVersionError,
    schema_hash,
)
from autosteer.contracts.messages import MAX_HEADER_BYTES, MAX_TABLE_BYTES
from autosteer.stream import (
    Receiver,
    SchemaBook,
    decode,
    decode_frames,
    encode_frames,
    encode_heartbeat,
    encode_table,
    frames_info,
)
from tests.stream.tables import RUN, header_of, machine


@given(st.lists(st.integers(0, 2**63), unique=True, max_size=50), st.floats(width=32))
def test_table_round_trip(pulse_ids: list[int], intensity: float) -> None:
    batch = machine([n // SHOT for n in pulse_ids], intensity)
    message = decode(encode_table(header_of(batch), batch))
    back = SchemaBook().decode_table(message)
    assert back.schema.equals(batch.schema)
    # Equal to the bit: NaN, infinities and denormals included.
    for one, other in zip(back.columns, batch.columns, strict=True):
        assert one.to_numpy().tobytes() == other.to_numpy().tobytes()


SHOT = 10_000_000


@given(
    st.sampled_from(["<u2", "<i4", "<f4", "|u1"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 3),
)
def test_frames_round_trip_without_a_copy(dtype: str, shape: list[int], n: int) -> None:
    frames = np.arange(n * np.prod(shape)).astype(dtype).reshape(n, *shape)
    header = header_of(machine([]), "frames", message="frames", n=n).model_copy(
        update={"frames": frames_info(frames)}
    )
    parts = encode_frames(header, frames)
    message = decode(parts)
    back = decode_frames(message)
    assert back.dtype == frames.dtype
    assert np.array_equal(back, frames)
    assert frames.size == 0 or np.shares_memory(back, np.frombuffer(message.body, np.uint8))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_refused_and_counted(parts: list[bytes]) -> None:
    receiver = Receiver(RUN)
    assert receiver.accept(parts) is None
    assert sum(receiver.refused.values()) == 1


@given(st.data())
def test_a_damaged_message_is_refused_or_read_as_its_kind(data: st.DataObject) -> None:
    batch = machine([1, 2, 3])
    parts = [bytearray(bytes(part)) for part in encode_table(header_of(batch), batch)]
    for _ in range(data.draw(st.integers(1, 6))):
        part = parts[data.draw(st.integers(0, 2))]
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    receiver = Receiver(RUN)
    received = receiver.accept([bytes(part) for part in parts])
    if received is None:
        assert sum(receiver.refused.values()) == 1
    elif received.batch is not None:
        assert received.batch.schema.equals(batch.schema)
        assert received.batch.num_rows == received.header.n
        for column in received.batch.columns:
            column.to_numpy(zero_copy_only=False)


def with_header(changes: dict[str, object]) -> list[bytes]:
    batch = machine([1])
    topic, head, body = encode_table(header_of(batch), batch)
    fields = json.loads(bytes(head)) | changes
    return [bytes(topic), json.dumps(fields).encode(), bytes(body)]


def test_another_major_version_is_refused_as_such() -> None:
    with pytest.raises(WireVersionError, match=r"wire version 2\.0"):
        decode(with_header({"wire": "2.0", "message": "novelty"}))


def test_a_newer_minor_version_with_new_fields_is_taken() -> None:
    message = decode(with_header({"wire": "1.7", "novelty": [1, 2, 3]}))
    assert message.header.wire == "1.7"


def test_oversized_parts_are_refused_before_they_are_read() -> None:
    with pytest.raises(WireSizeError, match="header"):
        decode([b"machine", b" " * (MAX_HEADER_BYTES + 1), b""])
    with pytest.raises(WireSizeError, match="body"):
        decode([*with_header({})[:2], bytes(MAX_TABLE_BYTES + 1)])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n": 70_000}, "n"),
        ({"n": -1}, "n"),
        ({"seq": -1}, "seq"),
        ({"kind": "indexing"}, "topic"),
        ({"message": "pickle"}, "message"),
        ({"source": "a b"}, "source"),
    ],
)
def test_a_bad_header_is_refused_with_the_field(changes: dict[str, object], text: str) -> None:
    with pytest.raises(WireError, match=text):
        decode(with_header(changes))


def test_a_row_count_that_is_not_the_headers_is_refused() -> None:
    with pytest.raises(WireError, match="1 rows, its header says 2"):
        SchemaBook().decode_table(decode(with_header({"n": 2})))


def test_frames_of_another_size_than_stated_are_refused() -> None:
    frames = np.zeros((1, 4, 4), np.uint16)
    header = header_of(machine([]), "frames", message="frames", n=2).model_copy(
        update={"frames": frames_info(frames)}
    )
    with pytest.raises(WireError, match="take 64"):
        decode_frames(decode(encode_frames(header, frames)))


def test_a_heartbeat_announces_a_wider_schema() -> None:
    wide = machine([1, 2]).append_column("laser_on", pa.array([True, False]))
    table = encode_table(header_of(wide), wide)
    book = SchemaBook()
    with pytest.raises(UnknownSchemaError, match="no heartbeat has announced"):
        book.decode_table(decode(table))
    beat = header_of(wide, message="heartbeat", n=0)
    book.learn(decode(encode_heartbeat(beat, wide.schema)))
    assert book.decode_table(decode(table)).column("laser_on").to_pylist() == [True, False]


def test_a_heartbeat_cannot_break_the_contract_of_its_kind() -> None:
    narrow = pa.schema([pa.field("pulse_id", pa.uint64())])
    beat = header_of(machine([]), message="heartbeat", n=0, schema_hash=schema_hash(narrow))
    with pytest.raises(WireError, match="lacks the column"):
        SchemaBook().learn(decode(encode_heartbeat(beat, narrow)))


def accept(receiver: Receiver, header: Header) -> bool:
    return receiver.accept(encode_table(header, machine([1]))) is not None


def test_stale_runs_and_repeats_are_refused_and_gaps_counted() -> None:
    errors: list[WireError] = []
    receiver = Receiver(RUN, errors.append)
    batch = machine([1])
    assert not accept(receiver, header_of(batch, run_uid="run-0"))
    assert accept(receiver, header_of(batch, seq=0))
    assert not accept(receiver, header_of(batch, seq=0))
    assert accept(receiver, header_of(batch, seq=5))
    assert [type(error) for error in errors] == [StaleRunError, OutOfOrderError]
    counters = receiver.counters["source", "machine"]
    assert (counters.messages, counters.shots, counters.lost_messages) == (2, 2, 4)
    assert receiver.refused == {"StaleRunError": 1, "OutOfOrderError": 1}


def test_a_restarted_producer_counts_anew_and_its_old_self_is_stale() -> None:
    receiver = Receiver(RUN)
    batch = machine([1])
    assert accept(receiver, header_of(batch, seq=7))
    assert accept(receiver, header_of(batch, boot_uid="boot-2", seq=0))
    assert not accept(receiver, header_of(batch, seq=8))
    counters = receiver.counters["source", "machine"]
    assert (counters.restarts, counters.lost_messages) == (1, 7)


def test_a_heartbeat_shows_loss_at_the_tail() -> None:
    receiver = Receiver(RUN)
    batch = machine([1])
    assert accept(receiver, header_of(batch, seq=0))
    beat = header_of(batch, message="heartbeat", seq=3, n=0, dropped=40)
    assert receiver.accept(encode_heartbeat(beat, batch.schema)) is not None
    counters = receiver.counters["source", "machine"]
    assert (counters.lost_messages, counters.dropped_shots) == (2, 40)
