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
