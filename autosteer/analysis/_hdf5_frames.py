"""Frames in HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from autosteer.analysis._frame_sources import (
    SMALLEST_EDGE_PX,
    FileGeometry,
    Frame,
    as_frame,
    is_frames,
    stack_shape,
)
from autosteer.contracts import FrameError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Hdf5Frames:
    """Frames of one dataset.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Path of the dataset inside it.
    shape : (int, int, int, int)
        (n_frames, n_panels, n_slow, n_fast).
    """

    path: Path
    dataset: str
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
        """None: conventions for geometry in HDF5 differ too much to guess."""
        return None

    def __iter__(self) -> Iterator[Frame]:
        where = f"{self.path}:{self.dataset}"
        try:
            with h5py.File(self.path, "r") as file:
                dataset = file[self.dataset]
                alone = dataset.ndim == 2
                for index in range(self.n_frames):
                    values = dataset[()] if alone else dataset[index]
                    yield as_frame(values, self.frame_shape, where)
        except (OSError, RuntimeError) as error:
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
        Path of the dataset; None to take the only one that can hold frames.

    Returns
    -------
    Hdf5Frames
        The frames.

    Raises
    ------
    FrameError
        If the file cannot be read, the dataset is not there or no frames, or the choice is open.
    """
    try:
        with h5py.File(path, "r") as file:
            if dataset is None:
                dataset = _only_dataset(path, file)
            found = file.get(dataset)
            if not isinstance(found, h5py.Dataset):
                raise FrameError(f"{path}: no dataset '{dataset}'; {_listing(file)}")
            shape, dtype = found.shape, found.dtype
    except (OSError, RuntimeError) as error:
        raise FrameError(
            f"{path}: cannot be read as HDF5 ({error}); it may be cut off: copy it again"
        ) from error
    if not is_frames(shape, dtype):
        raise FrameError(
            f"{path}: dataset '{dataset}' has the shape {shape} and type {dtype}; frames are "
            "numbers of shape (slow, fast), (frames, slow, fast) or (frames, panels, slow, fast), "
            f"with edges of at least {SMALLEST_EDGE_PX} pixels"
        )
    return Hdf5Frames(path, dataset, stack_shape(shape))


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All datasets by path."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"/{name}"] = item

    file.visititems(note)
    return found


def _listing(file: h5py.File) -> str:
    """Name all datasets for a message."""
    names = [f"{name} {item.shape} {item.dtype}" for name, item in _datasets(file).items()]
    return "it holds " + (", ".join(names) if names else "no dataset")


def _only_dataset(path: Path, file: h5py.File) -> str:
    """Name the one dataset that can hold frames."""
    candidates = [
        name
        for name, item in _datasets(file).items()
        if item.shape is not None and is_frames(item.shape, item.dtype)
    ]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise FrameError(
            f"{path}: {len(candidates)} datasets can hold frames ({', '.join(candidates)}): "
            "name one"
        )
    raise FrameError(f"{path}: no dataset can hold frames; {_listing(file)}")
