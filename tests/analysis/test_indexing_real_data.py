"""Indexing of spot lists from real detectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autosteer.analysis.frames import read_spot_lists
from autosteer.analysis.indexing import Indexer
from autosteer.physics import UnitCell, cell_parameters
from tests.analysis.simulated_spots import misorientation_deg


@pytest.mark.parametrize("key", ["q_local", "q_peakfinder8", "q_radial"])
def test_jungfrau_lysozyme(data_directory: Path, key: str) -> None:
    cell = UnitCell(36.9, 78.95, 78.95, 90, 90, 90)
    q = read_spot_lists(data_directory / "jungfrau_lysozyme_spots.npz", key)
    result = Indexer(cell).index(q)
    assert result.indexed.sum() == 10
    assert (result.n_indexed_spots > 0.6 * np.isfinite(q[..., 0]).sum(axis=1)).all()
    # Successive images are turned by a tenth of a degree.
    steps = misorientation_deg(result.lattices[1:], result.lattices[:-1], cell)
    assert steps.max() < 0.2


def test_lcls_lysozyme_stills_agree_with_their_refined_reference(data_directory: Path) -> None:
    path = data_directory / "lcls_cspad_lysozyme_100stills.npz"
    cell = UnitCell(79.03, 79.03, 38.15, 90, 90, 90)
    with np.load(path) as file:
        reference = np.linalg.inv(file["reciprocal_columns_reference"])
    result = Indexer(cell).index(read_spot_lists(path))
    angle = misorientation_deg(result.lattices, reference, cell)
    assert (angle < 1).sum() >= 97
    assert np.nanmedian(angle) < 0.1


def test_pal_lysozyme_stream_gives_the_cells_of_xgandalf(data_directory: Path) -> None:
    q = read_spot_lists(data_directory / "pal_lysozyme_3shots.stream")
    result = Indexer(UnitCell(79.2, 79.2, 38, 90, 90, 90), cell_tolerance=0.04).index(q)
    assert result.indexed.all()
    lengths = np.sort(cell_parameters(result.lattices)[:, :3], axis=1)
    xgandalf = [[38.556, 79.385, 80.404], [39.041, 80.254, 80.600], [38.69, 79.8, 80.5]]
    np.testing.assert_allclose(lengths[:2], xgandalf[:2], atol=0.4)
