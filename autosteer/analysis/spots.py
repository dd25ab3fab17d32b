"""Spot finding: from detector frames to Bragg spots with sub-pixel positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.analysis._background import BlockBackground, BlockLevels
from autosteer.analysis._box_sums import boxes_above
from autosteer.analysis._finder_options import FinderOptions
from autosteer.analysis._gain import gain_of_frames
from autosteer.analysis._items import padded
from autosteer.analysis._measurement import (
    StandingOut,
    measure_spots,
)
from autosteer.analysis._photon_size import photon_sizes_of_frames
from autosteer.analysis._significance import BOX

Frames = NDArray[Any]
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

# Pixels worked on together: some MiB, so that they stay in the cache.
_CHUNK_PIXELS = 2**22
# If more of a frame than this stands out, only what does so most is looked at.
LISTED_SHARE = 0.02


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
        Standard deviation of the intensity [detector counts]: the noise of the background under the
        spot and, where `gain` is known, the counting noise of the spot itself.
    n_pixels : ndarray of int64, shape (n,)
        Pixels of the spot.
    peak_snr : ndarray of float32, shape (n,)
        Brightest pixel above the background, over the noise.
    snr : ndarray of float32, shape (n,)
        Counts above the background in the best of some footprints, from small to wide ones, over
        their noise; as rare as so many sigmas of normal noise.
    n_spots : ndarray of int64, shape (n_frames,)
        Spots of each frame.
    background_level : ndarray of float32, shape (n_frames,)
        Median background [detector counts]; NaN where no pixel is good.
    saturated_fraction : ndarray of float32, shape (n_frames,)
        Saturated over good pixels; NaN where the saturation is unknown.
    gain : ndarray of float32, shape (n_frames,)
        Counts that a photon makes, learned from the noise of brighter and darker parts of the
        frame [detector counts]; NaN where the background is too even or too dark for that.
    """

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    intensity: Float
    sigma: Float
    n_pixels: NDArray[np.int64]
    peak_snr: Float
    snr: Float
    n_spots: NDArray[np.int64]
    background_level: Float
    saturated_fraction: Float
    gain: Float

    def __len__(self) -> int:
        return len(self.frame)

    def of_frame(self, number: int) -> Spots:
        """Return the spots of one frame alone, as its frame 0.

        Parameters
        ----------
        number : int
            The frame.

        Returns
        -------
        Spots
            Its spots.
        """
        here = self.frame == number
        per_frame = ("n_spots", "background_level", "saturated_fraction", "gain")
        chosen: dict[str, Any] = {
            field.name: getattr(self, field.name)[
                slice(number, number + 1) if field.name in per_frame else here
            ]
            for field in fields(self)
        }
        chosen["frame"] = np.zeros(int(here.sum()), dtype=np.int64)
        return Spots(**chosen)

    def lists(self, values: NDArray[Any]) -> Float:
        """Arrange values of the spots frame by frame, as the indexer takes them.

        Parameters
        ----------
        values : ndarray of float, shape (n, ...)
            Scattering vector of each spot [1/angstrom], or another value.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_spots, ...)
            The values of each frame, padded with NaN.
        """
        return padded(values, self.frame, len(self.n_spots))


class FindsSpots(Protocol):
    """Anything that finds spots: `SpotFinder`, or one for other hardware."""

    def find(self, frames: Frames) -> Spots:
        """Find the spots of frames, shape (n_frames, n_panels, n_slow, n_fast)."""
        ...


class SpotFinder:
    """Finds Bragg spots on frames.

    Background and noise are estimated by blocks from a sample of the pixels, and the sum over each
    pixel and its neighbours is compared once with a threshold made of them. Only what exceeds it is
    looked at closely: going uphill from pixel to pixel leads to the peaks, whose background and
    noise come from the ring about them.

    Parameters
    ----------
    min_snr : float, default 5.0
        Least counts of a spot above the background over the noise, as the number of sigmas of
        normal noise that are as rare.
    min_pixels, max_pixels : int, default 2 and 200
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
        min_snr: float = 5.0,
        min_pixels: int = 2,
        max_pixels: int = 200,
        max_spots: int = 500,
        mask: ArrayLike | None = None,
        saturation: float | None = None,
    ) -> None:
        self._options = FinderOptions(min_snr, min_pixels, max_pixels, max_spots, mask, saturation)
        self._prepared: tuple[Bool, BlockBackground] | None = None

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
        good = self._options.good_pixels(frames)
        if self._prepared is None or not np.array_equal(self._prepared[0], good):
            self._prepared = good, BlockBackground(good)
        if not len(frames):
            return no_spots()
        step = max(1, _CHUNK_PIXELS // max(1, good.size))
        native = frames.dtype.newbyteorder("=")
        chunks = [
            self._find(
                np.ascontiguousarray(frames[start : start + step], dtype=native), *self._prepared
            )
            for start in range(0, len(frames), step)
        ]
        return concatenate(chunks, step)

    def _find(self, frames: Frames, good: Bool, background: BlockBackground) -> Spots:
        """Find the spots of some contiguous frames in native byte order."""
        levels = background.estimate(frames)
        sigmas = self._options.criteria.listed_sigmas
        is_listed = _listed(frames, good, background, levels, sigmas)
        place = np.flatnonzero(is_listed)
        most = int(LISTED_SHARE * is_listed.size)
        photon = photon_sizes_of_frames(frames, is_listed, levels, background.layout)
        pixels = _strongest(_with_levels(place, levels, photon, background), frames, most)
        gain = gain_of_frames(levels.level, levels.noise, levels.correlation, photon)
        spots = measure_spots(
            frames, pixels, is_listed, good, levels.level.shape, self._options.criteria
        )
        return Spots(
            frame=spots.frame,
            panel=spots.panel,
            slow_px=spots.slow_px,
            fast_px=spots.fast_px,
            intensity=spots.intensity,
            sigma=with_own_noise(spots.sigma, spots.intensity, gain[spots.frame]),
            n_pixels=spots.n_pixels,
            peak_snr=spots.peak_snr,
            snr=spots.snr,
            n_spots=np.bincount(spots.frame, minlength=len(frames)),
            background_level=background.level_of_frames(levels.level),
            saturated_fraction=self._saturated_fraction(frames, good),
            gain=gain,
        )

    def _saturated_fraction(self, frames: Frames, good: Bool) -> Float:
        """Saturated over good pixels."""
        if self._options.saturation is None:
            return np.full(len(frames), np.nan, dtype=np.float32)
        limit = self._options.saturation
        # On most frames no pixel is: the largest one is found much faster than all are compared.
        count = [
            0 if frame.max() < limit else int(((frame >= limit) & good).sum()) for frame in frames
        ]
        share: Float = (np.array(count) / max(1, int(good.sum()))).astype(np.float32)
        return share


def _listed(
    frames: Frames, good: Bool, background: BlockBackground, levels: BlockLevels, sigmas: float
) -> Bool:
    """Mark pixels that stand out together with their neighbours."""
    level = background.spread(levels.level)
    correlation = levels.correlation[:, None, None, None]
    skewness = BOX.skewness_factor(correlation) * levels.quantum
    above = np.float32(sigmas) * BOX.noise_factor(correlation) * levels.noise
    # Fisher and Cornish's expansion to the first order is good enough for a list.
    above += np.float32((sigmas**2 - 1) / 6) * skewness
    threshold = BOX.weights.sum() * level + background.spread(above)
    listed = np.zeros(frames.shape, dtype=np.bool_)
    masked = None if good.all() else ~good
    for frame, level_here, threshold_here, out in zip(
        frames, level, threshold, listed, strict=True
    ):
        boxes_above(frame, level_here, threshold_here, masked, out)
    return listed


def with_own_noise(sigma: Float, intensity: Float, gain: Float) -> Float:
    """Add the counting noise of spots where the gain is known.

    Parameters
    ----------
    sigma, intensity : ndarray of float32, shape (n,)
        Noise of the background, and counts of the spots [detector counts].
    gain : ndarray of float32, shape (n,)
        Counts of a photon; NaN where that is unknown [detector counts].

    Returns
    -------
    ndarray of float32, shape (n,)
        Standard deviation of the intensities [detector counts].
    """
    own = np.nan_to_num(gain) * np.maximum(intensity, 0)
    together: Float = np.sqrt(sigma**2 + own).astype(np.float32)
    return together


def _with_levels(
    place: Index, levels: BlockLevels, photon: Float, background: BlockBackground
) -> StandingOut:
    """Look up the background of pixels."""
    block = background.block_of(place)
    blocks_per_frame = levels.level[0].size if len(levels.level) else 1
    return StandingOut(
        place,
        levels.level.reshape(-1)[block],
        levels.noise.reshape(-1)[block],
        levels.quantum.reshape(-1)[block],
        levels.correlation[block // blocks_per_frame],
        block,
        photon=photon[block // blocks_per_frame],
    )


def _strongest(pixels: StandingOut, frames: Frames, count: int) -> StandingOut:
    """Keep about the given number of pixels, those that stand out most."""
    if len(pixels) <= count:
        return pixels
    height = (frames.reshape(-1)[pixels.place] - pixels.level) / pixels.noise
    return pixels.select(height >= np.partition(height, -count)[-count])


def no_spots() -> Spots:
    """Return the spots of no frames.

    Returns
    -------
    Spots
        None at all.
    """
    whole = ("frame", "panel", "n_pixels", "n_spots")
    columns: dict[str, Any] = {
        field.name: np.zeros(0, np.int64 if field.name in whole else np.float32)
        for field in fields(Spots)
    }
    return Spots(**columns)


def concatenate(chunks: Sequence[Spots], frames_per_chunk: int) -> Spots:
    """Join the spots of consecutive chunks of frames.

    Parameters
    ----------
    chunks : sequence of Spots
        Spots of each chunk.
    frames_per_chunk : int
        Frames of each but the last one.

    Returns
    -------
    Spots
        Spots of all frames.
    """
    joined = {
        field.name: np.concatenate([getattr(chunk, field.name) for chunk in chunks])
        for field in fields(Spots)
    }
    first = np.repeat(np.arange(len(chunks)) * frames_per_chunk, [len(chunk) for chunk in chunks])
    joined["frame"] = joined["frame"] + first
    return Spots(**joined)
