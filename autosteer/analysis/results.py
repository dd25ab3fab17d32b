"""Result tables of the analysis: spots, lattices and frame quality as Arrow record batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.analysis._items import number_within
from autosteer.analysis.indexing_result import IndexingResult
from autosteer.analysis.quality import FrameQuality, frame_quality
from autosteer.analysis.rings import RingSpots, spots_on_rings
from autosteer.analysis.spots import Spots
from autosteer.contracts import INDEXING, LATTICES, QUALITY, SPOTS, make_batch
from autosteer.physics import cell_parameters

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

CELL_COLUMNS = ("a", "b", "c", "alpha", "beta", "gamma")
"""Cell parameters by column."""


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """The shots of a batch.

    Parameters
    ----------
    pulse_ids : ndarray of uint64, shape (n,)
        Number of each machine pulse.
    timestamps : ndarray of int64, shape (n,)
        Time of each pulse, UTC since 1970 [ns].
    """

    pulse_ids: NDArray[np.uint64]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pulse_ids)


def frame_tables(
    shots: Shots,
    spots: Spots,
    q: NDArray[Any],
    lists: NDArray[Any],
    result: IndexingResult,
    hit: Bool,
    geometry_id: pa.Array,
) -> dict[str, pa.RecordBatch]:
    """Make all tables of frames.

    Parameters
    ----------
    shots : Shots
        The shots.
    spots : Spots
        The n spots of their frames.
    q : ndarray of float, shape (n, 3)
        Scattering vector of each spot [1/angstrom].
    lists : ndarray of float, shape (n_shots, n_spots, 3)
        The same by frame, padded with NaN [1/angstrom].
    result : IndexingResult
        What indexing found in these lists.
    hit : ndarray of bool, shape (n_shots,)
        Whether there are spots enough to call the frame a hit.
    geometry_id : pyarrow.Array of uint64
        Calibrated geometry by which each frame was analysed; null for that of the file.

    Returns
    -------
    dict of str to pyarrow.RecordBatch
        Tables ``indexing``, ``quality``, ``spots`` and ``lattices``.
    """
    rings = spots_on_rings(spots, q)
    quality = frame_quality(lists, result, spots.lists(spots.intensity))
    measured = np.isfinite(spots.background_level)
    return {
        INDEXING.name: indexing_table(shots, quality, result, hit, measured),
        QUALITY.name: quality_table(
            shots, quality, result, FrameFindings(spots, rings, geometry_id)
        ),
        SPOTS.name: spot_table(shots, spots, q, result, rings),
        LATTICES.name: lattice_table(shots, result),
    }


def list_tables(
    shots: Shots, lists: NDArray[Any], result: IndexingResult, hit: Bool
) -> dict[str, pa.RecordBatch]:
    """Make all tables of spot lists that came without frames.

    Parameters
    ----------
    shots : Shots
        The shots.
    lists : ndarray of float, shape (n_shots, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    result : IndexingResult
        What indexing found in them.
    hit : ndarray of bool, shape (n_shots,)
        Whether there are spots enough to call the list a hit.

    Returns
    -------
    dict of str to pyarrow.RecordBatch
        Tables ``indexing``, ``quality``, ``spots`` and ``lattices``; what takes pixels to know is
        null.
    """
    quality = frame_quality(lists, result)
    return {
        INDEXING.name: indexing_table(shots, quality, result, hit, np.ones_like(hit)),
        QUALITY.name: quality_table(shots, quality, result),
        SPOTS.name: spot_list_table(shots, lists, result),
        LATTICES.name: lattice_table(shots, result),
    }


@dataclass(frozen=True, slots=True, eq=False)
class FrameFindings:
    """What the spot finder saw on frames.

    Parameters
    ----------
    spots : Spots
        Spots, background and saturation.
    rings : RingSpots
        Which of the spots lie on rings.
    geometry_id : pyarrow.Array of uint64
        Calibrated geometry by which each frame was analysed; null for that of the file.
    """

    spots: Spots
    rings: RingSpots
    geometry_id: pa.Array


def indexing_table(
    shots: Shots, quality: FrameQuality, result: IndexingResult, hit: Bool, measured: Bool
) -> pa.RecordBatch:
    """Make the table ``indexing``, one row per shot.

    Parameters
    ----------
    shots : Shots
        The n shots.
    quality : FrameQuality
        Quality of their n frames.
    result : IndexingResult
        What indexing found in the same frames.
    hit : ndarray of bool, shape (n,)
        Whether there are spots enough to call the frame a hit.
    measured : ndarray of bool, shape (n,)
        False where a frame held nothing that could be analysed: its row is null.

    Returns
    -------
    pyarrow.RecordBatch
        The table; cell, resolution and orientation are NaN where they are not known.
    """
    parameters = cell_parameters(result.lattices)
    columns: dict[str, Any] = {
        "pulse_id": shots.pulse_ids,
        "timestamp": shots.timestamps,
        "n_spots": _nullable(quality.n_spots, measured, pa.uint32()),
        "hit": _nullable(hit, measured, pa.bool_()),
        "indexed": _nullable(result.indexed, measured, pa.bool_()),
        "n_lattices": _nullable(result.n_lattices, measured, pa.uint32()),
        "n_indexed_spots": _nullable(result.n_indexed_spots, result.indexed, pa.uint32()),
        "resolution_angstrom": np.where(hit, quality.resolution_angstrom, np.nan),
        "orientation_sigma_deg": result.orientation_sigma_deg,
        "reason": _nullable(result.reason, measured, pa.uint8()),
    }
    columns.update(zip(CELL_COLUMNS, parameters.T, strict=True))
    return make_batch(INDEXING, columns)


def quality_table(
    shots: Shots,
    quality: FrameQuality,
    result: IndexingResult,
    findings: FrameFindings | None = None,
) -> pa.RecordBatch:
    """Make the table ``quality``, one row per shot.

    Parameters
    ----------
    shots : Shots
        The shots.
    quality : FrameQuality
        Quality of their frames.
    result : IndexingResult
        What indexing found in them.
    findings : FrameFindings, optional
        What takes pixels to know; null for lists without frames.

    Returns
    -------
    pyarrow.RecordBatch
        The table.
    """
    parameters = cell_parameters(result.lattices)
    columns: dict[str, Any] = {
        "pulse_id": shots.pulse_ids,
        "timestamp": shots.timestamps,
        "n_lattices": result.n_lattices,
        **{field.name: getattr(quality, field.name) for field in fields(quality)},
        **dict(zip(CELL_COLUMNS, parameters.T, strict=True)),
    }
    if findings is not None:
        columns |= {
            "ring_score": findings.rings.ring_score,
            "background_level": findings.spots.background_level,
            "saturated_fraction": findings.spots.saturated_fraction,
            "gain": findings.spots.gain,
            "geometry_id": findings.geometry_id,
        }
    return make_batch(QUALITY, columns)


def spot_table(
    shots: Shots, spots: Spots, q: NDArray[Any], result: IndexingResult, rings: RingSpots
) -> pa.RecordBatch:
    """Make the table ``spots``, one row per spot.

    Parameters
    ----------
    shots : Shots
        The shots.
    spots : Spots
        The n spots of their frames.
    q : ndarray of float, shape (n, 3)
        Scattering vector of each spot [1/angstrom].
    result : IndexingResult
        What indexing found in the lists of these spots.
    rings : RingSpots
        Which of the spots lie on rings.

    Returns
    -------
    pyarrow.RecordBatch
        The table.
    """
    item = number_within(spots.frame)
    return make_batch(
        SPOTS,
        {
            **_item_keys(shots, spots.frame),
            "panel": spots.panel,
            "slow_px": spots.slow_px,
            "fast_px": spots.fast_px,
            "intensity": spots.intensity,
            "sigma": spots.sigma,
            "n_pixels": spots.n_pixels,
            "snr": spots.snr,
            "on_ring": rings.on_ring,
            **_vector_columns(q),
            **_index_columns(result, spots.frame, item),
        },
    )


def spot_list_table(shots: Shots, q: NDArray[Any], result: IndexingResult) -> pa.RecordBatch:
    """Make the table ``spots`` of spots that came without pixels.

    Parameters
    ----------
    shots : Shots
        The shots.
    q : ndarray of float, shape (n_shots, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    result : IndexingResult
        What indexing found in these lists.

    Returns
    -------
    pyarrow.RecordBatch
        The table; what takes pixels to know is null.
    """
    frame, spot = np.nonzero(np.isfinite(q).all(axis=2))
    return make_batch(
        SPOTS,
        {
            **_item_keys(shots, frame),
            **_vector_columns(q[frame, spot]),
            **_index_columns(result, frame, spot),
        },
    )


def lattice_table(shots: Shots, result: IndexingResult) -> pa.RecordBatch:
    """Make the table ``lattices``, one row per lattice.

    Parameters
    ----------
    shots : Shots
        The shots.
    result : IndexingResult
        What indexing found in their frames.

    Returns
    -------
    pyarrow.RecordBatch
        The table.
    """
    found = result.found
    return make_batch(
        LATTICES,
        {
            **_item_keys(shots, found.frame),
            **basis_columns(found.basis),
            "n_indexed_spots": found.n_spots,
            **dict(zip(CELL_COLUMNS, cell_parameters(found.basis).T, strict=True)),
            **{
                f"{name}_sigma": sigma
                for name, sigma in zip(CELL_COLUMNS, found.cell_sigma.T, strict=True)
            },
            "orientation_sigma_deg": found.orientation_sigma_deg,
            "position_sigma": found.position_sigma,
            "excitation_sigma": found.excitation_sigma,
            "n_indexings": np.full(len(found), result.n_indexings),
            "chance_probability": found.chance_probability,
        },
    )


def basis_columns(basis: Float) -> dict[str, Float]:
    """Name the components of cell vectors.

    Parameters
    ----------
    basis : ndarray of float64, shape (n, 3, 3)
        Cell vectors in rows [angstrom].

    Returns
    -------
    dict of str to ndarray
        ``a_x`` ... ``c_z``.
    """
    return {
        f"{vector}_{axis}": basis[:, row, column]
        for row, vector in enumerate("abc")
        for column, axis in enumerate("xyz")
    }


def _nullable(values: NDArray[Any], known: Bool, dtype: pa.DataType) -> pa.Array:
    """Make an Arrow array that is null where a value is not known."""
    return pa.array(values.astype(dtype.to_pandas_dtype()), type=dtype, mask=~known)


def _item_keys(shots: Shots, frame: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Pulse id and running number of items that are sorted by frame."""
    return {"pulse_id": shots.pulse_ids[frame], "item": number_within(frame)}


def _vector_columns(q: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Components of scattering vectors by column name."""
    return {f"q_{axis}": q[:, column] for column, axis in enumerate("xyz")}


def _index_columns(
    result: IndexingResult, frame: NDArray[np.int64], spot: NDArray[np.int64]
) -> dict[str, Any]:
    """Lattice, Miller indices and residuals of spots."""
    lattice = result.spot_lattice[frame, spot]
    known = lattice >= 0
    # With a last entry for the spots that belong to no lattice.
    item = np.append(number_within(result.found.frame), 0)[lattice]
    hkl = result.hkl[frame, spot]
    return {
        "lattice": _nullable(item, known, pa.uint32()),
        **{name: _nullable(hkl[:, axis], known, pa.int32()) for axis, name in enumerate("hkl")},
        "residual": result.residual[frame, spot],
    }
