"""Spot finding: from detector frames to Bragg spots with sub-pixel positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.analysis._background import BlockBackground, BlockLevels
from autosteer.analysis._measurement import (
    PIXEL_SHARE,
    SpotCriteria,
    StrongPixels,
    measure_spots,
)
from autosteer.contracts import AnalysisError, FrameError

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

_DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32")
# Pixels worked on together: some MiB, so that they stay in the cache.
_CHUNK_PIXELS = 2**22
# If more of a frame than this is strong, only the strongest pixels are looked at.
_STRONG_SHARE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """Spots of some frames: by frame, the brightest of a frame first.

    Parameters
    ----------
    frame : ndarray of int64, shape (n,)
        Frame that each spot is on.
    panel : ndarray of int64, shape (n,)
        Detector panel.
    slow_px, fast_px : ndarray of float32, shape (n,)
        Centroid, weighted by intensity; whole numbers are pixel centres [px].
    intensity : ndarray of float32, shape (n,)
        Sum above the background [detector counts].
    sigma : ndarray of float32, shape (n,)
        Standard deviation of the intensity from the noise of the background [detector counts].
        The counting noise of the spot itself is not in it: that would take the detector's gain.
    n_pixels : ndarray of int64, shape (n,)
        Pixels of the spot.
    peak_snr : ndarray of float32, shape (n,)
        Brightest pixel above the background, over the noise.
    n_spots : ndarray of int64, shape (n_frames,)
        Spots of each frame.
    background_level : ndarray of float32, shape (n_frames,)
        Median background [detector counts]; NaN where no pixel is good.
    saturated_fraction : ndarray of float32, shape (n_frames,)
        Saturated over good pixels; NaN where the saturation is unknown.
    """

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    intensity: Float
    sigma: Float
    n_pixels: NDArray[np.int64]
    peak_snr: Float
    n_spots: NDArray[np.int64]
    background_level: Float
    saturated_fraction: Float

    def __len__(self) -> int:
        return len(self.frame)

    def lists(self, q: NDArray[Any]) -> Float:
        """Arrange a vector per spot frame by frame, as the indexer takes them.

        Parameters
        ----------
        q : ndarray of float, shape (n, 3)
            Scattering vector of each spot [1/angstrom].

        Returns
        -------
        ndarray of float32, shape (n_frames, n_spots, 3)
            The vectors of each frame, padded with NaN [1/angstrom].
        """
        width = int(self.n_spots.max(initial=0))
        lists = np.full((len(self.n_spots), width, 3), np.nan, dtype=np.float32)
        rank = np.arange(len(self)) - np.searchsorted(self.frame, self.frame, side="left")
        lists[self.frame, rank] = q
        return lists


class SpotFinder:
    """Finds Bragg spots on frames.

    Background and noise are estimated by blocks from a sample of the pixels, and every pixel is
    compared once with a threshold made of them. Only what exceeds it is looked at closely:
    touching pixels form a spot, whose background and noise come from the ring about its peak.

    Parameters
    ----------
    min_snr : float, default 6.0
        Least height of the brightest pixel above the background, over the noise.
    min_pixels, max_pixels : int, default 2 and 100
        Pixels of the smallest and of the largest spot.
    max_spots : int, default 500
        Brightest spots kept of each frame.
    mask : array_like of bool, shape (n_panels, n_slow, n_fast), optional
        True where a pixel is good; all are by default.
    saturation : float, optional
        Counts at and above which a pixel is saturated [detector counts].

    Raises
    ------
    AnalysisError
        If an option is out of range or the mask has no three dimensions.

    Examples
    --------
    >>> frame = np.random.default_rng(0).poisson(9.0, (1, 1, 64, 64)).astype(np.uint16)
    >>> frame[0, 0, 30:32, 40:42] += 900
    >>> spots = SpotFinder().find(frame)
    >>> len(spots), round(float(spots.slow_px[0]), 1), round(float(spots.fast_px[0]), 1)
    (1, 30.5, 40.5)
    """

    def __init__(
        self,
        *,
        min_snr: float = 6.0,
        min_pixels: int = 2,
        max_pixels: int = 100,
        max_spots: int = 500,
        mask: ArrayLike | None = None,
        saturation: float | None = None,
    ) -> None:
        for name, value in (
            ("min_snr", min_snr),
            ("min_pixels", min_pixels),
            ("max_spots", max_spots),
            ("saturation", saturation),
        ):
            if value is not None and not value > 0:
                raise AnalysisError(f"{name} is {value}: it must be positive")
        if max_pixels < min_pixels:
            raise AnalysisError(f"max_pixels ({max_pixels}) is below min_pixels ({min_pixels})")
        self._criteria = SpotCriteria(min_snr, min_pixels, max_pixels, max_spots)
        self._saturation = saturation
        self._any_shape = mask is None
        self._good: Bool = np.zeros((0, 0, 0), dtype=np.bool_)
        self._n_good = 0
        self._background = None if mask is None else self._prepare(np.asarray(mask))

    def _prepare(self, mask: NDArray[Any]) -> BlockBackground:
        """Lay out the blocks for a mask."""
        if mask.ndim != 3 or mask.dtype != np.bool_:
            raise AnalysisError(
                f"the mask has shape {mask.shape} and type {mask.dtype}: it must be boolean, "
                "(n_panels, n_slow, n_fast), true where a pixel is good"
            )
        self._good = np.ascontiguousarray(mask)
        self._n_good = int(mask.sum())
        return BlockBackground(self._good)

    def find(self, frames: Frames) -> Spots:
        """Find the spots of frames.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames of type uint8, int16, uint16, int32, uint32 or float32; a NaN is no
            measurement [detector counts].

        Returns
        -------
        Spots
            The spots.

        Raises
        ------
        FrameError
            If the frames have another type, or a shape other than the mask's.
        """
        if frames.ndim != 4:
            raise FrameError(
                f"frames have shape {frames.shape}: it must be (n_frames, n_panels, n_slow, n_fast)"
            )
        if frames.dtype.newbyteorder("=").name not in _DTYPES:
            raise FrameError(
                f"frames have the type {frames.dtype}: convert them to one of {', '.join(_DTYPES)}"
            )
        if self._background is None or (self._any_shape and frames.shape[1:] != self._good.shape):
            self._background = self._prepare(np.ones(frames.shape[1:], dtype=np.bool_))
        if frames.shape[1:] != self._good.shape:
            raise FrameError(
                f"frames have the shape {frames.shape[1:]} (panels, slow, fast), the mask "
                f"{self._good.shape}: give the mask and geometry of this detector"
            )
        step = max(1, _CHUNK_PIXELS // max(1, self._good.size))
        chunks = [
            self._find(
                np.ascontiguousarray(
                    frames[start : start + step], dtype=frames.dtype.newbyteorder("=")
                ),
                self._background,
            )
            for start in range(0, len(frames), step)
        ]
        return _concatenate(chunks, step)

    def _find(self, frames: Frames, background: BlockBackground) -> Spots:
        """Find the spots of some contiguous frames in native byte order."""
        levels = background.estimate(frames)
        is_strong = self._strong(frames, background, levels)
        place = np.flatnonzero(is_strong)
        value = frames.reshape(-1)[place]
        saturated_fraction = self._saturated_fraction(place, value, len(frames))
        block = background.block_of(place)
        value = value.astype(np.float32)
        height = value - levels.level.reshape(-1)[block]
        strong = StrongPixels(
            place=place,
            value=value,
            rough_snr=height / levels.noise.reshape(-1)[block],
            region=background.region_of(block),
        )
        strong = strong.select(np.isfinite(value)) if frames.dtype.kind == "f" else strong
        strong = strong.strongest(int(_STRONG_SHARE * is_strong.size))
        spots = measure_spots(frames, strong, is_strong, self._good, self._criteria)
        return Spots(
            frame=spots.frame,
            panel=spots.panel,
            slow_px=spots.slow_px,
            fast_px=spots.fast_px,
            intensity=spots.intensity,
            sigma=spots.sigma,
            n_pixels=spots.n_pixels,
            peak_snr=spots.peak_snr,
            n_spots=np.bincount(spots.frame, minlength=len(frames)),
            background_level=background.level_of_frames(levels),
            saturated_fraction=saturated_fraction,
        )

    def _strong(self, frames: Frames, background: BlockBackground, levels: BlockLevels) -> Bool:
        """Mark good pixels above the threshold, compared in the frames' own type."""
        threshold = background.thresholds(levels, PIXEL_SHARE * self._criteria.min_snr)
        floating = frames.dtype.kind == "f"
        lowest, highest = _range_of(frames.dtype)
        if self._saturation is not None:
            # Saturated pixels are always strong, so that they can be counted.
            below = self._saturation * (1 - 1e-6) if floating else self._saturation - 1
            highest = min(highest, np.float32(below))
        np.clip(threshold, lowest, highest, out=threshold)
        if not floating:
            np.floor(threshold, out=threshold)
        native = threshold.astype(frames.dtype)
        strips = (*threshold.shape[:3], background.strip_rows, frames.shape[3])
        strong: Bool = frames.reshape(strips) > native[:, :, :, None]
        strong = strong.reshape(frames.shape)
        strong &= self._good
        return strong

    def _saturated_fraction(self, pixel: Index, value: Frames, n_frames: int) -> Float:
        """Saturated over good pixels; every saturated pixel is strong."""
        if self._saturation is None:
            return np.full(n_frames, np.nan, dtype=np.float32)
        saturated = pixel[value >= self._saturation] // self._good.size
        count = np.bincount(saturated, minlength=n_frames)
        return (count / max(1, self._n_good)).astype(np.float32)


def _range_of(dtype: np.dtype[Any]) -> tuple[np.float32, np.float32]:
    """Return the range of a type in numbers of 32 bits that convert to it."""
    if dtype.kind == "f":
        return np.float32(np.finfo(dtype).min), np.float32(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    highest = np.float32(limits.max)
    # The largest number of 32 bits is rounded up, and would wrap around.
    if int(highest) > limits.max:
        highest = np.nextafter(highest, np.float32(0))
    return np.float32(limits.min), highest


def _concatenate(chunks: Sequence[Spots], frames_per_chunk: int) -> Spots:
    """Join the spots of consecutive chunks of frames."""
    joined = {
        field.name: np.concatenate([getattr(chunk, field.name) for chunk in chunks])
        for field in fields(Spots)
    }
    first = np.repeat(np.arange(len(chunks)) * frames_per_chunk, [len(chunk) for chunk in chunks])
    joined["frame"] = joined["frame"] + first
    return Spots(**joined)
