"""Spots on frames from real detectors, with the default settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autosteer.analysis.frames import batches, read_frames
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.offline import IndexingWork, frames_to_index
from autosteer.analysis.spots import SpotFinder
from autosteer.physics import UnitCell


def test_both_cspad_images_of_thermolysin_index_from_their_pixels(data_directory: Path) -> None:
    source = read_frames(data_directory / "lcls_cspad_thermolysin_2images.npz")
    assert source.geometry is not None
    indexer = Indexer(UnitCell(93.4, 93.4, 131, 90, 90, 120))
    frames = frames_to_index(source, source.geometry, SpotFinder())
    found = list(map(IndexingWork(indexer), frames))
    assert np.concatenate([batch.result.indexed for batch in found]).all()
    n_spots = np.concatenate([batch.n_spots for batch in found])
    assert (n_spots > 60).all()


def test_spots_of_a_rayonix_frame_lie_where_the_crystal_diffracts(data_directory: Path) -> None:
    source = read_frames(data_directory / "lcls_mfx_rayonix_1920.npz")
    frames = next(batches(source, 1))
    spots = SpotFinder().find(frames)
    assert 60 < len(spots) < 200
    # About 124 mm and 0.177 mm: all but a few spots are within the ring of the solvent.
    radius = np.hypot(spots.slow_px - 960, spots.fast_px - 960)
    assert (radius < 420).mean() > 0.95
    assert spots.peak_snr.min() > 1
    assert spots.gain[0] == pytest.approx(2.5, abs=2.4)
