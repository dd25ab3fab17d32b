"""Where spots are on a detector, frame by frame, whatever is taken for its geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._items import padded
from autosteer.analysis.spots import Spots
from autosteer.physics import Detector

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SpotPositions:
    """Where spots are on the detector, frame by frame.

    Parameters
    ----------
    frame : ndarray of int64, shape (n,)
        Frame of each spot, increasing.
    panel : ndarray of int64, shape (n,)
        Detector panel.
    slow_px, fast_px : ndarray of float64, shape (n,)
        Position on the panel [px].
    wavelength_angstrom : ndarray of float64, shape (n_frames,)
        Wavelength of each frame [angstrom].
    """

    frame: NDArray[np.int64]
    panel: NDArray[np.int64]
    slow_px: Float
    fast_px: Float
    wavelength_angstrom: Float

    @classmethod
    def of_spots(cls, spots: Spots, wavelength_angstrom: Float) -> SpotPositions:
        """Take the positions of found spots.

        Parameters
        ----------
        spots : Spots
            The spots.
        wavelength_angstrom : ndarray of float64, shape (n_frames,)
            Wavelength of each of their frames [angstrom].

        Returns
        -------
        SpotPositions
            Their positions.
        """
        return cls(
            spots.frame,
            spots.panel,
            spots.slow_px.astype(np.float64),
            spots.fast_px.astype(np.float64),
            np.asarray(wavelength_angstrom, dtype=np.float64),
        )

    @property
    def n_spots(self) -> NDArray[np.int64]:
        """Spots of each frame, shape (n_frames,)."""
        return np.bincount(self.frame, minlength=len(self.wavelength_angstrom))

    def of_frames(self, chosen: NDArray[np.bool_]) -> SpotPositions:
        """Keep some frames, numbered anew.

        Parameters
        ----------
        chosen : ndarray of bool, shape (n_frames,)
            Which frames.

        Returns
        -------
        SpotPositions
            Their spots.
        """
        keep = chosen[self.frame]
        numbers = np.cumsum(chosen) - 1
        return SpotPositions(
            numbers[self.frame[keep]],
            self.panel[keep],
            self.slow_px[keep],
            self.fast_px[keep],
            self.wavelength_angstrom[chosen],
        )

    @classmethod
    def join(cls, parts: Sequence[SpotPositions]) -> SpotPositions:
        """Put the frames of several parts behind each other.

        Parameters
        ----------
        parts : sequence of SpotPositions
            At least one.

        Returns
        -------
        SpotPositions
            All frames.
        """
        n_frames = [len(part.wavelength_angstrom) for part in parts]
        first = np.cumsum([0, *n_frames[:-1]])
        return cls(
            np.concatenate([part.frame + at for part, at in zip(parts, first, strict=True)]),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("panel", "slow_px", "fast_px", "wavelength_angstrom")
            ),
        )

    def lists(self, detector: Detector) -> NDArray[np.float32]:
        """Bring the spots to scattering vectors, as the indexer takes them.

        Parameters
        ----------
        detector : Detector
            Where the panels are taken to be.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_spots, 3)
            Scattering vectors, padded with NaN [1/angstrom].
        """
        q = detector.scattering_vectors(self.panel, self.slow_px, self.fast_px, 1.0)
        scaled = q / self.wavelength_angstrom[self.frame, None]
        return padded(scaled, self.frame, len(self.wavelength_angstrom))
