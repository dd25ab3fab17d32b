"""The seams between rooms, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.contracts.decisions import Decision, MotorFacts, MoveResult, ParetoPoint


@runtime_checkable
class Clock(Protocol):
    """Time, and waiting for it."""

    def time_ns(self) -> int:
        """Return the time, UTC since 1970 [ns]."""
        ...

    def monotonic_s(self) -> float:
        """Return a time that never goes back [s]."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait for a span of this clock's time [s]."""
        ...


@runtime_checkable
class Policy(Protocol):
    """What decides where to go: the seam of blop's optimizers and gest-api's generators."""

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points: one dict each, with ``_id`` and a value per knob."""
        ...

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; one with a known ``_id`` replaces the earlier."""
        ...


@runtime_checkable
class RegistersFailures(Protocol):
    """A policy that wants to know which suggestions could not be measured."""

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that were refused or failed; they are no longer pending."""
        ...


@runtime_checkable
class Checkpointable(Protocol):
    """A policy whose state can be written down and taken up again."""

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave."""
        ...


@runtime_checkable
class Stops(Protocol):
    """A policy that knows when it is done."""

    def should_stop(self) -> tuple[bool, str]:
        """Return whether to stop, and why."""
        ...


@runtime_checkable
class KnowsBest(Protocol):
    """A policy that can name the place it believes best."""

    def best(self) -> dict[str, Any]:
        """Return the knobs, and ``name`` and ``name_sd`` of the objective, at the best place."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A policy that can say why it suggested a point."""

    def explain(self, suggestion_id: str) -> str:
        """Return the reason for a suggestion, one line for people."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """A policy with a model that can be looked at."""

    def posterior(
        self, points: Sequence[Mapping[str, float]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the objective at places, each of shape (n,)."""
        ...


@runtime_checkable
class KnowsFront(Protocol):
    """A policy for several objectives, with a model of each."""

    def front(self) -> tuple[ParetoPoint, ...]:
        """Return the places that no other known place beats; none before the first point."""
        ...

    def posteriors(
        self, points: Sequence[Mapping[str, float]]
    ) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return mean and standard deviation by objective at places, each of shape (n,)."""
        ...


@runtime_checkable
class Actuator(Protocol):
    """What carries decisions to the knobs; the controller's drivers wait for its results."""

    async def start(self) -> None:
        """Make ready; raise `DeviceError` if a knob cannot be driven."""
        ...

    def submit(self, decision: Decision) -> None:
        """Hand a decision over; an accepted one moves, every one is recorded."""
        ...

    async def result(self) -> MoveResult:
        """Wait for the next move to end."""
        ...

    async def stop(self, *, abort: bool) -> None:
        """End after the move in flight, or at once where `abort`."""
        ...


@runtime_checkable
class ReadbackSource(Protocol):
    """Watches one motor: position, motion, connection and facts, each with its time stamp."""

    def facts(self) -> MotorFacts:
        """Return what the motor says of itself now."""
        ...

    def watch(self, on_readback: ReadbackCallback, on_state: StateCallback) -> None:
        """Call back at each change until `close`; from any thread."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


ReadbackCallback = Callable[[int, float, bool], None]
"""Called with (time stamp [ns UTC], position, moving)."""

StateCallback = Callable[[bool, "MotorFacts | None"], None]
"""Called with (connected, facts) when the connection or the facts change."""


@runtime_checkable
class TableSink(Protocol):
    """Where a stage puts its tables: the wire, a file or a list in a test."""

    def publish(self, kind: str, batch: pa.RecordBatch) -> None:
        """Take a batch of a kind."""
        ...


@runtime_checkable
class LineSink(Protocol):
    """Where a log goes, one JSON object a line."""

    def write_line(self, line: str) -> None:
        """Append one line; it stands on the disk, or in memory, in the order written."""
        ...
