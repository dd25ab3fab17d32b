"""The recorder's main loop: every table that arrives is written, and nothing else is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq

from autosteer.contracts import WireError
from autosteer.stream.receiver import Receiver
from autosteer.stream.recording import TableRecorder
from autosteer.stream.sockets import Inlet

_POLL_MS = 100
_DRAIN_LIMIT = 256


class Recorder:
    """Receives tables from any number of producers and writes them.

    Parameters
    ----------
    directory : Path
        Folder of the recording.
    run_uid : str
        The run.
    inlets : mapping of str to Inlet
        One for each producer of the run.
    outside : mapping of str to Inlet
        One for each producer that is not part of the run.
    on_refusal : callable
        Told of each message that was refused.
    since_ns : int
        What outside producers sent before this time is refused [ns UTC].
    """

    def __init__(
        self,
        directory: Path,
        run_uid: str,
        inlets: Mapping[str, Inlet],
        outside: Mapping[str, Inlet],
        on_refusal: Callable[[WireError], None],
        since_ns: int,
    ) -> None:
        self._tables = TableRecorder(directory)
        self._inlets = {**inlets, **outside}
        self._outside = set(outside)
        self._receiver = Receiver(run_uid, on_refusal)
        if outside:
            self._receiver.admit_outside(since_ns)
        self._ended: set[tuple[str, str]] = set()
        self._poller = zmq.Poller()
        for inlet in self._inlets.values():
            self._poller.register(inlet.socket, zmq.POLLIN)

    def step(self) -> int:
        """Wait a moment for messages and write what has come.

        Returns
        -------
        int
            Messages taken.
        """
        self._poller.poll(_POLL_MS)
        taken = 0
        for inlet in self._inlets.values():
            for parts in inlet.receive(_DRAIN_LIMIT):
                taken += 1
                received = self._receiver.accept(parts)
                if received is None:
                    continue
                stream = (received.header.source, received.header.kind)
                if received.batch is not None:
                    self._tables.write(received.header, received.batch)
                    self._ended.discard(stream)
                elif received.header.end_of_stream:
                    self._ended.add(stream)
        return taken

    def leave_outside(self) -> None:
        """Take what outside producers have sent so far, and no more: they do not end."""
        if not self._outside:
            return
        self.step()
        for name in self._outside:
            inlet = self._inlets.pop(name)
            self._poller.unregister(inlet.socket)
            inlet.close()
            self._ended |= {stream for stream in self._receiver.counters if stream[0] == name}
        self._outside = set()

    @property
    def all_ended(self) -> bool:
        """Whether every stream that was heard has ended, or was left."""
        return set(self._receiver.counters) <= self._ended

    @property
    def counters(self) -> dict[str, Any]:
        """What was received, refused and written."""
        return {
            "received": {
                f"{source}/{kind}": asdict(counters)
                for (source, kind), counters in self._receiver.counters.items()
            },
            "refused": self._receiver.refused,
            "rows": self._tables.rows,
        }

    def close(self) -> None:
        """Close files and sockets."""
        self._tables.close()
        for inlet in self._inlets.values():
            inlet.close()
