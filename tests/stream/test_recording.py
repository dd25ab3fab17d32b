"""Recordings: what was written comes back, and a cut-off segment gives what is whole."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosteer.contracts import Header, RecordingError, TruncatedSegmentError
from autosteer.stream import TableRecorder, read_segment, segments
from tests.stream.tables import header_of, indexing, machine


def test_each_stream_comes_back_in_order_with_its_headers(tmp_path: Path) -> None:
    recorder = TableRecorder(tmp_path)
    written: dict[str, list[tuple[Header, pa.RecordBatch]]] = {"machine": [], "indexing": []}
    for seq in range(5):
        for kind, batch in (("machine", machine([seq])), ("indexing", indexing([seq, seq + 10]))):
            header = header_of(batch, kind, seq=seq)
            recorder.write(header, batch)
            written[kind].append((header, batch))
    assert recorder.rows == {"machine": 5, "indexing": 10}
    recorder.close()
    paths = segments(tmp_path)
    assert [path.parent.name for path in paths] == ["indexing", "machine"]
    for path in paths:
        back = list(read_segment(path))
        assert [header for header, _ in back] == [h for h, _ in written[path.parent.name]]
        assert all(
            one.equals(other)
            for (_, one), (_, other) in zip(back, written[path.parent.name], strict=True)
        )


def test_segments_rotate_by_size_and_when_columns_change(tmp_path: Path) -> None:
    recorder = TableRecorder(tmp_path, segment_bytes=4000)
    batch = machine(list(range(100)))
    wide = batch.append_column("laser_on", pa.array([True] * 100))
    for seq, table in enumerate([batch, batch, batch, batch, wide]):
        recorder.write(header_of(table, seq=seq), table)
    recorder.close()
    paths = segments(tmp_path)
    assert len(paths) == 3
    assert [header.seq for path in paths for header, _ in read_segment(path)] == [0, 1, 2, 3, 4]


def test_a_second_recorder_goes_on_after_the_first(tmp_path: Path) -> None:
    for seq in range(3):
        recorder = TableRecorder(tmp_path)
        batch = machine([seq])
        recorder.write(header_of(batch, seq=seq), batch)
        # The first two were killed: they never closed their segments.
        if seq == 2:
            recorder.close()
    found = []
    for path in segments(tmp_path):
        with contextlib.suppress(TruncatedSegmentError):
            for header, _ in read_segment(path):
                found.append(header.seq)
    assert found == [0, 1, 2]


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    recorder = TableRecorder(folder)
    for seq in range(10):
        batch = machine(list(range(seq * 7, seq * 7 + 7)))
        recorder.write(header_of(batch, seq=seq), batch)
    recorder.close()
    return segments(folder)[0]


@given(cut=st.integers(1, 4000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_segment_cut_anywhere_gives_every_whole_batch_and_then_a_clear_error(
    segment: Path, tmp_path: Path, cut: int
) -> None:
    whole = segment.read_bytes()
    cut = min(cut, len(whole) - 1)
    path = tmp_path / "cut.arrows"
    path.write_bytes(whole[:-cut])
    given_first: list[tuple[Header, pa.RecordBatch]] = []
    with pytest.raises(TruncatedSegmentError, match=r"cut\.arrows"):
        given_first.extend(read_segment(path))
    assert all(batch.num_rows == 7 for _, batch in given_first)
    seqs = [header.seq for header, _ in given_first]
    assert seqs == list(range(len(seqs)))
    # A cut costs at most the batches that it touches.
    per_batch = len(whole) / 12
    assert len(seqs) >= 10 - (cut // per_batch + 2)


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.arrows"
    path.write_bytes(b"not arrow at all, but long enough to look at")
    with pytest.raises(RecordingError, match=r"x\.arrows is no Arrow IPC stream"):
        list(read_segment(path))


def test_an_unfinished_recording_can_be_read_while_it_grows(tmp_path: Path) -> None:
    recorder = TableRecorder(tmp_path)
    batch = machine([1, 2, 3])
    recorder.write(header_of(batch, seq=0), batch)
    given_first: list[tuple[Header, pa.RecordBatch]] = []
    with pytest.raises(TruncatedSegmentError, match="1 whole batches"):
        given_first.extend(read_segment(segments(tmp_path)[0]))
    assert [found.num_rows for _, found in given_first] == [3]
    recorder.close()
