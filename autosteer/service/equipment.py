"""Makes the agent of a session: devices connected and checked, RunEngine, actuator, watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from bluesky import RunEngine
from bluesky.run_engine import call_in_bluesky_event_loop

from autosteer.contracts import AutosteerError, DeviceError, Experiment, ReadbackSource
from autosteer.devices.channel_access import prepare_clients
from autosteer.devices.factory import connect_devices, make_device
from autosteer.devices.watch import SignalWatch, watch_motor
from autosteer.service.recorders import RunRecorders
from autosteer.service.versions import versions
from autosteer.steering.agent import Agent
from autosteer.steering.bluesky_actuator import BlueskyActuator, PlanActuator, make_engine
from autosteer.steering.events import Action
from autosteer.steering.plan import DrivenKnob
from autosteer.stream import RealClock

Resolve = Callable[[str, str], Any]
_POLL_S = 0.05


class Prompt:
    """An engine and devices that somebody holds at a prompt, and the plan that is made for them.

    Parameters
    ----------
    engine : RunEngine
        The engine, idle.
    devices : mapping of str to device
        Connected devices, by their names in the experiment file.
    """

    def __init__(self, engine: RunEngine, devices: Mapping[str, Any]) -> None:
        self.engine = engine
        self.devices = devices
        self.actuator: PlanActuator | None = None
        self._token: int | None = None

    def take(self, actuator: PlanActuator, token: int) -> None:
        """Keep what was made.

        Parameters
        ----------
        actuator : PlanActuator
            Gives the plan.
        token : int
            Token of the recorder's subscription.
        """
        self.actuator = actuator
        self._token = token

    async def idle(self, timeout_s: float) -> None:
        """Wait until the engine has done with its plan.

        Parameters
        ----------
        timeout_s : float
            How long to wait at most [s].
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while str(self.engine.state) != "idle":  # ruff: ignore[async-busy-wait]
                    await asyncio.sleep(_POLL_S)

    def release(self) -> None:
        """Leave the engine as it was found."""
        if self._token is not None:
            self.engine.unsubscribe(self._token)  # type: ignore[no-untyped-call]
            self._token = None


def make_agent(
    experiment: Experiment,
    run_uid: str,
    resolve: Resolve,
    recorders: RunRecorders,
    on_action: Callable[[Action], None],
    on_crash: Callable[[Exception], None],
    on_hang: Callable[[], None],
    prompt: Prompt | None = None,
) -> Agent:
    """Connect the devices of an experiment and make the agent that drives them.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    run_uid : str
        The run.
    resolve : callable
        Finds what a name of a group stands for.
    recorders : RunRecorders
        Where documents and the controller's log go.
    on_action : callable
        Told of every action.
    on_crash : callable
        Told of an error inside the controller.
    on_hang : callable
        Told of a policy that does not answer.
    prompt : Prompt, optional
        Somebody else's engine and devices; without it, both are made here.

    Returns
    -------
    Agent
        The agent, not yet running.

    Raises
    ------
    DeviceError
        If a device does not connect, or is not what the experiment file says.
    """
    engine = make_engine() if prompt is None else prompt.engine
    token = subscribe(engine, recorders.documents)
    given = {} if prompt is None else prompt.devices
    devices, watches = connect_and_check(experiment, resolve, engine, given)
    driven = {knob.device for knob in experiment.knobs.values()}
    agents: list[Agent] = []
    actuator: PlanActuator
    parts = (
        engine,
        {name: DrivenKnob(devices[knob.device], knob) for name, knob in experiment.knobs.items()},
        [device for name, device in devices.items() if name not in driven],
        experiment.policy.class_name,
        _metadata(experiment, run_uid),
    )
    if prompt is None:
        actuator = BlueskyActuator(*parts, on_end=lambda error: agents[0].plan_ended(error))
    else:
        actuator = PlanActuator(*parts)
        prompt.take(actuator, token)
    agent = Agent(
        experiment,
        experiment.mode,
        run_uid,
        RealClock(),
        actuator,
        watches,
        {
            interlock.name: SignalWatch(devices[interlock.device])
            for interlock in experiment.envelope.interlocks
        },
        recorders.controller,
        on_action,
        on_crash,
        on_hang,
    )
    agents.append(agent)
    return agent


def connect_and_check(
    experiment: Experiment,
    resolve: Resolve,
    engine: RunEngine,
    given: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, ReadbackSource]]:
    """Connect the devices of an experiment, and compare the motors with the file.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    resolve : callable
        Finds what a name of a group stands for.
    engine : RunEngine
        The engine on whose loop ophyd-async devices live.
    given : mapping of str to device, optional
        Devices that are there already, connected; only the others are made.

    Returns
    -------
    devices : dict of str to device
        The connected devices, by name.
    watches : dict of str to ReadbackSource
        A watch for each knob's motor, not yet started.

    Raises
    ------
    DeviceError
        If a device does not connect, or is not what the experiment file says.
    """
    prepare_clients()
    there = dict(given or {})
    made = {
        name: make_device(name, spec, lambda name: resolve(name, "autosteer.devices"))
        for name, spec in experiment.devices.items()
        if name not in there
    }
    connect_devices(made, call_in_bluesky_event_loop)
    devices = {name: there.get(name, made.get(name)) for name in experiment.devices}
    watches: dict[str, ReadbackSource] = {
        name: watch_motor(devices[knob.device], engine.loop)
        for name, knob in experiment.knobs.items()
    }
    _check_motors(experiment, watches)
    return devices, watches


def subscribe(engine: RunEngine, sink: Callable[[str, Any], None]) -> int:
    """Have every document of an engine go to a sink.

    Parameters
    ----------
    engine : RunEngine
        The engine.
    sink : callable
        Takes the kind of a document and the document.

    Returns
    -------
    int
        Token by which the engine forgets the sink.
    """
    return int(engine.subscribe(sink))  # type: ignore[no-untyped-call]


def _metadata(experiment: Experiment, run_uid: str) -> dict[str, Any]:
    """Give what the start document says of the run."""
    return {
        "autosteer_run": run_uid,
        "experiment": experiment.name,
        "sample_name": experiment.sample.name,
        "mode": experiment.mode,
        "seed": experiment.seed,
        "policy": {
            "class": experiment.policy.class_name,
            "options": dict(experiment.policy.options),
        },
        "objective": experiment.objective.name,
        "versions": versions(),
        "metadata": dict(experiment.metadata),
    }


def _check_motors(experiment: Experiment, watches: Mapping[str, ReadbackSource]) -> None:
    """Compare units and limits of the experiment file with those of the motors."""
    for name, knob in experiment.knobs.items():
        try:
            facts = watches[name].facts()
        except AutosteerError:
            raise
        except Exception as error:
            raise DeviceError(f"knob '{name}': its motor cannot be read: {error}") from error
        if facts.units != knob.units:
            raise DeviceError(
                f"knobs.{name}.units is '{knob.units}', the motor says '{facts.units}': "
                "write the motor's units, and check low, high and tolerance against them"
            )
        if facts.low < facts.high and (facts.high < knob.low or facts.low > knob.high):
            raise DeviceError(
                f"knob '{name}' may go from {knob.low:g} to {knob.high:g} {knob.units}, its motor "
                f"from {facts.low:g} to {facts.high:g}: no position is allowed by both"
            )
