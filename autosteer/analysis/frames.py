"""Files in: detector frames from HDF5 and NPZ, spot lists from NPZ and CrystFEL streams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis import _crystfel, _hdf5_frames, _npz_arrays
from autosteer.analysis._file_geometry import CutFrames, FileGeometry
from autosteer.analysis._frame_sources import Frame, FrameSource
from autosteer.analysis.geometry_files import describes_itself, read_geometry
from autosteer.contracts import FrameError

__all__ = [
    "CutFrames",
    "FileGeometry",
    "Frame",
    "FrameSource",
    "batches",
    "holds_spot_lists",
    "read_frames",
    "read_spot_lists",
]

_SIGNATURE_BYTES = 16


def read_frames(
    path: Path | str, dataset: str | None = None, geometry_path: Path | str | None = None
) -> FrameSource:
    """Open a file of detector frames.

    Parameters
    ----------
    path : Path or str
        HDF5 or NPZ file; the content decides, not the name.
    dataset : str, optional
        Dataset of an HDF5 file, or array of an NPZ file; found by itself where only one can be
        meant.
    geometry_path : Path or str, optional
        Geometry file (see `autosteer.analysis.geometry_files`), by which the frames are cut into
        panels; the file of the frames itself where it is NXmx. Wavelengths that it does not say
        are taken from the frames' file.

    Returns
    -------
    FrameSource
        The frames, read one at a time when iterated.

    Raises
    ------
    FrameError
        If a file is missing, damaged, of another kind, or holds no frames, or the frames do not
        have the shape that the geometry is for.
    """
    path = Path(path)
    signature = _read_signature(path)
    if geometry_path is not None:
        geometry = read_geometry(geometry_path, path)
        if signature.startswith(_hdf5_frames.SIGNATURE):
            dataset = dataset or geometry.dataset
        stored = read_frames(path, dataset)
        if np.isnan(geometry.wavelength_angstrom).all():
            own = read_geometry(path) if describes_itself(path) else stored.geometry
            if own is not None:
                geometry = replace(geometry, wavelength_angstrom=own.wavelength_angstrom)
        return CutFrames(stored, geometry.for_frames(path, stored.n_frames, stored.frame_shape))
    if signature.startswith(_hdf5_frames.SIGNATURE):
        return _hdf5_frames.open_hdf5(path, dataset)
    if signature.startswith(_npz_arrays.SIGNATURE):
        return _npz_arrays.open_npz(path, dataset)
    raise FrameError(f"{path}: neither HDF5 nor NPZ; frames can be read from these only")


def batches(source: FrameSource, size: int) -> Iterator[NDArray[Any]]:
    """Give the frames of a source some at a time.

    Parameters
    ----------
    source : FrameSource
        The frames.
    size : int
        Frames in a batch.

    Yields
    ------
    ndarray, shape (n, n_panels, n_slow, n_fast)
        Consecutive frames, n <= size.
    """
    frames = iter(source)
    while batch := list(itertools.islice(frames, size)):
        yield np.stack(batch)


def holds_spot_lists(path: Path | str) -> bool:
    """Say whether a file holds spot lists rather than frames.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    bool
        True for a CrystFEL stream and for an NPZ file with an array of shape (n, spots, 3).

    Raises
    ------
    FrameError
        If the file is missing or damaged.
    """
    path = Path(path)
    signature = _read_signature(path)
    if signature.startswith(_crystfel.SIGNATURE):
        return True
    return signature.startswith(_npz_arrays.SIGNATURE) and bool(
        _possible_lists(_npz_arrays.read_headers(path))
    )


def read_spot_lists(path: Path | str, key: str | None = None) -> NDArray[np.float32]:
    """Read scattering vectors of spots, frame by frame.

    Parameters
    ----------
    path : Path or str
        NPZ file with an array of shape (n_frames, n_spots, 3), or a CrystFEL stream that holds
        its geometry, whose found peaks are taken.
    key : str, optional
        Name of the array in an NPZ file; needed where several can be meant.

    Returns
    -------
    ndarray of float32, shape (n_frames, n_spots, 3)
        Scattering vectors [1/angstrom], padded with NaN.

    Raises
    ------
    FrameError
        If the file is missing, damaged, of another kind, or holds no such array.
    """
    path = Path(path)
    signature = _read_signature(path)
    if signature.startswith(_crystfel.SIGNATURE):
        return _crystfel.read_peak_lists(path)
    if not signature.startswith(_npz_arrays.SIGNATURE):
        raise FrameError(f"{path}: neither NPZ nor a CrystFEL stream; spot lists come in these")
    headers = _npz_arrays.read_headers(path)
    if key is None:
        possible = _possible_lists(headers)
        if len(possible) != 1:
            raise FrameError(
                f"{path}: no telling which array holds spot lists "
                f"({', '.join(possible) or 'none looks like one'}): name one; "
                f"{_npz_arrays.listing(headers)}"
            )
        key = possible[0]
    header = headers.get(key)
    if header is None:
        raise FrameError(f"{path}: no array '{key}'; {_npz_arrays.listing(headers)}")
    if len(header.shape) != 3 or header.shape[2] != 3 or header.dtype.kind != "f":
        raise FrameError(
            f"{path}: array '{key}' {header.shape} {header.dtype} is no set of spot lists: "
            "these are floating-point numbers of shape (frames, spots, 3)"
        )
    if 0 in header.shape:
        raise FrameError(f"{path}: array '{key}' {header.shape} is empty")
    return _npz_arrays.read_array(path, key).astype(np.float32, copy=False)


def _read_signature(path: Path) -> bytes:
    """Read the first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(_SIGNATURE_BYTES)
    except OSError as error:
        raise FrameError(f"{path}: cannot be opened ({error.strerror})") from error


def _possible_lists(headers: dict[str, _npz_arrays.ArrayHeader]) -> list[str]:
    """Names of arrays that look like spot lists: ``q``, or else all that begin with ``q_``."""
    lists = [
        name
        for name, header in headers.items()
        if len(header.shape) == 3 and header.shape[2] == 3 and header.dtype.kind == "f"
    ]
    if "q" in lists:
        return ["q"]
    return [name for name in lists if name.startswith("q_")]
