"""Reads the points that policies are told: who they are, where, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autosteer.contracts import PolicyError

Place = tuple[float, ...]


def read_point(point: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Place]:
    """Read who and where a measured point is.

    Parameters
    ----------
    point : mapping
        ``_id``, one entry per knob, and more.
    names : sequence of str
        The knobs.

    Returns
    -------
    name : str
        Its ``_id``.
    x : tuple of float
        Its position, in the order of the knobs.

    Raises
    ------
    PolicyError
        If it lacks its ``_id`` or a finite position.
    """
    if "_id" not in point:
        raise PolicyError(f"point {dict(point)} has no '_id'")
    name = str(point["_id"])
    x = read_position(point, names)
    if x is None:
        raise PolicyError(f"point '{name}' lacks a finite value for one of {tuple(names)}")
    return name, x


def read_position(point: Mapping[str, Any], names: Iterable[str]) -> Place | None:
    """Read where a point is.

    Parameters
    ----------
    point : mapping
        One entry per knob, and more.
    names : iterable of str
        The knobs.

    Returns
    -------
    tuple of float, or None
        Its position, in the order of the knobs; None where one is missing or not finite.
    """
    x = tuple(finite(point.get(name)) for name in names)
    return None if any(map(math.isnan, x)) else x


def finite(value: float | None) -> float:
    """Give NaN for what is missing or not finite.

    Parameters
    ----------
    value : float, optional
        A number.

    Returns
    -------
    float
        The number, or NaN.
    """
    return float(value) if value is not None and math.isfinite(value) else math.nan


def not_negative(value: float | None) -> float:
    """Give NaN for what is missing, not finite or negative: an error, a count or a time.

    Parameters
    ----------
    value : float, optional
        A number.

    Returns
    -------
    float
        The number, or NaN.
    """
    number = finite(value)
    return number if number >= 0 else math.nan
