"""Finds the best of a known function, and what no other place beats: for scores only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

Float = NDArray[np.float64]

_FIRST, _ELITE, _LATER, _ZOOMS = 12, 48, 10, 40
_FRONT_ROUNDS, _FRONT_MOST = 14, 256


def spread_places(low: Float, high: Float, log2_count: int) -> Float:
    """Spread places evenly over a box, the same at each call.

    Parameters
    ----------
    low, high : ndarray of float64, shape (d,)
        The box.
    log2_count : int
        Base-2 logarithm of the number of places.

    Returns
    -------
    ndarray of float64, shape (2**log2_count, d)
        The places.
    """
    unit = qmc.Sobol(len(low), scramble=True, rng=0).random_base2(log2_count)
    places: Float = low + unit * (high - low)
    return places


def best_place(value: Callable[[Float], Float], low: Float, high: Float) -> Float:
    """Find the place with the largest value by zooming in on the best ones.

    Parameters
    ----------
    value : callable
        Values of shape (n,) of places of shape (n, d); -inf where a place is not allowed.
    low, high : ndarray of float64, shape (d,)
        The box to search.

    Returns
    -------
    ndarray of float64, shape (d,)
        The place.
    """
    places = spread_places(low, high, _FIRST)
    values = value(places)
    for _ in range(_ZOOMS):
        elite = np.argsort(-values, kind="stable")[:_ELITE]
        places, values = places[elite], values[elite]
        finite = places[np.isfinite(values)]
        if not len(finite):
            break
        margin = 0.1 * np.ptp(finite, axis=0) + 1e-12 * (high - low)
        box = np.clip([finite.min(0) - margin, finite.max(0) + margin], low, high)
        more = spread_places(box[0], box[1], _LATER)
        places, values = np.vstack([places, more]), np.concatenate([values, value(more)])
    best: Float = places[np.argmax(values)]
    return best


def unbeaten(values: Float) -> NDArray[np.bool_]:
    """Tell which rows no other row beats: is nowhere worse than, and somewhere better.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        Values of k objectives, of which more is better.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the rows of the Pareto front.
    """
    n_rows = len(values)
    no_worse, better = np.ones((n_rows, n_rows), np.bool_), np.zeros((n_rows, n_rows), np.bool_)
    for column in values.T:
        no_worse &= column[:, None] >= column
        better |= column[:, None] > column
    front: NDArray[np.bool_] = np.logical_not((no_worse & better).any(axis=0))
    return front


def pareto_places(value: Callable[[Float], Float], low: Float, high: Float) -> Float:
    """Find places along the Pareto front by trying the neighborhood of what no place beats.

    Parameters
    ----------
    value : callable
        Values of shape (n, k) of places of shape (n, d), more is better; -inf where a place is not
        allowed.
    low, high : ndarray of float64, shape (d,)
        The box to search.

    Returns
    -------
    ndarray of float64, shape (m, d)
        Places, by the first objective.
    """
    rng = np.random.default_rng(0)
    places = spread_places(low, high, 11)
    reach = 0.1
    for _ in range(_FRONT_ROUNDS):
        front = _thinned_front(value, places)
        near = np.repeat(front, 4, axis=0)
        near = near + reach * (high - low) * rng.standard_normal(near.shape)
        places = np.vstack([front, np.clip(near, low, high)])
        reach *= 0.75
    return _thinned_front(value, places)


def _thinned_front(value: Callable[[Float], Float], places: Float) -> Float:
    """Return the places that no other beats, by the first objective, and not too many."""
    values = value(places)
    _, different = np.unique(values, axis=0, return_index=True)
    places, values = places[different], values[different]
    front = np.flatnonzero(unbeaten(values) & np.isfinite(values).all(axis=1))
    if len(front) > _FRONT_MOST:
        front = front[np.linspace(0, len(front) - 1, _FRONT_MOST).round().astype(int)]
    return places[front]
