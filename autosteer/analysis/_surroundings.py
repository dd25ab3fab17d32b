"""What lies about the peak of a spot: the ring that gives its background, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

_RING_PX = (3.5, 6.5)
_RING_CLIP_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """Statistics of the rings about some pixels, each of shape (n,).

    Parameters
    ----------
    mean : ndarray of float32
        Mean of the ring, outliers clipped [detector counts].
    noise : ndarray of float32
        Standard deviation [detector counts].
    n_pixels : ndarray of int64
        Pixels that were used.
    """

    mean: Float
    noise: Float
    n_pixels: NDArray[np.int64]


def _offsets(inner: float, outer: float) -> tuple[Index, Index]:
    """Row and column offsets of the pixels whose distance lies within (inner, outer]."""
    reach = int(outer)
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(row, column)
    inside = (distance > inner) & (distance <= outer)
    return row[inside], column[inside]


_RING = _offsets(*_RING_PX)
_NEIGHBOURS = _offsets(0.0, 1.5)


class Surroundings:
    """Looks up the pixels about other pixels of a stack of frames.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
        Frames [detector counts].
    is_strong : ndarray of bool, same shape
        True where a pixel may belong to a spot.
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        Good pixels.
    """

    def __init__(self, frames: Frames, is_strong: Bool, good: Bool) -> None:
        self._n_slow, self._n_fast = frames.shape[-2:]
        self._values = frames.reshape(-1)
        self._may_be_nan = frames.dtype.kind == "f"
        self._is_strong = is_strong.reshape(-1)
        self._good = good.reshape(-1)
        self._all_good = bool(good.all())

    def ring(self, pixel: Index) -> Ring:
        """Measure the rings about pixels.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.

        Returns
        -------
        Ring
            Their statistics; NaN where no pixel of a ring is usable.
        """
        place, use = self._about(pixel, *_RING)
        values = self._values[place].astype(np.float32)
        use &= ~self._is_strong[place]
        if self._may_be_nan:
            use &= np.isfinite(values)
        mean, noise = _moments(values, use)
        use &= np.abs(values - mean[:, None]) <= _RING_CLIP_SIGMAS * noise[:, None]
        mean, noise = _moments(values, use)
        return Ring(mean, noise, use.sum(axis=1))

    def neighbours(self, pixel: Index, level: Float) -> tuple[Float, NDArray[np.int64]]:
        """Sum the eight neighbours of pixels above a level.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.
        level : ndarray of float32, shape (n,)
            What to subtract from each neighbour [detector counts].

        Returns
        -------
        total : ndarray of float32, shape (n,)
            Sum over the good neighbours [detector counts].
        n_good : ndarray of int64, shape (n,)
            How many these are.
        """
        place, use = self._about(pixel, *_NEIGHBOURS)
        values = self._values[place].astype(np.float32)
        use &= np.isfinite(values)
        excess = np.where(use, values - level[:, None], np.float32(0))
        return excess.sum(axis=1), use.sum(axis=1)

    def grow(self, pixel: Index, spot: Index) -> tuple[Index, Index, Float]:
        """Add to the pixels of spots all that touch them and belong to no other group.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.
        spot : ndarray of int, shape (n,)
            Spot that each belongs to.

        Returns
        -------
        pixel, spot : ndarray of int, shape (m,)
            Pixels of the grown spots, m >= n.
        value : ndarray of float32, shape (m,)
            Their counts [detector counts].
        """
        place, use = self._about(pixel, *_NEIGHBOURS)
        use &= ~self._is_strong[place]
        use &= np.isfinite(self._values[place])
        # One number stands for a pixel and its spot, so that each pair is kept once.
        n_spots = int(spot.max(initial=0)) + 1
        around = place * n_spots + spot[:, None]
        pairs = np.concatenate([pixel * n_spots + spot, np.unique(around[use])])
        grown, spot = np.divmod(pairs, n_spots)
        return grown, spot, self._values[grown].astype(np.float32)

    def _about(self, pixel: Index, row: Index, column: Index) -> tuple[Index, Bool]:
        """Flat indices of pixels at offsets, and whether they are good and on the same panel."""
        place = pixel[:, None] + (row * self._n_fast + column)
        line = pixel // self._n_fast
        at_column, at_row = pixel - line * self._n_fast, line % self._n_slow
        reach = int(max(row.max(), column.max()))
        near_edge = np.flatnonzero(
            (np.minimum(at_column, at_row) < reach)
            | (at_column >= self._n_fast - reach)
            | (at_row >= self._n_slow - reach)
        )
        use = np.ones(place.shape, dtype=np.bool_)
        to_column = at_column[near_edge, None] + column
        to_row = at_row[near_edge, None] + row
        inside = (to_column >= 0) & (to_column < self._n_fast)
        inside &= (to_row >= 0) & (to_row < self._n_slow)
        use[near_edge] = inside
        place[near_edge] = np.where(inside, place[near_edge], pixel[near_edge, None])
        if not self._all_good:
            use &= self._good[place % self._good.size]
        return place, use


def _moments(values: Float, use: Bool) -> tuple[Float, Float]:
    """Mean and standard deviation of the values in use, along the last axis."""
    count = use.sum(axis=1).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        chosen = np.where(use, values, 0)
        mean = chosen.sum(axis=1) / count
        residual = np.where(use, values - mean[:, None], 0)
        noise = np.sqrt(np.einsum("ij,ij->i", residual, residual) / count)
    return mean, noise
