"""The doctor's checks: what a run will need, looked at before the beam is on."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
import zmq

from autosteer.contracts import AutosteerError, Experiment
from autosteer.contracts.analysis_sections import PulseSection
from autosteer.service.versions import versions
from autosteer.stream import ANY_PORT, DroppingBacklog, Inlet, Outlet

_LEAST_FREE_GB = 5.0
_CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    check : str
        What was looked at.
    status : {"good", "note", "bad"}
        ``note``: works, but somebody should know; ``bad``: a run will fail.
    found : str
        What is there.
    remedy : str
        What to do; empty if nothing.
    """

    check: str
    status: Literal["good", "note", "bad"]
    found: str
    remedy: str = ""


def check_machine() -> Iterator[Finding]:
    """Look at the machine and at what is installed.

    Yields
    ------
    Finding
        One for each check.
    """
    found = versions()
    names = ("python", "torch", "botorch", "bluesky", "ophyd", "pyarrow", "pyzmq")
    yield Finding("versions", "good", ", ".join(f"{n} {found.get(n, '?')}" for n in names))
    missing = [n for n in ("epics", "caproto", "ophyd_async", "aioca") if find_spec(n) is None]
    if missing:
        remedy = "pip install 'autosteer[epics]'"
        yield Finding("EPICS packages", "bad", f"missing: {', '.join(missing)}", remedy)
    else:
        yield Finding("EPICS packages", "good", "pyepics, caproto, ophyd-async")
    cores, memory = psutil.cpu_count() or 1, psutil.virtual_memory().available / 2**30
    load = os.getloadavg()[0]
    busy = load > 0.5 * cores
    yield Finding(
        "processor",
        "note" if busy else "good",
        f"{cores} cores, load {load:.1f}, {memory:.1f} GiB of memory free",
        "other programs will cost latency: end them" if busy else "",
    )
    yield _check_gpu()
    yield _check_sockets()


def _check_gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "good", torch.cuda.get_device_name(0))
    return Finding("GPU", "good", "none: the analysis runs on the processor")


def _check_sockets() -> Finding:
    """Send a message through a pair of sockets on the loopback interface."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        inlet = Inlet(context, ANY_PORT, "bind", "tables")
        outlet = Outlet(context, inlet.address, "connect", DroppingBacklog(4))
        outlet.send([b"check", b"{}", b""], 1)
        for _ in range(100):
            outlet.flush()
            if inlet.socket.poll(20):
                break
        arrived = bool(inlet.receive(1))
        outlet.close(0)
        inlet.close()
    except AutosteerError as error:
        return Finding(
            "sockets", "bad", str(error), "does a firewall close the loopback interface?"
        )
    finally:
        context.destroy(linger=0)
    if arrived:
        return Finding("sockets", "good", "ZeroMQ over TCP on loopback")
    return Finding("sockets", "bad", "no message came through", "does a firewall close loopback?")


def check_experiment(
    experiment: Experiment, resolve: Callable[[str, str], object]
) -> Iterator[Finding]:
    """Look at what an experiment needs, without starting or moving anything.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    resolve : callable
        Finds what a name of a group stands for.

    Yields
    ------
    Finding
        One for each check.
    """
    yield _check_disk(Path(experiment.record.directory))
    for what, name, group in experiment.named:
        try:
            resolve(name, group)
        except AutosteerError as error:
            yield Finding(what, "bad", str(error), "correct the name in the experiment file")
    source = experiment.source
    addresses = [
        one for producer in source.producers for one in (producer.agent, producer.recorder)
    ]
    addresses += source.addresses if source.kind != "tables" else ()
    for address in addresses:
        yield _check_reachable(address)
    if experiment.pulses is not None:
        yield _check_estimator(experiment.pulses)
    if experiment.simulation is not None:
        port = experiment.simulation.ioc.port
        yield _check_port(port)


def _check_estimator(section: PulseSection) -> Finding:
    """Load the estimator of pulses, and with it the calibration or the weights."""
    from autosteer.analysis.pulses.stage import load_analyser

    try:
        analyser = load_analyser(section)
    except AutosteerError as error:
        return Finding("pulses", "bad", str(error), "correct the section 'pulses'")
    tables = ", ".join(analyser.kinds)
    return Finding("pulses", "good", f"{section.estimator}, tables: {tables}")


def _check_disk(directory: Path) -> Finding:
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    free_gb = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        remedy = "choose another record.directory"
        return Finding("record", "bad", f"{place} cannot be written", remedy)
    if free_gb < _LEAST_FREE_GB:
        return Finding("record", "note", f"{free_gb:.1f} GB free in {place}", "make room")
    return Finding("record", "good", f"{free_gb:.0f} GB free in {place}")


def _check_port(port: int) -> Finding:
    if port == 0:
        return Finding("Channel Access port", "good", "a free one is taken")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            remedy = "set simulation.ioc.port to 0 or to another one, or end the other IOC"
            return Finding("Channel Access port", "bad", f"{port} is in use", remedy)
    return Finding("Channel Access port", "good", f"{port} is free")


def _check_reachable(address: str) -> Finding:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        with contextlib.closing(socket.create_connection((host, int(port)), _CONNECT_S)):
            return Finding("source", "good", f"{address} answers")
    except (OSError, ValueError) as error:
        remedy = "start the source, or correct its address in the experiment file"
        return Finding("source", "bad", f"{address} does not answer: {error}", remedy)


def check_devices(experiment: Experiment, resolve: Callable[[str, str], object]) -> Finding:
    """Connect the devices of an experiment and compare them with the file; nothing moves.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    resolve : callable
        Finds what a name of a group stands for.

    Returns
    -------
    Finding
        What came of it.
    """
    from autosteer.service.equipment import connect_and_check
    from autosteer.steering.bluesky_actuator import make_engine

    try:
        engine = make_engine()
        _, watches = connect_and_check(experiment, resolve, engine)
        places = ", ".join(
            f"{name}: {watch.facts().low:g} to {watch.facts().high:g} {watch.facts().units}"
            for name, watch in watches.items()
        )
    except AutosteerError as error:
        return Finding("devices", "bad", str(error), "see the message")
    return Finding("devices", "good", places)
