"""Result tables without pixels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosteer.contracts.table_kinds import INDEXING, MACHINE
from autosteer.sims import LYSOZYME, FrameSimulator, JetBeamline, ShotTruth, TableSimulator
from autosteer.sims._visibility import visible_photons
from tests.sims.beamlines import sfx

CELL = ("a", "b", "c", "alpha", "beta", "gamma")


def shots(n_shots: int = 20_000, offset_mm: float = 0.0) -> ShotTruth:
    pulses = np.arange(n_shots, dtype=np.uint64)
    return JetBeamline(sfx(), 3).shots(pulses, pulses / 120.0, {"x": offset_mm})


def columns(batch: pa.RecordBatch) -> dict[str, np.ndarray[Any, Any]]:
    return {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}


def made(truth: ShotTruth, **options: Any) -> dict[str, pa.RecordBatch]:
    return TableSimulator(sfx(), seed=3, **options).tables(truth, truth.pulse_id * 10)


def test_only_the_two_kinds_and_their_columns_are_made() -> None:
    tables = made(shots(100))
    assert set(tables) == {"machine", "indexing"}
    assert tables["machine"].schema.equals(MACHINE.schema)
    assert tables["indexing"].schema.equals(INDEXING.schema)
    for batch in tables.values():
        assert batch.column("pulse_id").to_pylist() == list(range(100))
        assert batch.column("timestamp").to_pylist() == list(range(0, 1000, 10))


@given(cuts=st.lists(st.integers(0, 600), max_size=5))
@settings(max_examples=25)
def test_any_split_into_calls_gives_the_same_tables(cuts: list[int]) -> None:
    truth = shots(600)
    whole = made(truth)
    simulator = TableSimulator(sfx(), seed=3)
    edges = [0, *sorted(cuts), 600]
    parts = [truth.select(slice(*edge)) for edge in pairwise(edges)]
    for kind, batch in whole.items():
        split = pa.Table.from_batches([
            simulator.tables(part, part.pulse_id * 10)[kind] for part in parts
        ])
        for name, column in columns(batch).items():
            np.testing.assert_array_equal(split.column(name).to_numpy(), column)


def test_another_seed_gives_other_results() -> None:
    truth = shots(2000)
    other = TableSimulator(sfx(), seed=4).tables(truth, truth.pulse_id)
    assert other["indexing"].column("n_spots") != made(truth)["indexing"].column("n_spots")


def test_hits_are_the_shots_with_crystals() -> None:
    truth = shots()
    found = columns(made(truth)["indexing"])
    np.testing.assert_array_equal(found["hit"], found["n_spots"] >= 8)
    assert (found["hit"] != (truth.n_crystals > 0)).mean() < 0.002
    assert found["hit"].mean() == pytest.approx(truth.p_hit.mean(), abs=0.015)
    blank = found["n_spots"][truth.n_crystals == 0]
    assert 0.3 < blank.mean() < 1.0
    one, two = (np.median(found["n_spots"][truth.n_crystals == n]) for n in (1, 2))
    assert 30 < one < 80
    assert two == pytest.approx(2 * one, rel=0.1)


def test_spots_are_as_many_as_in_frames(frames: FrameSimulator) -> None:
    truth = shots(2000)
    single = truth.select(truth.n_crystals == 1)
    # All directions up to this resolution fall on the detector.
    found = columns(made(single, d_min_angstrom=3.1)["indexing"])
    limit = visible_photons(sfx())
    in_frames = []
    for index in range(60):
        drawn = frames.truth(single.shot(index))
        q = np.linalg.norm(drawn.q, axis=1)
        in_frames.append(np.count_nonzero((drawn.photons > limit) & (q < 1 / 3.1)))
    # The frames lose to gaps, bad pixels and the beam stop what falls into them.
    assert np.mean(in_frames) == pytest.approx(found["n_spots"].mean() - 0.6, rel=0.12)


def test_what_is_not_indexed_is_missing_and_not_zero() -> None:
    truth = shots()
    batch = made(truth)["indexing"]
    found = columns(batch)
    indexed = found["indexed"].astype(bool)
    assert 0.9 < indexed.sum() / found["hit"].sum() < 1.0
    assert not (indexed & ~found["hit"].astype(bool)).any()
    np.testing.assert_array_equal(found["n_lattices"] > 0, indexed)
    for name in (*CELL, "orientation_sigma_deg"):
        np.testing.assert_array_equal(np.isfinite(found[name]), indexed)
    np.testing.assert_array_equal(np.isfinite(found["resolution_angstrom"]), found["hit"])
    explained = batch.column("n_indexed_spots")
    assert explained.null_count == np.count_nonzero(~indexed)
    assert (found["n_indexed_spots"][indexed] <= found["n_spots"][indexed]).all()
    assert (found["n_lattices"] <= truth.n_crystals).all()


def test_cells_scatter_about_the_true_one() -> None:
    found = columns(made(shots())["indexing"])
    for name, expected in zip(CELL, (*LYSOZYME.lengths, *LYSOZYME.angles), strict=True):
        values = found[name][np.isfinite(found[name])]
        assert values.mean() == pytest.approx(expected, rel=3e-4)
        assert 1e-4 < values.std() / expected < 5e-3
    # What is common to a and b is the crystal's; the rest is the fit's.
    both = np.isfinite(found["a"])
    assert 0.1 < np.corrcoef(found["a"][both], found["b"][both])[0, 1] < 0.7
    assert abs(np.corrcoef(found["a"][both], found["c"][both])[0, 1]) < 0.05


def test_weak_crystals_are_indexed_less_often() -> None:
    truth = shots()
    weak = sfx(crystals={"photons_per_spot": 45.0})
    found = columns(TableSimulator(weak, seed=3).tables(truth, truth.pulse_id)["indexing"])
    spots, indexed = found["n_spots"], found["indexed"].astype(bool)
    single = truth.n_crystals == 1
    few, more = single & (spots >= 8) & (spots < 11), single & (spots > 14)
    assert 0.1 < indexed[few].mean() < 0.7
    assert indexed[more].mean() > 0.85


def test_the_monitor_reads_the_intensity_with_an_error() -> None:
    truth = shots(5000)
    ratio = columns(made(truth)["machine"])["beam_intensity"] / truth.beam_intensity
    assert ratio.std() == pytest.approx(0.01, rel=0.1)
    assert ratio.mean() == pytest.approx(1.0, abs=1e-3)


def test_latency_and_threshold_come_from_outside() -> None:
    truth = shots(3000)
    late = sfx(analysis_latency_s=0.25)
    batch = TableSimulator(late, min_spots_hit=200, seed=3).tables(truth, truth.pulse_id)
    found = columns(batch["indexing"])
    assert set(found["result_latency_s"].tolist()) == {0.25}
    assert found["hit"].mean() < 0.02
    assert not found["indexed"][~found["hit"]].any()
    with pytest.raises(ValueError, match="min_spots_hit"):
        TableSimulator(late, min_spots_hit=0)


def test_no_shots_give_empty_tables() -> None:
    assert [batch.num_rows for batch in made(shots(0)).values()] == [0, 0]
