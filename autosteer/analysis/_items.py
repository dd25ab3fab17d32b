"""Items by frame: several rows for one frame, all frames in one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
