"""What lies about the peak of a spot: its window, and the ring that gives its background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._bad_values import flag_of
from autosteer.analysis._rows import Rows

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

_RING_PX = (4.5, 8.5)
RING_CLIP_SIGMAS = 3.0
RIDGE_SIGMAS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Ring(Rows):
    """Statistics of the rings about some pixels, each of shape (n,).

    Parameters
    ----------
    mean : ndarray of float32
        Mean of the ring, outliers clipped [detector counts].
    noise : ndarray of float32
        Standard deviation [detector counts].
    n_pixels : ndarray of int64
        Pixels that were used.
    listed_share : ndarray of float32
        Share of the pixels with a measurement that stand out themselves, and were not used.
    ridge : ndarray of float32
        How high the background rises from the ring to its middle, if it is a ridge that runs
        through it, as a powder ring does [detector counts].
    """

    mean: Float
    noise: Float
    n_pixels: NDArray[np.int64]
    listed_share: Float
    ridge: Float


def _offsets(inner: float, outer: float) -> tuple[Index, Index]:
    """Row and column offsets of the pixels whose distance lies within (inner, outer]."""
    reach = int(outer)
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(row, column)
    inside = (distance > inner) & (distance <= outer)
    return row[inside], column[inside]


RING = _offsets(*_RING_PX)
NEIGHBOURS = _offsets(0.0, 1.5)
_ANGLE = 2 * np.arctan2(*RING)
RING_WAVES = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1).astype(np.float32)
"""The second harmonic of the ring, shape (n, 2)."""

WINDOW_PX = 5
"""Edge of the window about a pixel."""
WIDE_PX = 7
"""Edge of the window in which wide spots are judged."""


def _square(edge: int) -> tuple[Index, Index]:
    """Row and column offsets of the pixels of a square, row by row."""
    row, column = np.indices((edge, edge)) - edge // 2
    return row.ravel(), column.ravel()


WINDOW, WIDE_WINDOW = _square(WINDOW_PX), _square(WIDE_PX)


class Surroundings:
    """Looks up the pixels about other pixels of a stack of frames.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
        Frames [detector counts].
    is_listed : ndarray of bool, same shape
        True where a pixel stands out with its neighbours.
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        Good pixels.
    """

    def __init__(self, frames: Frames, is_listed: Bool, good: Bool) -> None:
        self._n_slow, self._n_fast = frames.shape[-2:]
        self._values = frames.reshape(-1)
        self._flag = flag_of(frames.dtype)
        self._is_listed = is_listed.reshape(-1)
        self._good = good.reshape(-1)
        self._all_good = bool(good.all())
        self._hot: Bool | None = None

    def leave_out(self, pixel: Index) -> None:
        """Use some pixels no more.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.
        """
        if len(pixel):
            self._hot = np.zeros(self._values.size, dtype=np.bool_)
            self._hot[pixel] = True

    def is_usable(self, pixel: Index) -> Bool:
        """Say which pixels are good, hold a measurement and were not left out.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.

        Returns
        -------
        ndarray of bool, shape (n,)
            Whether each is so.
        """
        here = np.zeros(1, dtype=np.intp)
        _, _, use = self._look(pixel, here, here)
        return use[:, 0]

    def values(self, pixel: Index) -> Float:
        """Return the values of pixels [detector counts].

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.

        Returns
        -------
        ndarray of float32, shape (n,)
            Their values.
        """
        return self._values[pixel].astype(np.float32)

    def ring(self, pixel: Index, spread: Float) -> Ring:
        """Measure the rings about pixels.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.
        spread : ndarray of float32, shape (n,)
            How much noisier the sum of many pixels is than without correlation.

        Returns
        -------
        Ring
            Their statistics; NaN where no pixel of a ring is usable.
        """
        place, values, use = self._look(pixel, *RING)
        n_possible = np.maximum(use.sum(axis=1), 1)
        use &= ~self._is_listed[place]
        listed_share = (1 - use.sum(axis=1) / n_possible).astype(np.float32)
        mean, noise, _ = _moments(values, use)
        use &= np.abs(values - mean[:, None]) <= RING_CLIP_SIGMAS * noise[:, None]
        mean, noise, residual = _moments(values, use)
        n_pixels = use.sum(axis=1)
        return Ring(mean, noise, n_pixels, listed_share, _ridge(residual, noise * spread, n_pixels))

    def window(self, pixel: Index, offsets: tuple[Index, Index] = WINDOW) -> tuple[Float, Bool]:
        """Look up the pixels of a square about pixels, row by row.

        Parameters
        ----------
        pixel : ndarray of int, shape (n,)
            Flat indices into the frames.
        offsets : (ndarray of int, ndarray of int), default WINDOW
            Rows and columns of the square's m pixels from its middle.

        Returns
        -------
        values : ndarray of float32, shape (n, m)
            Their values [detector counts]; anything where they are no measurement.
        use : ndarray of bool, shape (n, m)
            Whether each is a good pixel of the same panel, and holds a measurement.
        """
        _, values, use = self._look(pixel, *offsets)
        return values, use

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
        place, _, use = self._look(pixel, *NEIGHBOURS)
        use &= ~self._is_listed[place]
        # One number stands for a pixel and its spot, so that each pair is kept once.
        n_spots = int(spot.max(initial=0)) + 1
        around = place * n_spots + spot[:, None]
        pairs = np.concatenate([pixel * n_spots + spot, np.unique(around[use])])
        grown, spot = np.divmod(pairs, n_spots)
        return grown, spot, self._values[grown].astype(np.float32)

    def _look(self, pixel: Index, row: Index, column: Index) -> tuple[Index, Float, Bool]:
        """Flat indices and values of pixels at offsets, and whether they can be used."""
        place, use = self._about(pixel, row, column)
        found = self._values[place]
        values = found.astype(np.float32)
        if self._flag is None:
            use &= np.isfinite(values)
        else:
            use &= found != self._flag
        if self._hot is not None:
            use &= ~self._hot[place]
        return place, values, use

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


def _moments(values: Float, use: Bool) -> tuple[Float, Float, Float]:
    """Mean and standard deviation of the values in use, along the last axis, and what is left."""
    count = use.sum(axis=1).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        chosen = np.where(use, values, 0)
        mean = chosen.sum(axis=1) / count
        residual = np.where(use, values - mean[:, None], np.float32(0))
        noise = np.sqrt(np.einsum("ij,ij->i", residual, residual) / count)
    return mean, noise, residual


def _ridge(residual: Float, noise: Float, n_pixels: NDArray[np.int64]) -> Float:
    """Return how high a ridge through a ring rises above its mean."""
    # The noise is here that of the mean of many pixels, times the root of their number.
    # On a circle of radius r a parabolic ridge, -h x**2 / 2, is -h r**2 / 4 times
    # 1 + cos(2 angle): the second harmonic is as large as the mean lies below the crest.
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = residual @ RING_WAVES * (2 / n_pixels[:, None])
        # What two standard deviations of the noise could make is none.
        chance = RIDGE_SIGMAS**2 * 2 * noise**2 / n_pixels
        squared = np.nan_to_num((harmonic**2).sum(axis=1) - chance)
    ridge: Float = np.sqrt(np.maximum(squared, 0)).astype(np.float32)
    return ridge
