"""Result tables of the analysis."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.analysis.indexing import IndexingResult
from autosteer.analysis.results import (
    Shots,
    indexing_table,
    lattice_table,
    quality_table,
    resolution_limit,
    spot_list_table,
    spot_table,
)
from autosteer.analysis.spots import Spots
from autosteer.contracts import INDEXING, LATTICES, QUALITY, SPOTS

SHOTS = Shots(np.array([7, 9, 2**63 + 1], np.uint64), np.array([10, 20, 30], np.int64))
NAN = float("nan")


def result() -> IndexingResult:
    """Shot 0 has a lattice, shot 1 none, shot 2 was not measured."""
    lattices = np.full((3, 3, 3), np.nan)
    lattices[0] = np.diag([30.0, 40.0, 50.0])
    return IndexingResult(
        indexed=np.array([True, False, False]),
        lattices=lattices,
        n_indexed_spots=np.array([2, 0, 0]),
        indexed_spots=np.zeros((3, 3), dtype=bool),
        orientation_sigma_deg=np.array([0.1, NAN, NAN]),
        log_evidence=np.array([30.0, -1.0, -np.inf]),
    )


def lists() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    q = np.full((3, 3, 3), np.nan, dtype=np.float32)
    q[0, :3] = [[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.25]]
    q[1, 0] = [0.5, 0, 0]
    return q


def test_indexing_table_has_null_where_nothing_is_known() -> None:
    hit, measured = np.array([True, False, False]), np.array([True, True, False])
    batch = indexing_table(SHOTS, lists(), result(), hit, measured)
    assert batch.schema.equals(INDEXING.schema)
    rows = batch.to_pydict()
    assert rows["pulse_id"] == [7, 9, 2**63 + 1]
    assert rows["timestamp"] == [10, 20, 30]
    assert rows["n_spots"] == [3, 1, None]
    assert rows["hit"] == [True, False, None]
    assert rows["indexed"] == [True, False, None]
    assert rows["n_lattices"] == [1, 0, None]
    assert rows["n_indexed_spots"] == [2, None, None]
    assert rows["resolution_angstrom"][0] == 4.0
    assert [rows[name][0] for name in ("a", "b", "c", "alpha")] == [30, 40, 50, 90]
    for name in ("a", "gamma", "resolution_angstrom", "orientation_sigma_deg"):
        assert np.isnan(rows[name][1:]).all()
    assert rows["result_latency_s"] == [None] * 3


def test_item_tables_number_their_items_by_shot() -> None:
    batch = spot_list_table(SHOTS, lists())
    assert batch.schema.equals(SPOTS.schema)
    rows = batch.to_pydict()
    assert rows["pulse_id"] == [7, 7, 7, 9]
    assert rows["item"] == [0, 1, 2, 0]
    assert rows["q_y"] == pytest.approx([0, 0.2, 0, 0])
    assert rows["intensity"] == [None] * 4
    batch = lattice_table(SHOTS, result())
    assert batch.schema.equals(LATTICES.schema)
    assert batch.to_pylist()[0]["c_z"] == 50.0
    assert batch.to_pylist()[0]["n_indexed_spots"] == 2
    assert batch.num_rows == 1


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
        n_spots=np.array([2, 0, 1]),
        background_level=np.array([5.0, 6.0, NAN], np.float32),
        saturated_fraction=np.array([0.0, NAN, 0.5], np.float32),
    )
    batch = spot_table(SHOTS, spots, np.arange(9.0).reshape(3, 3))
    rows = batch.to_pydict()
    assert batch.schema.equals(SPOTS.schema)
    assert rows["pulse_id"] == [7, 7, 2**63 + 1]
    assert rows["item"] == [0, 1, 0]
    assert rows["panel"] == [1, 0, 3]
    assert rows["q_z"] == [2, 5, 8]
    quality = quality_table(SHOTS, spots)
    assert quality.schema.equals(QUALITY.schema)
    assert quality.column("background_level").to_pylist()[:2] == [5.0, 6.0]
    assert np.isnan(quality.column("saturated_fraction")[1].as_py())


def test_no_shots_give_empty_tables() -> None:
    nobody = Shots(np.empty(0, np.uint64), np.empty(0, np.int64))
    nothing = IndexingResult(
        indexed=np.empty(0, bool),
        lattices=np.empty((0, 3, 3)),
        n_indexed_spots=np.empty(0, np.int64),
        indexed_spots=np.empty((0, 0), bool),
        orientation_sigma_deg=np.empty(0),
        log_evidence=np.empty(0),
    )
    none = np.empty(0, bool)
    assert indexing_table(nobody, np.empty((0, 0, 3)), nothing, none, none).num_rows == 0
    assert spot_list_table(nobody, np.empty((0, 0, 3))).num_rows == 0
    assert lattice_table(nobody, nothing).num_rows == 0


@pytest.mark.parametrize(("n_spots", "left_out"), [(1, 0), (49, 0), (99, 0), (100, 2), (250, 5)])
def test_resolution_leaves_out_the_outermost_fiftieth(n_spots: int, left_out: int) -> None:
    length = np.linspace(0.1, 0.5, n_spots)
    q = np.full((1, 260, 3), np.nan)
    order = np.random.default_rng(0).permutation(260)[:n_spots]
    q[0, order] = length[:, None] * np.array([0.6, 0.0, -0.8])
    expected = 1 / np.sort(length)[-1 - left_out]
    assert resolution_limit(q)[0] == pytest.approx(expected)
    assert np.isnan(resolution_limit(np.full((2, 5, 3), np.nan))).all()
