"""Whole files through the analysis: spots and lattices of every frame, and columns of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.analysis._items import count_spots
from autosteer.analysis.frames import FileGeometry, FrameSource, batches
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.indexing_result import IndexingResult, Reason
from autosteer.analysis.results import (
    CELL_COLUMNS,
    Shots,
    basis_columns,
    frame_tables,
    list_tables,
)
from autosteer.analysis.spots import FindsSpots, Spots
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector, UnitCell, cell_parameters

_FRAMES_TOGETHER = 8
_LISTS_TOGETHER = 64


@dataclass(frozen=True, slots=True, eq=False)
class SpotBatch:
    """Spots of consecutive frames.

    Parameters
    ----------
    path : Path
        The file.
    first_frame : int
        Number of the first frame.
    spots : Spots
        The spots; frames count from the first.
    """

    path: Path
    first_frame: int
    spots: Spots


@dataclass(frozen=True, slots=True, eq=False)
class LatticeBatch:
    """Lattices of consecutive frames.

    Parameters
    ----------
    path : Path
        The file.
    first_frame : int
        Number of the first frame.
    lists : ndarray of float32, shape (n, n_spots, 3)
        Spot lists of the frames [1/angstrom].
    result : IndexingResult
        What indexing found.
    spots : Spots, optional
        Spots of frames; lists of spots have none.
    geometry : FileGeometry, optional
        Geometry of the frames.
    """

    path: Path
    first_frame: int
    lists: NDArray[np.float32]
    result: IndexingResult
    spots: Spots | None = None
    geometry: FileGeometry | None = None

    @property
    def n_spots(self) -> NDArray[np.int64]:
        """Spots of each frame, shape (n,)."""
        return count_spots(self.lists)


def spots_of_frames(source: FrameSource, finder: FindsSpots) -> Iterator[SpotBatch]:
    """Find the spots of all frames of a file.

    Parameters
    ----------
    source : FrameSource
        The frames.
    finder : FindsSpots
        Finds the spots.

    Yields
    ------
    SpotBatch
        Spots of some frames.
    """
    first = 0
    for frames in batches(source, _FRAMES_TOGETHER):
        yield SpotBatch(source.path, first, finder.find(frames))
        first += len(frames)


@dataclass(frozen=True, slots=True, eq=False)
class FramesToIndex:
    """Consecutive frames of a file, with all that it takes to index them.

    Parameters
    ----------
    path : Path
        The file.
    first_frame : int
        Number of the first frame.
    frames : ndarray, shape (n, n_panels, n_slow, n_fast)
        The frames [detector counts].
    geometry : FileGeometry
        Detector and wavelengths.
    finder : FindsSpots
        Finds the spots.
    """

    path: Path
    first_frame: int
    frames: NDArray[Any]
    geometry: FileGeometry
    finder: FindsSpots


@dataclass(frozen=True, slots=True, eq=False)
class ListsToIndex:
    """Consecutive spot lists of a file.

    Parameters
    ----------
    path : Path
        The file.
    first_frame : int
        Number of the first list.
    q : ndarray of float32, shape (n, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    """

    path: Path
    first_frame: int
    q: NDArray[np.float32]


class IndexingWork:
    """Indexes frames or spot lists; what an executor does.

    Parameters
    ----------
    indexer : Indexer
        Finds the lattices.
    """

    def __init__(self, indexer: Indexer) -> None:
        self._indexer = indexer

    @classmethod
    def for_cell(cls, cell: UnitCell, device: str, **options: float) -> Self:
        """Prepare the work, in the process that does it.

        Parameters
        ----------
        cell : UnitCell
            The known cell.
        device : str
            Torch device.
        **options
            Further options of `Indexer`.

        Returns
        -------
        IndexingWork
            The work.
        """
        return cls(Indexer(cell, device, **options))  # type: ignore[arg-type]

    def __call__(self, item: FramesToIndex | ListsToIndex) -> LatticeBatch:
        """Index some frames or lists.

        Parameters
        ----------
        item : FramesToIndex or ListsToIndex
            What to index.

        Returns
        -------
        LatticeBatch
            Their lattices.
        """
        if isinstance(item, ListsToIndex):
            return LatticeBatch(item.path, item.first_frame, item.q, self._indexer.index(item.q))
        spots = item.finder.find(item.frames)
        lists = spots.lists(item.geometry.scattering_vectors(spots, item.first_frame))
        result = self._indexer.index(lists)
        return LatticeBatch(item.path, item.first_frame, lists, result, spots, item.geometry)


def frames_to_index(
    source: FrameSource, geometry: FileGeometry, finder: FindsSpots
) -> Iterator[FramesToIndex]:
    """Read the frames of a file in batches.

    Parameters
    ----------
    source : FrameSource
        The frames.
    geometry : FileGeometry
        Detector and wavelengths.
    finder : FindsSpots
        Finds the spots.

    Yields
    ------
    FramesToIndex
        Some frames.
    """
    first = 0
    for frames in batches(source, _FRAMES_TOGETHER):
        yield FramesToIndex(source.path, first, frames, geometry, finder)
        first += len(frames)


def lists_to_index(path: Path, lists: NDArray[np.float32]) -> Iterator[ListsToIndex]:
    """Give spot lists in batches.

    Parameters
    ----------
    path : Path
        File that they come from.
    lists : ndarray of float32, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].

    Yields
    ------
    ListsToIndex
        Some lists.
    """
    for first in range(0, len(lists), _LISTS_TOGETHER):
        yield ListsToIndex(path, first, lists[first : first + _LISTS_TOGETHER])


def joined_lists(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Put spot lists of different lengths behind each other.

    Parameters
    ----------
    parts : sequence of ndarray of float32, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].

    Returns
    -------
    ndarray of float32, shape (all frames, most spots, 3)
        All lists.
    """
    n_frames = sum(len(part) for part in parts)
    width = max((part.shape[1] for part in parts), default=0)
    joined = np.full((n_frames, width, 3), np.nan, dtype=np.float32)
    first = 0
    for part in parts:
        joined[first : first + len(part), : part.shape[1]] = part
        first += len(part)
    return joined


def geometry_of_frames(
    source: FrameSource,
    *,
    distance_mm: float | None,
    pixel_um: float | None,
    wavelength_angstrom: float | None,
    beam_center_px: tuple[float, float] | None,
) -> FileGeometry:
    """Make the geometry of frames from what was given, or else take that of their file.

    Parameters
    ----------
    source : FrameSource
        The frames.
    distance_mm : float or None
        Sample to detector [mm].
    pixel_um : float or None
        Pixel edge [um].
    wavelength_angstrom : float or None
        Wavelength [angstrom].
    beam_center_px : (float, float) or None
        Where the beam meets the detector, (slow, fast) [px].

    Returns
    -------
    FileGeometry
        The geometry.

    Raises
    ------
    AnalysisError
        If something is missing, or the detector has several panels and no geometry.
    """
    known = source.geometry
    if known is not None and distance_mm is None and beam_center_px is None:
        if wavelength_angstrom is not None:
            known = replace(
                known, wavelength_angstrom=np.full(source.n_frames, wavelength_angstrom)
            )
        if not (known.wavelength_angstrom > 0).all():
            raise AnalysisError(
                f"{source.path}: the geometry does not say the wavelength of every frame: give it"
            )
        return known
    if (
        distance_mm is None
        or pixel_um is None
        or wavelength_angstrom is None
        or beam_center_px is None
    ):
        raise AnalysisError(
            f"{source.path}: holds no geometry: give a geometry file, or distance, pixel size, "
            "wavelength and beam center, all four"
        )
    if source.frame_shape[0] != 1:
        raise AnalysisError(
            f"{source.path}: has {source.frame_shape[0]} panels; distance and beam center "
            "describe a single one"
        )
    if min(distance_mm, pixel_um, wavelength_angstrom) <= 0:
        raise AnalysisError(
            f"distance {distance_mm} mm, pixel size {pixel_um} um and wavelength "
            f"{wavelength_angstrom} angstrom must be positive"
        )
    detector = Detector.flat(source.frame_shape[1:], pixel_um / 1000, distance_mm, beam_center_px)
    return FileGeometry.of_panels(detector, np.full(source.n_frames, wavelength_angstrom))


def spot_columns(found: Sequence[SpotBatch]) -> dict[str, NDArray[Any]]:
    """Arrange spots as columns, one row per spot.

    Parameters
    ----------
    found : sequence of SpotBatch
        The spots, at least one batch.

    Returns
    -------
    dict of str to ndarray
        Columns ``path``, ``frame`` and those of `Spots` that are per spot.
    """
    names = ("panel", "slow_px", "fast_px", "intensity", "sigma", "n_pixels", "peak_snr", "snr")
    columns: dict[str, NDArray[Any]] = {
        "path": np.repeat([str(one.path) for one in found], [len(one.spots) for one in found]),
        "frame": np.concatenate([one.first_frame + one.spots.frame for one in found]),
    }
    for name in names:
        columns[name] = np.concatenate([getattr(one.spots, name) for one in found])
    return columns


def lattice_columns(found: Sequence[LatticeBatch]) -> dict[str, NDArray[Any]]:
    """Arrange results of indexing as columns, one row per frame.

    Parameters
    ----------
    found : sequence of LatticeBatch
        The results, at least one batch.

    Returns
    -------
    dict of str to ndarray
        Columns ``path``, ``frame``, ``n_spots``, ``indexed``, ``n_lattices``,
        ``n_indexed_spots``, cell ``a`` ... ``gamma``, ``orientation_sigma_deg``, ``reason`` and
        cell vectors ``a_x`` ... ``c_z`` of the best lattice.
    """
    lattices = np.concatenate([one.result.lattices for one in found])
    columns: dict[str, NDArray[Any]] = {
        "path": np.repeat([str(one.path) for one in found], [len(one.n_spots) for one in found]),
        "frame": np.concatenate([one.first_frame + np.arange(len(one.n_spots)) for one in found]),
        "n_spots": np.concatenate([one.n_spots for one in found]),
    }
    for name in ("indexed", "n_lattices", "n_indexed_spots"):
        columns[name] = np.concatenate([getattr(one.result, name) for one in found])
    parameters = cell_parameters(lattices).T
    columns.update(zip(CELL_COLUMNS, parameters, strict=True))
    columns["orientation_sigma_deg"] = np.concatenate([
        one.result.orientation_sigma_deg for one in found
    ])
    columns["reason"] = np.concatenate([
        [Reason(reason).name.lower() for reason in one.result.reason] for one in found
    ])
    columns.update(basis_columns(lattices))
    return columns


def result_tables(found: Sequence[LatticeBatch], min_spots_hit: int) -> dict[str, pa.Table]:
    """Arrange results in the tables that a run makes of them.

    Parameters
    ----------
    found : sequence of LatticeBatch
        The results, at least one batch.
    min_spots_hit : int
        Spots that make a frame a hit.

    Returns
    -------
    dict of str to pyarrow.Table
        Tables ``indexing``, ``quality``, ``spots`` and ``lattices``. The frames are numbered
        through in place of pulse ids; nobody knows their times.
    """
    first = 0
    parts: dict[str, list[pa.RecordBatch]] = {}
    for one in found:
        n_frames = len(one.lists)
        shots = Shots(
            np.arange(first, first + n_frames, dtype=np.uint64), np.zeros(n_frames, np.int64)
        )
        hit = one.n_spots >= min_spots_hit
        if one.spots is None or one.geometry is None:
            tables = list_tables(shots, one.lists, one.result, hit)
        else:
            q = one.geometry.scattering_vectors(one.spots, one.first_frame)
            of_file = pa.nulls(n_frames, pa.uint64())
            tables = frame_tables(shots, one.spots, q, one.lists, one.result, hit, of_file)
        for kind, table in tables.items():
            parts.setdefault(kind, []).append(table)
        first += n_frames
    return {kind: pa.Table.from_batches(batches) for kind, batches in parts.items()}
