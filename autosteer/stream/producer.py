"""A producer: numbers its tables and frames, beats its heart, and ends its streams."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.contracts import Clock, Header, schema_hash, table_kind
from autosteer.stream.sockets import Broadcast, Outlet
from autosteer.stream.wire import (
    encode_frames,
    encode_heartbeat,
    encode_table,
    frames_info,
)

HEARTBEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class Coverage:
    """The shots that a message is about, whether or not each has a row.

    Parameters
    ----------
    first_pulse_id, last_pulse_id : int
        First and last pulse.
    t_first_shot_ns : int
        Exposure time of the first [ns UTC].
    """

    first_pulse_id: int
    last_pulse_id: int
    t_first_shot_ns: int


@dataclass(slots=True)
class _Stream:
    schema: pa.Schema | None
    schema_hash: str
    seq: int = 0
    last_pulse_id: int = 0


class Producer:
    """One source of tables or frames for any number of consumers.

    Parameters
    ----------
    source : str
        Name of the producer, unique within the run.
    run_uid : str
        The run.
    clock : Clock
        Gives the times of sending.
    outlets : mapping of str to Outlet
        Lossless consumers by name.
    viewers : Broadcast, optional
        Socket for viewers.
    pulse_stride : int, default 1
        Pulse ids from shot to shot.
    """

    def __init__(
        self,
        source: str,
        run_uid: str,
        clock: Clock,
        outlets: Mapping[str, Outlet],
        viewers: Broadcast | None = None,
        pulse_stride: int = 1,
    ) -> None:
        self._source = source
        self._run_uid = run_uid
        self._clock = clock
        self._outlets = dict(outlets)
        self._viewers = viewers
        self._stride = pulse_stride
        self._boot_uid = uuid.uuid4().hex[:12]
        self._clock_id = f"utc:{platform.node()}"[:128]
        self._streams: dict[str, _Stream] = {}
        self._next_beat_s = 0.0

    def announce(self, kind: str, schema: pa.Schema | None = None) -> None:
        """Open a stream, so that its heartbeat beats before the first table.

        Parameters
        ----------
        kind : str
            Table kind, or the name of the frames' stream.
        schema : pyarrow.Schema, optional
            Schema of the tables; none for frames.
        """
        if kind not in self._streams:
            self._streams[kind] = _Stream(schema, "" if schema is None else schema_hash(schema))
            self._beat(kind, self._streams[kind])

    def publish(self, kind: str, batch: pa.RecordBatch, coverage: Coverage | None = None) -> None:
        """Send a table to every consumer.

        Parameters
        ----------
        kind : str
            A registered table kind.
        batch : pyarrow.RecordBatch
            The rows.
        coverage : Coverage, optional
            Shots that the table is about; by default from its first to its last row.
        """
        if coverage is None:
            coverage = _coverage_of(batch)
        stream = self._open(kind, batch.schema)
        shots = batch.num_rows if table_kind(kind).rows == "shot" else 0
        header = self._header("table", kind, stream, batch.num_rows, coverage)
        parts = encode_table(header, batch)
        for outlet in self._outlets.values():
            outlet.send(parts, shots)
        if self._viewers is not None:
            self._viewers.send(parts)

    def publish_frames(self, kind: str, frames: NDArray[Any], coverage: Coverage) -> None:
        """Send frames to every consumer.

        Frames that are dealt out to several workers need a producer for each worker, so that each
        has its own numbering.

        Parameters
        ----------
        kind : str
            Name of the frames' stream.
        frames : ndarray, shape (n, panel, slow, fast)
            The frames; they must not change afterwards.
        coverage : Coverage
            The shots.
        """
        stream = self._open(kind, None)
        header = self._header("frames", kind, stream, len(frames), coverage)
        header = header.model_copy(update={"frames": frames_info(frames)})
        parts = encode_frames(header, frames)
        for outlet in self._outlets.values():
            outlet.send(parts, len(frames))

    def _open(self, kind: str, schema: pa.Schema | None) -> _Stream:
        stream = self._streams.get(kind)
        if stream is None or (stream.schema is not schema and stream.schema != schema):
            self._streams.setdefault(kind, _Stream(schema, ""))
            stream = self._streams[kind]
            stream.schema = schema
            stream.schema_hash = "" if schema is None else schema_hash(schema)
            self._beat(kind, stream)
        return stream

    def _header(
        self, message: str, kind: str, stream: _Stream, n: int, coverage: Coverage
    ) -> Header:
        """Make the header of the next data message and count it."""
        header = Header.model_construct(
            message=message,
            source=self._source,
            kind=kind,
            run_uid=self._run_uid,
            boot_uid=self._boot_uid,
            seq=stream.seq,
            schema_hash=stream.schema_hash,
            n=n,
            first_pulse_id=coverage.first_pulse_id,
            last_pulse_id=coverage.last_pulse_id,
            pulse_stride=self._stride,
            t_first_shot_ns=coverage.t_first_shot_ns,
            t_sent_ns=self._clock.time_ns(),
            clock_id=self._clock_id,
        )
        stream.seq += 1
        stream.last_pulse_id = coverage.last_pulse_id or stream.last_pulse_id
        return header

    def _beat(self, kind: str, stream: _Stream, *, end: bool = False) -> None:
        """Send one heartbeat of a stream to everybody."""
        header = Header(
            message="heartbeat",
            source=self._source,
            kind=kind,
            run_uid=self._run_uid,
            boot_uid=self._boot_uid,
            seq=stream.seq,
            schema_hash=stream.schema_hash,
            last_pulse_id=stream.last_pulse_id,
            pulse_stride=self._stride,
            t_sent_ns=self._clock.time_ns(),
            clock_id=self._clock_id,
            end_of_stream=end,
        )
        for outlet in self._outlets.values():
            own = header.model_copy(update={"dropped": outlet.dropped_shots})
            outlet.send(encode_heartbeat(own, stream.schema), 0)
        if self._viewers is not None:
            self._viewers.send(encode_heartbeat(header, stream.schema))

    def tend(self) -> None:
        """Send what waits, and the heartbeats that are due; call it at least every 50 ms."""
        for outlet in self._outlets.values():
            outlet.flush()
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + HEARTBEAT_S
            for kind, stream in self._streams.items():
                self._beat(kind, stream)

    def end(self) -> None:
        """Tell every consumer that no more will come."""
        for kind, stream in self._streams.items():
            self._beat(kind, stream, end=True)

    @property
    def pending_shots(self) -> int:
        """Shots that wait for some consumer."""
        return sum(outlet.pending_shots for outlet in self._outlets.values())

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """Shots sent, dropped and pending, by consumer."""
        return {
            name: {
                "out": outlet.sent_shots,
                "dropped": outlet.dropped_shots,
                "pending": outlet.pending_shots,
            }
            for name, outlet in self._outlets.items()
        }

    def close(self, linger_s: float = 2.0) -> None:
        """Close the sockets.

        Parameters
        ----------
        linger_s : float, default 2.0
            How long ZeroMQ may go on to deliver what it holds [s].
        """
        for outlet in self._outlets.values():
            outlet.close(linger_s)
        if self._viewers is not None:
            self._viewers.close()


def _coverage_of(batch: pa.RecordBatch) -> Coverage:
    """Read the covered shots off a table's own rows."""
    if batch.num_rows == 0:
        return Coverage(0, 0, 0)
    pulse_id = batch.column("pulse_id").to_numpy()
    has_time = batch.schema.get_field_index("timestamp") >= 0
    t_first = int(batch.column("timestamp")[0].as_py()) if has_time else 0
    return Coverage(int(np.min(pulse_id)), int(np.max(pulse_id)), t_first)
