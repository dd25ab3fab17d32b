"""Sums over three by three pixels against a threshold: the one pass over all of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._bad_values import is_bad
from autosteer.analysis._block_layout import STRIP_ROWS

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

BOX_PIXELS = 9
"""Pixels that are summed."""

# Rows worked on together: few, so that they stay in the cache.
_BAND_ROWS = 8 * STRIP_ROWS


def boxes_above(
    frame: Frames, level: Float, threshold: Float, masked: Bool | None, out: Bool
) -> None:
    """Mark the pixels about which nine pixels sum up to more than a threshold.

    Whole numbers of 16 bits are added as such, which is quickest: larger ones are drawn in to what
    nine of them may be, which exceeds any sensible threshold.

    Parameters
    ----------
    frame : ndarray, shape (n_panels, n_slow, n_fast)
        A frame [detector counts].
    level : ndarray of float32, shape (n_panels, n_strips, n_fast)
        Background; it stands in for pixels that are no measurement [detector counts].
    threshold : ndarray of float32, same shape
        What the sum has to exceed [detector counts].
    masked : ndarray of bool, shape (n_panels, n_slow, n_fast), or None
        Pixels that count in no frame; None if there are none.
    out : ndarray of bool, shape (n_panels, n_slow, n_fast)
        Where the marks go. Pixels on a panel's edge have no nine, and are left alone.
    """
    n_slow, n_fast = frame.shape[1:]
    dtype, lowest, highest = _working_type(frame.dtype, threshold)
    limits = _range_of(dtype)
    threshold = np.clip(threshold, *limits)
    if dtype.kind != "f":
        np.floor(threshold, out=threshold)
    native = threshold.astype(dtype)
    fill = np.clip(level, lowest, highest).astype(dtype)
    band = np.empty((_BAND_ROWS + 2, n_fast), dtype)
    column_sums = np.empty((_BAND_ROWS, n_fast), dtype)
    sums = np.empty((_BAND_ROWS, n_fast - 2), dtype)
    for panel in range(len(frame)):
        for first in range(1, n_slow - 1, _BAND_ROWS):
            n_rows = min(_BAND_ROWS, n_slow - 1 - first)
            rows = slice(first - 1, first + n_rows + 1)
            values, here = frame[panel, rows], band[: n_rows + 2]
            # Looking for the extremes is quicker than drawing values in.
            if dtype.kind == "f" or (values.max() <= highest and values.min() >= lowest):
                here[:] = values
            else:
                np.clip(values, lowest, highest, out=here, casting="unsafe")
            bad = is_bad(values)
            if masked is not None:
                bad = masked[panel, rows] if bad is None else bad | masked[panel, rows]
            strip = np.arange(first - 1, first + n_rows + 1) // STRIP_ROWS
            if bad is not None and bad.any():
                np.copyto(here, fill[panel, strip], where=bad)
            down, across = column_sums[:n_rows], sums[:n_rows]
            np.add(here[:-2], here[1:-1], out=down)
            down += here[2:]
            np.add(down[:, :-2], down[:, 1:-1], out=across)
            across += down[:, 2:]
            np.greater(
                across,
                native[panel, strip[1:-1], 1:-1],
                out=out[panel, first : first + n_rows, 1:-1],
            )


def _working_type(dtype: np.dtype[Any], threshold: Float) -> tuple[np.dtype[Any], float, float]:
    """Return the type to add in, and what values are drawn in to before that."""
    if dtype.kind == "f":
        lowest, highest = _range_of(dtype)
        return np.dtype(np.float32), float(lowest), float(highest)
    working = np.dtype(f"{dtype.kind}{max(2, dtype.itemsize)}")
    limits = np.iinfo(working)
    if working.itemsize == 2 and threshold.size and threshold.max() > limits.max // 2:
        working = np.dtype(f"{dtype.kind}4")
        limits = np.iinfo(working)
    return working, float(limits.min // BOX_PIXELS), float(limits.max // BOX_PIXELS)


def _range_of(dtype: np.dtype[Any]) -> tuple[np.float32, np.float32]:
    """Return the range of a type in numbers of 32 bits that convert to it."""
    if dtype.kind == "f":
        return np.float32(np.finfo(dtype).min), np.float32(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    highest = np.float32(limits.max)
    # The largest number of 32 bits is rounded up, and would wrap around.
    if int(highest) > limits.max:
        highest = np.nextafter(highest, np.float32(0))
    return np.float32(limits.min), highest
