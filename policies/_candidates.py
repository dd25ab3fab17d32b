"""Places worth a look: spread over the box, and around good ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

Float = NDArray[np.float64]


def sobol_points(dimension: int, seed: int, first: int, count: int) -> Float:
    """Return a stretch of a scrambled Sobol sequence in the unit cube.

    Parameters
    ----------
    dimension : int
        Number of knobs.
    seed : int
        Seed of the scrambling.
    first, count : int
        Which points.

    Returns
    -------
    ndarray of float64, shape (count, dimension)
        The points.
    """
    engine = qmc.Sobol(dimension, rng=np.random.default_rng(seed))
    # Whole powers of two keep the balance of the sequence.
    points: Float = engine.random_base2((first + count - 1).bit_length())
    return points[first : first + count]


def points_around(rng: np.random.Generator, centers: Float, lengths: Float, count: int) -> Float:
    """Draw points around centers, at distances of all magnitudes.

    Half of the knobs, on the average, keep the center's value, so that moves along single knobs and
    combinations of a few are among the points.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    centers : ndarray of float64, shape (k, dimension)
        Centers in the unit cube, taken in turn.
    lengths : ndarray of float64, shape (dimension,)
        Largest standard deviation along each knob; the smallest is a thirtieth of it.
    count : int
        Points.

    Returns
    -------
    ndarray of float64, shape (count, dimension)
        The points, within the box.
    """
    dimension = centers.shape[1]
    start = centers[np.arange(count) % len(centers)]
    size = 30 ** -rng.random((count, 1))
    moved = rng.random((count, dimension)) < 0.5
    moved[np.arange(count), rng.integers(dimension, size=count)] = True
    step = size * lengths * rng.standard_normal((count, dimension))
    points: Float = np.clip(start + step * moved, 0.0, 1.0)
    return points


def climb(
    value: Callable[[Float], Float],
    start: Float,
    lengths: Float,
    rng: np.random.Generator,
    allowed: Callable[[Float], Float],
    *,
    rounds: int,
    width: int,
) -> Float:
    """Follow a function of places upwards, by rounds of points around the best ones.

    Parameters
    ----------
    value : callable
        Value of each of (n, dimension) places, shape (n,).
    start : ndarray of float64, shape (k, dimension)
        Places to begin with, all of them allowed.
    lengths : ndarray of float64, shape (dimension,)
        How far the first round looks; each later one looks a third as far.
    rng : numpy.random.Generator
        Where chance comes from.
    allowed : callable
        Gives those of some places that are allowed.
    rounds, width : int
        Number of rounds, and of places in each.

    Returns
    -------
    ndarray of float64, shape (dimension,)
        The best place met.
    """
    places, values = start, value(start)
    for number in range(rounds):
        keep = np.argsort(-values, kind="stable")[:3]
        places, values = places[keep], values[keep]
        more = allowed(points_around(rng, places, lengths / 3**number, width))
        places = np.concatenate([places, more])
        values = np.concatenate([values, value(more)])
    best: Float = places[np.argmax(values)]
    return best
