"""Geometry files: CrystFEL ``.geom``, DIALS JSON and NeXus NXmx, read by what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from autosteer.analysis import _hdf5_frames
from autosteer.analysis._crystfel_geometry import bad_regions, panels_of, wavelength_of
from autosteer.analysis._crystfel_masks import stored_masks
from autosteer.analysis._crystfel_text import ReadNumbers, parse_geometry
from autosteer.analysis._dxtbx_geometry import as_dxtbx, read_dxtbx
from autosteer.analysis._file_geometry import FileGeometry
from autosteer.analysis._nexus_geometry import holds_geometry, read_nexus
from autosteer.contracts import FrameError

__all__ = ["FileGeometry", "describes_itself", "read_geometry", "write_geometry"]

_SIGNATURE_BYTES = 16


def read_geometry(path: Path | str, frames_path: Path | str | None = None) -> FileGeometry:
    """Read a detector's geometry, and what the file says of wavelength, mask and saturation.

    Parameters
    ----------
    path : Path or str
        CrystFEL geometry, JSON file of DIALS or NXmx file; the content decides, not the name.
    frames_path : Path or str, optional
        HDF5 file of the frames, from which a CrystFEL geometry may take camera length, photon
        energy and mask.

    Returns
    -------
    FileGeometry
        The geometry. Its wavelengths are NaN where the file does not say.

    Raises
    ------
    FrameError
        If the file is missing, damaged or of another kind, or lacks something.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(_SIGNATURE_BYTES)
    except OSError as error:
        raise FrameError(f"{path}: cannot be opened ({error.strerror})") from error
    if start.startswith(_hdf5_frames.SIGNATURE):
        return read_nexus(path)
    if start.lstrip().startswith(b"{"):
        return read_dxtbx(path)
    return _read_crystfel(path, None if frames_path is None else Path(frames_path))


def describes_itself(path: Path) -> bool:
    """Say whether a file of frames holds its geometry as NXmx files do.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        Whether `read_geometry` may be asked to read it.
    """
    return h5py.is_hdf5(path) and holds_geometry(path)


def write_geometry(path: Path, geometry: FileGeometry, notes: Mapping[str, Any]) -> None:
    """Write a geometry as a JSON file that `read_geometry` and DIALS' readers of models take.

    Parameters
    ----------
    path : Path
        The file.
    geometry : FileGeometry
        What to write.
    notes : mapping of str to object
        What else the file shall hold under the name ``autosteer``; readers pass it over.

    Raises
    ------
    FrameError
        If the file cannot be written.
    """
    content = {**as_dxtbx(geometry), "autosteer": dict(notes)}
    try:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FrameError(f"{path}: cannot be written ({error.strerror})") from error


def _read_crystfel(path: Path, frames_path: Path | None) -> FileGeometry:
    """Read a CrystFEL geometry, with what it takes from the frames' file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FrameError(
            f"{path}: neither a CrystFEL geometry nor JSON nor HDF5 ({error})"
        ) from error
    geometry = parse_geometry(lines, str(path))
    if geometry.unknown:
        # A misspelt field would change nothing, in silence.
        raise FrameError(
            f"{path}: unknown fields: {', '.join(geometry.unknown)}; check their spelling, or take "
            "them out"
        )
    read: ReadNumbers | None = None
    if frames_path is not None and h5py.is_hdf5(frames_path):
        hdf5 = frames_path

        def read(name: str) -> NDArray[np.float64]:
            return _hdf5_frames.read_numbers(hdf5, name)

    detector, cuts = panels_of(geometry, read=read)
    good = detector.on_panels() & ~bad_regions(geometry, detector, cuts)
    good &= stored_masks(geometry, path, frames_path, cuts)
    highest = [
        geometry.number(name, "max_adu")
        for name, values in geometry.panels.items()
        if "max_adu" in values
    ]
    name = geometry.common("data")
    return FileGeometry(
        detector,
        wavelength_of(geometry, read),
        cuts,
        mask=good,
        saturation=min(highest, default=None),
        # A name with a placeholder stands for many datasets.
        dataset=None if name is None or "%" in name else name,
    )
