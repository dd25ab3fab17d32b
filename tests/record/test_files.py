"""The files of a run: lines, documents, directories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autosteer.contracts import RecordingError
from autosteer.record.lines import DocumentFile, LineFile, read_lines
from autosteer.record.run_directory import make_run_directory, open_run_directory, write_json


def test_each_line_is_there_before_the_next_is_written(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = LineFile(path)
    for number in range(3):
        lines.write_line(f'{{"number": {number}}}')
        assert len(list(read_lines(path))) == number + 1
    lines.close()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert [json.loads(line)["a"] for line in read_lines(path)] == [1, 2]


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.jsonl is missing"):
        list(read_lines(tmp_path / "none.jsonl"))


def test_documents_come_in_order_with_plain_numbers(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    file = DocumentFile(path)
    file("start", {"uid": "1"})
    file("event", {"data": {"x": np.float64(0.5), "image": np.arange(3)}, "path": tmp_path})
    file.close()
    names_and_documents = [json.loads(line) for line in read_lines(path)]
    assert names_and_documents == [
        ["start", {"uid": "1"}],
        ["event", {"data": {"x": 0.5, "image": [0, 1, 2]}, "path": str(tmp_path)}],
    ]


def test_no_file_of_a_run_is_ever_written_over(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    LineFile(path).close()
    with pytest.raises(FileExistsError):
        LineFile(path)


def test_a_run_directory_is_made_and_found_again(tmp_path: Path) -> None:
    made = make_run_directory(tmp_path / "runs", "scan", "0123456789")
    assert made.path.name.startswith("scan-")
    assert made.path.name.endswith("-012345")
    write_json(made.start, {"run_uid": "0123456789"})
    made.experiment.write_text("name: scan\n")
    assert open_run_directory(made.path) == made


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    with pytest.raises(RecordingError, match=r"record\.directory"):
        make_run_directory(tmp_path / "runs", "scan", "0123456789")


def test_a_json_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
