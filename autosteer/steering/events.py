"""What the controller is told, and what it asks for: plain values that are logged and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter

from autosteer.contracts import Best, Decision, MotorFacts, MoveResult, Outcome, Suggestion


@dataclass(frozen=True, slots=True)
class TableArrived:
    """A table has come; its rows are kept by whoever drives the controller.

    Parameters
    ----------
    source, kind, boot_uid : str
        Its stream.
    seq : int
        Its number in the stream.
    last_pulse_id : int
        Last pulse that it covers.
    """

    source: str
    kind: str
    boot_uid: str
    seq: int
    last_pulse_id: int
    type: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A producer is alive, and has covered all shots up to a pulse."""

    source: str
    kind: str
    last_pulse_id: int
    end_of_stream: bool
    type: Literal["heartbeat"] = "heartbeat"


@dataclass(frozen=True, slots=True)
class Readback:
    """A knob's position, with the device's time stamp."""

    knob: str
    stamp_ns: int
    value: float
    moving: bool
    type: Literal["readback"] = "readback"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A knob's device has connected or gone, or says something new of itself."""

    knob: str
    connected: bool
    facts: MotorFacts | None
    type: Literal["device"] = "device"


@dataclass(frozen=True, slots=True)
class InterlockValue:
    """An interlock's signal has a new value; None where it is not connected."""

    name: str
    value: float | None
    type: Literal["interlock"] = "interlock"


@dataclass(frozen=True, slots=True)
class PolicyReplied:
    """The policy has answered an ask.

    Parameters
    ----------
    request : int
        Number of the ask.
    suggestions : tuple of Suggestion
        As many as were asked for, perhaps fewer.
    best : Best, optional
        Where it believes the optimum; none while it knows too little.
    stop_reason : str
        Why it wants to stop; empty if it does not.
    cpu_s : float
        Processor time that the answer took [s].
    """

    request: int
    suggestions: tuple[Suggestion, ...]
    best: Best | None
    stop_reason: str
    cpu_s: float
    type: Literal["policy"] = "policy"


@dataclass(frozen=True, slots=True)
class PolicyFailed:
    """An ask has failed; perhaps the policy has lost its memory with its process."""

    request: int
    message: str
    forgot: bool
    type: Literal["policy-failed"] = "policy-failed"


@dataclass(frozen=True, slots=True)
class MoveEnded:
    """A move has ended, one way or another."""

    result: MoveResult
    type: Literal["move-ended"] = "move-ended"


@dataclass(frozen=True, slots=True)
class Operator:
    """A person has spoken."""

    command: Literal["pause", "resume", "stop", "abort", "approve", "deny"]
    who: str = ""
    type: Literal["operator"] = "operator"


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of the system has failed, recovered, or noticed something; for record and display."""

    what: str
    message: str
    fatal: bool
    type: Literal["fault"] = "fault"


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    type: Literal["tick"] = "tick"


Event = Annotated[
    TableArrived
    | Heartbeat
    | Readback
    | DeviceState
    | InterlockValue
    | PolicyReplied
    | PolicyFailed
    | MoveEnded
    | Operator
    | Fault
    | Tick,
    Discriminator("type"),
]


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """Tell the policy what was measured, and ask it for suggestions.

    Parameters
    ----------
    request : int
        Number of the ask, from 1.
    num_points : int
        Suggestions wanted; 0 asks for its best place only.
    points : tuple of mapping
        New or changed outcomes, as `Outcome.as_point` gives them.
    failed : tuple of mapping
        Suggestions that were refused or failed.
    """

    request: int
    num_points: int
    points: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]
    type: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Submit:
    """Carry a decision out (if accepted), and record it."""

    decision: Decision
    type: Literal["submit"] = "submit"


@dataclass(frozen=True, slots=True)
class RequestApproval:
    """Show a decision to a person and wait for a yes or no."""

    decision: Decision
    type: Literal["request-approval"] = "request-approval"


@dataclass(frozen=True, slots=True)
class Measured:
    """An outcome is complete enough to be recorded."""

    outcome: Outcome
    type: Literal["measured"] = "measured"


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell people something."""

    level: Literal["info", "warning", "error"]
    text: str
    type: Literal["announce"] = "announce"


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop the motors now."""

    reason: str
    type: Literal["halt"] = "halt"


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run.

    Parameters
    ----------
    ok : bool
        Whether it ended as planned.
    reason : str
        Why.
    """

    ok: bool
    reason: str
    type: Literal["finish"] = "finish"


Action = Annotated[
    AskPolicy | Submit | RequestApproval | Measured | Announce | Halt | Finish,
    Discriminator("type"),
]


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its place in the order and the time at which it was handled.

    Parameters
    ----------
    number : int
        Running number, from 0.
    t_ns : int
        Time of handling [ns UTC].
    event : Event
        The event.
    """

    number: int
    t_ns: int
    event: Event


@dataclass(frozen=True, slots=True)
class Consequence:
    """What the controller asked for after an event.

    Parameters
    ----------
    number : int
        The event's number.
    actions : tuple of Action
        In the order to be carried out.
    """

    number: int
    actions: tuple[Action, ...]


def _kind_of_line(value: Any) -> str:
    """Tell the two kinds of log line apart."""
    names = value if isinstance(value, dict) else getattr(value, "__slots__", ())
    return "consequence" if "actions" in names else "stamped"


LogLine = Annotated[
    Annotated[Stamped, Tag("stamped")] | Annotated[Consequence, Tag("consequence")],
    Discriminator(_kind_of_line),
]

# A line may hold NaN or infinity, which plain JSON has no words for.
LINE_CONFIG = ConfigDict(ser_json_inf_nan="constants")

LOG_LINE: TypeAdapter[Stamped | Consequence] = TypeAdapter(LogLine, config=LINE_CONFIG)
"""Turns log lines into JSON and back."""
