"""The soft IOC over Channel Access: it behaves like motor records, for every client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.run_engine import call_in_bluesky_event_loop

from autosteer.contracts import DeviceError, MotorFacts
from autosteer.contracts.experiment import Device
from autosteer.devices import connect_devices, make_device, watch_motor
from autosteer.devices.watch import SignalWatch
from autosteer.steering.bluesky_actuator import make_engine
from tests.devices.ioc_process import IocProcess, wait_until


def classes(name: str) -> Any:
    import autosteer.devices

    return getattr(autosteer.devices, name.split(":")[1])


def connected(name: str, class_name: str, prefix: str) -> Any:
    spec = Device.model_validate({"class": f"autosteer.devices:{class_name}", "prefix": prefix})
    device = make_device(name, spec, classes)
    connect_devices({name: device}, call_in_bluesky_event_loop, timeout_s=20)
    return device


@pytest.fixture(scope="module")
def engine() -> RunEngine:
    return make_engine()


@pytest.fixture(params=["EpicsMotor", "AsyncEpicsMotor"])
def motor(request: pytest.FixtureRequest, ioc: IocProcess, engine: RunEngine) -> Iterator[Any]:
    device = connected("x", request.param, "SIM:X")
    yield device
    if hasattr(device, "destroy"):
        device.destroy()


class Watched:
    """What a watch has told."""

    def __init__(self, motor: Any, engine: RunEngine) -> None:
        self.readbacks: list[tuple[int, float, bool]] = []
        self.states: list[tuple[bool, MotorFacts | None]] = []
        self.watch = watch_motor(motor, engine.loop)
        self.watch.watch(
            lambda *readback: self.readbacks.append(readback),
            lambda *state: self.states.append(state),
        )

    @property
    def position(self) -> float:
        return self.readbacks[-1][1]

    @property
    def at_rest_at(self) -> float | None:
        return None if self.readbacks[-1][2] else self.position


@pytest.fixture
def watched(motor: Any, engine: RunEngine) -> Iterator[Watched]:
    made = Watched(motor, engine)
    wait_until(lambda: made.readbacks and made.states, "the first readback and state")
    yield made
    made.watch.close()


def move(motor: Any, target: float) -> Any:
    """Ask for a move on the loop that the motor lives on."""
    if hasattr(motor, "movable_logic"):

        async def start() -> Any:
            return motor.set(target)

        return call_in_bluesky_event_loop(start())
    return motor.set(target)


def test_a_move_is_done_when_the_motor_is_there_and_not_before(
    motor: Any, watched: Watched
) -> None:
    assert watched.states[-1] == (True, MotorFacts("mm", -1.0, 1.0, 0.0, 0))
    wait_until(lambda: watched.at_rest_at == 0.5, "the motor at its start")
    status = move(motor, -0.5)
    wait_until(lambda: status.done, "the end of the move")
    assert status.success
    wait_until(lambda: watched.at_rest_at == -0.5, "the motor at its target")
    way = [value for _, value, moving in watched.readbacks if moving]
    assert len(way) >= 5
    times = [stamp_ns for stamp_ns, _, _ in watched.readbacks[2:]]
    assert times == sorted(times)


def test_a_target_beyond_the_limits_is_refused_and_nothing_moves(
    motor: Any, watched: Watched
) -> None:
    wait_until(lambda: watched.at_rest_at is not None, "a motor at rest")
    before = watched.position
    failed = False
    try:
        status = move(motor, 3.0)
        wait_until(lambda: status.done, "the refusal")
        failed = not status.success
    except Exception as error:
        failed = "outside of range" in str(error)
    assert failed
    assert watched.position == before


def test_a_stop_leaves_the_motor_where_it_is(ioc: IocProcess, engine: RunEngine) -> None:
    slow = connected("slow", "EpicsMotor", "SIM:SLOW")
    watched = Watched(slow, engine)
    slow.set(5.0)
    wait_until(lambda: watched.readbacks and watched.position > 0.05, "motion")
    slow.stop()
    wait_until(lambda: watched.at_rest_at is not None, "the motor at rest")
    place = watched.position
    assert 0 < place < 5.0
    wait_until(lambda: abs(slow.user_setpoint.get() - place) < 1e-9, "the setpoint at the place")
    watched.watch.close()
    slow.destroy()


def test_a_new_target_in_mid_motion_supersedes_the_old_one(
    ioc: IocProcess, engine: RunEngine
) -> None:
    slow = connected("slow", "EpicsMotor", "SIM:SLOW")
    watched = Watched(slow, engine)
    slow.user_setpoint.put(5.0, wait=False)
    wait_until(lambda: watched.readbacks and watched.position > 0.05, "motion")
    slow.user_setpoint.put(0.0, wait=False)
    wait_until(lambda: watched.at_rest_at == 0.0, "the motor back at zero")
    watched.watch.close()
    slow.destroy()


def test_the_watch_tells_when_the_ioc_goes_and_comes_back(
    motor: Any, watched: Watched, ioc: IocProcess
) -> None:
    ioc.kill()
    wait_until(lambda: watched.states[-1] == (False, None), "news of the loss")
    ioc.start()
    wait_until(lambda: watched.states[-1][0], "news of the return")


def test_the_watch_tells_new_limits_and_a_new_offset(ioc: IocProcess, engine: RunEngine) -> None:
    motor = connected("y", "EpicsMotor", "SIM:Y")
    watched = Watched(motor, engine)
    motor.high_limit_travel.put(0.25)
    wait_until(lambda: watched.states[-1][1] == MotorFacts("mm", -1.0, 0.25), "new limits")
    wait_until(lambda: motor.limits == (-1.0, 0.25), "new control limits")
    motor.user_offset.put(0.1)
    wait_until(lambda: watched.states[-1][1].offset == 0.1, "the new offset")  # type: ignore[union-attr]
    wait_until(lambda: abs(watched.position - 0.1) < 1e-9, "the readback with its offset")
    watched.watch.close()
    motor.destroy()


def test_signals_are_watched_with_their_connection(ioc: IocProcess, engine: RunEngine) -> None:
    signal = connected("beat", "EpicsSignalRO", "SIM:HEARTBEAT")
    values: list[float | None] = []
    watch = SignalWatch(signal)
    watch.watch(values.append)
    wait_until(lambda: len(set(values)) > 3, "several heartbeats")
    ioc.kill()
    wait_until(lambda: values[-1] is None, "news of the loss")
    watch.close()
    signal.destroy()


@pytest.mark.parametrize("class_name", ["EpicsMotor", "AsyncEpicsMotor"])
def test_a_device_that_is_not_there_is_named(
    class_name: str, ioc: IocProcess, engine: RunEngine
) -> None:
    spec = Device.model_validate({"class": f"autosteer.devices:{class_name}", "prefix": "SIM:NO"})
    device = make_device("absent", spec, classes)
    with pytest.raises(DeviceError, match=r"'absent' did not connect within 0\.3 s.*IOC running"):
        connect_devices({"absent": device}, call_in_bluesky_event_loop, timeout_s=0.3)
    if hasattr(device, "destroy"):
        device.destroy()


def test_options_that_a_class_does_not_take_are_named() -> None:
    spec = Device.model_validate({
        "class": "autosteer.devices:EpicsMotor",
        "prefix": "SIM:X",
        "options": {"colour": "red"},
    })
    with pytest.raises(DeviceError, match=r"devices\.x: .*cannot be made: .*colour"):
        make_device("x", spec, classes)


def test_what_is_no_motor_cannot_be_watched(engine: RunEngine) -> None:
    with pytest.raises(DeviceError, match="no motor that can be watched"):
        watch_motor(object(), engine.loop)
