"""Makes the agent of a session: devices connected and checked, RunEngine, actuator, watches."""

from __future__ import annotations

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
from autosteer.steering.bluesky_actuator import BlueskyActuator, make_engine
from autosteer.steering.events import Action
from autosteer.steering.plan import DrivenKnob
from autosteer.stream import RealClock

Resolve = Callable[[str, str], Any]


def make_agent(
    experiment: Experiment,
    run_uid: str,
    resolve: Resolve,
    recorders: RunRecorders,
    on_action: Callable[[Action], None],
    on_crash: Callable[[Exception], None],
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

    Returns
    -------
    Agent
        The agent, not yet running.

    Raises
    ------
    DeviceError
        If a device does not connect, or is not what the experiment file says.
    """
    engine = make_engine()
    subscribe(engine, recorders.documents)
    devices, watches = connect_and_check(experiment, resolve, engine)
    driven = {knob.device for knob in experiment.knobs.values()}
    agents: list[Agent] = []

    def plan_ended(error: BaseException | None) -> None:
        agents[0].plan_ended(error)

    actuator = BlueskyActuator(
        engine,
        {name: DrivenKnob(devices[knob.device], knob) for name, knob in experiment.knobs.items()},
        detectors=[device for name, device in devices.items() if name not in driven],
        policy=experiment.policy.class_name,
        md=_metadata(experiment, run_uid),
        on_end=plan_ended,
    )
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
    )
    agents.append(agent)
    return agent


def connect_and_check(
    experiment: Experiment, resolve: Resolve, engine: RunEngine
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
    devices = {
        name: make_device(name, spec, lambda name: resolve(name, "autosteer.devices"))
        for name, spec in experiment.devices.items()
    }
    connect_devices(devices, call_in_bluesky_event_loop)
    watches: dict[str, ReadbackSource] = {
        name: watch_motor(devices[knob.device], engine.loop)
        for name, knob in experiment.knobs.items()
    }
    _check_motors(experiment, watches)
    return devices, watches


def subscribe(engine: RunEngine, sink: Callable[[str, Any], None]) -> None:
    """Have every document of an engine go to a sink.

    Parameters
    ----------
    engine : RunEngine
        The engine.
    sink : callable
        Takes the kind of a document and the document.
    """
    engine.subscribe(sink)  # type: ignore[no-untyped-call]


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
