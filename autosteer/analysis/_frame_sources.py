"""What every source of frames gives, and how its arrays become frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._bad_values import FRAME_TYPES
from autosteer.analysis._file_geometry import FileGeometry
from autosteer.contracts import FrameError

Frame = NDArray[Any]

# Arrays with shorter edges are no detector's frames.
SMALLEST_EDGE_PX = 16


class FrameSource(Protocol):
    """Frames of one file, read one at a time each time that it is iterated."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        ...

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of a frame, (n_panels, n_slow, n_fast)."""
        ...

    @property
    def geometry(self) -> FileGeometry | None:
        """Geometry, where the file holds one."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames in order, each (n_panels, n_slow, n_fast)."""
        ...


def is_frames(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Say whether an array may hold frames.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its type.

    Returns
    -------
    bool
        Whether it has two to four dimensions, the last two of a detector's size, and numbers.
    """
    return (
        2 <= len(shape) <= 4
        and min(shape[-2:]) >= SMALLEST_EDGE_PX
        and 0 not in shape
        and dtype.kind in "iuf"
    )


def stack_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Read the shape of an array as frames.

    Parameters
    ----------
    shape : tuple of int
        (n_slow, n_fast), (n_frames, n_slow, n_fast) or (n_frames, n_panels, n_slow, n_fast).

    Returns
    -------
    tuple of int
        (n_frames, n_panels, n_slow, n_fast).
    """
    if len(shape) == 4:
        return (shape[0], shape[1], shape[2], shape[3])
    n_frames = shape[0] if len(shape) == 3 else 1
    return (n_frames, 1, shape[-2], shape[-1])


def as_frame(values: NDArray[Any], shape: tuple[int, int, int], where: str) -> Frame:
    """Bring one frame into the form that the spot finder takes.

    Parameters
    ----------
    values : ndarray
        The frame's numbers.
    shape : (int, int, int)
        (n_panels, n_slow, n_fast).
    where : str
        File and array, for the message of an error.

    Returns
    -------
    ndarray, shape (n_panels, n_slow, n_fast)
        The frame in native byte order; of wide types the nearest narrow one.

    Raises
    ------
    FrameError
        If whole numbers do not fit into 32 bits.
    """
    frame = values.reshape(shape)
    native = frame.dtype.newbyteorder("=")
    if native.name in FRAME_TYPES:
        return frame.astype(native, copy=False)
    if native.kind == "f":
        return frame.astype(np.float32)
    if native.name == "int8":
        return frame.astype(np.int16)
    target = np.iinfo(np.uint32 if native.kind == "u" else np.int32)
    if frame.size and (frame.max() > target.max or frame.min() < target.min):
        raise FrameError(
            f"{where}: a frame holds numbers from {frame.min()} to {frame.max()}, "
            "more than 32 bits can hold: mask or convert them first"
        )
    return frame.astype(target.dtype)
