"""What is said of a suggestion besides its expectations: the runner-up, and the active limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

# The runner-up is another place, not the same one again: so many lengths of the model away.
_APART = 1 / 3


def runner_up(places: Float, values: Float, chosen: Float, lengths: Float) -> int | None:
    """Find the best of the places that lie apart from the chosen one.

    Parameters
    ----------
    places : ndarray of float64, shape (n, n_knobs)
        Places that were looked at.
    values : ndarray of float64, shape (n,)
        How good each is.
    chosen : ndarray of float64, shape (n_knobs,)
        The place that was chosen.
    lengths : ndarray of float64, shape (n_knobs,)
        Length of the model along each knob.

    Returns
    -------
    int or None
        Its row; None where no place lies apart.
    """
    apart = np.flatnonzero(np.max(np.abs(places - chosen) / lengths, axis=1) >= _APART)
    return int(apart[np.argmax(values[apart])]) if len(apart) else None


def place_in_words(knobs: Sequence[str], place: Float) -> str:
    """Write a place down for people.

    Parameters
    ----------
    knobs : sequence of str
        Names of the knobs.
    place : ndarray of float64, shape (n_knobs,)
        Position of each, in its unit.

    Returns
    -------
    str
        As ``x = 1.2, y = 3``.
    """
    pairs = zip(knobs, place.tolist(), strict=True)
    return ", ".join(f"{name} = {value:.4g}" for name, value in pairs)
