"""Calibrations: numbers found from data, their trust, and the pulse from which on they hold."""

from __future__ import annotations

import enum
import hashlib
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.contracts import CALIBRATION, AnalysisError, make_batch

WHOLE_DETECTOR = -1
"""Panel number of what concerns all panels."""


class Quantity(enum.IntEnum):
    """What was calibrated."""

    SHIFT_X = 0
    """Shift of the detector, or of a panel against the others, along x [mm]."""
    SHIFT_Y = 1
    """The same along y [mm]."""
    SHIFT_Z = 2
    """Shift of the detector along the beam [mm]."""
    CELL_SCALE = 3
    """Cube root of the crystals' cell volume over that of the known cell, less 1 [1]."""
    CELL_DISTORTION = 4
    """What of the change of one cell length is not the common scale: the largest of three [1]."""


class Trust(enum.IntEnum):
    """How far a calibration is trusted."""

    UNTRUSTED = 0
    """Too few frames, too uncertain, or its halves contradict each other: not to be used."""
    PROVISIONAL = 1
    """Better than nothing: frames that wait for it may be analysed with it."""
    TRUSTED = 2
    """Enough frames, certain enough, and both halves of the frames agree."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibrated number.

    Parameters
    ----------
    quantity : Quantity
        What it is.
    panel : int
        Panel that it is of; `WHOLE_DETECTOR` for the whole.
    value, sigma : float
        The number and its standard deviation, in the quantity's unit.
    n_frames : int
        Frames that it rests on.
    trust : Trust
        How far it is trusted.
    valid_from_pulse : int
        First pulse that may be analysed with it.
    """

    quantity: Quantity
    panel: int
    value: float
    sigma: float
    n_frames: int
    trust: Trust
    valid_from_pulse: int
    id: int = field(init=False)
    """Fingerprint of everything above: 63 bits, the same wherever it is computed."""

    def __post_init__(self) -> None:
        content = struct.pack(
            "<BiddQBQ",
            self.quantity,
            self.panel,
            self.value,
            self.sigma,
            self.n_frames,
            self.trust,
            self.valid_from_pulse,
        )
        object.__setattr__(self, "id", _fingerprint(content))


@dataclass(frozen=True, slots=True, eq=False)
class GeometryCalibration:
    """A calibrated geometry.

    Parameters
    ----------
    geometry : FileGeometry
        Where the panels are now known to be.
    calibrations : tuple of Calibration
        What was found, with its uncertainty, against the geometry that was started with.
    n_frames : int
        Frames that were indexed.
    """

    geometry: FileGeometry
    calibrations: tuple[Calibration, ...]
    n_frames: int

    @property
    def valid_from_pulse(self) -> int:
        """First pulse that may be analysed with it."""
        return self.calibrations[0].valid_from_pulse

    @property
    def id(self) -> int:
        """Fingerprint of all its calibrations: 63 bits."""
        return _fingerprint(struct.pack(f"<{len(self.calibrations)}Q", *self.ids))

    @property
    def ids(self) -> tuple[int, ...]:
        """Fingerprint of each of its calibrations."""
        return tuple(one.id for one in self.calibrations)

    @property
    def trust(self) -> Trust:
        """The least trust among what it says of the detector as a whole."""
        return min(
            one.trust
            for one in self.calibrations
            if one.panel == WHOLE_DETECTOR and one.quantity <= Quantity.SHIFT_Z
        )

    def find(self, quantity: Quantity, panel: int = WHOLE_DETECTOR) -> Calibration:
        """Return one of the calibrations.

        Parameters
        ----------
        quantity : Quantity
            What.
        panel : int, default WHOLE_DETECTOR
            Of which panel.

        Returns
        -------
        Calibration
            The calibration.

        Raises
        ------
        AnalysisError
            If this was not calibrated.
        """
        for one in self.calibrations:
            if one.quantity is quantity and one.panel == panel:
                return one
        raise AnalysisError(f"{quantity.name.lower()} of panel {panel} was not calibrated")

    def valid_from(self, pulse: int) -> GeometryCalibration:
        """State anew from which pulse on it is valid.

        Parameters
        ----------
        pulse : int
            First pulse that may be analysed with it.

        Returns
        -------
        GeometryCalibration
            The same, with other ids.
        """
        restated = tuple(replace(one, valid_from_pulse=pulse) for one in self.calibrations)
        return replace(self, calibrations=restated)

    def trusted_part(self, start: FileGeometry) -> GeometryCalibration:
        """Leave aside the shifts of single panels that are not trusted.

        Parameters
        ----------
        start : FileGeometry
            The geometry that was started with.

        Returns
        -------
        GeometryCalibration
            The same calibrations; the geometry is the start shifted by trusted ones alone.
        """
        origin_mm = start.detector.origin_mm.copy()
        for one in self.calibrations:
            if one.trust is Trust.TRUSTED and one.quantity <= Quantity.SHIFT_Z:
                panels = slice(None) if one.panel == WHOLE_DETECTOR else one.panel
                origin_mm[panels, one.quantity] += one.value
        detector = replace(start.detector, origin_mm=origin_mm)
        return replace(self, geometry=replace(start, detector=detector))


def calibration_table(found: GeometryCalibration) -> pa.RecordBatch:
    """Arrange what was calibrated as a table to publish.

    Parameters
    ----------
    found : GeometryCalibration
        What was found.

    Returns
    -------
    pyarrow.RecordBatch
        Table of the kind ``calibration``.
    """
    n_rows = len(found.calibrations)
    columns = {
        name: np.array([getattr(one, name) for one in found.calibrations])
        for name in ("quantity", "panel", "value", "sigma", "n_frames", "trust")
    }
    return make_batch(
        CALIBRATION,
        {
            "pulse_id": np.full(n_rows, found.valid_from_pulse, dtype=np.uint64),
            "item": np.arange(n_rows),
            "calibration_id": np.array(found.ids, dtype=np.uint64),
            "geometry_id": np.full(n_rows, found.id, dtype=np.uint64),
            **columns,
        },
    )


def describe(calibration: Calibration) -> dict[str, Any]:
    """Describe a calibration in words and numbers, as JSON holds it.

    Parameters
    ----------
    calibration : Calibration
        The calibration.

    Returns
    -------
    dict of str to object
        Its fields; no panel where it is of the whole detector.
    """
    described: dict[str, Any] = {
        "quantity": calibration.quantity.name.lower(),
        "panel": None if calibration.panel == WHOLE_DETECTOR else calibration.panel,
        "value": calibration.value,
        "sigma": calibration.sigma,
        "n_frames": calibration.n_frames,
        "trust": calibration.trust.name.lower(),
        "valid_from_pulse": calibration.valid_from_pulse,
        "id": f"{calibration.id:016x}",
    }
    return described


def _fingerprint(content: bytes) -> int:
    """Make a number of 63 bits that is the same wherever it is computed."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1
