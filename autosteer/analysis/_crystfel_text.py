"""CrystFEL geometry files: their names and values, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import FrameError

Float = NDArray[np.float64]
Values = dict[str, str]
ReadNumbers = Callable[[str], Float]
"""Gives the numbers of a dataset of the frames' file."""

_PANEL_KEYS = re.compile(
    r"min_fs|max_fs|min_ss|max_ss|corner_x|corner_y|fs|ss|res|clen|coffset|data|dim\d|no_index|"
    r"max_adu|adu_per_eV|adu_per_photon|mask|mask_file|mask_good|mask_bad|saturation_map|"
    r"saturation_map_file|mask\d_(data|file|goodbits|badbits)|mask_edge_pixels|"
    r"flag_(lessthan|morethan|equal)|badrow_direction|rail_[xyz]|clen_for_centering|integr_radius|peak_sep"
)
_GLOBAL_KEYS = re.compile(
    r"photon_energy|photon_energy_bandwidth|photon_energy_scale|wavelength|electron_voltage|"
    r"bandwidth|beam_bandwidth|beam_divergence|profile_radius|peak_list|peak_list_type|"
    r"peak_info_location|mask_good|mask_bad|detector_shift_[xy]|"
    r"(rigid_)?group_.+|rigid_group_collection_.+"
)
_BAD_KEYS = re.compile(r"(min|max)_(fs|ss|x|y)|panel")


@dataclass(slots=True)
class CrystfelGeometry:
    """Names and values of a geometry, as they stand in the file.

    Parameters
    ----------
    where : str
        The file, for messages.
    settings : dict of str to str
        What holds for the whole detector.
    panels : dict of str to dict
        Values of each panel, those that were set before it for all panels among them.
    bad : dict of str to dict
        Bad regions.
    unknown : list of str
        What names are unknown, and on which lines.
    """

    where: str
    settings: Values = field(default_factory=dict)
    panels: dict[str, Values] = field(default_factory=dict)
    bad: dict[str, Values] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def text(self, panel: str, key: str, default: str | None = None) -> str:
        """Return a value of a panel, or fail by naming it."""
        found = self.panels[panel].get(key, default)
        if found is None:
            raise FrameError(
                f"{self.where}: the geometry lacks '{key}' of panel '{panel}': write "
                f"'{panel}/{key} = ...'"
            )
        return found

    def number(self, panel: str, key: str, default: str | None = None) -> float:
        """Return a number of a panel."""
        return self.as_number(self.text(panel, key, default), f"'{key}' of panel '{panel}'")

    def as_number(self, text: str, what: str) -> float:
        """Read a number, or fail by saying what it should have been."""
        try:
            return float(text)
        except ValueError:
            raise FrameError(f"{self.where}: {what} is no number: {text}") from None

    def common(self, key: str) -> str | None:
        """Return what all panels say of a key; None if they say nothing."""
        said = {values.get(key) for values in self.panels.values()}
        if len(said) > 1:
            raise FrameError(
                f"{self.where}: '{key}' differs between panels "
                f"({', '.join(sorted(str(one) for one in said))}): they must have it in common"
            )
        return said.pop()

    def quantity(
        self,
        text: str,
        what: str,
        units: dict[str, float],
        *,
        literal: float,
        stored: float,
        read: ReadNumbers | None,
    ) -> Float:
        """Read a number with a unit, or the dataset that a name stands for.

        Parameters
        ----------
        text : str
            Number or name of a dataset, and perhaps a unit.
        what : str
            What it is, for messages.
        units : dict of str to float
            Factors of the units.
        literal, stored : float
            Factor of a number and of a dataset without a unit.
        read : callable or None
            Reads a dataset of the frames' file; None where there are no frames.

        Returns
        -------
        ndarray of float64, shape (n,)
            The numbers, one where it is not a dataset.

        Raises
        ------
        FrameError
            If the unit is unknown, or there are no frames to read from.
        """
        amount, _, unit = (part.strip() for part in text.partition(" "))
        if unit and unit not in units:
            raise FrameError(
                f"{self.where}: {what} has the unit '{unit}': use one of {', '.join(units)}"
            )
        try:
            return np.array([float(amount) * units.get(unit, literal)])
        except ValueError:
            pass
        if read is None:
            raise FrameError(
                f"{self.where}: {what} names the dataset '{amount}', and there are no frames to "
                "read it from: write the number instead"
            )
        return np.atleast_1d(read(amount)).astype(np.float64).ravel() * units.get(unit, stored)


def parse_geometry(lines: Iterable[str], where: str) -> CrystfelGeometry:
    """Read names and values.

    Parameters
    ----------
    lines : iterable of str
        The geometry.
    where : str
        The file, for messages.

    Returns
    -------
    CrystfelGeometry
        What it says, lines that set nothing known among the unknown.

    References
    ----------
    .. [1] T. A. White et al., Journal of Applied Crystallography 45, 335 (2012); the manual page
       crystfel_geometry of CrystFEL.
    """
    geometry = CrystfelGeometry(where)
    defaults: Values = {}
    for number, line in enumerate(lines, start=1):
        content = line.split(";")[0].strip()
        if not content:
            continue
        name, equals, value = (part.strip() for part in content.partition("="))
        panel, _, key = name.rpartition("/")
        if panel.startswith("bad"):
            known, target = _BAD_KEYS, geometry.bad.setdefault(panel, {})
        elif panel:
            known, target = _PANEL_KEYS, geometry.panels.setdefault(panel, dict(defaults))
        elif _GLOBAL_KEYS.fullmatch(key):
            known, target = _GLOBAL_KEYS, geometry.settings
        else:
            known, target = _PANEL_KEYS, defaults
        if equals and value and known.fullmatch(key):
            target[key] = value
        else:
            geometry.unknown.append(f"'{name}' on line {number}")
    return geometry
