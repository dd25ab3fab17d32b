"""The agent: drives the controller in real time, with sockets, motors and a policy around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import pyarrow as pa
import zmq

from autosteer.contracts import (
    Clock,
    Experiment,
    LineSink,
    Mode,
    MotorFacts,
    MoveResult,
    ReadbackSource,
    WireError,
)
from autosteer.steering.bluesky_actuator import PlanActuator
from autosteer.steering.controller import Controller
from autosteer.steering.events import (
    LOG_LINE,
    Action,
    AskPolicy,
    Consequence,
    DeviceState,
    Event,
    Fault,
    Finish,
    Halt,
    Heartbeat,
    InterlockValue,
    MoveEnded,
    Operator,
    Readback,
    Stamped,
    Submit,
    TableArrived,
    Tick,
)
from autosteer.steering.policy_process import PolicyClient
from autosteer.stream import ANY_PORT, AsyncReader, Inlet, Receiver
from autosteer.stream.wire import Part

_TICK_S = 0.05
_REST_TIMEOUT_S = 5.0
_DRAIN_LIMIT = 64


class InterlockSource(Protocol):
    """Watches one signal."""

    def watch(self, on_value: Callable[[float | None], None]) -> None:
        """Call back at each change until `close`; from any thread."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


class Agent:
    """Feeds the controller with what happens, and carries out what it asks for.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    mode : {"observe", "suggest", "approve", "auto"}
        How far it may go.
    run_uid : str
        The run; messages of another are refused, except those of outside producers.
    clock : Clock
        Gives the times of events.
    actuator : PlanActuator
        Carries decisions out.
    knobs : mapping of str to ReadbackSource
        Watches of the knobs' motors.
    interlocks : mapping of str to InterlockSource
        Watches of the interlocks' signals.
    log : LineSink
        Takes every event and every action, in order, for the replay.
    on_action : callable
        Told of every action as well: for the record and for the display.
    on_crash : callable
        Told of an error inside the controller, after which the motors are stopped.
    on_hang : callable
        Told of a policy that has not answered in time: its process should be started anew.
    """

    def __init__(
        self,
        experiment: Experiment,
        mode: Mode,
        run_uid: str,
        clock: Clock,
        actuator: PlanActuator,
        knobs: Mapping[str, ReadbackSource],
        interlocks: Mapping[str, InterlockSource],
        log: LineSink,
        on_action: Callable[[Action], None],
        on_crash: Callable[[Exception], None],
        on_hang: Callable[[], None],
    ) -> None:
        self.controller = Controller(experiment, mode)
        self._run_uid = run_uid
        self._clock = clock
        self._actuator = actuator
        self._knobs = knobs
        self._interlocks = interlocks
        self._log = log
        self._on_action = on_action
        self._on_crash = on_crash
        self._on_hang = on_hang
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._readers: list[AsyncReader] = []
        self._inlets: dict[str, Inlet] = {}
        self._halting: asyncio.Task[None] | None = None
        self._done = asyncio.Event()
        self._ended: set[tuple[str, str]] = set()
        self._outside: set[str] = set()
        self.all_ended = asyncio.Event()
        """Set when every stream of the run that was heard has ended; those from outside go on."""
        self.receiver = Receiver(run_uid, self._note_refusal)
        self.policy = PolicyClient(self._context, self.post)

    def add_producer(self, name: str) -> str:
        """Open a socket for one producer of tables.

        Parameters
        ----------
        name : str
            The producer.

        Returns
        -------
        str
            Address to which it connects.
        """
        return self._open(name, Inlet(self._context, ANY_PORT, "bind", "tables"))

    def add_outside_producer(self, name: str, address: str) -> None:
        """Connect to a producer that is not part of the run; its shots count from now on.

        Parameters
        ----------
        name : str
            What it calls itself.
        address : str
            Where it serves the agent.

        Raises
        ------
        AddressError
            If the address is malformed, or not on the loopback interface.
        """
        self._outside.add(name)
        self.receiver.admit_outside(self._clock.time_ns())
        self._open(name, Inlet(self._context, address, "connect", "tables"))

    def _open(self, name: str, inlet: Inlet) -> str:
        self._inlets[name] = inlet
        self._readers.append(AsyncReader(inlet, self._take_messages, _DRAIN_LIMIT))
        return inlet.address

    async def run(self) -> Finish:
        """Run until the controller finishes; tables are still received, and counted, after that.

        Returns
        -------
        Finish
            How it ended.
        """
        await self._actuator.start()
        self._watch_devices()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._tick()),
                tasks.create_task(self._await_moves()),
            ]
            await self._done.wait()
            for helper in helpers:
                helper.cancel()
        if self._halting is not None:
            await self._halting
        await self._come_to_rest()
        finished = self.controller.finished
        return finished or Finish(ok=False, reason="the agent was interrupted")

    async def _come_to_rest(self) -> None:
        """Wait until every motor has said where it stands; one that does not is left as it is."""
        histories = self.controller.observer.histories.values()
        give_up_s = self._clock.monotonic_s() + _REST_TIMEOUT_S
        # What they have said last may still be on its way.
        await self._clock.sleep(_TICK_S)
        while any(one.moving for one in histories) and self._clock.monotonic_s() < give_up_s:
            await self._clock.sleep(_TICK_S)

    def _watch_devices(self) -> None:
        """Begin to watch motors and signals; their callbacks come from other threads."""

        def readback_of(name: str) -> Callable[[int, float, bool], None]:
            return lambda stamp_ns, value, moving: self._post_from_thread(
                Readback(name, stamp_ns, value, moving)
            )

        def state_of(name: str) -> Callable[[bool, MotorFacts | None], None]:
            return lambda connected, facts: self._post_from_thread(
                DeviceState(name, connected, facts)
            )

        def value_of(name: str) -> Callable[[float | None], None]:
            return lambda value: self._post_from_thread(InterlockValue(name, value))

        for name, source in self._knobs.items():
            source.watch(readback_of(name), state_of(name))
        for name, interlock in self._interlocks.items():
            interlock.watch(value_of(name))

    async def close(self) -> None:
        """End the plan, stop watching and close the sockets, whatever has happened before."""
        for reader in self._readers:
            reader.close()
        closers = [watch.close for watch in self._knobs.values()]
        closers += [watch.close for watch in self._interlocks.values()]
        for close in closers:
            with contextlib.suppress(Exception):
                close()
        await self._actuator.stop(abort=False)
        self.policy.close()
        for inlet in self._inlets.values():
            inlet.close()
        self._context.term()

    def post(self, event: Event) -> None:
        """Handle an event now; only from the event loop.

        Parameters
        ----------
        event : Event
            What has happened.
        """
        self._handle(event, None)

    def _post_from_thread(self, event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have been closed
            self._loop.call_soon_threadsafe(self.post, event)

    def plan_ended(self, error: BaseException | None) -> None:
        """Note, from any thread, that the plan has ended.

        Parameters
        ----------
        error : BaseException, optional
            Why, if it failed.
        """
        if error is not None:
            message = f"{type(error).__name__}: {error}"
            self._post_from_thread(Fault("the Bluesky plan", message, fatal=True))

    def command(self, operator: Operator) -> None:
        """Take a person's command, and pass a pause on to the RunEngine.

        Parameters
        ----------
        operator : Operator
            The command.
        """
        if operator.command == "pause":
            self._actuator.pause()
        elif operator.command in {"resume", "stop"}:
            self._actuator.resume()
        self.post(operator)

    def _handle(self, event: Event, batch: pa.RecordBatch | None) -> None:
        """Log an event, have the controller handle it, and carry out what it asks for."""
        if self.controller.finished is not None and not isinstance(event, Readback):
            return
        stamped = Stamped(self._number, self._clock.time_ns(), event)
        self._number += 1
        self._write(stamped)
        try:
            actions = self.controller.handle(stamped, batch)
        except Exception as error:
            # Whatever is wrong here, nothing may go on moving because of it.
            reason = f"internal error at event {stamped.number}: {type(error).__name__}: {error}"
            self.controller.finished = Finish(ok=False, reason=reason)
            actions = (Halt(reason), self.controller.finished)
            self._on_crash(error)
        if actions:
            self._write(Consequence(stamped.number, actions))
        for action in actions:
            self._carry_out(action)

    def _write(self, line: Stamped | Consequence) -> None:
        self._log.write_line(LOG_LINE.dump_json(line).decode())

    def _carry_out(self, action: Action) -> None:
        match action:
            case AskPolicy():
                self.policy.ask(action)
            case Submit(decision):
                self._actuator.submit(decision)
            case Halt():
                self._halting = asyncio.create_task(self._actuator.stop(abort=True))
            case Finish():
                self._done.set()
            case _:
                pass
        self._on_action(action)

    def _take_messages(self, messages: list[list[Part]]) -> None:
        for parts in messages:
            received = self.receiver.accept(parts)
            if received is None:
                continue
            header = received.header
            if received.batch is not None:
                event = TableArrived(
                    header.source, header.kind, header.boot_uid, header.seq, header.last_pulse_id
                )
                self._handle(event, received.batch)
            elif header.message == "heartbeat":
                if header.end_of_stream:
                    self._ended.add((header.source, header.kind))
                    heard = {one for one in self.receiver.counters if one[0] not in self._outside}
                    if self._ended >= heard:
                        self.all_ended.set()
                beat = Heartbeat(
                    header.source, header.kind, header.last_pulse_id, header.end_of_stream
                )
                self._handle(beat, None)

    def _note_refusal(self, error: WireError) -> None:
        """Say once of each kind of refusal that it happens; the counters have the rest."""
        if self.receiver.refused.get(type(error).__name__) == 1:
            self._handle(Fault("the stream", f"refused a message: {error}", fatal=False), None)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            if self.policy.check_timeout():
                self._on_hang()
            self.post(Tick())

    async def _await_moves(self) -> None:
        while True:
            result: MoveResult = await self._actuator.result()
            self.post(MoveEnded(result))

    def counters(self) -> dict[str, Any]:
        """Return what was received, joined, folded and refused.

        Returns
        -------
        dict
            Counters by place, as plain values.
        """
        observer = self.controller.observer
        return {
            "received": {
                f"{source}/{kind}": asdict(counters)
                for (source, kind), counters in self.receiver.counters.items()
            },
            "refused": self.receiver.refused,
            "join": {kind: asdict(counters) for kind, counters in observer.join_counters.items()},
            "shots": {"folded": observer.shots.folded, "outside": observer.shots.outside},
        }
