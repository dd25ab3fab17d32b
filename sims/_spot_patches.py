"""Spots at given places, and the small squares of pixels that their light falls on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Float = NDArray[np.float64]

_PATCH_REACH = 9
_SMALLEST_SIGMA_PX = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSpots:
    """Spots to be put on a frame, each array of shape (n,).

    Parameters
    ----------
    panel : ndarray of int64
        Panel.
    slow_px, fast_px : ndarray of float64
        Centre; whole numbers are pixel centres [px].
    photons : ndarray of float64
        Expected photons.
    sigma_long_px, sigma_short_px : ndarray of float64
        Widths as seen on the frame, the spread of the detector included [px].
    turn_rad : ndarray of float64
        Angle from the fast axis to the long one.
    """

    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    photons: Float
    sigma_long_px: Float
    sigma_short_px: Float
    turn_rad: Float

    def __len__(self) -> int:
        return len(self.panel)


def blur_matrix(sigma_px: float) -> Float:
    """Return the matrix that spreads a line of a patch.

    Parameters
    ----------
    sigma_px : float
        Standard deviation over which light spreads [px].

    Returns
    -------
    ndarray of float64, shape (n, n)
        Shares that pixels of the line give to each other.
    """
    steps = np.arange(-_PATCH_REACH, _PATCH_REACH + 1)
    if not sigma_px:
        return np.eye(len(steps))
    matrix = np.exp(-(((steps[:, None] - steps) / sigma_px) ** 2) / 2)
    blurred: Float = matrix / matrix[_PATCH_REACH].sum()
    return blurred


class SpotPatches:
    """Where the light of spots falls: small squares about each.

    Parameters
    ----------
    spots : PlacedSpots
        The n spots.
    shape : (int, int, int)
        Shape of a frame, (n_panels, n_slow, n_fast).
    spread_px : float
        What the detector spreads itself later on, and is not in the squares [px].

    Attributes
    ----------
    shares : ndarray of float64, shape (n, m, m)
        Share of each spot's light in the pixels of its square.
    inside : ndarray of bool, shape (n, m, m)
        Whether each of them is on the panel.
    place : ndarray of int64, shape (n, m, m)
        Flat index of each into a frame; of the nearest one where it is outside.
    pixel, light : ndarray, shape (k,)
        Flat indices of those inside, and the photons expected there.
    """

    def __init__(self, spots: PlacedSpots, shape: tuple[int, int, int], spread_px: float) -> None:
        _, n_slow, n_fast = shape
        steps = np.arange(-_PATCH_REACH, _PATCH_REACH + 1)
        row = np.rint(spots.slow_px).astype(np.int64)[:, None, None] + steps[:, None]
        column = np.rint(spots.fast_px).astype(np.int64)[:, None, None] + steps
        self.shares = _profile(spots, row, column, spread_px)
        self.inside = (row >= 0) & (row < n_slow) & (column >= 0) & (column < n_fast)
        row, column = np.clip(row, 0, n_slow - 1), np.clip(column, 0, n_fast - 1)
        self.place = (spots.panel[:, None, None] * n_slow + row) * n_fast + column
        self.pixel = self.place[self.inside]
        self.light = (self.shares * spots.photons[:, None, None])[self.inside]


def _profile(
    spots: PlacedSpots, row: NDArray[np.int64], column: NDArray[np.int64], spread_px: float
) -> Float:
    """Return the share of each spot's light in the pixels of its square, shape (n, m, m)."""
    long, short = (
        np.sqrt(np.maximum(width**2 - spread_px**2, _SMALLEST_SIGMA_PX**2))[:, None, None]
        for width in (spots.sigma_long_px, spots.sigma_short_px)
    )
    cosine, sine = (f(spots.turn_rad)[:, None, None] for f in (np.cos, np.sin))
    down = row - spots.slow_px[:, None, None]
    right = column - spots.fast_px[:, None, None]
    # Integrated over the pixel across the two axes of the spot, which is exact for turns by
    # quarters and good to some percent for the others.
    along, across = right * cosine + down * sine, down * cosine - right * sine
    shares = (ndtr((along + 0.5) / long) - ndtr((along - 0.5) / long)) * (
        ndtr((across + 0.5) / short) - ndtr((across - 0.5) / short)
    )
    profile: Float = shares / shares.sum(axis=(1, 2), keepdims=True)
    return profile
