"""A rig for the controller: it plays the world, one event at a time, on its own clock."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from autosteer.contracts import (
    INDEXING,
    MACHINE,
    Best,
    MotorFacts,
    MoveResult,
    Suggestion,
    make_batch,
)
from autosteer.steering.controller import Controller
from autosteer.steering.events import (
    Action,
    AskPolicy,
    DeviceState,
    Event,
    Finish,
    InterlockValue,
    MoveEnded,
    PolicyReplied,
    Readback,
    Stamped,
    Submit,
    TableArrived,
    Tick,
)
from tests.experiments import experiment

SECOND = 1_000_000_000
SHOT = SECOND // 100
LATENCY = SECOND // 20
FACTS = MotorFacts("mm", -0.5, 0.5)

A = TypeVar("A")


class Rig:
    """A controller and a world of two knobs at 100 Hz; results come 50 ms later."""

    def __init__(self, mode: str = "auto", **changes: Any) -> None:
        changes.setdefault("policy__options", {})
        # Most tests want to say exactly which results a decision waits for.
        changes.setdefault("dwell__in_flight", 0)
        self.experiment = experiment(**changes)
        self.controller = Controller(self.experiment, mode)  # type: ignore[arg-type]
        self.now_ns = 1_700_000_000 * SECOND
        self.latency_ns = LATENCY
        self.position = {"x": 0.0, "y": 0.0}
        self.log: list[Action] = []
        self._coming: list[tuple[int, Event, Any]] = []
        self._number = 0
        for knob in self.position:
            self.post(DeviceState(knob, True, FACTS))
            self.readback(knob, 0.0)
        for interlock in self.experiment.envelope.interlocks:
            self.post(InterlockValue(interlock.name, 1.0))
        # The first results open the first setting.
        self.shots(10)
        self.wait(0.1)
        assert self.controller.settings.current is not None

    def post(self, event: Event, batch: Any = None) -> tuple[Action, ...]:
        actions = self.controller.handle(Stamped(self._number, self.now_ns, event), batch)
        self._number += 1
        self.log += actions
        return actions

    def readback(self, knob: str, value: float, moving: bool = False) -> None:
        self.position[knob] = value
        self.post(Readback(knob, self.now_ns, value, moving))

    def wait(self, seconds: float) -> None:
        """Let time pass; results that are on their way arrive."""
        end_ns = self.now_ns + round(seconds * SECOND)
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + SECOND // 20, end_ns)
            while self._coming and self._coming[0][0] <= self.now_ns:
                _, event, batch = self._coming.pop(0)
                self.post(event, batch)
            self.post(Tick())

    def shots(self, count: int, hit: bool = True, intensity: float = 1.0) -> None:
        """Let shots be exposed, ten at a time; their results are on their way afterwards."""
        for start in range(0, count, 10):
            n = min(10, count - start)
            times = self.now_ns + np.arange(n) * SHOT
            ids = (times // SHOT).astype(np.uint64)
            keys = {"pulse_id": ids, "timestamp": times}
            last = int(ids[-1])
            hits = make_batch(INDEXING, {**keys, "hit": np.full(n, hit)})
            beam = make_batch(MACHINE, {**keys, "beam_intensity": np.full(n, intensity)})
            due_ns = self.now_ns + n * SHOT + self.latency_ns
            self._coming += [
                (due_ns, TableArrived("source", "machine", "boot", last, last), beam),
                (due_ns, TableArrived("worker-0", "indexing", "boot", last, last), hits),
            ]
            self.wait(n * SHOT / SECOND)

    def of(self, kind: type[A]) -> list[A]:
        """List the actions of a kind so far."""
        return [action for action in self.log if isinstance(action, kind)]

    def last(self, kind: type[A]) -> A:
        return self.of(kind)[-1]

    def reply(
        self,
        x: float = 0.05,
        y: float = 0.1,
        best: Best | None = None,
        stop: str = "",
        *,
        shots: int | None = None,
        worse_than: float | None = None,
    ) -> None:
        """Answer the ask in flight."""
        ask = self.last(AskPolicy)
        suggestions = (
            Suggestion(f"s{ask.request}", {"x": x, "y": y}, "a test", shots, worse_than),
        )
        self.post(
            PolicyReplied(ask.request, suggestions if ask.num_points else (), best, stop, 0.1)
        )

    def arrive(self, status: str = "arrived", message: str = "", *, beam: bool = False) -> None:
        """End the move in flight after 0.3 s of motion, with or without shots."""
        decision = self.last(Submit).decision
        t_set_ns = self.now_ns
        for step in (1, 2, 3):
            self.shots(10) if beam else self.wait(0.1)
            for knob, target in decision.suggestion.knobs.items():
                here = self.position[knob]
                there = here + (target - here) * step / 3 if status == "arrived" else here
                self.readback(knob, there, moving=step < 3)
        result = MoveResult(
            decision.number,
            status,  # type: ignore[arg-type]
            dict(self.position),
            message,
            t_set_ns,
        )
        self.post(MoveEnded(result))

    def finish(self) -> Finish | None:
        return self.controller.finished

    def one_setting(self, x: float = 0.05, y: float = 0.1) -> None:
        """Measure where the knobs are, be told where to go next, and go there."""
        self.shots(30)
        self.reply(x, y)
        self.shots(30)
        self.arrive()
