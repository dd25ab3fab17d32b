"""Whole files through the analysis, and columns to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from autosteer.analysis.columns import check_ending, write_columns
from autosteer.analysis.frames import read_frames
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.offline import (
    IndexingWork,
    frames_to_index,
    geometry_of_frames,
    lattice_columns,
    lists_to_index,
    spot_columns,
    spots_of_frames,
)
from autosteer.analysis.spots import SpotFinder
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames
from tests.analysis.simulated_spots import LYSOZYME, simulate_stills

GEOMETRY: dict[str, Any] = {
    "distance_mm": 100.0,
    "pixel_um": 200.0,
    "wavelength_angstrom": 1.3,
    "beam_center_px": (63.5, 63.5),
}
NO_GEOMETRY: dict[str, Any] = dict.fromkeys(GEOMETRY)


def write_frames(path: Path, n_frames: int, n_panels: int = 1) -> Path:
    frames = blank_frames((n_frames, n_panels, 128, 128))
    places = [[frame, 0, 40 + frame, 60] for frame in range(n_frames)]
    add_spots(frames, np.array(places), 300.0)
    np.savez(path, images=as_counts(frames, "uint16"))
    return path


def test_frames_of_a_file_keep_their_numbers(tmp_path: Path) -> None:
    source = read_frames(write_frames(tmp_path / "run.npz", 19))
    found = list(spots_of_frames(source, SpotFinder()))
    assert [batch.first_frame for batch in found] == [0, 8, 16]
    columns = spot_columns(found)
    assert len({len(values) for values in columns.values()}) == 1
    bright = columns["intensity"] > 1000
    np.testing.assert_array_equal(columns["frame"][bright], np.arange(19))
    assert columns["slow_px"][bright] == pytest.approx(40 + np.arange(19), abs=0.3)
    assert set(columns["path"]) == {str(tmp_path / "run.npz")}


def test_lists_and_frames_give_the_same_columns(tmp_path: Path) -> None:
    indexer = Indexer(LYSOZYME)
    stills = simulate_stills(LYSOZYME, 70, 40, seed=2)
    path = tmp_path / "spots.npz"
    lists = lattice_columns(list(map(IndexingWork(indexer), lists_to_index(path, stills.q))))
    np.testing.assert_array_equal(lists["frame"], np.arange(70))
    assert lists["indexed"].mean() > 0.95
    assert lists["a"][lists["indexed"]] == pytest.approx(79.1, rel=0.02)
    source = read_frames(write_frames(tmp_path / "run.npz", 9))
    geometry = geometry_of_frames(source, **GEOMETRY)
    frames = lattice_columns(
        list(map(IndexingWork(indexer), frames_to_index(source, geometry, SpotFinder())))
    )
    assert list(frames) == list(lists)
    assert not frames["indexed"].any()
    assert np.isnan(frames["b_y"]).all()


def test_geometry_is_given_or_that_of_the_file(tmp_path: Path) -> None:
    source = read_frames(write_frames(tmp_path / "run.npz", 2))
    given = geometry_of_frames(source, **GEOMETRY)
    np.testing.assert_allclose(given.detector.origin_mm, [[-12.7, -12.7, 100]])
    np.testing.assert_array_equal(given.wavelength_angstrom, [1.3, 1.3])
    with pytest.raises(AnalysisError, match="holds no geometry: give a geometry file, or distance"):
        geometry_of_frames(source, **NO_GEOMETRY)
    with pytest.raises(AnalysisError, match="all four"):
        geometry_of_frames(source, **{**GEOMETRY, "pixel_um": None})
    with pytest.raises(AnalysisError, match="must be positive"):
        geometry_of_frames(source, **{**GEOMETRY, "distance_mm": -1.0})
    panels = read_frames(write_frames(tmp_path / "panels.npz", 1, n_panels=2))
    with pytest.raises(AnalysisError, match="has 2 panels"):
        geometry_of_frames(panels, **GEOMETRY)


def test_columns_are_written_by_ending(tmp_path: Path) -> None:
    columns = {"path": np.array(["a", "bc"]), "n": np.array([1, 2]), "x": np.array([0.5, np.nan])}
    write_columns(tmp_path / "out.npz", columns)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert file["path"].tolist() == ["a", "bc"]
        np.testing.assert_array_equal(file["x"], columns["x"])
    write_columns(tmp_path / "out.parquet", columns)
    assert pq.read_table(tmp_path / "out.parquet").column("n").to_pylist() == [1, 2]
    with pytest.raises(AnalysisError, match=r"written to \.npz or \.parquet"):
        check_ending(Path("out.csv"))
    with pytest.raises(AnalysisError, match="cannot be written"):
        write_columns(tmp_path / "no" / "out.npz", columns)


def test_both_real_thermolysin_images_are_indexed(data_directory: Path) -> None:
    source = read_frames(data_directory / "lcls_cspad_thermolysin_2images.npz")
    geometry = geometry_of_frames(source, **NO_GEOMETRY)
    indexer = Indexer(UnitCell(93.4, 93.4, 131, 90, 90, 120))
    columns = lattice_columns(
        list(map(IndexingWork(indexer), frames_to_index(source, geometry, SpotFinder())))
    )
    assert columns["indexed"].all()
    assert (columns["n_indexed_spots"] > [180, 40]).all()
    assert columns["n_spots"].max() <= 500


def test_spots_of_a_real_rayonix_image(data_directory: Path) -> None:
    source = read_frames(data_directory / "lcls_mfx_rayonix_1920.npz")
    columns = spot_columns(list(spots_of_frames(source, SpotFinder())))
    assert 60 <= len(columns["frame"]) <= 150
    # Seen on the image: the crystal diffracts within the water ring.
    radius = np.hypot(columns["slow_px"] - 959.5, columns["fast_px"] - 959.5)
    assert (radius < 450).mean() > 0.95
