"""Calibrations: numbers found from data, their trust, and the pulse from which on they hold."""

from __future__ import annotations

import enum
import hashlib
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.contracts import AnalysisError
from autosteer.contracts.tables import column, item_kind, make_batch, register_table_kind

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
        digest = hashlib.sha256(content).digest()[:8]
        object.__setattr__(self, "id", int.from_bytes(digest, "little") >> 1)


CALIBRATION = register_table_kind(
    item_kind(
        "calibration",
        [
            column(
                "quantity",
                pa.uint8(),
                "1",
                "0-2 shift x, y, z [mm]; 3-4 cell scale, distortion",
            ),
            column("panel", pa.int32(), "1", "panel of the detector; -1 for all of it"),
            column("value", pa.float64(), "1", "the number, in the quantity's unit"),
            column("sigma", pa.float64(), "1", "standard deviation of the value"),
            column("n_frames", pa.uint32(), "1", "frames that it rests on"),
            column("trust", pa.uint8(), "1", "0 untrusted, 1 provisional, 2 trusted"),
            column("calibration_id", pa.uint64(), "1", "fingerprint of the calibration"),
        ],
    )
)
"""Calibrations; ``pulse_id`` is the first pulse that each is valid from."""


def calibration_table(calibrations: Sequence[Calibration]) -> pa.RecordBatch:
    """Arrange calibrations as a table to publish.

    Parameters
    ----------
    calibrations : sequence of Calibration
        Calibrations that are valid from one pulse on.

    Returns
    -------
    pyarrow.RecordBatch
        Table of the kind ``calibration``.
    """
    columns = {
        name: np.array([getattr(one, name) for one in calibrations])
        for name in ("quantity", "panel", "value", "sigma", "n_frames", "trust")
    }
    pulses = np.array([one.valid_from_pulse for one in calibrations], dtype=np.uint64)
    return make_batch(
        CALIBRATION,
        {
            "pulse_id": pulses,
            "item": np.arange(len(calibrations)),
            "calibration_id": np.array([one.id for one in calibrations], dtype=np.uint64),
            **columns,
        },
    )


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


class GeometryHistory:
    """Which geometry holds at which pulse: what is found later never reaches back.

    Parameters
    ----------
    first : FileGeometry
        The geometry to start with.
    """

    def __init__(self, first: FileGeometry) -> None:
        self._pulses: list[int] = []
        self._geometries = [first]

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
