"""The truth on disk, also of runs that were cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.sims import JET_TRUTH, JetBeamline, ShotTruth, TruthLog, read_truth
from tests.sims.beamlines import sfx

BATCHES = (5, 1, 7)


def shots(first: int, count: int) -> ShotTruth:
    pulses = np.arange(first, first + count, dtype=np.uint64)
    return JetBeamline(sfx(), 3).shots(pulses, pulses / 120.0, {"x": 0.01})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "whole.arrows"
    with TruthLog(path, JET_TRUTH) as log:
        first = 0
        for count in BATCHES:
            log.append(shots(first, count), np.arange(first, first + count) * 10)
            first += count
    return path


def test_what_was_written_is_read_back(whole: Path) -> None:
    read, expected = read_truth(whole), shots(0, sum(BATCHES))
    assert read.complete
    assert len(read) == sum(BATCHES)
    np.testing.assert_array_equal(read.timestamp, np.arange(sum(BATCHES)) * 10)
    for name in ("pulse_id", "p_hit", "p_hit_attainable", "n_crystals"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))


@given(data=st.data())
def test_whole_batches_survive_a_cut_anywhere(
    data: st.DataObject, whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = whole.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("cut") / "cut.arrows"
    path.write_bytes(content[:cut])
    try:
        read = read_truth(path)
    except ValueError:
        # Only where not even the header is whole.
        assert cut < 1500
        return
    assert not read.complete
    assert len(read) in np.cumsum([0, *BATCHES]).tolist()
    np.testing.assert_array_equal(read.pulse_id, np.arange(len(read)))


def test_batches_are_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "open.arrows"
    log = TruthLog(path, JET_TRUTH)
    log.append(shots(0, 4), np.arange(4))
    read = read_truth(path)
    assert len(read) == 4
    assert not read.complete
    log.close()
    log.close()
    assert read_truth(path).complete


def test_a_log_without_shots_is_empty(tmp_path: Path) -> None:
    TruthLog(tmp_path / "empty.arrows", JET_TRUTH).close()
    assert len(read_truth(tmp_path / "empty.arrows")) == 0


def test_times_must_fit_the_shots(tmp_path: Path) -> None:
    with (
        TruthLog(tmp_path / "log.arrows", JET_TRUTH) as log,
        pytest.raises(ValueError, match="4 shots with timestamps"),
    ):
        log.append(shots(0, 4), np.arange(3))


def test_other_files_are_refused(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.arrows"
    text.write_text("not a log", encoding="utf-8")
    batch = pa.record_batch({"a": [1]})
    with pa.OSFile(str(other), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    for path in (text, other):
        with pytest.raises(ValueError, match="is no truth log"):
            read_truth(path)
