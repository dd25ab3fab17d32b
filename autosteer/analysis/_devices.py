"""Torch devices by name."""

from __future__ import annotations

import torch

from autosteer.contracts import AnalysisError


def usable_device(name: str) -> torch.device:
    """Return a device after having used it.

    Parameters
    ----------
    name : str
        Its name, such as ``cpu`` or ``cuda:1``.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    AnalysisError
        If there is no such device.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise AnalysisError(
            f"device '{name}' cannot be used ({str(error).splitlines()[0]}): 'cpu' always can"
        ) from error
