"""Peaks in CrystFEL streams, brought to scattering vectors by the geometry that stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import FrameError

Float = NDArray[np.float64]

SIGNATURE = b"CrystFEL stream"
_EV_ANGSTROM = 12398.419843
_PER_ANGSTROM_OF_PER_NM = 0.1
_TERM = re.compile(r"([+-]?\s*\d*\.?\d+(?:[eE][+-]?\d+)?)\s*([xyz])")
# Positions and listed resolutions agree to this, if the geometry was read rightly.
_AGREEMENT = 0.02


@dataclass(slots=True)
class _Peaks:
    """Peaks of one image as they stand in the stream."""

    energy_ev: float | None = None
    camera_length_m: float | None = None
    rows: list[tuple[float, float, float]] = field(default_factory=list)
    panels: list[str] = field(default_factory=list)


def read_peak_lists(path: Path) -> NDArray[np.float32]:
    """Read the peaks of all images of a stream.

    Parameters
    ----------
    path : Path
        Stream of CrystFEL 0.6 or later (format 2.3), with its geometry.

    Returns
    -------
    ndarray of float32, shape (n_images, n_peaks, 3)
        Scattering vectors [1/angstrom], padded with NaN.

    Raises
    ------
    FrameError
        If the file cannot be read, lacks what scattering vectors need, or its positions and
        resolutions do not agree.

    References
    ----------
    .. [1] T. A. White et al., Journal of Applied Crystallography 45, 335 (2012).
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            geometry, images = _parse(file, path)
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error})") from error
    if not images:
        raise FrameError(f"{path}: the stream holds no image")
    lists = [_scattering_vectors(peaks, geometry, path) for peaks in images]
    q = np.full((len(lists), max(map(len, lists)), 3), np.nan, dtype=np.float32)
    for index, vectors in enumerate(lists):
        q[index, : len(vectors)] = vectors
    return q


def _parse(lines: Iterable[str], path: Path) -> tuple[dict[str, str], list[_Peaks]]:
    """Collect the geometry and the peaks of all images."""
    geometry: dict[str, str] = {}
    images: list[_Peaks] = []
    running = iter(lines)
    for line in running:
        if line.startswith("----- Begin geometry file"):
            geometry = _parse_geometry(running)
        elif line.startswith("----- Begin chunk"):
            images.append(_Peaks())
        elif images and line.startswith("photon_energy_eV"):
            images[-1].energy_ev = _number(line, path)
        elif images and line.startswith("average_camera_length"):
            images[-1].camera_length_m = _number(line.removesuffix("m\n"), path)
        elif images and line.startswith("Peaks from peak search"):
            _parse_peaks(running, images[-1], path)
    return geometry, images


def _number(line: str, path: Path) -> float:
    """Read the number after an equals sign."""
    try:
        return float(line.split("=")[1].split()[0])
    except (IndexError, ValueError):
        raise FrameError(f"{path}: the line '{line.strip()}' holds no number") from None


def _parse_geometry(lines: Iterator[str]) -> dict[str, str]:
    """Read names and values; a panel takes what was set for all panels before it."""
    values: dict[str, str] = {}
    defaults: dict[str, str] = {}
    for line in lines:
        if line.startswith("----- End geometry file"):
            break
        name, equals, value = line.split(";")[0].partition("=")
        if not equals:
            continue
        name, value = name.strip(), value.strip()
        panel, slash, key = name.rpartition("/")
        if not slash:
            defaults[key] = value
        elif not panel.startswith(("bad", "rigid_group", "group")):
            if f"{panel}/" not in values:
                values[f"{panel}/"] = ""
                values.update({f"{panel}/{name}": default for name, default in defaults.items()})
            values[name] = value
    return values


def _parse_peaks(lines: Iterator[str], peaks: _Peaks, path: Path) -> None:
    """Read the table of peaks of one image."""
    for line in lines:
        words = line.split()
        if line.startswith("End of peak list"):
            return
        if not words or words[0] == "fs/px":
            continue
        try:
            fast, slow, per_nm = (float(word) for word in words[:3])
            panel = words[4]
        except (ValueError, IndexError):
            raise FrameError(
                f"{path}: '{line.strip()}' is no peak with position, 1/d, intensity and panel; "
                "only streams of format 2.3 and later can be read"
            ) from None
        peaks.rows.append((fast, slow, per_nm))
        peaks.panels.append(panel)
    raise FrameError(f"{path}: a list of peaks is cut off: copy the file again")


def _scattering_vectors(peaks: _Peaks, geometry: dict[str, str], path: Path) -> Float:
    """Compute q of the peaks of one image, and hold it against the listed resolutions."""
    if not peaks.rows:
        return np.empty((0, 3))
    if peaks.energy_ev is None:
        raise FrameError(f"{path}: an image lacks photon_energy_eV: q cannot be computed")
    table = np.array(peaks.rows)
    position = np.empty((len(table), 3))
    names = np.array(peaks.panels)
    for name in np.unique(names):
        chosen = names == name
        panel = _read_panel(str(name), geometry, peaks.camera_length_m, path)
        position[chosen] = panel.positions(table[chosen, 0], table[chosen, 1])
    wavelength = _EV_ANGSTROM / peaks.energy_ev
    direction = position / np.linalg.norm(position, axis=1, keepdims=True)
    q: Float = (direction - np.array([0.0, 0.0, 1.0])) / wavelength
    listed = table[:, 2] * _PER_ANGSTROM_OF_PER_NM
    off = np.abs(np.linalg.norm(q, axis=1) - listed)
    if np.median(off / np.maximum(listed, 0.01)) > _AGREEMENT:
        raise FrameError(
            f"{path}: positions and resolutions of its peaks do not agree; its geometry uses "
            "something that cannot be read here: write the q vectors to an NPZ file instead"
        )
    return q


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """A panel: corner of its first pixel [m], steps along fast and slow [m], first fs and ss."""

    corner: Float
    fast_step: Float
    slow_step: Float
    first: tuple[float, float]

    def positions(self, fast: Float, slow: Float) -> Float:
        along_fast = (fast - self.first[0])[:, None] * self.fast_step
        along_slow = (slow - self.first[1])[:, None] * self.slow_step
        return self.corner + along_fast + along_slow


def _read_panel(
    name: str, geometry: dict[str, str], camera_length_m: float | None, path: Path
) -> _Panel:
    """Read one panel from the geometry."""

    def value(key: str, default: str | None = None) -> str:
        found = geometry.get(f"{name}/{key}", default)
        if found is None:
            raise FrameError(
                f"{path}: the geometry in the stream lacks '{key}' of panel '{name}': "
                "q cannot be computed; write the q vectors to an NPZ file instead"
            )
        return found

    def number(key: str, default: str | None = None) -> float:
        text = value(key, default)
        try:
            return float(text.split()[0])
        except (ValueError, IndexError):
            raise FrameError(f"{path}: '{key}' of panel '{name}' is no number: {text}") from None

    try:
        length_m = number("clen", None)
    except FrameError:
        # The file may name a dataset; each image then says its camera length.
        if camera_length_m is None:
            raise
        length_m = camera_length_m
    pixel_m = 1 / number("res")
    corner = np.array([
        number("corner_x") * pixel_m,
        number("corner_y") * pixel_m,
        length_m + number("coffset", "0"),
    ])
    return _Panel(
        corner=corner,
        fast_step=_vector(value("fs")) * pixel_m,
        slow_step=_vector(value("ss")) * pixel_m,
        first=(number("min_fs", "0"), number("min_ss", "0")),
    )


def _vector(text: str) -> Float:
    """Read a direction such as ``-0.01x +1.0y``."""
    vector = np.zeros(3)
    for amount, axis in _TERM.findall(text):
        vector["xyz".index(axis)] += float(amount.replace(" ", ""))
    return vector
