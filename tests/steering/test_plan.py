"""The plan on a real RunEngine: pauses, aborts and suspenders lose nothing and repeat nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.suspenders import SuspendBoolHigh
from event_model import DocumentNames, schema_validators
from ophyd import Signal

from autosteer.contracts import Decision, Knob, MoveResult, Refusal, Suggestion
from autosteer.steering.bluesky_actuator import BlueskyActuator, make_engine
from autosteer.steering.plan import DrivenKnob
from tests.steering.motors import HandMotor

KNOB = Knob(device="m", low=-10, high=10, units="mm", tolerance=0.01, timeout_s=5)


def decision(number: int, x: float, status: str = "accepted") -> Decision:
    refusal = Refusal("limits", "too far") if status == "refused" else None
    suggestion = Suggestion(f"s{number}", {"x": x}, "a test")
    return Decision(number, suggestion, status, refusal, number, 1, 1, 1)  # type: ignore[arg-type]


class Bench:
    """An actuator with one motor, and everything that it does."""

    def __init__(self, motor: HandMotor, knob: Knob = KNOB) -> None:
        self.motor = motor
        self.engine: RunEngine = make_engine()
        self.documents: list[tuple[str, Any]] = []
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))  # type: ignore[no-untyped-call]
        self.ends: list[BaseException | None] = []
        self.actuator = BlueskyActuator(
            self.engine, {"x": DrivenKnob(motor, knob)}, policy="test", on_end=self.ends.append
        )

    async def go(self, number: int, x: float) -> MoveResult:
        self.actuator.submit(decision(number, x))
        return await self.result()

    async def result(self) -> MoveResult:
        async with asyncio.timeout(60):
            return await self.actuator.result()

    def events(self, stream: str) -> list[dict[str, Any]]:
        streams = {d["uid"]: d["name"] for name, d in self.documents if name == "descriptor"}
        return [
            d["data"]
            for name, d in self.documents
            if name == "event" and streams[d["descriptor"]] == stream
        ]

    @property
    def exit_status(self) -> str:
        return str(self.documents[-1][1]["exit_status"])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true, a minute at most."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(HandMotor("m"))
    await made.actuator.start()
    yield made
    made.motor.let_arrive()
    await made.actuator.stop(abort=False)


@pytest.fixture
async def slow() -> AsyncIterator[Bench]:
    """A bench whose motor moves only when it is let."""
    made = Bench(HandMotor("m", waits=True))
    await made.actuator.start()
    yield made
    made.motor.let_arrive()
    await made.actuator.stop(abort=False)


async def test_every_decision_is_an_event_and_every_move_names_its_decision(bench: Bench) -> None:
    assert (await bench.go(1, 2.0)).status == "arrived"
    bench.actuator.submit(decision(2, 99.0, "refused"))
    result = await bench.go(3, 3.0)
    assert result.readback == {"x": 3.0}
    assert result.t_set_ns > 0
    await bench.actuator.stop(abort=False)
    assert bench.motor.sets == [2.0, 3.0]
    recorded = bench.events("decisions")
    assert [event["decision_number"] for event in recorded] == [1, 2, 3]
    assert [event["decision_status"] for event in recorded] == ["accepted", "refused", "accepted"]
    assert recorded[1]["decision_reason"] == "too far"
    assert recorded[2]["decision_target_x"] == 3.0
    primary = bench.events("primary")
    assert [(event["m"], event["decision_id"]) for event in primary] == [(2.0, 1), (3.0, 3)]
    assert bench.exit_status == "success"
    assert bench.ends == [None]


async def test_all_documents_are_valid(bench: Bench) -> None:
    await bench.go(1, 2.0)
    await bench.actuator.stop(abort=False)
    names = [name for name, _ in bench.documents]
    assert names[0] == "start"
    assert names[-1] == "stop"
    for name, document in bench.documents:
        schema_validators[DocumentNames[name]].validate(document)


async def test_only_the_newest_of_several_decisions_moves(slow: Bench) -> None:
    slow.actuator.submit(decision(1, 1.0))
    await until(lambda: slow.motor.sets == [1.0])
    for number in (2, 3, 4):
        slow.actuator.submit(decision(number, float(number)))
    slow.motor.let_arrive()
    assert (await slow.result()).decision_number == 1
    await until(lambda: slow.motor.sets == [1.0, 4.0])
    slow.motor.let_arrive()
    assert (await slow.result()).decision_number == 4
    await slow.actuator.stop(abort=False)
    assert [event["decision_number"] for event in slow.events("decisions")] == [1, 2, 3, 4]


async def test_a_pause_while_waiting_keeps_the_newest_decision(bench: Bench) -> None:
    await bench.go(1, 1.0)
    bench.actuator.pause()
    await until(bench.actuator.is_paused)
    bench.actuator.submit(decision(2, 2.0))
    bench.actuator.submit(decision(3, 3.0))
    assert bench.motor.sets == [1.0]
    bench.actuator.resume()
    assert (await bench.result()).decision_number == 3
    assert bench.motor.sets == [1.0, 3.0]
    assert bench.actuator.error is None


async def test_a_pause_in_mid_move_lets_the_move_end(slow: Bench) -> None:
    slow.actuator.submit(decision(1, 1.0))
    await until(lambda: slow.motor.sets == [1.0])
    slow.actuator.pause()
    slow.motor.let_arrive()
    assert (await slow.result()).status == "arrived"
    await until(slow.actuator.is_paused)
    assert slow.motor.position == 1.0
    slow.actuator.resume()
    slow.actuator.submit(decision(2, 2.0))
    await until(lambda: slow.motor.sets[-1] == 2.0)
    slow.motor.let_arrive()
    assert (await slow.result()).decision_number == 2


async def test_a_hard_pause_stops_the_motor_and_a_resume_repeats_only_that_move(
    slow: Bench,
) -> None:
    slow.actuator.submit(decision(1, 1.0))
    await until(lambda: slow.motor.sets == [1.0])
    await asyncio.to_thread(slow.engine.request_pause, False)
    await until(slow.actuator.is_paused)
    assert slow.motor.stops == 1
    slow.actuator.resume()
    await until(lambda: slow.motor.sets == [1.0, 1.0])
    slow.motor.let_arrive()
    assert (await slow.result()).status == "arrived"
    slow.actuator.submit(decision(2, 2.0))
    await until(lambda: slow.motor.sets == [1.0, 1.0, 2.0])
    slow.motor.let_arrive()
    assert (await slow.result()).decision_number == 2


async def test_an_abort_stops_the_motor_at_once(slow: Bench) -> None:
    slow.actuator.submit(decision(1, 1.0))
    await until(lambda: slow.motor.sets == [1.0])
    await slow.actuator.stop(abort=True)
    assert slow.motor.stops >= 1
    assert slow.exit_status == "abort"
    assert len(slow.ends) == 1


async def test_an_abort_ends_a_paused_plan(bench: Bench) -> None:
    bench.actuator.pause()
    await until(bench.actuator.is_paused)
    await bench.actuator.stop(abort=True)
    assert bench.exit_status == "abort"


async def test_a_regular_end_waits_for_the_move_in_flight(slow: Bench) -> None:
    slow.actuator.submit(decision(1, 1.0))
    await until(lambda: slow.motor.sets == [1.0])
    stopping = asyncio.create_task(slow.actuator.stop(abort=False))
    await asyncio.sleep(0)
    assert not stopping.done()
    slow.motor.let_arrive()
    await stopping
    assert slow.motor.position == 1.0
    assert slow.exit_status == "success"


async def test_a_move_that_does_not_arrive_in_time_is_a_failure_and_the_run_goes_on() -> None:
    bench = Bench(HandMotor("m", waits=True), KNOB.model_copy(update={"timeout_s": 0.05}))
    await bench.actuator.start()
    result = await bench.go(1, 1.0)
    assert result.status == "failed"
    assert "WaitForTimeoutError" in result.message
    assert result.readback == {"x": 0.0}
    assert bench.motor.stops == 1
    bench.motor.waits = False
    assert (await bench.go(2, 2.0)).status == "arrived"
    await bench.actuator.stop(abort=False)
    assert bench.exit_status == "success"


async def test_a_motor_that_refuses_is_a_failure(bench: Bench) -> None:
    bench.motor.raises = ValueError("outside of range")
    result = await bench.go(1, 1.0)
    assert (result.status, result.readback) == ("failed", {"x": 0.0})
    assert "outside of range" in result.message
    bench.motor.raises = None
    assert (await bench.go(2, 2.0)).status == "arrived"


async def test_done_is_not_arrived(bench: Bench) -> None:
    bench.motor.misses_by = 0.5
    result = await bench.go(1, 1.0)
    assert result.status == "failed"
    assert result.message == "x is at 1.5, not at 1"


async def test_a_position_that_cannot_be_read_is_unverified(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> dict[str, Any]:
        raise ConnectionError("not connected")

    monkeypatch.setattr(bench.motor, "read", broken)
    result = await bench.go(1, 1.0)
    assert (result.status, result.readback) == ("unverified", {})
    monkeypatch.undo()
    assert (await bench.go(2, 2.0)).status == "arrived"


async def test_a_suspender_holds_motion_and_its_release_takes_the_newest_decision() -> None:
    bench = Bench(HandMotor("m"))
    beam_lost = Signal(name="beam_lost", value=0)
    bench.engine.install_suspender(SuspendBoolHigh(beam_lost))  # type: ignore[no-untyped-call]
    messages: list[Any] = []
    bench.engine.msg_hook = messages.append  # type: ignore[assignment]
    await bench.actuator.start()
    await bench.go(1, 1.0)
    await asyncio.to_thread(beam_lost.put, 1)
    await until(lambda: any(message.command == "_start_suspender" for message in messages))
    for number in (2, 3):
        bench.actuator.submit(decision(number, float(number)))
    assert bench.motor.sets == [1.0]
    await asyncio.to_thread(beam_lost.put, 0)
    assert (await bench.result()).decision_number == 3
    assert bench.motor.sets == [1.0, 3.0]
    await bench.actuator.stop(abort=False)
