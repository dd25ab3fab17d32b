"""Append-only files of one JSON object a line."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autosteer.contracts import RecordingError


class LineFile:
    """Appends lines; each is handed to the operating system before `write_line` returns.

    Parameters
    ----------
    path : Path
        The file; it must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", buffering=1)

    def write_line(self, line: str) -> None:
        """Append a line.

        Parameters
        ----------
        line : str
            The line, without its end.
        """
        self._file.write(line + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class DocumentFile:
    """Writes event-model documents from a thread of its own, so that no plan waits for a disk.

    Parameters
    ----------
    path : Path
        The file; it must not exist yet.

    Examples
    --------
    ``engine.subscribe(DocumentFile(path))`` writes every document of the engine.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)
        self._queue: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="documents", daemon=True)
        self._thread.start()

    def __call__(self, name: str, document: Any) -> None:
        """Take a document.

        Parameters
        ----------
        name : str
            Its kind: start, descriptor, event, stop.
        document : dict
            The document.
        """
        self._queue.put((name, document))

    def _write(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._lines.write_line(json.dumps(entry, default=_plain))

    def close(self) -> None:
        """Write what is queued, then close the file."""
        self._queue.put(None)
        self._thread.join()
        self._lines.close()


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays into what JSON knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def read_lines(path: Path) -> Iterator[str]:
    """Read the whole lines of a file; a last one without an end was cut off and is left out.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    str
        Each line, without its end.

    Raises
    ------
    RecordingError
        If the file is missing.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield line[:-1]
    except FileNotFoundError:
        raise RecordingError(f"{path} is missing: the run was not recorded to the end") from None
