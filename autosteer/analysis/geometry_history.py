"""Which geometry holds at which pulse: what is found later never reaches back."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.analysis.calibration import GeometryCalibration, Trust
from autosteer.analysis.spots import Spots
from autosteer.contracts import AnalysisError


class GeometryHistory:
    """The geometry to start with, and the calibrated ones that take its place from pulse to pulse.

    Parameters
    ----------
    first : FileGeometry
        The geometry to start with.
    """

    def __init__(self, first: FileGeometry) -> None:
        self._pulses: list[int] = []
        self._geometries = [first]
        self._ids: list[int | None] = [None]

    @property
    def first(self) -> FileGeometry:
        """The geometry to start with."""
        return self._geometries[0]

    def publish(self, calibration: GeometryCalibration, *, newest_pulse: int) -> None:
        """Let later frames use a calibration.

        Parameters
        ----------
        calibration : GeometryCalibration
            The calibration.
        newest_pulse : int
            Newest pulse that has been analysed.

        Raises
        ------
        AnalysisError
            If it is untrusted, or would be valid for pulses that are analysed already or are
            governed by a later calibration.
        """
        if calibration.trust is Trust.UNTRUSTED:
            raise AnalysisError("the calibration is untrusted: take more frames before it is used")
        pulse = calibration.valid_from_pulse
        latest = max([newest_pulse, *self._pulses])
        if pulse <= latest:
            raise AnalysisError(
                f"the calibration would be valid from pulse {pulse} on, and pulses up to {latest} "
                "have their geometry: a calibration serves later frames only"
            )
        self._pulses.append(pulse)
        self._geometries.append(calibration.geometry)
        self._ids.append(calibration.id)

    def at(self, pulse_id: int) -> FileGeometry:
        """Return the geometry of a pulse.

        Parameters
        ----------
        pulse_id : int
            Number of the machine pulse.

        Returns
        -------
        FileGeometry
            The geometry that holds for it.
        """
        return self._geometries[bisect_right(self._pulses, pulse_id)]

    def ids(self, pulse_ids: NDArray[np.uint64]) -> pa.Array:
        """Say which calibrated geometry holds at each of some pulses.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.

        Returns
        -------
        pyarrow.Array of uint64, shape (n,)
            The id of its calibration; null for the geometry to start with.
        """
        return pa.array(self._ids, pa.uint64()).take(pa.array(self._numbers(pulse_ids)))

    def scattering_vectors(
        self, spots: Spots, pulse_ids: NDArray[np.uint64]
    ) -> NDArray[np.float64]:
        """Return the scattering vectors of spots, each by the geometry of its pulse.

        Parameters
        ----------
        spots : Spots
            Spots of the frames of some pulses.
        pulse_ids : ndarray of uint64, shape (n_frames,)
            Numbers of these pulses.

        Returns
        -------
        ndarray of float64, shape (n_spots, 3)
            Scattering vectors [1/angstrom].
        """
        numbers = self._numbers(pulse_ids)
        of_spot = numbers[spots.frame]
        q = np.empty((len(spots.frame), 3))
        for number in np.unique(numbers):
            geometry, chosen = self._geometries[number], of_spot == number
            q[chosen] = geometry.detector.scattering_vectors(
                spots.panel[chosen],
                spots.slow_px[chosen],
                spots.fast_px[chosen],
                float(geometry.wavelength_angstrom[0]),
            )
        return q

    def _numbers(self, pulse_ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Find the number of the geometry that holds at each pulse."""
        return np.searchsorted(np.array(self._pulses, np.uint64), pulse_ids, side="right")
