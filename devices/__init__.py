"""Devices: ophyd and ophyd-async motors and signals, their watches, and the soft IOC.

Nothing heavy is imported before it is asked for; ophyd alone takes more than a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autosteer.devices.channel_access import (
    free_port,
    loopback_environment,
    prepare_clients,
    simulated_channel_access,
)
from autosteer.devices.factory import connect_devices, make_device
from autosteer.devices.watch import (
    AsyncMotorWatch,
    ClassicMotorWatch,
    SignalWatch,
    watch_motor,
)

if TYPE_CHECKING:
    from ophyd import EpicsMotor, EpicsSignalRO

    from autosteer.devices.async_motor import AsyncEpicsMotor

__all__ = [
    "AsyncEpicsMotor",
    "AsyncMotorWatch",
    "ClassicMotorWatch",
    "EpicsMotor",
    "EpicsSignalRO",
    "SignalWatch",
    "connect_devices",
    "free_port",
    "loopback_environment",
    "make_device",
    "prepare_clients",
    "simulated_channel_access",
    "watch_motor",
]


def __getattr__(name: str) -> Any:
    """Import a device class when somebody wants it."""
    later = {
        "AsyncEpicsMotor": "autosteer.devices.async_motor",
        "EpicsMotor": "ophyd",
        "EpicsSignalRO": "ophyd",
    }
    if name in later:
        prepare_clients()
        return getattr(import_module(later[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
