"""The slot through which decisions reach a running plan."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

from bluesky import RunEngine

from autosteer.contracts import Decision

WAIT_COMMAND = "wait_decision"


class DecisionSlot:
    """Hands decisions from any thread to a plan: records all, moves to the newest only.

    The RunEngine's command `WAIT_COMMAND` waits for something to take, and takes nothing. It can
    be cancelled by a pause and replayed after it without losing or repeating a decision.

    Parameters
    ----------
    engine : RunEngine
        The engine that will run the plan; the command is registered with it.

    Attributes
    ----------
    superseded : int
        Accepted decisions that a newer one replaced before the plan took them.
    """

    def __init__(self, engine: RunEngine) -> None:
        self._loop = engine.loop
        self._lock = threading.Lock()
        self._records: deque[Decision] = deque()
        self._move: Decision | None = None
        self._closed = False
        self.superseded = 0
        # The event must be made on the loop that will wait for it.
        self._filled: asyncio.Event = asyncio.run_coroutine_threadsafe(
            self._make_event(), self._loop
        ).result(timeout=10)
        engine.register_command(WAIT_COMMAND, self._wait)

    @staticmethod
    async def _make_event() -> asyncio.Event:
        return asyncio.Event()

    def put(self, decision: Decision) -> None:
        """Hand a decision over.

        Parameters
        ----------
        decision : Decision
            Every one is recorded; an accepted one is carried out, unless a newer comes first.
        """
        with self._lock:
            self._records.append(decision)
            if decision.status == "accepted":
                self.superseded += self._move is not None
                self._move = decision
        self._loop.call_soon_threadsafe(self._filled.set)

    def close(self) -> None:
        """Tell the plan to end after what it is doing."""
        with self._lock:
            self._closed = True
        self._loop.call_soon_threadsafe(self._filled.set)

    @property
    def closed(self) -> bool:
        """Whether the plan is to end."""
        return self._closed

    def take(self) -> tuple[list[Decision], Decision | None]:
        """Take what is there; only the plan calls this.

        Returns
        -------
        records : list of Decision
            Decisions to record.
        move : Decision or None
            The decision to carry out.
        """
        with self._lock:
            records, self._records = list(self._records), deque()
            move, self._move = self._move, None
            if not self._closed:
                self._filled.clear()
        return records, move

    async def _wait(self, message: Any) -> None:
        """Wait until there may be something to take, at most for the message's timeout."""
        try:
            async with asyncio.timeout(message.kwargs["timeout"]):
                await self._filled.wait()
        except TimeoutError:
            pass
