"""Recordings: the batches of the wire as Arrow IPC stream segments, written and read back.

A segment of a killed writer gives every whole batch and then a clear error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from autosteer.contracts import Header, RecordingError, TruncatedSegmentError

_HEADER_KEY = b"header"
SEGMENT_BYTES = 64 * 1024 * 1024
SUFFIX = ".arrows"


@dataclass(slots=True)
class _Segment:
    path: Path
    schema: pa.Schema
    file: pa.NativeFile
    writer: pa.ipc.RecordBatchStreamWriter

    def close(self) -> None:
        """Write the end mark and wait until the disk has it."""
        self.writer.close()
        self.file.close()
        descriptor = os.open(self.path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


class SegmentWriter:
    """Writes the tables of one stream (source, kind and boot) into segments.

    Parameters
    ----------
    directory : Path
        Folder of the recording; tables go to ``directory/<kind>/``.
    segment_bytes : int
        A segment is closed, and synced to disk, when it has grown to this size.
    """

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segment: _Segment | None = None
        self._number = 0
        self.rows = 0

    def write(self, header: Header, batch: pa.RecordBatch) -> None:
        """Append a batch; it is handed to the operating system before this returns.

        Parameters
        ----------
        header : Header
            Header of the batch, kept beside it.
        batch : pyarrow.RecordBatch
            The rows.
        """
        segment = self._segment
        if segment is not None and not batch.schema.equals(segment.schema):
            self.close()
        if self._segment is None:
            self._segment = self._start(header, batch.schema)
        metadata = {_HEADER_KEY: header.model_dump_json().encode()}
        self._segment.writer.write_batch(batch, custom_metadata=metadata)
        self.rows += batch.num_rows
        if self._segment.file.tell() >= self._segment_bytes:
            self.close()

    def _start(self, header: Header, schema: pa.Schema) -> _Segment:
        folder = self._directory / header.kind
        folder.mkdir(parents=True, exist_ok=True)
        # A recorder that was started anew goes on after the segments of its predecessor.
        while (path := self._path(folder, header)).exists():
            self._number += 1
        file = pa.OSFile(str(path), "wb")
        return _Segment(path, schema, file, pa.ipc.new_stream(file, schema))

    def _path(self, folder: Path, header: Header) -> Path:
        return folder / f"{header.source}-{header.boot_uid}-{self._number:05d}{SUFFIX}"

    def close(self) -> None:
        """Close the open segment, if there is one."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class TableRecorder:
    """Writes every table it is given, each stream into segments of its own.

    Parameters
    ----------
    directory : Path
        Folder of the recording.
    segment_bytes : int
        Size at which a segment is closed.
    """

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._writers: dict[tuple[str, str, str], SegmentWriter] = {}

    def write(self, header: Header, batch: pa.RecordBatch) -> None:
        """Append a batch to its stream.

        Parameters
        ----------
        header : Header
            Header of the batch.
        batch : pyarrow.RecordBatch
            The rows.
        """
        key = (header.source, header.kind, header.boot_uid)
        writer = self._writers.get(key)
        if writer is None:
            writer = self._writers[key] = SegmentWriter(self._directory, self._segment_bytes)
        writer.write(header, batch)

    @property
    def rows(self) -> dict[str, int]:
        """Rows written, by table kind."""
        totals: dict[str, int] = {}
        for (_, kind, _), writer in self._writers.items():
            totals[kind] = totals.get(kind, 0) + writer.rows
        return totals

    def close(self) -> None:
        """Close every open segment."""
        for writer in self._writers.values():
            writer.close()


def read_segment(path: Path) -> Iterator[tuple[Header, pa.RecordBatch]]:
    """Read a segment back, batch by batch.

    Parameters
    ----------
    path : Path
        A segment file.

    Yields
    ------
    header : Header
        Header that came with the batch.
    batch : pyarrow.RecordBatch
        The rows.

    Raises
    ------
    RecordingError
        If the file is no segment.
    TruncatedSegmentError
        After the last whole batch, if the segment was cut off.
    """
    with pa.OSFile(str(path), "rb") as file:
        count = 0
        try:
            reader = pa.ipc.open_stream(file)
        except (pa.ArrowException, OSError) as error:
            if path.stat().st_size == 0:
                raise TruncatedSegmentError(f"{path}: the segment is empty") from error
            raise RecordingError(f"{path} is no Arrow IPC stream: {error}") from error
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            except (pa.ArrowException, OSError) as error:
                raise TruncatedSegmentError(
                    f"{path}: cut off after {count} whole batches ({error})"
                ) from error
            if metadata is None or _HEADER_KEY not in metadata:
                raise RecordingError(f"{path}: batch {count} has no header: not a recording")
            yield Header.model_validate_json(metadata[_HEADER_KEY]), batch
            count += 1
        if not _has_end_mark(path):
            raise TruncatedSegmentError(f"{path}: ends after {count} whole batches, without a mark")


def _has_end_mark(path: Path) -> bool:
    """Tell whether a segment was closed: the stream then ends with eight marker bytes."""
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), os.SEEK_END)
        return file.read() == b"\xff\xff\xff\xff\x00\x00\x00\x00"


def segments(directory: Path) -> list[Path]:
    """List the segments of a recording, each stream's in the order written.

    Parameters
    ----------
    directory : Path
        Folder of the recording.

    Returns
    -------
    list of Path
        Segment files.
    """
    return sorted(directory.glob(f"*/*{SUFFIX}"))
