"""The wire format: ``[topic, header, body]``, encoded and decoded as pure functions.

The header is JSON, checked once per message. The body is an Arrow record batch without its schema
(the schema travels in heartbeats and is known by its hash), or a raw buffer of frames. Sizes are
checked before anything is allocated, and nothing is ever unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from autosteer.contracts import (
    FramesInfo,
    Header,
    TableError,
    UnknownSchemaError,
    WireError,
    WireSizeError,
    WireVersionError,
    check_schema,
    schema_hash,
    table_kind,
    table_kinds,
)
from autosteer.contracts.messages import (
    MAX_FRAMES_BYTES,
    MAX_HEADER_BYTES,
    MAX_TABLE_BYTES,
    WIRE_MAJOR,
)

Part = bytes | memoryview
Parts = list[Part]

_BODY_CAPS = {"table": MAX_TABLE_BYTES, "frames": MAX_FRAMES_BYTES, "heartbeat": 64 * 1024}
_TOPIC_CAP = 128


class _Version(BaseModel):
    wire: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose header was checked; the body is still raw.

    Parameters
    ----------
    header : Header
        What the message says of itself.
    body : memoryview
        The body as received, not copied.
    """

    header: Header
    body: memoryview


def decode(parts: Sequence[Part]) -> Message:
    """Check the envelope of a message.

    Parameters
    ----------
    parts : sequence of bytes-like
        The parts as received.

    Returns
    -------
    Message
        Checked header and untouched body.

    Raises
    ------
    WireSizeError
        If a part is larger than its cap.
    WireVersionError
        If the header speaks another major version.
    WireError
        If there are not three parts, or the header is not what it should be.
    """
    if len(parts) != 3:
        raise WireError(f"message of {len(parts)} parts: expected topic, header, body")
    topic, head, body = (memoryview(part) for part in parts)
    if topic.nbytes > _TOPIC_CAP or head.nbytes > MAX_HEADER_BYTES:
        raise WireSizeError(
            f"topic of {topic.nbytes} and header of {head.nbytes} bytes: "
            f"at most {_TOPIC_CAP} and {MAX_HEADER_BYTES} are taken"
        )
    text = bytes(head)
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        _check_version(text)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise WireError(f"{where}: {first['msg']}") from None
    _check_version(text)
    if bytes(topic) != header.kind.encode():
        raise WireError(f"topic {bytes(topic)!r} differs from the header's kind '{header.kind}'")
    cap = _BODY_CAPS[header.message]
    if body.nbytes > cap:
        raise WireSizeError(
            f"{header.message} body of {body.nbytes} bytes: at most {cap} are taken"
        )
    return Message(header, body)


def _check_version(text: bytes) -> None:
    """Raise `WireVersionError` if a header names another major version, whatever else it holds."""
    try:
        version = _Version.model_validate_json(text).wire
    except ValidationError:
        return
    if version.split(".")[0] != str(WIRE_MAJOR):
        raise WireVersionError(f"wire version {version}: this side speaks {WIRE_MAJOR}.x")


def _parts(header: Header, body: Part) -> Parts:
    return [header.kind.encode(), header.model_dump_json(exclude_defaults=False).encode(), body]


def encode_table(header: Header, batch: pa.RecordBatch) -> Parts:
    """Encode a record batch.

    Parameters
    ----------
    header : Header
        Header with ``message="table"``, the batch's row count and schema hash.
    batch : pyarrow.RecordBatch
        The rows.

    Returns
    -------
    list of bytes-like
        The three parts.
    """
    return _parts(header, memoryview(batch.serialize()))


def encode_frames(header: Header, frames: NDArray[Any]) -> Parts:
    """Encode frames as a raw buffer, without a copy where they are contiguous.

    Parameters
    ----------
    header : Header
        Header with ``message="frames"`` and `frames_info` of the array.
    frames : ndarray, shape (n, panel, slow, fast)
        The frames.

    Returns
    -------
    list of bytes-like
        The three parts.
    """
    return _parts(header, np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data)


def encode_heartbeat(header: Header, schema: pa.Schema | None) -> Parts:
    """Encode a heartbeat, with the schema of the tables that its stream carries.

    Parameters
    ----------
    header : Header
        Header with ``message="heartbeat"``; ``seq`` is that of the next data message.
    schema : pyarrow.Schema, optional
        Schema of the stream's tables; none for frames.

    Returns
    -------
    list of bytes-like
        The three parts.
    """
    return _parts(header, b"" if schema is None else memoryview(schema.serialize()))


def frames_info(frames: NDArray[Any]) -> FramesInfo:
    """Describe a stack of frames for the header.

    Parameters
    ----------
    frames : ndarray, shape (n, ...)
        The frames.

    Returns
    -------
    FramesInfo
        Little-endian type and the shape of one frame.
    """
    return FramesInfo(dtype=frames.dtype.newbyteorder("<").str, shape=frames.shape[1:])


def decode_frames(message: Message) -> NDArray[Any]:
    """View the body of a message as frames.

    Parameters
    ----------
    message : Message
        A message of ``message="frames"``.

    Returns
    -------
    ndarray, shape (n, *shape)
        Read-only view of the body; it keeps the body alive.

    Raises
    ------
    WireError
        If the message holds no frames, or its size is not what the header says.
    """
    header = message.header
    if header.message != "frames" or header.frames is None:
        raise WireError(f"{header.message} message of '{header.source}' holds no frames")
    dtype = np.dtype(header.frames.dtype)
    expected = header.n * math.prod(header.frames.shape) * dtype.itemsize
    if message.body.nbytes != expected:
        raise WireError(
            f"frames body of {message.body.nbytes} bytes: {header.n} of shape "
            f"{header.frames.shape} and type {header.frames.dtype} take {expected}"
        )
    return np.frombuffer(message.body, dtype).reshape(header.n, *header.frames.shape)


class SchemaBook:
    """The schemas that one receiver knows, by hash.

    The registered table kinds are known from the start; others are learnt from heartbeats.
    """

    def __init__(self) -> None:
        self._schemas: dict[tuple[str, str], pa.Schema] = {
            (kind.name, schema_hash(kind.schema)): kind.schema for kind in table_kinds()
        }

    def learn(self, message: Message) -> None:
        """Take up the schema that a heartbeat announces.

        Parameters
        ----------
        message : Message
            A heartbeat.

        Raises
        ------
        WireError
            If the body is no schema, does not match its hash, or breaks the contract of its kind.
        """
        header = message.header
        key = (header.kind, header.schema_hash)
        if not message.body.nbytes or key in self._schemas:
            return
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(message.body))
        except (pa.ArrowException, OSError) as error:
            raise WireError(f"heartbeat of '{header.source}' holds no schema: {error}") from None
        if schema_hash(schema) != header.schema_hash:
            raise WireError(f"heartbeat of '{header.source}': schema and hash differ")
        try:
            check_schema(table_kind(header.kind), schema)
        except TableError as error:
            raise WireError(f"heartbeat of '{header.source}': {error}") from None
        self._schemas[key] = schema

    def decode_table(self, message: Message) -> pa.RecordBatch:
        """Decode the rows of a message.

        Parameters
        ----------
        message : Message
            A message of ``message="table"``.

        Returns
        -------
        pyarrow.RecordBatch
            The rows; buffers point into the body.

        Raises
        ------
        UnknownSchemaError
            If the schema has not been announced.
        WireError
            If the body is no record batch of that schema, or not of the stated length.
        """
        header = message.header
        if header.message != "table":
            raise WireError(f"{header.message} message of '{header.source}' holds no table")
        schema = self._schemas.get((header.kind, header.schema_hash))
        if schema is None:
            raise UnknownSchemaError(
                f"table '{header.kind}' of '{header.source}' has schema {header.schema_hash}, "
                "which no heartbeat has announced"
            )
        try:
            batch = pa.ipc.read_record_batch(pa.py_buffer(message.body), schema)
            batch.validate()
        except (pa.ArrowException, OSError) as error:
            raise WireError(f"table '{header.kind}' of '{header.source}': {error}") from None
        if batch.num_rows != header.n:
            raise WireError(
                f"table '{header.kind}' of '{header.source}' has {batch.num_rows} rows, "
                f"its header says {header.n}"
            )
        return batch
