"""What the simulated machines ask of times and positions, and how their pulse energies spread."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


def checked_times(times_s: ArrayLike, latest_s: float) -> Float:
    """Check that times lie within what a simulation keeps.

    Parameters
    ----------
    times_s : array_like of float
        Times since the start [s].
    latest_s : float
        The latest one [s].

    Returns
    -------
    ndarray of float64
        The times [s].

    Raises
    ------
    ValueError
        If a time is negative or too late.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if times.size and not (times.min() >= 0 and times.max() <= latest_s):
        raise ValueError(
            f"times_s reach {times.min()} to {times.max()} s: count them from the start "
            f"of the run, 0 to {latest_s:.0f} s"
        )
    return times


def checked_pulses(pulse_ids: ArrayLike, times_s: ArrayLike) -> NDArray[np.uint64]:
    """Check that there is one time for each pulse.

    Parameters
    ----------
    pulse_ids : array_like of uint64, shape (n,)
        Numbers of the machine pulses.
    times_s : array_like of float, shape (n,)
        Their times [s].

    Returns
    -------
    ndarray of uint64, shape (n,)
        The numbers.

    Raises
    ------
    ValueError
        If there is not.
    """
    pulses = np.asarray(pulse_ids, dtype=np.uint64)
    if pulses.ndim != 1 or np.shape(times_s) != pulses.shape:
        raise ValueError(
            f"pulse_ids has shape {pulses.shape} and times_s {np.shape(times_s)}: both must be (n,)"
        )
    return pulses


def checked_position(positions: Mapping[str, ArrayLike], name: str, times_s: Float) -> Float:
    """Return the positions of a motor that is among them.

    Parameters
    ----------
    positions : mapping of str to array_like, shape (n,) or ()
        Positions by motor.
    name : str
        The motor.
    times_s : ndarray of float64, shape (n,)
        Times that they belong to [s].

    Returns
    -------
    ndarray of float64, shape (n,) or ()
        Its positions.

    Raises
    ------
    ValueError
        If there is neither one position nor one for each time, or one is not finite.
    """
    position = np.asarray(positions[name], dtype=np.float64)
    if position.shape not in {(), times_s.shape}:
        raise ValueError(
            f"positions of motor '{name}' have shape {position.shape}, times_s {times_s.shape}"
        )
    if not np.isfinite(position).all():
        raise ValueError(f"a position of motor '{name}' is not finite")
    return position


def lognormal(normal: Float, spread: float) -> Float:
    """Turn standard normal numbers into lognormal ones with a mean of one.

    Parameters
    ----------
    normal : ndarray of float64
        Standard normal numbers.
    spread : float
        Standard deviation of the lognormal ones.

    Returns
    -------
    ndarray of float64
        The numbers.
    """
    width = math.sqrt(math.log1p(spread**2))
    numbers: Float = np.exp(width * normal - width**2 / 2)
    return numbers
