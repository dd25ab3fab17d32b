"""The child's side of supervision: say when ready, take commands, end when told or orphaned."""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

import structlog


class ChildRuntime:
    """What every supervised process does to get along with its parent.

    Standard output carries one JSON object a line to the parent, standard input carries commands
    from it, and standard error is the log. When the parent dies, standard input ends, and the
    child ends, too.

    Parameters
    ----------
    name : str
        Name of the process, bound to each log line.
    """

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._callbacks: list[Callable[[], object]] = []
        self._commands: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log = structlog.get_logger().bind(process=name)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._end()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._commands.put(line.strip())
        self._end()

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Have something called when the process is to end; from another thread or a signal.

        Parameters
        ----------
        callback : callable
            Called at once if the process is to end already.
        """
        self._callbacks.append(callback)
        if self._stop.is_set():
            callback()

    def _end(self) -> None:
        self._stop.set()
        for callback in self._callbacks:
            callback()

    def should_stop(self) -> bool:
        """Tell whether the process is to end."""
        return self._stop.is_set()

    def wait_for(self, command: str) -> bool:
        """Wait for a command of the parent.

        Parameters
        ----------
        command : str
            The command.

        Returns
        -------
        bool
            False if the process is to end instead.
        """
        while not self._stop.is_set():
            try:
                if self._commands.get(timeout=0.1) == command:
                    return True
            except queue.Empty:
                continue
        return False

    def tell(self, event: str, **facts: Any) -> None:
        """Tell the parent something.

        Parameters
        ----------
        event : str
            What it is about: ``ready``, ``counters``, ``notice``, ``error``.
        **facts
            JSON-able values.
        """
        sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
        sys.stdout.flush()


def configure_logging(file: TextIO = sys.stderr) -> None:
    """Write log lines as JSON.

    Parameters
    ----------
    file : text file, optional
        Where to; standard error by default.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file),
    )
