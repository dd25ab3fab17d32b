"""Channel Access of this process: where it searches, and the libraries that speak it."""

from __future__ import annotations

import importlib
import os
import socket
import sys

from autosteer.contracts import DeviceError, MissingExtraError


def loopback_environment(server_port: int, repeater_port: int) -> dict[str, str]:
    """Return the variables that keep Channel Access on this machine and on private ports.

    They must be set before a Channel Access library is imported.

    Parameters
    ----------
    server_port : int
        Port of the IOC.
    repeater_port : int
        Port of the repeater.

    Returns
    -------
    dict of str to str
        Environment variables for clients and for the IOC.
    """
    return {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(server_port),
        "EPICS_CA_REPEATER_PORT": str(repeater_port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_SERVER_PORT": str(server_port),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_PORT": str(repeater_port),
    }


def free_port() -> int:
    """Find a port that is free for TCP and for UDP on the loopback interface.

    Returns
    -------
    int
        The port. Nothing keeps it: use it soon.
    """
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def simulated_channel_access(port: int = 0) -> dict[str, str]:
    """Choose ports for a simulated IOC, and have this process and its children use them.

    A client library reads its ports when it is loaded, and making a RunEngine loads one: call this
    before. Once a library is loaded, its ports are kept.

    Parameters
    ----------
    port : int, default 0
        Port of the IOC; 0 for a free one.

    Returns
    -------
    dict of str to str
        The environment variables in force.

    Raises
    ------
    DeviceError
        If a client library is loaded already and looks elsewhere.
    """
    names = loopback_environment(0, 0)
    if "epics" in sys.modules:
        in_force = {name: os.environ.get(name, "") for name in names}
        if in_force["EPICS_CA_ADDR_LIST"] != "127.0.0.1" or not in_force["EPICS_CA_SERVER_PORT"]:
            raise DeviceError(
                "a Channel Access library is loaded already, and looks elsewhere than at simulated "
                "motors: call autosteer.devices.simulated_channel_access() before you make the "
                "RunEngine or import ophyd"
            )
        return in_force
    environment = loopback_environment(port or free_port(), free_port())
    os.environ.update(environment)
    return environment


def prepare_clients() -> None:
    """Make pyepics and aioca use one and the same client library; call it before either.

    The first call should come from a thread that lives as long as the process; a later one, from
    another thread, lets that thread use the library as well.

    Raises
    ------
    MissingExtraError
        If the EPICS packages are not installed.
    """
    # The order matters: the first of these tells pyepics which library to load.
    for package in ("epicscorelibs.path.pyepics", "epics", "ophyd"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingExtraError(package, "epics", "driving EPICS motors") from None
    from epics import ca

    if ca.initial_context is not None:
        ca.use_initial_context()
    # The library writes to the terminal when a circuit breaks; the watches tell it in better words.
    ca.disable_ca_messages()
