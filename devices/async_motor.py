"""An ophyd-async motor that also knows its direction."""

from __future__ import annotations

from ophyd_async.core import StrictEnum
from ophyd_async.epics.core import epics_signal_r
from ophyd_async.epics.motor import Motor


class Direction(StrictEnum):
    """Direction of the user coordinate against the dial (DIR)."""

    POSITIVE = "Pos"
    NEGATIVE = "Neg"


class AsyncEpicsMotor(Motor):
    """`ophyd_async.epics.motor.Motor` with the record's DIR, so that a change of it is seen.

    Parameters
    ----------
    prefix : str
        The motor record.
    name : str
        Name of the device.
    """

    def __init__(self, prefix: str, name: str = "") -> None:
        self.offset_direction = epics_signal_r(Direction, prefix + ".DIR")
        super().__init__(prefix, name)
