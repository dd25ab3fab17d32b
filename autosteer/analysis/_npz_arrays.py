"""Arrays in NPZ archives: frames one at a time, their geometry, and spot lists."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.analysis._frame_sources import (
    Frame,
    as_frame,
    is_frames,
    stack_shape,
)
from autosteer.contracts import FrameError
from autosteer.physics import Detector

SIGNATURE = b"PK"
_FRAME_NAMES = ("images", "image", "frames", "data")
_GEOMETRY_NAMES = ("panel_origin_fast_slow_mm", "pixel_mm", "wavelength_angstrom")


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """Shape and type of an array in an archive.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dtype : numpy.dtype
        Type.
    by_column : bool
        Whether the first index runs fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool


@dataclass(frozen=True, slots=True, eq=False)
class NpzFrames:
    """Frames of one array in an archive.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the array.
    shape : (int, int, int, int)
        (n_frames, n_panels, n_slow, n_fast).
    geometry : FileGeometry or None
        Geometry that the archive holds.
    """

    path: Path
    name: str
    shape: tuple[int, int, int, int]
    geometry: FileGeometry | None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of a frame."""
        return self.shape[1:]

    def __iter__(self) -> Iterator[Frame]:
        where = f"{self.path}:{self.name}"
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as member:
                header = _read_header(member)
                n_bytes = int(np.prod(self.frame_shape)) * header.dtype.itemsize
                for _ in range(self.n_frames):
                    content = member.read(n_bytes)
                    if len(content) < n_bytes:
                        raise FrameError(f"{where}: the array is cut off: copy the file again")
                    values = np.frombuffer(content, dtype=header.dtype)
                    yield as_frame(values, self.frame_shape, where)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise FrameError(f"{where}: cannot be read ({error}): copy the file again") from error


def _read_header(member: IO[bytes]) -> ArrayHeader:
    """Read the header of an array; its numbers follow."""
    version = np.lib.format.read_magic(member)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, by_column, dtype = read(member)
    return ArrayHeader(shape, dtype, by_column)


def read_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read shape and type of all arrays of an archive.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to ArrayHeader
        Headers by name.

    Raises
    ------
    FrameError
        If the file is no archive of arrays, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    headers[name.removesuffix(".npy")] = _read_header(member)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise FrameError(
            f"{path}: cannot be read as NPZ ({error}); it may be cut off: copy it again"
        ) from error
    return headers


def read_array(path: Path, name: str) -> NDArray[Any]:
    """Read one whole array of an archive.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the array.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    FrameError
        If it cannot be read, or holds objects rather than numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[name]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FrameError(f"{path}: cannot read the array '{name}' ({error})") from error
    return array


def open_npz(path: Path, name: str | None) -> NpzFrames:
    """Find the frames of an archive.

    Parameters
    ----------
    path : Path
        The file.
    name : str or None
        Name of the array; None to take one called image or images, or the only possible one.

    Returns
    -------
    NpzFrames
        The frames.

    Raises
    ------
    FrameError
        If the file cannot be read, the array is not there or no frames, or the choice is open.
    """
    headers = read_headers(path)
    if name is None:
        possible = [key for key, header in headers.items() if is_frames(header.shape, header.dtype)]
        named = [key for key in _FRAME_NAMES if key in possible]
        if not named and len(possible) != 1:
            raise FrameError(f"{path}: no telling which array holds frames; {listing(headers)}")
        name = (named or possible)[0]
    header = headers.get(name)
    if header is None:
        raise FrameError(f"{path}: no array '{name}'; {listing(headers)}")
    if not is_frames(header.shape, header.dtype) or header.by_column:
        raise FrameError(
            f"{path}: array '{name}' {header.shape} {header.dtype} is no stack of frames: these "
            "are numbers in C order of shape (slow, fast), (frames, slow, fast) or "
            "(frames, panels, slow, fast)"
        )
    shape = stack_shape(header.shape)
    return NpzFrames(path, name, shape, _read_geometry(path, headers, shape))


def listing(headers: dict[str, ArrayHeader]) -> str:
    """Name all arrays for a message.

    Parameters
    ----------
    headers : dict of str to ArrayHeader
        Headers by name.

    Returns
    -------
    str
        Names, shapes and types.
    """
    return "it holds " + ", ".join(
        f"{name} {header.shape} {header.dtype}" for name, header in headers.items()
    )


def _read_geometry(
    path: Path, headers: dict[str, ArrayHeader], shape: tuple[int, int, int, int]
) -> FileGeometry | None:
    """Read panels and wavelengths, where an archive holds both."""
    if any(name not in headers for name in _GEOMETRY_NAMES):
        return None
    panels, pixel, wavelength = (
        np.asarray(read_array(path, name), dtype=np.float64) for name in _GEOMETRY_NAMES
    )
    if panels.shape != (shape[1], 3, 3) or pixel.size != 1 or wavelength.size not in (1, shape[0]):
        raise FrameError(
            f"{path}: its geometry does not go with {shape[0]} frames of {shape[1]} panels: "
            f"panel_origin_fast_slow_mm has the shape {panels.shape}, it must be "
            f"({shape[1]}, 3, 3); wavelength_angstrom has {wavelength.size} values"
        )
    # The laboratory here has the beam along +z; a file may have it along -z.
    beam_z = panels[:, 0, 2].mean()
    if "s0" in headers:
        beam_z = float(np.asarray(read_array(path, "s0"), dtype=np.float64)[2])
    if beam_z < 0:
        panels = panels * np.array([1.0, -1.0, -1.0])
    try:
        detector = Detector(
            origin_mm=panels[:, 0],
            slow_axis=panels[:, 2],
            fast_axis=panels[:, 1],
            pixel_size_mm=float(pixel.ravel()[0]),
            panel_shape=shape[2:],
        )
    except ValueError as error:
        raise FrameError(f"{path}: its geometry cannot be used: {error}") from error
    return FileGeometry.of_panels(detector, np.broadcast_to(wavelength.ravel(), (shape[0],)))
