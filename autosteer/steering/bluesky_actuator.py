"""Carries decisions out through a Bluesky RunEngine."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bluesky import RunEngine
from bluesky.utils import DuringTask, RunEngineInterrupted

from autosteer.contracts import Decision, DeviceError, MoveResult
from autosteer.steering.plan import DrivenKnob, Plan, carry_out
from autosteer.steering.slot import DecisionSlot

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 60.0


def make_engine() -> RunEngine:
    """Make a RunEngine that can run in a thread other than the main one.

    Returns
    -------
    RunEngine
        An engine without signal handlers, with an event loop of its own.
    """
    return RunEngine({}, context_managers=[], during_task=DuringTask())


class PlanActuator:
    """Hands decisions to a plan that somebody runs, and brings its results to an asyncio loop.

    Parameters
    ----------
    engine : RunEngine
        The engine that will run the plan.
    knobs : mapping of str to DrivenKnob
        The knobs and their connected motors.
    detectors : sequence of Readable, optional
        Read after each move.
    policy : str, optional
        Name of the policy, for the record.
    md : mapping, optional
        Metadata of the run.
    """

    def __init__(
        self,
        engine: RunEngine,
        knobs: Mapping[str, DrivenKnob],
        detectors: Sequence[Any] = (),
        policy: str = "",
        md: Mapping[str, Any] | None = None,
    ) -> None:
        self._engine = engine
        self._knobs = knobs
        self._detectors = detectors
        self._policy = policy
        self._md = md
        self._slot = DecisionSlot(engine)
        self._results: asyncio.Queue[MoveResult] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False

    def plan(self) -> Plan:
        """Carry the decisions out; the plan ends when the actuator is stopped.

        Returns
        -------
        str
            Identifier of the run.

        Yields
        ------
        Msg
            Messages for the RunEngine.
        """
        try:
            return (
                yield from carry_out(
                    self._slot, self._knobs, self._report, self._detectors, self._policy, self._md
                )
            )
        finally:
            self._over = True

    def _report(self, result: MoveResult) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have been closed
                self._loop.call_soon_threadsafe(self._results.put_nowait, result)

    def is_paused(self) -> bool:
        """Tell whether the engine is paused."""
        return str(self._engine.state) == "paused"

    async def start(self) -> None:
        """Note the loop on which results are waited for."""
        self._loop = asyncio.get_running_loop()

    def submit(self, decision: Decision) -> None:
        """Hand a decision over; an accepted one moves, every one is recorded.

        Parameters
        ----------
        decision : Decision
            The decision.
        """
        self._slot.put(decision)

    async def result(self) -> MoveResult:
        """Wait for the next move to end.

        Returns
        -------
        MoveResult
            How it ended.
        """
        return await self._results.get()

    def pause(self) -> None:
        """Pause at the next checkpoint: a move in flight is finished first."""
        if str(self._engine.state) == "running":
            self._engine.request_pause(defer=True)

    def resume(self) -> None:
        """Do nothing: whoever runs the engine resumes it."""

    async def stop(self, *, abort: bool) -> None:
        """End after the move in flight, or at once where `abort`.

        Parameters
        ----------
        abort : bool
            Whether to interrupt the move in flight; the motors stop where they are.
        """
        self._slot.close()
        if abort:
            await self._abort()

    async def _abort(self) -> None:
        if self._over:
            return
        # It may have ended, or paused, in between.
        with contextlib.suppress(Exception):
            await asyncio.to_thread(self._engine.abort, "aborted by autosteer")


class BlueskyActuator(PlanActuator):
    """Runs the plan itself, on an engine in a thread of its own.

    Parameters
    ----------
    engine : RunEngine
        The engine, from `make_engine`; idle.
    knobs : mapping of str to DrivenKnob
        The knobs and their connected motors.
    detectors : sequence of Readable, optional
        Read after each move.
    policy : str, optional
        Name of the policy, for the record.
    md : mapping, optional
        Metadata of the run.
    on_end : callable, optional
        Told, from the engine's thread, when the plan has ended; with an error if it failed.
    """

    def __init__(
        self,
        engine: RunEngine,
        knobs: Mapping[str, DrivenKnob],
        detectors: Sequence[Any] = (),
        policy: str = "",
        md: Mapping[str, Any] | None = None,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        super().__init__(engine, knobs, detectors, policy, md)
        self._on_end = on_end
        self._thread: threading.Thread | None = None
        self._commands: queue.SimpleQueue[Literal["resume", "abort"]] = queue.SimpleQueue()
        self._running = threading.Event()
        self.error: BaseException | None = None

    async def start(self) -> None:
        """Start the plan.

        Raises
        ------
        DeviceError
            If it does not start.
        """
        await super().start()
        self._thread = threading.Thread(target=self._run, name="run-engine", daemon=True)
        self._thread.start()
        await asyncio.to_thread(self._running.wait, _START_TIMEOUT_S)
        if self.error is not None or not self._running.is_set():
            raise DeviceError(f"the plan did not start: {self.error or 'no answer'}")

    def _run(self) -> None:
        """Run the plan to its end; wait through pauses."""
        token = self._engine.subscribe(lambda *_: self._running.set(), "start")
        try:
            plan = self.plan()
            step: Callable[[], Any] = lambda: self._engine(plan)  # ruff: ignore[lambda-assignment]
            while True:
                try:
                    step()
                    break
                except RunEngineInterrupted:
                    if not self.is_paused():
                        break
                    command = self._commands.get()
                    step = self._engine.resume if command == "resume" else self._engine.abort
        except BaseException as error:
            self.error = error
        finally:
            self._engine.unsubscribe(token)
            self._running.set()
            if self._on_end is not None:
                self._on_end(self.error)

    def resume(self) -> None:
        """Go on after a pause."""
        if self.is_paused():
            self._commands.put("resume")

    async def stop(self, *, abort: bool) -> None:
        """End after the move in flight, or at once where `abort`; wait for the end.

        An abort stops the motors where they are.

        Parameters
        ----------
        abort : bool
            Whether to interrupt the move in flight.

        Raises
        ------
        DeviceError
            If the plan does not end.
        """
        thread = self._thread
        if thread is None:
            return
        self._slot.close()
        if abort and thread.is_alive():
            if not self.is_paused():
                await self._abort()
            if self.is_paused():
                self._commands.put("abort")
        elif self.is_paused():
            self._commands.put("resume")
        await asyncio.to_thread(thread.join, _STOP_TIMEOUT_S)
        if thread.is_alive():
            raise DeviceError(
                f"the plan has not ended within {_STOP_TIMEOUT_S:g} s: the RunEngine is "
                f"{self._engine.state}; look at the motors before you go on"
            )
