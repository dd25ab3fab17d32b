"""Watches motors and signals: every change with the device's own time stamp, from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

from autosteer.contracts import DeviceError, MotorFacts, ReadbackCallback, StateCallback

SignalCallback = Callable[[float | None], None]
"""Called with the signal's value, or None while it is not connected."""

_POLL_S = 0.5


def _sign_of(direction: Any) -> int:
    """Read DIR, which is an enumeration: 0 or "Pos" is the dial's direction."""
    return int(direction) if isinstance(direction, (int, float)) else int(direction == "Neg")


class ClassicMotorWatch:
    """Watches an `ophyd.EpicsMotor`, or what has the same signals.

    Parameters
    ----------
    motor : ophyd device
        A connected motor.
    """

    def __init__(self, motor: Any) -> None:
        self._motor = motor
        self._lock = threading.Lock()
        self._value = math.nan
        self._moving = True
        self._subscriptions: list[tuple[Any, int]] = []

    def facts(self) -> MotorFacts:
        """Return what the motor says of itself now.

        Returns
        -------
        MotorFacts
            Units, limits, offset and direction.
        """
        motor = self._motor
        return MotorFacts(
            units=str(motor.motor_egu.get()),
            low=float(motor.low_limit_travel.get()),
            high=float(motor.high_limit_travel.get()),
            offset=float(motor.user_offset.get()),
            direction=_sign_of(motor.user_offset_dir.get()),
        )

    def watch(self, on_readback: ReadbackCallback, on_state: StateCallback) -> None:
        """Call back at each change until `close`.

        Parameters
        ----------
        on_readback : callable
            Told of (time stamp [ns UTC], position, moving).
        on_state : callable
            Told of (connected, facts).
        """

        def moved(
            value: Any = None, timestamp: float = 0.0, *, done: bool = False, **_: Any
        ) -> None:
            with self._lock:
                if done:
                    self._moving = not value
                else:
                    self._value = float(value)
                if not math.isnan(self._value):
                    on_readback(round(timestamp * 1e9), self._value, self._moving)

        def arrived(value: Any = None, timestamp: float = 0.0, **_: Any) -> None:
            moved(value, timestamp, done=True)

        def changed(**_: Any) -> None:
            # A monitor may come while the circuit breaks: the connection's own callback follows.
            with contextlib.suppress(Exception):
                on_state(True, self.facts())

        def connection(connected: bool = True, **_: Any) -> None:
            if connected:
                changed()
            else:
                on_state(False, None)

        motor = self._motor
        self._subscribe(motor.motor_done_move, arrived)
        self._subscribe(motor.user_readback, moved)
        for signal in (
            motor.user_offset,
            motor.user_offset_dir,
            motor.low_limit_travel,
            motor.high_limit_travel,
        ):
            self._subscribe(signal, changed)
        self._subscribe(motor.user_readback, connection, motor.user_readback.SUB_META)

    def _subscribe(self, signal: Any, function: Callable[..., None], kind: Any = None) -> None:
        self._subscriptions.append((signal, signal.subscribe(function, event_type=kind, run=True)))

    def close(self) -> None:
        """Stop watching."""
        for signal, number in self._subscriptions:
            signal.unsubscribe(number)
        self._subscriptions.clear()


class AsyncMotorWatch:
    """Watches an ophyd-async motor; its signals live on the RunEngine's event loop.

    Parameters
    ----------
    motor : ophyd_async.epics.motor.Motor
        A connected motor.
    loop : asyncio.AbstractEventLoop
        The loop on which it was connected.
    """

    def __init__(self, motor: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._motor = motor
        self._loop = loop
        self._value = math.nan
        self._moving = True
        self._on_readback: ReadbackCallback | None = None
        self._polling: asyncio.Task[None] | None = None

    def facts(self) -> MotorFacts:
        """Return what the motor says of itself now.

        Returns
        -------
        MotorFacts
            Units, limits, offset and direction.
        """
        return asyncio.run_coroutine_threadsafe(self._facts(), self._loop).result(timeout=10)

    async def _facts(self) -> MotorFacts:
        motor = self._motor
        names = ("motor_egu", "low_limit_travel", "high_limit_travel", "offset")
        units, low, high, offset = await asyncio.gather(
            *(getattr(motor, name).get_value() for name in names)
        )
        direction = getattr(motor, "offset_direction", None)
        sign = 0 if direction is None else _sign_of(str(await direction.get_value()))
        return MotorFacts(str(units), float(low), float(high), float(offset), sign)

    def watch(self, on_readback: ReadbackCallback, on_state: StateCallback) -> None:
        """Call back at each change until `close`.

        Parameters
        ----------
        on_readback : callable
            Told of (time stamp [ns UTC], position, moving).
        on_state : callable
            Told of (connected, facts).
        """
        self._on_readback = on_readback
        asyncio.run_coroutine_threadsafe(self._start(on_state), self._loop).result(timeout=10)

    async def _start(self, on_state: StateCallback) -> None:
        self._motor.motor_done_move.subscribe_reading(self._arrived)
        self._motor.user_readback.subscribe_reading(self._moved)
        self._polling = asyncio.create_task(self._poll(on_state))

    def _arrived(self, reading: Any) -> None:
        [one] = reading.values()
        self._moving = not one["value"]
        self._report(one["timestamp"])

    def _moved(self, reading: Any) -> None:
        [one] = reading.values()
        self._value = float(one["value"])
        self._report(one["timestamp"])

    def _report(self, timestamp: float) -> None:
        if self._on_readback is not None and not math.isnan(self._value):
            self._on_readback(round(timestamp * 1e9), self._value, self._moving)

    async def _poll(self, on_state: StateCallback) -> None:
        """Ask for the facts again and again: a monitor does not tell when the IOC has gone."""
        before: MotorFacts | None = None
        connected = False
        while True:
            try:
                async with asyncio.timeout(2 * _POLL_S):
                    facts = await self._facts()
            except Exception:
                if connected:
                    on_state(False, None)
                connected = False
            else:
                if facts != before or not connected:
                    on_state(True, facts)
                before, connected = facts, True
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """Stop watching."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=10)

    async def _stop(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling
            self._polling = None
        self._motor.motor_done_move.clear_sub(self._arrived)
        self._motor.user_readback.clear_sub(self._moved)


class SignalWatch:
    """Watches an `ophyd.EpicsSignalRO`, or what can be subscribed to in the same way.

    Parameters
    ----------
    signal : ophyd signal
        A connected signal with a number as value.
    """

    def __init__(self, signal: Any) -> None:
        self._signal = signal
        self._numbers: list[int] = []

    def watch(self, on_value: SignalCallback) -> None:
        """Call back at each change until `close`.

        Parameters
        ----------
        on_value : callable
            Told of the value, or of None while the signal is not connected.
        """

        def changed(value: Any = None, **_: Any) -> None:
            on_value(float(value))

        def connection(connected: bool = True, **_: Any) -> None:
            if not connected:
                on_value(None)

        signal = self._signal
        self._numbers = [
            signal.subscribe(changed, run=True),
            signal.subscribe(connection, event_type=signal.SUB_META, run=True),
        ]

    def close(self) -> None:
        """Stop watching."""
        for number in self._numbers:
            self._signal.unsubscribe(number)
        self._numbers.clear()


def watch_motor(motor: Any, loop: asyncio.AbstractEventLoop) -> ClassicMotorWatch | AsyncMotorWatch:
    """Choose the watch that fits a motor.

    Parameters
    ----------
    motor : device
        A connected motor of ophyd or of ophyd-async.
    loop : asyncio.AbstractEventLoop
        The RunEngine's loop, on which ophyd-async devices live.

    Returns
    -------
    ClassicMotorWatch or AsyncMotorWatch
        The watch, not yet started.

    Raises
    ------
    DeviceError
        If the device is no motor that can be watched.
    """
    readback = getattr(motor, "user_readback", None)
    if hasattr(readback, "subscribe_reading"):
        return AsyncMotorWatch(motor, loop)
    if hasattr(readback, "subscribe") and hasattr(motor, "motor_done_move"):
        return ClassicMotorWatch(motor)
    raise DeviceError(
        f"device '{getattr(motor, 'name', motor)}' is no motor that can be watched: it needs the "
        "signals user_readback and motor_done_move, as ophyd.EpicsMotor has them"
    )
