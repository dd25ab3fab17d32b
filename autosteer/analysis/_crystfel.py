"""Peaks in CrystFEL streams, brought to scattering vectors by the geometry that stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._crystfel_geometry import CENTER_FROM_CORNER_PX, panels_of
from autosteer.analysis._crystfel_text import CrystfelGeometry, parse_geometry
from autosteer.analysis._file_geometry import wavelength_of_energy
from autosteer.contracts import FrameError
from autosteer.physics import Detector, PanelCuts

Float = NDArray[np.float64]

SIGNATURE = b"CrystFEL stream"
_PER_ANGSTROM_OF_PER_NM = 0.1
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
    lengths = {peaks.camera_length_m for peaks in images if peaks.rows}
    panels = {length: panels_of(geometry, camera_length_m=length) for length in lengths}
    names = list(geometry.panels)
    lists = [
        _scattering_vectors(peaks, names, *panels[peaks.camera_length_m], path)
        if peaks.rows
        else np.empty((0, 3))
        for peaks in images
    ]
    q = np.full((len(lists), max(map(len, lists)), 3), np.nan, dtype=np.float32)
    for index, vectors in enumerate(lists):
        q[index, : len(vectors)] = vectors
    return q


def _parse(lines: Iterable[str], path: Path) -> tuple[CrystfelGeometry, list[_Peaks]]:
    """Collect the geometry and the peaks of all images."""
    geometry = CrystfelGeometry(str(path))
    images: list[_Peaks] = []
    running = iter(lines)
    for line in running:
        if line.startswith("----- Begin geometry file"):
            inside = takewhile(lambda one: not one.startswith("----- End geometry file"), running)
            geometry = parse_geometry(inside, str(path))
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


def _scattering_vectors(
    peaks: _Peaks, names: Sequence[str], detector: Detector, cuts: PanelCuts, path: Path
) -> Float:
    """Compute q of the peaks of one image, and hold it against the listed resolutions."""
    if peaks.energy_ev is None:
        raise FrameError(f"{path}: an image lacks photon_energy_eV: q cannot be computed")
    numbers = {name: index for index, name in enumerate(names)}
    unknown = sorted(set(peaks.panels) - set(numbers))
    if unknown:
        raise FrameError(f"{path}: peaks are on panels that the geometry lacks: {unknown}")
    table = np.array(peaks.rows)
    panel = np.array([numbers[name] for name in peaks.panels])
    in_panel = table[:, 1::-1] - cuts.first[panel] - CENTER_FROM_CORNER_PX
    wavelength = float(wavelength_of_energy(peaks.energy_ev)[0])
    q = detector.scattering_vectors(panel, in_panel[:, 0], in_panel[:, 1], wavelength)
    listed = table[:, 2] * _PER_ANGSTROM_OF_PER_NM
    off = np.abs(np.linalg.norm(q, axis=1) - listed)
    if np.median(off / np.maximum(listed, 0.01)) > _AGREEMENT:
        raise FrameError(
            f"{path}: positions and resolutions of its peaks do not agree; its geometry uses "
            "something that cannot be read here: write the q vectors to an NPZ file instead"
        )
    return q
