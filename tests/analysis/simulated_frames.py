"""Small detector frames with Gaussian spots at known places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

GAIN = 10.0


def blank_frames(
    shape: tuple[int, ...],
    *,
    background: float = 2.0,
    pedestal: float = 40.0,
    readout: float = 4.0,
    seed: int = 0,
) -> Float:
    """Poisson background times a gain, with pedestal and readout noise [detector counts]."""
    rng = np.random.default_rng(seed)
    photons = rng.poisson(background, shape)
    return np.asarray(GAIN * photons + pedestal + rng.normal(scale=readout, size=shape))


def add_spots(
    frames: Float,
    places: NDArray[Any],
    photons: float,
    *,
    sigma_px: float = 0.9,
    seed: int = 1,
) -> None:
    """Add spots at places, rows of (frame, panel, slow, fast), with their counting noise."""
    rng = np.random.default_rng(seed)
    offset = np.arange(-5, 6)
    for frame, panel, slow, fast in places:
        row, column = round(slow) + offset, round(fast) + offset
        profile = np.exp(-(((row - slow) / sigma_px) ** 2) / 2)[:, None] * np.exp(
            -(((column - fast) / sigma_px) ** 2) / 2
        )
        counts = GAIN * rng.poisson(photons * profile / profile.sum())
        inside = np.ix_(
            (row >= 0) & (row < frames.shape[2]), (column >= 0) & (column < frames.shape[3])
        )
        rows, columns = row[inside[0].ravel()], column[inside[1].ravel()]
        frames[int(frame), int(panel)][np.ix_(rows, columns)] += counts[inside]


def random_places(
    n: int, shape: tuple[int, int, int, int], *, margin: int = 8, seed: int = 2
) -> Float:
    """Places at least 12 pixels from each other on their panel, rows of (frame, panel, ...)."""
    rng = np.random.default_rng(seed)
    places: list[list[float]] = []
    while len(places) < n:
        place = [
            int(rng.integers(shape[0])),
            int(rng.integers(shape[1])),
            rng.uniform(margin, shape[2] - margin),
            rng.uniform(margin, shape[3] - margin),
        ]
        if all(
            place[:2] != other[:2] or np.hypot(place[2] - other[2], place[3] - other[3]) > 12
            for other in places
        ):
            places.append(place)
    return np.array(places)


def as_counts(frames: Float, dtype: str) -> NDArray[Any]:
    """Round to a detector's type; floating-point types stay as they are."""
    target = np.dtype(dtype)
    if target.kind == "f":
        return frames.astype(target)
    limits = np.iinfo(target)
    return np.clip(np.rint(frames), limits.min, limits.max).astype(target)
