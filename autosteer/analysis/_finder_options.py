"""Options that every spot finder takes, and the check that frames fit to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.analysis._bad_values import FRAME_TYPES
from autosteer.analysis._measurement import SpotCriteria
from autosteer.contracts import AnalysisError, FrameError


class FinderOptions:
    """Options of a spot finder, checked.

    Parameters
    ----------
    min_snr, min_pixels, max_pixels, max_spots, mask, saturation
        As of `autosteer.analysis.spots.SpotFinder`.

    Raises
    ------
    AnalysisError
        If an option is out of range or the mask has no three dimensions.
    """

    def __init__(
        self,
        min_snr: float,
        min_pixels: int,
        max_pixels: int,
        max_spots: int,
        mask: ArrayLike | None,
        saturation: float | None,
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
        self.criteria = SpotCriteria(min_snr, min_pixels, max_pixels, max_spots)
        self.saturation = saturation
        self._mask = None if mask is None else _checked(np.asarray(mask))

    def good_pixels(self, frames: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which pixels of frames are good.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            The frames.

        Returns
        -------
        ndarray of bool, shape (n_panels, n_slow, n_fast)
            True where a pixel is good; the mask, or else all.

        Raises
        ------
        FrameError
            If the frames cannot be searched, or have a shape other than the mask's.
        """
        if frames.ndim != 4:
            raise FrameError(
                f"frames have shape {frames.shape}: it must be (n_frames, n_panels, n_slow, n_fast)"
            )
        if frames.dtype.newbyteorder("=").name not in FRAME_TYPES:
            raise FrameError(
                f"frames have the type {frames.dtype}: "
                f"convert them to one of {', '.join(FRAME_TYPES)}"
            )
        if self._mask is None:
            return np.ones(frames.shape[1:], dtype=np.bool_)
        if frames.shape[1:] != self._mask.shape:
            raise FrameError(
                f"frames have the shape {frames.shape[1:]} (panels, slow, fast), the mask "
                f"{self._mask.shape}: give the mask and geometry of this detector"
            )
        return self._mask


def _checked(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Refuse what is no mask."""
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise AnalysisError(
            f"the mask has shape {mask.shape} and type {mask.dtype}: it must be boolean, "
            "(n_panels, n_slow, n_fast), true where a pixel is good"
        )
    return np.ascontiguousarray(mask)
