"""Quality of frames from their spots and lattices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.indexing import Indexer
from autosteer.analysis.quality import FrameQuality, frame_quality, resolution_limit
from tests.analysis.simulated_spots import LYSOZYME, scramble, simulate_stills


def of_lists(q: NDArray[Any], intensity: NDArray[Any] | None = None) -> FrameQuality:
    return frame_quality(q, Indexer(LYSOZYME).index(q), intensity)


@pytest.mark.parametrize(("n_spots", "left_out"), [(1, 0), (49, 0), (99, 0), (100, 2), (250, 5)])
def test_resolution_leaves_out_the_outermost_fiftieth(n_spots: int, left_out: int) -> None:
    length = np.linspace(0.1, 0.5, n_spots)
    q = np.full((1, 260, 3), np.nan)
    order = np.random.default_rng(0).permutation(260)[:n_spots]
    q[0, order] = length[:, None] * np.array([0.6, 0.0, -0.8])
    expected = 1 / np.sort(length)[-1 - left_out]
    assert resolution_limit(q)[0] == pytest.approx(expected)
    assert np.isnan(resolution_limit(np.full((2, 5, 3), np.nan))).all()


def test_a_frame_without_spots_has_no_quality() -> None:
    quality = of_lists(np.full((2, 4, 3), np.nan), np.full((2, 4), np.nan))
    assert quality.n_spots.tolist() == [0, 0]
    for name in ("indexed_fraction", "rmsd", "mosaicity_deg", "falloff_b_angstrom2", "asymmetry"):
        assert np.isnan(getattr(quality, name)).all(), name
    assert np.isnan(quality.resolution_robust_angstrom).all()


def test_indexed_share_and_distances_are_those_of_the_lattice() -> None:
    stills = simulate_stills(LYSOZYME, 30, 60, outliers=0.5, seed=1)
    quality = of_lists(stills.q)
    assert quality.n_spots.tolist() == [60] * 30
    assert np.median(quality.indexed_fraction) == pytest.approx(0.53, abs=0.05)
    # Positions are off by 0.0003 across, excitation errors by 0.0007 1/angstrom.
    assert 3e-4 < np.median(quality.rmsd) < 1e-3


def test_false_spots_far_out_do_not_move_the_robust_resolution() -> None:
    stills = simulate_stills(LYSOZYME, 20, 50, seed=2)
    few = stills.q[:, :5] / np.linalg.norm(stills.q[:, :5], axis=2)[..., None]
    far = np.concatenate([stills.q, 1.4 * scramble(few, np.random.default_rng(2))], axis=1)
    clean, spoilt = of_lists(stills.q), of_lists(far)
    ratio = spoilt.resolution_robust_angstrom / clean.resolution_robust_angstrom
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert (spoilt.resolution_angstrom < 0.8).all()


def test_falloff_is_the_b_factor_of_the_intensities() -> None:
    stills = simulate_stills(LYSOZYME, 20, 80, seed=3)
    q2 = (stills.q.astype(float) ** 2).sum(axis=2)
    spread = np.random.default_rng(3).exponential(size=q2.shape)
    intensity = 1000 * spread * np.exp(-2 * 30 * q2 / 4)
    quality = of_lists(stills.q, intensity)
    assert np.median(quality.falloff_b_angstrom2) == pytest.approx(30, rel=0.25)
    assert np.isnan(of_lists(stills.q[:, :9], intensity[:, :9]).falloff_b_angstrom2).all()
    assert np.isnan(of_lists(stills.q).falloff_b_angstrom2).all()


def test_asymmetry_tells_one_side_from_all_around() -> None:
    rng = np.random.default_rng(4)
    azimuth = rng.uniform(0, 2 * np.pi, (200, 30))
    around = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], axis=2) * 0.2
    quality = of_lists(around)
    assert np.median(quality.asymmetry) < 0.15
    azimuth = rng.uniform(0, 0.5, (20, 30))
    aside = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], axis=2) * 0.2
    assert (of_lists(aside).asymmetry > 0.95).all()


def test_mosaicity_is_the_angle_of_the_excitation_errors() -> None:
    stills = simulate_stills(LYSOZYME, 30, 60, seed=5)
    quality = of_lists(stills.q)
    typical = np.sqrt(np.mean(np.sum(stills.q**2, axis=2)))
    # 0.0007 1/angstrom of excitation error, and some of the errors of position.
    expected = np.degrees(0.00075 / typical)
    assert np.median(quality.mosaicity_deg) == pytest.approx(expected, rel=0.3)
