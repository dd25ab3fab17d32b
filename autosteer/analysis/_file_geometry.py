"""Geometry of the frames of a file, and frames cut into the panels that it describes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.spots import Spots
from autosteer.contracts import FrameError
from autosteer.physics import Detector, PanelCuts

if TYPE_CHECKING:
    from autosteer.analysis._frame_sources import Frame, FrameSource

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

EV_ANGSTROM = 12398.419843
"""Photon energy times wavelength [eV angstrom]."""


@dataclass(frozen=True, slots=True, eq=False)
class FileGeometry:
    """Geometry of the frames of a file.

    Parameters
    ----------
    detector : Detector
        Panels in the laboratory, beam along +z.
    wavelength_angstrom : ndarray of float64, shape (n_frames,) or (1,)
        Wavelength of each frame, or of all; NaN where it is not known [angstrom].
    cuts : PanelCuts
        Where the panels are in the stored frames.
    mask : ndarray of bool, shape (n_panels, n_slow, n_fast), optional
        True where a pixel is good.
    saturation : float, optional
        Counts at and above which a pixel is saturated [detector counts].
    dataset : str, optional
        Dataset of the frames, where the geometry names it.
    """

    detector: Detector
    wavelength_angstrom: Float
    cuts: PanelCuts
    mask: Bool | None = None
    saturation: float | None = None
    dataset: str | None = None

    @classmethod
    def of_panels(cls, detector: Detector, wavelength_angstrom: Float) -> FileGeometry:
        """Describe frames that are stored panel by panel.

        Parameters
        ----------
        detector : Detector
            Panels in the laboratory.
        wavelength_angstrom : ndarray of float64, shape (n_frames,) or (1,)
            Wavelengths [angstrom].

        Returns
        -------
        FileGeometry
            The geometry, all pixels good.
        """
        return cls(detector, wavelength_angstrom, PanelCuts.stack(detector.frame_shape))

    def scattering_vectors(self, spots: Spots, first_frame: int) -> Float:
        """Return the scattering vectors of spots.

        Parameters
        ----------
        spots : Spots
            Spots of consecutive frames.
        first_frame : int
            Number of the first of these frames in the file.

        Returns
        -------
        ndarray of float64, shape (n, 3)
            Scattering vectors [1/angstrom].
        """
        in_waves = self.detector.scattering_vectors(
            spots.panel, spots.slow_px, spots.fast_px, wavelength_angstrom=1.0
        )
        frame = first_frame + spots.frame if len(self.wavelength_angstrom) > 1 else 0 * spots.frame
        return in_waves / self.wavelength_angstrom[frame, None]

    def for_frames(self, path: Path, n_frames: int, stored: tuple[int, int, int]) -> FileGeometry:
        """Hold the geometry against the frames of a file.

        Parameters
        ----------
        path : Path
            The file, for the message of an error.
        n_frames : int
            Number of frames.
        stored : (int, int, int)
            Shape of a stored frame, (n_blocks, n_slow, n_fast).

        Returns
        -------
        FileGeometry
            The same with a wavelength for each frame, and cuts for frames of this shape.

        Raises
        ------
        FrameError
            If the panels are not all on the frames, or wavelengths and frames differ in number.
        """
        cuts = self.cuts
        if stored == self.detector.frame_shape:
            # Where frames come panel by panel nothing is left to cut.
            cuts = replace(cuts, block=np.arange(len(cuts.block)), first=0 * cuts.first)
        least = cuts.least_shape
        # A frame may hold more panels than are used, but a single panel fills it.
        if not cuts.fit(stored) or (self.detector.n_panels == 1 and least[1:] != stored[1:]):
            raise FrameError(
                f"{path}: its frames have the shape {stored} (panels, slow, fast), the geometry is "
                f"for {least}: give the geometry of this detector"
            )
        if len(self.wavelength_angstrom) not in (1, n_frames):
            raise FrameError(
                f"{path}: has {n_frames} frames, its geometry {len(self.wavelength_angstrom)} "
                "wavelengths"
            )
        wavelength = np.broadcast_to(self.wavelength_angstrom, (n_frames,))
        return replace(self, cuts=cuts, wavelength_angstrom=wavelength)


@dataclass(frozen=True, slots=True, eq=False)
class CutFrames:
    """Frames of a source, cut into panels.

    Parameters
    ----------
    source : FrameSource
        The stored frames.
    geometry : FileGeometry
        Geometry for these frames.
    """

    source: FrameSource
    geometry: FileGeometry

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.source.n_frames

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of a frame."""
        return self.geometry.cuts.panels_shape

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.source:
            yield self.geometry.cuts.cut(frame)


def wavelength_of_energy(energy_ev: NDArray[Any] | float) -> Float:
    """Convert photon energy to wavelength.

    Parameters
    ----------
    energy_ev : ndarray of float or float
        Photon energies [eV].

    Returns
    -------
    ndarray of float64, shape (n,)
        Wavelengths [angstrom]; NaN where the energy is not positive.
    """
    energy = np.atleast_1d(np.asarray(energy_ev, dtype=np.float64))
    return np.divide(EV_ANGSTROM, energy, out=np.full_like(energy, np.nan), where=energy > 0)
