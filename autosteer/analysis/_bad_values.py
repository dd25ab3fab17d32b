"""Types of pixels, and values by which detectors say that one holds no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME_TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32")
"""Types of pixels that are worked on as they are."""

_NARROWEST_FLAG_BYTES = 2


def flag_of(dtype: np.dtype[Any]) -> int | None:
    """Return the number that marks pixels without a measurement.

    Photon-counting detectors write the largest number of their type into gaps and bad pixels
    (NeXus NXmx, EIGER). A byte is too short for that: its largest number is often reached.

    Parameters
    ----------
    dtype : numpy.dtype
        Type of the frames.

    Returns
    -------
    int or None
        The number; None where there is none, as in floating-point frames that have NaN.
    """
    if dtype.kind not in "iu" or dtype.itemsize < _NARROWEST_FLAG_BYTES:
        return None
    return int(np.iinfo(dtype).max)


def is_bad(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Say which values are no measurements.

    Parameters
    ----------
    values : ndarray, any shape
        Values of a frame or a part of it [detector counts].

    Returns
    -------
    ndarray of bool, same shape, or None
        True for NaN, infinity and the flag of the type; None if there are none of these.
    """
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        return None if finite.all() else ~finite
    flag = flag_of(values.dtype)
    # The largest value is found much faster than a map of it.
    if flag is None or not values.size or values.max() < flag:
        return None
    bad: NDArray[np.bool_] = values == flag
    return bad
