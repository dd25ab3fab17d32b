"""Frames in HDF5 files, also where a master file links to the files that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.analysis._frame_sources import (
    SMALLEST_EDGE_PX,
    Frame,
    as_frame,
    is_frames,
    stack_shape,
)
from autosteer.analysis._hdf5_links import Contents, check_sources, contents, missing_target
from autosteer.contracts import FrameError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What files call their frames; masks and flat fields look the same otherwise.
_FRAME_NAME = re.compile(r"(.*/)?data(_\d+)?")
_NUMBERED = re.compile(r"(.*_)\d+")


@dataclass(frozen=True, slots=True)
class Hdf5Frames:
    """Frames of one dataset, or of a numbered series of them.

    Parameters
    ----------
    path : Path
        The file.
    datasets : tuple of str
        Paths of the datasets inside it, in the order of the frames.
    shape : (int, int, int, int)
        (n_frames, n_panels, n_slow, n_fast) of all of them.
    """

    path: Path
    datasets: tuple[str, ...]
    shape: tuple[int, int, int, int]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of a frame."""
        return self.shape[1:]

    @property
    def geometry(self) -> FileGeometry | None:
        """None: these are the frames as stored, and a geometry may cut them."""
        return None

    def __iter__(self) -> Iterator[Frame]:
        where = str(self.path)
        try:
            with h5py.File(self.path, "r") as file:
                for name in self.datasets:
                    where = f"{self.path}:{name}"
                    _check_target(where, file, name)
                    dataset = file[name]
                    check_sources(where, dataset)
                    alone = dataset.ndim == 2
                    for index in range(stack_shape(dataset.shape)[0]):
                        values = dataset[()] if alone else dataset[index]
                        yield as_frame(values, self.frame_shape, where)
        except (OSError, RuntimeError, KeyError) as error:
            raise FrameError(
                f"{where}: cannot read the frames ({error}); the file may be incomplete, or its "
                "compression may need the package hdf5plugin"
            ) from error


def open_hdf5(path: Path, dataset: str | None) -> Hdf5Frames:
    """Find the frames of a file.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the dataset; None to take the only one, or the only numbered series, that can
        hold frames.

    Returns
    -------
    Hdf5Frames
        The frames.

    Raises
    ------
    FrameError
        If the file cannot be read, the dataset is not there or no frames, the choice is open, or
        a file that it links to is missing.
    """
    try:
        with h5py.File(path, "r") as file:
            held = contents(file)
            names = _only_series(path, held) if dataset is None else (dataset,)
            found = [_open(path, file, name, held) for name in names]
            for item in found:
                check_sources(f"{path}:{item.name}", item)
            shapes = [item.shape for item in found]
    except (OSError, RuntimeError) as error:
        raise FrameError(
            f"{path}: cannot be read as HDF5 ({error}); it may be cut off: copy it again"
        ) from error
    stacks = [stack_shape(shape) for shape in shapes]
    return Hdf5Frames(path, names, (sum(stack[0] for stack in stacks), *stacks[0][1:]))


def read_numbers(path: Path, dataset: str) -> NDArray[np.float64]:
    """Read a whole dataset of numbers.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Path of the dataset inside it.

    Returns
    -------
    ndarray of float64
        The numbers.

    Raises
    ------
    FrameError
        If the file cannot be read, or the dataset is not there or holds no numbers.
    """
    try:
        with h5py.File(path, "r") as file:
            found = file.get(dataset)
            if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iufb":
                raise FrameError(f"{path}: holds no numbers at '{dataset}'")
            return np.asarray(found[()], dtype=np.float64)
    except (OSError, RuntimeError) as error:
        raise FrameError(f"{path}: cannot read '{dataset}' ({error})") from error


def _open(path: Path, file: h5py.File, name: str, held: Contents) -> h5py.Dataset:
    """Open a dataset and check that it can hold frames."""
    _check_target(f"{path}:{name}", file, name)
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise FrameError(f"{path}: no dataset '{name}'; {held.listing()}")
    if found.shape is None or not is_frames(found.shape, found.dtype):
        raise FrameError(
            f"{path}: dataset '{name}' has the shape {found.shape} and type {found.dtype}; frames "
            "are numbers of shape (slow, fast), (frames, slow, fast) or (frames, panels, slow, "
            f"fast), with edges of at least {SMALLEST_EDGE_PX} pixels"
        )
    return found


def _check_target(where: str, file: h5py.File, name: str) -> None:
    """Check that the file is there that an external link leads to."""
    target = missing_target(file, name)
    if target is not None:
        raise FrameError(f"{where}: is in the file {target}, which is missing: copy it there")


def _only_series(path: Path, held: Contents) -> tuple[str, ...]:
    """Name the one dataset, or the numbered series, that can hold frames."""
    candidates = [
        name
        for name, item in held.datasets.items()
        if item.shape is not None and is_frames(item.shape, item.dtype)
    ]
    named = [name for name in candidates if _FRAME_NAME.fullmatch(name)]
    absent = [name for name in held.missing if _FRAME_NAME.fullmatch(name)]
    if absent and all(_alike(absent[0], name) for name in named):
        # Frames would be lost in silence.
        return (absent[0],)
    candidates = named or candidates
    if candidates and all(
        _alike(candidates[0], name)
        and held.datasets[name].shape[1:] == held.datasets[candidates[0]].shape[1:]
        for name in candidates
    ):
        return tuple(sorted(candidates))
    if candidates:
        raise FrameError(
            f"{path}: {len(candidates)} datasets can hold frames ({', '.join(candidates)}): "
            "name one"
        )
    raise FrameError(f"{path}: no dataset can hold frames; {held.listing()}")


def _alike(one: str, other: str) -> bool:
    """Whether two names are the same, or the same but for a number at their end."""
    stems: Sequence[re.Match[str] | None] = [_NUMBERED.fullmatch(name) for name in (one, other)]
    if one == other:
        return True
    first, second = stems
    return first is not None and second is not None and first.group(1) == second.group(1)
