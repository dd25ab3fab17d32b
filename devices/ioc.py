"""The soft IOC: motor records that behave like motor records, a beam monitor and a pulse counter.

Served over Channel Access by caproto. What real records do and simple simulations leave out: the
put-callback of VAL waits until the motion is over, VAL carries control limits, a value outside of
them is refused, STOP leaves the motor where it is, and a new target in mid-motion supersedes the
old one.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from caproto.asyncio.server import Context
from caproto.server import PVGroup, pvproperty

from autosteer.contracts.simulation import SimulatedIoc, SimulatedMotor
from autosteer.physics import Travel

_UPDATE_S = 0.02
_HEARTBEAT_S = 0.1
_REPEATER_POLL_S = 0.01


class MotorGroup(PVGroup):
    """One motor record.

    Parameters
    ----------
    prefix : str
        The record's name.
    motor : SimulatedMotor
        Start, limits, speed and units.
    """

    val = pvproperty(value=0.0, name="", record="motor", precision=5)

    def __init__(self, prefix: str, motor: SimulatedMotor) -> None:
        super().__init__(prefix=prefix)
        self._motor = motor
        self._dial = motor.start
        self._travel: Travel | None = None
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    @val.startup  # type: ignore[no-redef]
    async def val(self, instance: Any, async_lib: Any) -> None:
        """Fill the record, then follow its fields for as long as the IOC lives."""
        fields = instance.field_inst
        motor = self._motor
        for name, value in {
            "engineering_units": motor.units,
            "velocity": motor.velocity,
            "max_velocity": motor.velocity,
            "seconds_to_velocity": 0.0,
            "motor_step_size": 1e-6,
            "user_low_limit": motor.low,
            "user_high_limit": motor.high,
            "dial_low_limit": motor.low,
            "dial_high_limit": motor.high,
            "done_moving_to_value": 1,
        }.items():
            await getattr(fields, name).write(value)
        await instance.write_metadata(units=motor.units)
        await instance.write_metadata(lower_ctrl_limit=motor.low, upper_ctrl_limit=motor.high)
        await instance.write(motor.start, verify_value=False)
        await self._publish_position(fields)
        calibration = self._calibration(fields)
        while True:
            await asyncio.sleep(_UPDATE_S)
            if fields.stop.value or fields.stop_pause_move_go.value in {"Stop", "Pause"}:
                await self._halt(instance, fields)
            if self._calibration(fields) != calibration:
                calibration = self._calibration(fields)
                await self._publish_position(fields)
                await instance.write(fields.user_readback_value.value, verify_value=False)
            if self._travel is not None:
                await self._follow(fields)

    @val.putter  # type: ignore[no-redef]
    async def val(self, instance: Any, value: float) -> float:
        """Move; the put is complete when the motor has come to rest."""
        # A value beyond the control limits has been refused before this is called.
        fields = instance.field_inst
        now_s = time.monotonic()
        if self._travel is not None:
            self._dial = float(self._travel.position(now_s))
        sign, offset = self._calibration(fields)
        self._travel = Travel(self._dial, sign * (value - offset), now_s, fields.velocity.value)
        self._at_rest.clear()
        await fields.done_moving_to_value.write(0)
        await fields.motor_is_moving.write(1)
        await fields.direction_of_travel.write(int(self._travel.target > self._dial))
        # The setpoint shows at once what was asked for; the put itself goes on.
        await instance.write(value, verify_value=False)
        await self._at_rest.wait()
        # STOP or a newer target may have changed the setpoint meanwhile.
        return float(instance.value)

    # caproto hands the record's fields to these, in the place of self.

    @val.fields.user_low_limit.putter
    async def _put_low_limit(fields: Any, instance: Any, value: float) -> None:  # ruff: ignore[invalid-first-argument-name-for-method]
        """Have VAL's control limit follow LLM before anybody hears of the new LLM."""
        await fields.parent.write_metadata(lower_ctrl_limit=value)

    @val.fields.user_high_limit.putter
    async def _put_high_limit(fields: Any, instance: Any, value: float) -> None:  # ruff: ignore[invalid-first-argument-name-for-method]
        """Have VAL's control limit follow HLM before anybody hears of the new HLM."""
        await fields.parent.write_metadata(upper_ctrl_limit=value)

    def _calibration(self, fields: Any) -> tuple[float, float]:
        """Return the sign and the offset between dial and user coordinates."""
        direction = fields.user_direction.value
        return (-1.0 if direction in {1, "Neg"} else 1.0), float(fields.user_offset.value)

    async def _publish_position(self, fields: Any) -> None:
        sign, offset = self._calibration(fields)
        await fields.dial_readback_value.write(self._dial)
        await fields.user_readback_value.write(sign * self._dial + offset)

    async def _follow(self, fields: Any) -> None:
        """Post where the motor is, and its arrival."""
        travel, now_s = self._travel, time.monotonic()
        if travel is None:
            return
        self._dial = float(travel.position(now_s))
        await self._publish_position(fields)
        if now_s >= travel.t_end_s and travel is self._travel:
            await self._come_to_rest(fields)

    async def _come_to_rest(self, fields: Any) -> None:
        self._travel = None
        await fields.motor_is_moving.write(0)
        await fields.done_moving_to_value.write(1)
        self._at_rest.set()

    async def _halt(self, instance: Any, fields: Any) -> None:
        """Stop where the motor is; the setpoint follows."""
        if fields.stop.value:
            await fields.stop.write(0)
        if self._travel is None:
            return
        self._dial = float(self._travel.position(time.monotonic()))
        await self._publish_position(fields)
        await instance.write(fields.user_readback_value.value, verify_value=False)
        await self._come_to_rest(fields)


class MachineGroup(PVGroup):
    """What else a beamline shows: beam monitor, pulse counter, shutter, and a heartbeat."""

    beam_intensity = pvproperty(value=math.nan, name="BEAM:INTENSITY", dtype=float)
    pulse_id = pvproperty(value=0.0, name="PULSE:ID", dtype=float)
    shutter_open = pvproperty(value=1, name="SHUTTER:OPEN", dtype=int)
    heartbeat = pvproperty(value=0, name="HEARTBEAT", dtype=int)

    @heartbeat.startup  # type: ignore[no-redef]
    async def heartbeat(self, instance: Any, async_lib: Any) -> None:
        """Count, as long as the IOC lives."""
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            await instance.write((instance.value + 1) % 2**31)


def process_variables(config: SimulatedIoc) -> dict[str, Any]:
    """Make the IOC's database.

    Parameters
    ----------
    config : SimulatedIoc
        Prefix and motors.

    Returns
    -------
    dict
        caproto channels by PV name.
    """
    database: dict[str, Any] = dict(MachineGroup(prefix=config.prefix).pvdb)
    motors: Mapping[str, SimulatedMotor] = config.motors
    for name, motor in motors.items():
        database.update(MotorGroup(config.prefix + name, motor).pvdb)
    return database


async def serve(config: SimulatedIoc, on_ready: Callable[[], None]) -> None:
    """Serve the IOC on the loopback interface until cancelled.

    The port is that of ``EPICS_CA_SERVER_PORT``.

    Parameters
    ----------
    config : SimulatedIoc
        Prefix and motors.
    on_ready : callable
        Called when clients may connect.
    """

    async def started(async_lib: Any) -> None:  # ruff: ignore[unused-async]
        on_ready()

    context = Context(process_variables(config), interfaces=["127.0.0.1"])
    await context.run(startup_hook=started)


def start_repeater() -> None:
    """Repeat beacons to the clients of this machine, so that no client starts a repeater itself.

    It runs in a thread, and listens when this returns. If one runs already, that one is used.
    """
    from caproto import get_environment_variables
    from caproto.sync.repeater import run

    thread = threading.Thread(target=run, args=("127.0.0.1",), name="repeater", daemon=True)
    thread.start()
    port = int(get_environment_variables()["EPICS_CA_REPEATER_PORT"])
    me = psutil.Process()
    # To try the port would be to take it.
    while thread.is_alive() and port not in {one.laddr.port for one in me.net_connections("udp")}:
        time.sleep(_REPEATER_POLL_S)
