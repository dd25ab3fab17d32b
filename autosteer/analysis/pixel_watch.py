"""Hot and dead pixels, learned from the frames of a running experiment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import rank_filter
from scipy.stats import binom

from autosteer.analysis._background import BlockBackground
from autosteer.analysis._bad_values import is_bad
from autosteer.analysis._block_layout import STRIP_ROWS
from autosteer.contracts import AnalysisError, FrameError

Bool = NDArray[np.bool_]
Counts = NDArray[np.int32]

# A pixel fires where it exceeds the background by this many sigmas.
_FIRES_SIGMAS = 6.0
# What is lit again and again, as a ring or a blemish of the sample, lights several pixels: a hot
# one fires many times as often as the third most frequent of those about it.
_TIMES_AS_OFTEN = 3.0
_THIRD_HIGHEST = -4
_LEAST_RATE = 0.02
_CHANCE_RATE = 1e-3
# One in a million pixels is called hot or dead by chance, at most.
_CHANCE = 1e-6
_MEASURED_SHARE = 0.5
_NEIGHBOURHOOD = (1, 5, 5)


class PixelWatch:
    """Watches frames go by and says which pixels are hot or dead.

    A hot pixel fires in far more frames than those about it. A dead pixel never changes, though by
    the rate at which those about it do, or the slowest tenth of its panel, it should have. Both are
    judged anew from all frames each time they are asked for, so that a verdict may be taken back.

    Parameters
    ----------
    shape : (int, int, int)
        Shape of a frame, (n_panels, n_slow, n_fast).
    frames_to_trust : int, default 100
        Frames that must have been seen before any pixel is called hot or dead.

    Raises
    ------
    AnalysisError
        If `frames_to_trust` is not positive.

    Examples
    --------
    >>> frames = np.random.default_rng(0).poisson(2.0, (60, 1, 64, 64)).astype(np.uint16)
    >>> frames[:, 0, 20, 30] = 500
    >>> watch = PixelWatch((1, 64, 64), frames_to_trust=50)
    >>> watch.add(frames[:40])
    >>> bool(watch.good().all())
    True
    >>> watch.add(frames[40:])
    >>> np.argwhere(~watch.good()).tolist()
    [[0, 20, 30]]
    """

    def __init__(self, shape: tuple[int, int, int], *, frames_to_trust: int = 100) -> None:
        if frames_to_trust < 1:
            raise AnalysisError(f"frames_to_trust is {frames_to_trust}: it must be positive")
        self._shape = shape
        self._frames_to_trust = frames_to_trust
        self._background = BlockBackground(np.ones(shape, dtype=np.bool_))
        self._fired: Counts = np.zeros(shape, dtype=np.int32)
        self._changed: Counts = np.zeros(shape, dtype=np.int32)
        self._measured: Counts = np.zeros(shape, dtype=np.int32)
        self._last: NDArray[Any] | None = None
        self._strip = np.arange(shape[1]) // STRIP_ROWS
        self.n_frames = 0
        """Frames seen."""

    def add(self, frames: NDArray[Any]) -> None:
        """Look at some frames.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames of one type throughout [detector counts].

        Raises
        ------
        FrameError
            If the frames have another shape.
        """
        if frames.shape[1:] != self._shape:
            raise FrameError(
                f"frames have the shape {frames.shape[1:]} (panels, slow, fast), those watched "
                f"{self._shape}: watch each detector by itself"
            )
        levels = self._background.estimate(frames)
        threshold = self._background.spread(levels.level + _FIRES_SIGMAS * levels.noise)
        for frame, limit in zip(frames, threshold, strict=True):
            bad = is_bad(frame)
            fired = frame > limit[:, self._strip]
            changed = np.zeros(self._shape, np.bool_) if self._last is None else frame != self._last
            if bad is not None:
                fired &= ~bad
                changed &= ~bad
            self._fired += fired
            self._changed += changed
            self._measured += 1 if bad is None else ~bad
            self._last = frame.copy()
        self.n_frames += len(frames)

    @property
    def trusted(self) -> bool:
        """Whether enough frames have been seen."""
        return self.n_frames >= self._frames_to_trust

    def hot(self) -> Bool:
        """Say which pixels are hot.

        Returns
        -------
        ndarray of bool, shape (n_panels, n_slow, n_fast)
            True where a pixel is hot; nowhere before enough frames were seen.
        """
        hot = np.zeros(self._shape, dtype=np.bool_)
        if not self.trusted:
            return hot
        often = self._fired >= max(2.0, _LEAST_RATE * self.n_frames)
        around = rank_filter(self._fired, rank=_THIRD_HIGHEST, size=_NEIGHBOURHOOD, mode="mirror")
        rate = np.maximum(around[often] / self.n_frames, _CHANCE_RATE)
        # The pixel itself is among those ranked: the fourth highest of all is the third of others.
        expected = np.minimum(_TIMES_AS_OFTEN * rate, 1.0)
        hot[often] = binom.sf(self._fired[often] - 1, self.n_frames, expected) < _CHANCE
        return hot

    def dead(self) -> Bool:
        """Say which pixels are dead.

        Returns
        -------
        ndarray of bool, shape (n_panels, n_slow, n_fast)
            True where a pixel never changes, or hardly ever holds a measurement; nowhere before
            enough frames were seen.
        """
        if not self.trusted:
            return np.zeros(self._shape, dtype=np.bool_)
        still = self._changed == 0
        median = rank_filter(self._changed, rank=12, size=_NEIGHBOURHOOD, mode="mirror")
        slowest = np.zeros((len(still), 1, 1))
        for panel, (changes, at_rest) in enumerate(zip(self._changed, still, strict=True)):
            if not at_rest.all():
                slowest[panel] = np.quantile(changes[~at_rest], 0.1)
        rate = np.maximum(median, slowest) / self.n_frames
        unlikely = (1 - np.minimum(rate, 1.0)) ** self.n_frames < _CHANCE
        missing = self._measured < _MEASURED_SHARE * self.n_frames
        dead: Bool = (still & unlikely) | missing
        return dead

    def good(self) -> Bool:
        """Return the mask that was learned.

        Returns
        -------
        ndarray of bool, shape (n_panels, n_slow, n_fast)
            True where a pixel is neither hot nor dead; everywhere before enough frames were seen.
        """
        return ~(self.hot() | self.dead())
