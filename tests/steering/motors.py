"""Motors for the tests of the plan: they move when they are told how."""

from __future__ import annotations

import time
from typing import Any

from ophyd.status import Status


class HandMotor:
    """A motor that arrives at once, or waits for the test to let it."""

    parent = None

    def __init__(self, name: str, *, waits: bool = False) -> None:
        self.name = name
        self.waits = waits
        self.position = 0.0
        self.sets: list[float] = []
        self.stops = 0
        self.misses_by = 0.0
        self.raises: Exception | None = None
        self._status: Status | None = None
        self._target = 0.0

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": [self.name]}

    def set(self, value: float) -> Status:
        if self.raises is not None:
            raise self.raises
        self.sets.append(value)
        self._target = value
        status = self._status = Status(self)
        if not self.waits:
            self.let_arrive()
        return status

    def let_arrive(self) -> None:
        """Finish the move in flight."""
        self.position = self._target + self.misses_by
        status, self._status = self._status, None
        if status is not None:
            status.set_finished()

    def stop(self, *, success: bool = False) -> None:
        self.stops += 1
        status, self._status = self._status, None
        if status is not None and not status.done:
            status.set_finished()

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.position, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "test", "dtype": "number", "shape": []}}

    def read_configuration(self) -> dict[str, Any]:
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        return {}
