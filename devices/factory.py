"""Makes the devices that an experiment file names, and connects them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from autosteer.contracts import DeviceError
from autosteer.contracts.experiment import Device


def make_device(name: str, spec: Device, resolve: Callable[[str], Any]) -> Any:
    """Make a device; it is not connected yet.

    Parameters
    ----------
    name : str
        Name of the device in the experiment file.
    spec : Device
        Class, prefix and options.
    resolve : callable
        Finds the class that a name stands for.

    Returns
    -------
    device
        The device.

    Raises
    ------
    DeviceError
        If the class does not take the prefix and options.
    """
    device_class = resolve(spec.class_name)
    try:
        return device_class(spec.prefix, name=name, **spec.options)
    except TypeError as error:
        raise DeviceError(f"devices.{name}: {spec.class_name} cannot be made: {error}") from error


def connect_devices(
    devices: Mapping[str, Any],
    run_on_loop: Callable[[Any], Any],
    timeout_s: float = 10.0,
) -> None:
    """Connect devices of ophyd and of ophyd-async.

    Parameters
    ----------
    devices : mapping of str to device
        The devices, by name.
    run_on_loop : callable
        Runs a coroutine on the RunEngine's loop and waits for it.
    timeout_s : float, default 10.0
        Time for each device [s].

    Raises
    ------
    DeviceError
        If a device does not connect; names it and its process variables.
    """
    for name, device in devices.items():
        try:
            if inspect.iscoroutinefunction(getattr(device, "connect", None)):
                run_on_loop(device.connect(timeout=timeout_s))
            elif hasattr(device, "wait_for_connection"):
                device.wait_for_connection(timeout=timeout_s)
        except Exception as error:
            raise DeviceError(
                f"device '{name}' did not connect within {timeout_s:g} s: {_first_line(error)}; "
                "is the IOC running, and do EPICS_CA_ADDR_LIST and the prefix lead to it?"
            ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:300]
