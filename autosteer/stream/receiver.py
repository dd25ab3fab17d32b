"""A receiver: from raw parts to checked tables or frames; nothing it gets can stop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from autosteer.contracts import Header, WireError
from autosteer.stream.gate import Gate, StreamCounters
from autosteer.stream.wire import Part, SchemaBook, decode, decode_frames


@dataclass(frozen=True, slots=True)
class Received:
    """A message that passed every check.

    Parameters
    ----------
    header : Header
        What the message says of itself.
    batch : pyarrow.RecordBatch, optional
        Rows of a table.
    frames : ndarray, shape (n, panel, slow, fast), optional
        Frames, a view of the message.
    """

    header: Header
    batch: pa.RecordBatch | None = None
    frames: NDArray[Any] | None = None


def ignore_refusal(error: WireError) -> None:
    """Take note of nothing: the refusal stays counted."""


class Receiver:
    """Checks, decodes and counts the messages of one inlet.

    Parameters
    ----------
    run_uid : str
        The run that is on.
    on_refusal : callable, optional
        Told of each message that was refused, after it was counted.
    """

    def __init__(
        self, run_uid: str, on_refusal: Callable[[WireError], None] = ignore_refusal
    ) -> None:
        self._gate = Gate(run_uid)
        self._schemas = SchemaBook()
        self._on_refusal = on_refusal

    def admit_outside(self, since_ns: int) -> None:
        """Admit from now on what producers outside of any run send, too.

        Parameters
        ----------
        since_ns : int
            What they have sent before is refused [ns UTC].
        """
        self._gate.admit_outside(since_ns)

    def accept(self, parts: Sequence[Part]) -> Received | None:
        """Take a message.

        Parameters
        ----------
        parts : sequence of bytes-like
            The parts as received.

        Returns
        -------
        Received or None
            The message, or None if it was refused (and counted).
        """
        try:
            message = decode(parts)
            header = message.header
            received = Received(header)
            if header.message == "table":
                received = Received(header, batch=self._schemas.decode_table(message))
            elif header.message == "frames":
                received = Received(header, frames=decode_frames(message))
            self._gate.admit(header)
            if header.message == "heartbeat":
                self._schemas.learn(message)
        except WireError as error:
            self._gate.refuse(error)
            self._on_refusal(error)
            return None
        return received

    @property
    def refused(self) -> dict[str, int]:
        """Messages refused, by the name of the error."""
        return dict(self._gate.refused)

    @property
    def counters(self) -> dict[tuple[str, str], StreamCounters]:
        """Counters by (source, kind)."""
        return self._gate.counters
