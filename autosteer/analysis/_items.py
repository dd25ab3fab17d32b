"""Items by frame: padded lists of them, and rows of which several belong to one frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import AnalysisError

# Beyond this there is no diffraction, only a wrong unit [1/angstrom].
_LONGEST_Q = 5.0


def checked_spot_lists(q: ArrayLike) -> NDArray[np.float32]:
    """Bring spot lists into their one form.

    Parameters
    ----------
    q : array_like, shape (n_frames, n_spots, 3)
        Scattering vectors, abs(q) = 1/d [1/angstrom].

    Returns
    -------
    ndarray of float32, shape (n_frames, n_spots, 3)
        The vectors; all NaN where one has a NaN, is zero, or is beyond 0.2 angstrom resolution.

    Raises
    ------
    AnalysisError
        If `q` has another shape.
    """
    spots = np.array(q, dtype=np.float32)
    if spots.ndim != 3 or spots.shape[2] != 3:
        raise AnalysisError(
            f"q has shape {spots.shape}: spot lists must have the shape "
            "(n_frames, n_spots, 3), padded with NaN"
        )
    length = np.linalg.norm(spots, axis=2)
    spots[~((length > 0) & (length < _LONGEST_Q))] = np.nan
    return spots


def count_spots(lists: NDArray[Any]) -> NDArray[np.int64]:
    """Count the spots of each list.

    Parameters
    ----------
    lists : ndarray of float, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN.

    Returns
    -------
    ndarray of int64, shape (n_frames,)
        Vectors without a NaN.

    Examples
    --------
    >>> count_spots(np.array([[[0.1, 0.0, 0.0], [0.0, 0.2, 0.0]], [[0.1, 0.0, 0.0], [np.nan] * 3]]))
    array([2, 1])
    """
    return np.asarray(np.isfinite(lists).all(axis=2).sum(axis=1), dtype=np.int64)


def padded(values: NDArray[Any], frame: NDArray[np.int64], n_frames: int) -> NDArray[np.float32]:
    """Arrange values of items frame by frame.

    Parameters
    ----------
    values : ndarray of float, shape (n, ...)
        A value, or a vector, of each item.
    frame : ndarray of int64, shape (n,)
        Frame of each item, increasing.
    n_frames : int
        Frames.

    Returns
    -------
    ndarray of float32, shape (n_frames, most items of a frame, ...)
        The values of each frame, padded with NaN.

    Examples
    --------
    >>> padded(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 2]), 3)
    array([[ 1.,  2.],
           [nan, nan],
           [ 3., nan]], dtype=float32)
    """
    most = int(np.bincount(frame).max(initial=0))
    lists = np.full((n_frames, most, *values.shape[1:]), np.nan, dtype=np.float32)
    lists[frame, number_within(frame)] = values
    return lists


def number_within(frame: NDArray[Any]) -> NDArray[np.int64]:
    """Give the items of each frame their running numbers.

    Parameters
    ----------
    frame : ndarray of int, shape (n,)
        Frame of each item, increasing.

    Returns
    -------
    ndarray of int64, shape (n,)
        0 for the first item of a frame, and so on.

    Examples
    --------
    >>> number_within(np.array([3, 3, 4, 7, 7, 7]))
    array([0, 1, 0, 0, 1, 2])
    """
    return np.arange(len(frame)) - np.searchsorted(frame, frame, side="left")
