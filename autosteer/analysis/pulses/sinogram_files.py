"""Sinograms from NPZ archives and HDF5 files, some at a time."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import AnalysisError

KEY = "ximg"
"""Name of the array of sinograms, shape (n, n_channels, n_bins)."""

_OF_ONE_SHOT = "Ximg"
_SHOTS_TOGETHER = 1024
_N_AXES = 3


def read_sinograms(path: Path) -> Iterator[NDArray[Any]]:
    """Read sinograms.

    Parameters
    ----------
    path : Path
        NPZ archive with an array ``ximg``, HDF5 file with a dataset of that name, or HDF5 file with
        a group for each shot that holds a dataset ``Ximg``.

    Yields
    ------
    ndarray, shape (n, n_channels, n_bins)
        Counts of up to 1024 shots, in the order of the file.

    Raises
    ------
    AnalysisError
        If the file cannot be read, or holds no sinograms.
    """
    try:
        if h5py.is_hdf5(path):
            yield from _of_hdf5(path)
        else:
            yield from _of_npz(path)
    except FileNotFoundError:
        raise AnalysisError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise AnalysisError(
            f"{path}: cannot be read as NPZ or HDF5 ({error}); if it was copied, copy it again"
        ) from error


def _of_npz(path: Path) -> Iterator[NDArray[Any]]:
    # An archive that is cut would stay open if it were opened by its name.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        if not isinstance(archive, np.lib.npyio.NpzFile) or KEY not in archive.files:
            names = ", ".join(getattr(archive, "files", ())) or "a single array"
            raise AnalysisError(f"{path}: has no array '{KEY}' but {names}")
        sinograms = archive[KEY]
    _check(path, sinograms.shape)
    for start in range(0, len(sinograms), _SHOTS_TOGETHER):
        yield sinograms[start : start + _SHOTS_TOGETHER]


def _of_hdf5(path: Path) -> Iterator[NDArray[Any]]:
    with h5py.File(path) as file:
        whole = file.get(KEY)
        if isinstance(whole, h5py.Dataset):
            _check(path, whole.shape)
            for start in range(0, len(whole), _SHOTS_TOGETHER):
                yield whole[start : start + _SHOTS_TOGETHER]
            return
        shots = [
            group[_OF_ONE_SHOT]
            for group in file.values()
            if isinstance(group, h5py.Group) and isinstance(group.get(_OF_ONE_SHOT), h5py.Dataset)
        ]
        if not shots:
            raise AnalysisError(
                f"{path}: has neither a dataset '{KEY}' nor groups with a dataset '{_OF_ONE_SHOT}'"
            )
        for start in range(0, len(shots), _SHOTS_TOGETHER):
            some = [shot[()] for shot in shots[start : start + _SHOTS_TOGETHER]]
            if len({shot.shape for shot in some}) > 1:
                raise AnalysisError(f"{path}: its sinograms differ in shape")
            yield np.stack(some)


def _check(path: Path, shape: tuple[int, ...]) -> None:
    """Check that an array can be one of sinograms, and holds some."""
    if len(shape) != _N_AXES:
        raise AnalysisError(
            f"{path}: '{KEY}' has the shape {shape}: it must be (n, n_channels, n_bins)"
        )
    if not shape[0]:
        raise AnalysisError(f"{path}: '{KEY}' holds no sinograms")
