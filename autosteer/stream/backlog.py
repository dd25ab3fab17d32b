"""What waits in a producer for a consumer that is slower: dropped beyond a bound, or spooled."""

from __future__ import annotations

import struct
from collections import deque
from pathlib import Path
from typing import BinaryIO, Protocol

from autosteer.stream.wire import Parts

_RECORD = struct.Struct("<4Q")


class Backlog(Protocol):
    """A first-in first-out queue of messages, each with the number of shots in it."""

    def append(self, parts: Parts, shots: int) -> int:
        """Put a message at the end; return the shots that had to be dropped for it."""
        ...

    def peek(self) -> tuple[Parts, int]:
        """Return the oldest message and its shots, and leave it where it is."""
        ...

    def pop(self) -> None:
        """Remove the oldest message."""
        ...

    def close(self) -> None:
        """Forget everything."""
        ...

    def __len__(self) -> int: ...


class DroppingBacklog:
    """Keeps the newest messages: what is full drops its oldest.

    Parameters
    ----------
    capacity : int
        Messages kept.

    Examples
    --------
    >>> backlog = DroppingBacklog(capacity=1)
    >>> backlog.append([b"t", b"h", b"old"], shots=3), backlog.append([b"t", b"h", b"new"], shots=5)
    (0, 3)
    """

    def __init__(self, capacity: int) -> None:
        self._messages: deque[tuple[Parts, int]] = deque()
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, parts: Parts, shots: int) -> int:
        """Put a message at the end; return the shots that had to be dropped for it."""
        dropped = 0
        if len(self._messages) >= self._capacity:
            dropped = self._messages.popleft()[1]
        self._messages.append((parts, shots))
        return dropped

    def peek(self) -> tuple[Parts, int]:
        """Return the oldest message and its shots, and leave it where it is."""
        return self._messages[0]

    def pop(self) -> None:
        """Remove the oldest message."""
        self._messages.popleft()

    def close(self) -> None:
        """Forget everything."""
        self._messages.clear()


class Spool:
    """Loses nothing: what does not fit into memory goes to a file.

    Parameters
    ----------
    path : Path
        File for the overflow; made when it is first needed, removed by `close`.
    memory_bytes : int
        Bytes kept in memory.
    """

    def __init__(self, path: Path, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._path = path
        self._memory_bytes = memory_bytes
        self._memory: deque[tuple[Parts, int]] = deque()
        self._used = 0
        self._file: BinaryIO | None = None
        self._read_at = 0
        self._write_at = 0
        self._on_disk = 0

    def __len__(self) -> int:
        return len(self._memory) + self._on_disk

    def append(self, parts: Parts, shots: int) -> int:
        """Put a message at the end; nothing is ever dropped for it."""
        lengths = [memoryview(part).nbytes for part in parts]
        if not self._on_disk and self._used + sum(lengths) <= self._memory_bytes:
            self._memory.append((parts, shots))
            self._used += sum(lengths)
            return 0
        if self._file is None:
            self._file = self._path.open("w+b")
        self._file.seek(self._write_at)
        self._file.write(_RECORD.pack(shots, *lengths))
        for part in parts:
            self._file.write(part)
        self._write_at = self._file.tell()
        self._on_disk += 1
        return 0

    def peek(self) -> tuple[Parts, int]:
        """Return the oldest message and its shots, and leave it where it is."""
        if not self._memory:
            self._refill()
        return self._memory[0]

    def pop(self) -> None:
        """Remove the oldest message, which `peek` gave."""
        parts, _ = self._memory.popleft()
        self._used -= sum(memoryview(part).nbytes for part in parts)

    def _refill(self) -> None:
        """Bring messages back from disk, in order, at least one."""
        if self._file is None:
            return
        while self._on_disk and self._used < self._memory_bytes // 2:
            self._file.seek(self._read_at)
            shots, *lengths = _RECORD.unpack(self._file.read(_RECORD.size))
            parts: Parts = [self._file.read(length) for length in lengths]
            self._read_at = self._file.tell()
            self._on_disk -= 1
            self._memory.append((parts, shots))
            self._used += sum(lengths)
        if not self._on_disk:
            self._file.truncate(0)
            self._read_at = self._write_at = 0

    def close(self) -> None:
        """Forget everything and remove the file."""
        self._memory.clear()
        self._used = self._on_disk = 0
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)
