"""The spot finder for a device, and one that leaves out bad pixels as it learns of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.pixel_watch import PixelWatch
from autosteer.analysis.spots import FindsSpots, SpotFinder, Spots

Bool = NDArray[np.bool_]

# Verdicts are passed anew after as many frames again, or after so many at the latest.
_MOST_FRAMES_BETWEEN = 2000


def make_finder(device: str, **options: Any) -> FindsSpots:
    """Make the spot finder that is quickest on a device.

    Parameters
    ----------
    device : str
        Name of a torch device, such as ``cpu`` or ``cuda:1``.
    **options
        Options of `SpotFinder`, which `DenseSpotFinder` takes as well.

    Returns
    -------
    FindsSpots
        `SpotFinder` on a processor, `DenseSpotFinder` elsewhere.

    Raises
    ------
    AnalysisError
        If an option is out of range, or there is no such device.
    """
    if device == "cpu":
        return SpotFinder(**options)
    # Importing torch takes seconds, which a processor's finder does without.
    from autosteer.analysis.dense_spots import DenseSpotFinder

    return DenseSpotFinder(device, **options)


class LearningFinder:
    """Finds spots, and leaves out the hot and dead pixels that it learns of from the frames.

    Parameters
    ----------
    make : callable
        Makes a finder with a mask: ndarray of bool, shape (n_panels, n_slow, n_fast).
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is known to be good.
    frames_to_trust : int, default 100
        Frames that must have been seen before any pixel is left out.
    """

    def __init__(
        self, make: Callable[[Bool], FindsSpots], good: Bool, *, frames_to_trust: int = 100
    ) -> None:
        self._make = make
        self._known = good
        self._frames_to_trust = frames_to_trust
        self.forget()

    def forget(self) -> None:
        """Begin anew, as if no frame had been seen."""
        self.good: Bool = self._known
        """Pixels that are used."""
        self._watch = PixelWatch(self._known.shape, frames_to_trust=self._frames_to_trust)
        self._judge_at = self._frames_to_trust
        self._finder = self._make(self._known)

    def find(self, frames: NDArray[Any]) -> Spots:
        """Find the spots of frames, and learn from the frames for the next ones.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames as of `SpotFinder` [detector counts].

        Returns
        -------
        Spots
            The spots.

        Raises
        ------
        FrameError
            If the frames have another type, or a shape other than the mask's.
        """
        spots = self._finder.find(frames)
        if len(frames):
            self._watch.add(frames)
        if self._watch.n_frames >= self._judge_at:
            self._judge_at += min(self._watch.n_frames, _MOST_FRAMES_BETWEEN)
            good = self._known & self._watch.good()
            if not np.array_equal(good, self.good):
                self.good, self._finder = good, self._make(good)
        return spots
