"""The Bluesky plan that carries decisions out, whoever makes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Readable
from bluesky.utils import RunEngineControlException

from autosteer.contracts import Decision, Knob, MoveResult
from autosteer.steering.readables import DecisionNumber, DecisionRecord
from autosteer.steering.slot import WAIT_COMMAND, DecisionSlot

Plan = Generator[Msg, Any, Any]

_WAIT_S = 1.0
# A monitor may bring the last position a moment after the motor has said that it is done.
_READBACK_PAUSES_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True, slots=True)
class DrivenKnob:
    """A knob and the motor that drives it.

    Parameters
    ----------
    motor : Movable and Readable
        The motor, of ophyd or of ophyd-async.
    knob : Knob
        Tolerance and time-out.
    """

    motor: Any
    knob: Knob


def carry_out(
    slot: DecisionSlot,
    knobs: Mapping[str, DrivenKnob],
    on_result: Callable[[MoveResult], None],
    detectors: Sequence[Readable[Any]] = (),
    policy: str = "",
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Carry out decisions until the slot is closed, in one run.

    Every decision is an event of the stream ``decisions``, refused ones too. Each move that was
    made is an event of the stream ``primary``, with the number of its decision. Checkpoints stand
    before and after a decision is taken, so that a pause repeats at most the move it interrupted.

    Parameters
    ----------
    slot : DecisionSlot
        Where the decisions come from.
    knobs : mapping of str to DrivenKnob
        The knobs and their motors.
    on_result : callable
        Told how each move ended.
    detectors : sequence of Readable
        Read after each move.
    policy : str
        Name of the policy, for the record.
    md : mapping, optional
        Metadata of the run.

    Returns
    -------
    str
        Identifier of the run.

    Yields
    ------
    Msg
        Messages for the RunEngine.
    """
    record = DecisionRecord(list(knobs), policy)
    number = DecisionNumber()
    motors: list[Any] = [driven.motor for driven in knobs.values()]

    def loop() -> Plan:
        yield from bps.declare_stream(record, name="decisions")
        yield from bps.declare_stream(*motors, *detectors, number, name="primary")
        while True:
            yield from bps.checkpoint()
            records, move = slot.take()
            for decision in records:
                record.show(decision)
                yield from bps.create("decisions")
                yield from bps.read(record)
                yield from bps.save()
            if move is None:
                if slot.closed:
                    return
                yield Msg(WAIT_COMMAND, timeout=_WAIT_S)
                continue
            yield from bps.checkpoint()
            result = yield from _move(move, knobs)
            if result.status == "arrived":
                number.number = move.number
                result = yield from _read_out(result, [*motors, *detectors, number])
            on_result(result)

    return (yield from bpp.run_wrapper(loop(), md=dict(md or {})))


def _move(decision: Decision, knobs: Mapping[str, DrivenKnob]) -> Plan:
    """Move all knobs at once, and see whether they have arrived."""
    group = f"decision-{decision.number}"
    timeout_s = max(driven.knob.timeout_s for driven in knobs.values())
    t_set_ns = time.time_ns()
    try:
        for name, driven in knobs.items():
            target = decision.suggestion.knobs[name]
            yield from bps.abs_set(driven.motor, target, group=group)
        yield from bps.wait(group, timeout=timeout_s)
    except RunEngineControlException:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        stopped = yield from _stop(knobs)
        positions = yield from _positions(knobs)
        return MoveResult(
            decision.number,
            "failed" if positions and stopped else "unverified",
            positions,
            problem,
            t_set_ns,
        )
    away: list[str] = []
    for pause_s in _READBACK_PAUSES_S:
        yield from bps.sleep(pause_s)
        positions = yield from _positions(knobs)
        if not positions:
            message = "the motors say that they are done, but their positions cannot be read"
            return MoveResult(decision.number, "unverified", {}, message, t_set_ns)
        away = [
            f"{name} is at {positions[name]:g}, not at {decision.suggestion.knobs[name]:g}"
            for name, driven in knobs.items()
            if not abs(positions[name] - decision.suggestion.knobs[name]) <= driven.knob.tolerance
        ]
        if not away:
            return MoveResult(decision.number, "arrived", positions, "", t_set_ns)
    return MoveResult(decision.number, "failed", positions, "; ".join(away), t_set_ns)


def _read_out(result: MoveResult, readables: Sequence[Any]) -> Plan:
    """Read devices after a move; a device that cannot be read spoils the move, not the run."""
    try:
        yield from bps.trigger_and_read(readables, name="primary")
    except RunEngineControlException:
        raise
    except Exception as error:
        message = f"arrived, but not all could be read: {type(error).__name__}: {error}"
        return replace(result, status="unverified", message=message)
    return result


def _stop(knobs: Mapping[str, DrivenKnob]) -> Plan:
    """Stop every motor; tell whether each one took it."""
    stopped = True
    for driven in knobs.values():
        try:
            yield from bps.stop(driven.motor)
        except RunEngineControlException:
            raise
        except Exception:
            stopped = False
    return stopped


def _positions(knobs: Mapping[str, DrivenKnob]) -> Plan:
    """Read where the knobs are; nothing if one of them cannot be read."""
    positions: dict[str, float] = {}
    for name, driven in knobs.items():
        try:
            value = yield from bps.rd(driven.motor)
        except RunEngineControlException:
            raise
        except Exception:
            return {}
        positions[name] = float(value)
    return positions
