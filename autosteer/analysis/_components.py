"""Connected groups of strong pixels, from a sparse list of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Bool = NDArray[np.bool_]
Float = NDArray[np.float32]
Index = NDArray[np.intp]


def touching_pairs(place: Index, strong: Bool) -> tuple[Index, Index]:
    """Find the pairs of strong pixels that touch by an edge or a corner.

    Parameters
    ----------
    place : ndarray of int, shape (n,)
        Flat indices of strong pixels, increasing; some may be left out.
    strong : ndarray of bool, shape (..., n_slow, n_fast)
        Map of all strong pixels. Pixels of different panels or frames do not touch.

    Returns
    -------
    first, second : ndarray of int, shape (n_pairs,)
        Positions within `place`.
    """
    n_slow, n_fast = strong.shape[-2:]
    is_strong = strong.reshape(-1)
    line = place // n_fast
    column = place - line * n_fast
    row = line % n_slow
    first, second = [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        step = down * n_fast + right
        # Most pixels have no neighbour: a look at the map saves the search in the list.
        candidate = np.flatnonzero(is_strong[np.minimum(place + step, is_strong.size - 1)])
        end = column[candidate] + right
        inside = (end >= 0) & (end < n_fast) & (row[candidate] + down < n_slow)
        candidate = candidate[inside]
        neighbour = place[candidate] + step
        position = np.searchsorted(place, neighbour)
        listed = place[np.minimum(position, len(place) - 1)] == neighbour
        first.append(candidate[listed])
        second.append(position[listed])
    return np.concatenate(first), np.concatenate(second)


def label_groups(n_pixels: int, first: Index, second: Index) -> tuple[int, Index]:
    """Give pixels that pairs connect the number of their group.

    Parameters
    ----------
    n_pixels : int
        Number of pixels.
    first, second : ndarray of int, shape (n_pairs,)
        Pixels that touch.

    Returns
    -------
    n_groups : int
        Number of groups.
    label : ndarray of int, shape (n_pixels,)
        Group of each pixel, from 0.
    """
    ones = np.ones(len(first), dtype=np.int8)
    graph = coo_array((ones, (first, second)), shape=(n_pixels, n_pixels)).tocsr()
    n_groups, label = connected_components(graph, directed=False)
    return int(n_groups), label.astype(np.intp)


def summits(
    height: Float,
    first: Index,
    second: Index,
    row: Index,
    column: Index,
    nearest_px: float,
    shallow_share: float,
) -> Index:
    """Find the summit that each pixel belongs to, going uphill from neighbour to neighbour.

    Parameters
    ----------
    height : ndarray of float32, shape (n,)
        How high pixels are.
    first, second : ndarray of int, shape (n_pairs,)
        Pixels that touch.
    row, column : ndarray of int, shape (n,)
        Where pixels are; rows of different panels and frames follow one another.
    nearest_px : float
        A summit nearer than this to a higher one that it is connected with belongs to that one.
    shallow_share : float
        So does a summit from which the way to a higher one stays above this share of its height.

    Returns
    -------
    ndarray of int, shape (n,)
        Number of the pixel that is the summit.
    """
    start, end = np.concatenate([first, second]), np.concatenate([second, first])
    # Of equals the first is the higher one, so that there is no going round in circles.
    rank = np.empty(len(height), np.intp)
    rank[np.argsort(-height, kind="stable")] = np.arange(len(height))[::-1]
    uphill = rank[end] > rank[start]
    start, end = start[uphill], end[uphill]
    order = np.argsort(rank[end], kind="stable")
    parent = np.arange(len(height))
    # Where a pixel has several neighbours, the last one written is the highest.
    parent[start[order]] = end[order]
    parent = _to_the_root(parent)
    one, other = parent[start], parent[end]
    way = np.minimum(height[start], height[end])
    shallow = (one != other) & (way >= shallow_share * np.minimum(height[one], height[other]))
    parent = _joined(parent, rank, one[shallow], other[shallow])
    peak = np.flatnonzero(parent == np.arange(len(parent)))
    pairs = cKDTree(np.stack([row[peak], column[peak]], axis=1)).query_pairs(
        nearest_px, output_type="ndarray"
    )
    return _joined(parent, rank, peak[pairs[:, 0]], peak[pairs[:, 1]])


def _joined(parent: Index, rank: Index, one: Index, other: Index) -> Index:
    """Make the lower summit of each pair belong to the higher one, to the highest of several."""
    lower = np.where(rank[one] < rank[other], one, other)
    higher = one + other - lower
    order = np.argsort(rank[higher], kind="stable")
    parent[lower[order]] = higher[order]
    return _to_the_root(parent)


def _to_the_root(parent: Index) -> Index:
    """Follow parents to those that are their own."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further
