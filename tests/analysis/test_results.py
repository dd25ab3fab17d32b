"""Result tables of the analysis."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from autosteer.analysis.indexing_result import FoundLattices, IndexingResult
from autosteer.analysis.quality import frame_quality
from autosteer.analysis.results import (
    FrameFindings,
    Shots,
    indexing_table,
    lattice_table,
    quality_table,
    spot_list_table,
    spot_table,
)
from autosteer.analysis.rings import RingSpots
from autosteer.analysis.spots import Spots
from autosteer.contracts import INDEXING, LATTICES, QUALITY, SPOTS

SHOTS = Shots(np.array([7, 9, 2**63 + 1], np.uint64), np.array([10, 20, 30], np.int64))
NAN = float("nan")


def result() -> IndexingResult:
    """Shot 0 has two lattices, shot 1 none, shot 2 was not measured."""
    found = FoundLattices(
        frame=np.array([0, 0]),
        basis=np.stack([np.diag([30.0, 40.0, 50.0]), np.diag([31.0, 41.0, 51.0])]),
        n_spots=np.array([2, 1]),
        orientation_sigma_deg=np.array([0.1, 0.2]),
        cell_sigma=np.arange(12.0).reshape(2, 6),
        position_sigma=np.array([1e-4, 2e-4]),
        excitation_sigma=np.array([3e-4, 4e-4]),
        log_evidence=np.array([30.0, np.log(8)]),
    )
    return IndexingResult(
        found=found,
        best=np.array([0, -1, -1]),
        reason=np.array([0, 2, 1], np.uint8),
        log_evidence=np.array([30.0, -1.0, -np.inf]),
        spot_lattice=np.array([[0, 1, 0], [-1, -1, -1], [-1, -1, -1]]),
        hkl=np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 9]], *[[[0] * 3] * 3] * 2], np.int32),
        residual=np.array([[0.1, 0.2, 0.3], [NAN] * 3, [NAN] * 3], np.float32),
        n_indexings=2,
    )


def lists() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    q = np.full((3, 3, 3), np.nan, dtype=np.float32)
    q[0, :3] = [[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.25]]
    q[1, 0] = [0.5, 0, 0]
    return q


def test_indexing_table_has_null_where_nothing_is_known() -> None:
    hit, measured = np.array([True, False, False]), np.array([True, True, False])
    batch = indexing_table(SHOTS, frame_quality(lists(), result()), result(), hit, measured)
    assert batch.schema.equals(INDEXING.schema)
    rows = batch.to_pydict()
    assert rows["pulse_id"] == [7, 9, 2**63 + 1]
    assert rows["timestamp"] == [10, 20, 30]
    assert rows["n_spots"] == [3, 1, None]
    assert rows["hit"] == [True, False, None]
    assert rows["indexed"] == [True, False, None]
    assert rows["n_lattices"] == [2, 0, None]
    assert rows["reason"] == [0, 2, None]
    assert rows["n_indexed_spots"] == [2, None, None]
    assert rows["resolution_angstrom"][0] == 4.0
    assert [rows[name][0] for name in ("a", "b", "c", "alpha")] == [30, 40, 50, 90]
    for name in ("a", "gamma", "resolution_angstrom", "orientation_sigma_deg"):
        assert np.isnan(rows[name][1:]).all()
    assert rows["result_latency_s"] == [None] * 3


def test_item_tables_number_their_items_by_shot() -> None:
    batch = spot_list_table(SHOTS, lists(), result())
    assert batch.schema.equals(SPOTS.schema)
    rows = batch.to_pydict()
    assert rows["pulse_id"] == [7, 7, 7, 9]
    assert rows["item"] == [0, 1, 2, 0]
    assert rows["q_y"] == pytest.approx([0, 0.2, 0, 0])
    assert rows["intensity"] == [None] * 4
    assert rows["lattice"] == [0, 1, 0, None]
    assert rows["h"] == [1, 4, 7, None]
    assert rows["l"] == [3, 6, 9, None]
    assert rows["residual"][:3] == pytest.approx([0.1, 0.2, 0.3])
    batch = lattice_table(SHOTS, result())
    assert batch.schema.equals(LATTICES.schema)
    first, second = batch.to_pylist()
    assert (first["pulse_id"], first["item"]) == (7, 0)
    assert (second["pulse_id"], second["item"]) == (7, 1)
    assert (first["c_z"], first["n_indexed_spots"]) == (50.0, 2)
    assert (second["b"], second["beta"]) == (41.0, 90.0)
    assert (second["a_sigma"], second["gamma_sigma"]) == (6.0, 11.0)
    assert second["orientation_sigma_deg"] == pytest.approx(0.2)
    assert second["excitation_sigma"] == pytest.approx(4e-4)
    assert second["n_indexings"] == 2
    assert second["chance_probability"] == pytest.approx(1 / 8)


def test_spots_and_quality_of_frames() -> None:
    spots = Spots(
        frame=np.array([0, 0, 2]),
        panel=np.array([1, 0, 3]),
        slow_px=np.array([1.5, 2.5, 3.5], np.float32),
        fast_px=np.array([4.5, 5.5, 6.5], np.float32),
        intensity=np.array([90.0, 80.0, 70.0], np.float32),
        sigma=np.array([3.0, 2.0, 1.0], np.float32),
        n_pixels=np.array([5, 4, 3]),
        peak_snr=np.array([9.0, 8.0, 7.0], np.float32),
        snr=np.array([19.0, 18.0, 17.0], np.float32),
        n_spots=np.array([2, 0, 1]),
        background_level=np.array([5.0, 6.0, NAN], np.float32),
        saturated_fraction=np.array([0.0, NAN, 0.5], np.float32),
        gain=np.array([10.0, NAN, 11.0], np.float32),
    )
    rings = RingSpots(
        on_ring=np.array([True, False, False]),
        on_ice=np.array([True, False, False]),
        ring_score=np.array([0.5, NAN, 0.0], np.float32),
    )
    batch = spot_table(SHOTS, spots, np.arange(9.0).reshape(3, 3), result(), rings)
    rows = batch.to_pydict()
    assert batch.schema.equals(SPOTS.schema)
    assert rows["pulse_id"] == [7, 7, 2**63 + 1]
    assert rows["item"] == [0, 1, 0]
    assert rows["panel"] == [1, 0, 3]
    assert rows["q_z"] == [2, 5, 8]
    assert rows["lattice"] == [0, 1, None]
    assert rows["k"] == [2, 5, None]
    assert rows["on_ring"] == [True, False, False]
    measured = frame_quality(lists(), result())
    geometry_id = pa.array([None, 5, 5], pa.uint64())
    findings = FrameFindings(spots, rings, geometry_id)
    quality = quality_table(SHOTS, measured, result(), findings)
    assert quality.schema.equals(QUALITY.schema)
    assert quality.column("background_level").to_pylist()[:2] == [5.0, 6.0]
    assert quality.column("n_spots").to_pylist() == [3, 1, 0]
    assert quality.column("n_lattices").to_pylist() == [2, 0, 0]
    assert quality.column("indexed_fraction").to_pylist()[:2] == [1.0, 0.0]
    assert quality.column("b").to_pylist()[0] == 40.0
    assert quality.column("ring_score").to_pylist()[::2] == [0.5, 0.0]
    assert quality.column("geometry_id").to_pylist() == [None, 5, 5]
    assert np.isnan(quality.column("saturated_fraction")[1].as_py())
    alone = quality_table(SHOTS, measured, result())
    assert alone.column("ring_score").null_count == alone.column("gain").null_count == 3


def test_no_shots_give_empty_tables() -> None:
    nobody = Shots(np.empty(0, np.uint64), np.empty(0, np.int64))
    nothing = IndexingResult(
        found=FoundLattices.none(),
        best=np.empty(0, np.int64),
        reason=np.empty(0, np.uint8),
        log_evidence=np.empty(0),
        spot_lattice=np.empty((0, 0), np.int64),
        hkl=np.empty((0, 0, 3), np.int32),
        residual=np.empty((0, 0), np.float32),
        n_indexings=1,
    )
    none = np.empty(0, bool)
    quality = frame_quality(np.empty((0, 0, 3)), nothing)
    assert indexing_table(nobody, quality, nothing, none, none).num_rows == 0
    assert spot_list_table(nobody, np.empty((0, 0, 3)), nothing).num_rows == 0
    assert lattice_table(nobody, nothing).num_rows == 0
