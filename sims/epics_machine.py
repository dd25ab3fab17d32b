"""The simulated beamline's view of the soft IOC, over Channel Access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autosteer.contracts import DeviceError, MissingExtraError

_CONNECT_S = 20.0


class EpicsMachine:
    """Motors and monitors of the soft IOC.

    Parameters
    ----------
    prefix : str
        Prefix of the IOC.
    motors : sequence of str
        Motor records, after the prefix.

    Raises
    ------
    MissingExtraError
        If pyepics is not installed.
    DeviceError
        If the IOC does not answer.
    """

    def __init__(self, prefix: str, motors: Sequence[str]) -> None:
        try:
            from epics import PV
        except ImportError:
            raise MissingExtraError("pyepics", "epics", "simulated motors") from None
        self._motors: dict[str, Any] = {name: PV(f"{prefix}{name}.RBV") for name in motors}
        self._shutter = PV(f"{prefix}SHUTTER:OPEN")
        self._intensity = PV(f"{prefix}BEAM:INTENSITY", auto_monitor=False)
        self._pulse_id = PV(f"{prefix}PULSE:ID", auto_monitor=False)
        for pv in (*self._motors.values(), self._shutter, self._intensity, self._pulse_id):
            if not pv.wait_for_connection(_CONNECT_S):
                raise DeviceError(
                    f"{pv.pvname} did not connect within {_CONNECT_S:g} s: is the soft IOC running "
                    "at EPICS_CA_SERVER_PORT?"
                )
        self._known = {name: float(pv.get(timeout=_CONNECT_S)) for name, pv in self._motors.items()}

    def positions(self) -> Mapping[str, float]:
        """Return where the motors stand; while the IOC is away, where they were last.

        Returns
        -------
        mapping of str to float
            Position by motor [mm].
        """
        for name, pv in self._motors.items():
            if pv.connected and pv.value is not None:
                self._known[name] = float(pv.value)
        return self._known

    def shutter_open(self) -> bool:
        """Tell whether the beam is let through.

        Returns
        -------
        bool
            False only if the shutter says that it is closed.
        """
        return not (self._shutter.connected and self._shutter.value == 0)

    def show(self, pulse_id: int, beam_intensity: float) -> None:
        """Show the beam on the IOC's monitors.

        Parameters
        ----------
        pulse_id : int
            Newest pulse.
        beam_intensity : float
            Mean pulse energy over its nominal value.
        """
        if self._intensity.connected:
            self._intensity.put(beam_intensity)
            self._pulse_id.put(float(pulse_id))
