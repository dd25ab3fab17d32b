"""Drives the controller on a virtual clock: a whole run in one process, as fast as it goes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from autosteer.contracts import (
    Decision,
    DeviceError,
    Experiment,
    MotorFacts,
    MoveResult,
    Policy,
)
from autosteer.steering.controller import Controller
from autosteer.steering.events import (
    AskPolicy,
    DeviceState,
    Event,
    Finish,
    InterlockValue,
    MoveEnded,
    Readback,
    Stamped,
    Submit,
    TableArrived,
    Tick,
)
from autosteer.steering.policy_host import PolicyHost


class VirtualWorld(Protocol):
    """A simulated beamline that is told what time it is."""

    def facts(self) -> dict[str, MotorFacts]:
        """Return what each knob's motor says of itself."""
        ...

    def interlocks(self) -> dict[str, float]:
        """Return the value of each interlock's signal."""
        ...

    def move(self, knobs: Any, now_ns: int) -> int:
        """Send the knobs to a place; return when they will have arrived [ns UTC].

        A `DeviceError` says that they cannot be sent there.
        """
        ...

    def readbacks(self, from_ns: int, to_ns: int) -> Iterable[tuple[int, str, float, bool]]:
        """Give (time stamp, knob, position, moving) posted in a span of time."""
        ...

    def tables(self, from_ns: int, to_ns: int) -> Iterable[tuple[int, str, pa.RecordBatch]]:
        """Give (arrival time, kind, rows) of the shots exposed in a span of time."""
        ...


@dataclass(frozen=True, slots=True)
class VirtualTimes:
    """How long things take on the virtual clock.

    Parameters
    ----------
    step_s : float
        Span of time in which shots are made together [s].
    ask_s : float
        The policy answers after this time [s].
    settle_s : float
        From the motors' arrival to the report of it [s].
    """

    step_s: float = 0.1
    ask_s: float = 0.3
    settle_s: float = 0.01


class VirtualRun:
    """One run of one policy on a simulated beamline.

    Parameters
    ----------
    experiment : Experiment
        The experiment; its mode counts as ``auto``.
    world : VirtualWorld
        The simulated beamline.
    policy : Policy
        The policy.
    times : VirtualTimes, optional
        How long things take.
    start_ns : int, default 1_700_000_000_000_000_000
        Time at the beginning [ns UTC].
    """

    def __init__(
        self,
        experiment: Experiment,
        world: VirtualWorld,
        policy: Policy,
        times: VirtualTimes | None = None,
        start_ns: int = 1_700_000_000_000_000_000,
    ) -> None:
        self.controller = Controller(experiment, "auto")
        self.now_ns = start_ns
        self._world = world
        self._host = PolicyHost(policy, list(experiment.knobs), experiment.objective.name)
        self._times = times or VirtualTimes()
        self._queue: list[tuple[int, int, Event, pa.RecordBatch | None]] = []
        self._order = itertools.count()
        self._handled = itertools.count()
        self._tables: dict[str, int] = {}
        for knob, facts in world.facts().items():
            self._post(start_ns, DeviceState(knob, True, facts))

    def run(self, on_step: Callable[[int], None] | None = None) -> Finish:
        """Run until the controller finishes.

        Parameters
        ----------
        on_step : callable, optional
            Called with the time after each step, for progress or for scoring.

        Returns
        -------
        Finish
            How it ended.
        """
        step_ns = round(self._times.step_s * 1e9)
        while self.controller.finished is None:
            end_ns = self.now_ns + step_ns
            for name, value in self._world.interlocks().items():
                self._post(self.now_ns, InterlockValue(name, value))
            for stamp_ns, knob, value, moving in self._world.readbacks(self.now_ns, end_ns):
                self._post(stamp_ns, Readback(knob, stamp_ns, value, moving))
            for arrival_ns, kind, batch in self._world.tables(self.now_ns, end_ns):
                self._post(arrival_ns, self._arrival(kind, batch), batch)
            self._post(end_ns, Tick())
            while self._queue and self._queue[0][0] <= end_ns:
                t_ns, _, event, batch = heapq.heappop(self._queue)
                self._handle(max(t_ns, self.now_ns), event, batch)
            self.now_ns = end_ns
            if on_step is not None:
                on_step(end_ns)
        return self.controller.finished

    def _post(self, t_ns: int, event: Event, batch: pa.RecordBatch | None = None) -> None:
        heapq.heappush(self._queue, (t_ns, next(self._order), event, batch))

    def _arrival(self, kind: str, batch: pa.RecordBatch) -> TableArrived:
        seq = self._tables.get(kind, 0)
        self._tables[kind] = seq + 1
        last = int(batch.column("pulse_id")[-1].as_py())
        return TableArrived("virtual", kind, "virtual", seq, last)

    def _handle(self, t_ns: int, event: Event, batch: pa.RecordBatch | None) -> None:
        stamped = Stamped(next(self._handled), t_ns, event)
        for action in self.controller.handle(stamped, batch):
            match action:
                case AskPolicy():
                    self._post(t_ns + round(self._times.ask_s * 1e9), self._host.answer(action))
                case Submit(decision) if decision.status == "accepted":
                    self._move(decision, t_ns)
                case _:
                    pass

    def _move(self, decision: Decision, t_ns: int) -> None:
        knobs = dict(decision.suggestion.knobs)
        try:
            arrival_ns = self._world.move(knobs, t_ns)
        except DeviceError as error:
            arrival_ns = t_ns
            result = MoveResult(decision.number, "failed", message=str(error), t_set_ns=t_ns)
        else:
            result = MoveResult(decision.number, "arrived", knobs, t_set_ns=t_ns)
        self._post(arrival_ns + round(self._times.settle_s * 1e9), MoveEnded(result))
