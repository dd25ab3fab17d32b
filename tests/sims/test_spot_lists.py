"""Spot lists without pixels, and the program that writes examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosteer.sims import LYSOZYME, CrystalSimulator
from autosteer.sims.spot_lists import SpotLists, SpotListSimulator, SpotListTruth, main
from tests.sims.beamlines import sfx

WAVELENGTH = 1.3
BEAM = np.array([0.0, 0.0, 1 / WAVELENGTH])


def simulated(count: int = 60, **options: Any) -> tuple[SpotLists, SpotListTruth]:
    return SpotListSimulator(sfx(), seed=1, **options).spot_lists(count)


def test_lists_are_padded_at_their_ends() -> None:
    lists, truth = simulated()
    assert lists.q.shape == (60, 128, 3)
    assert lists.q.dtype == np.float32
    there = np.isfinite(lists.q)
    np.testing.assert_array_equal(there.all(axis=2), there.any(axis=2))
    for row, count in zip(there[..., 0], lists.n_spots, strict=True):
        assert row[:count].all()
        assert not row[count:].any()
    assert not truth.is_outlier[~there[..., 0]].any()


def test_spots_lie_on_the_ewald_sphere_within_resolution() -> None:
    q = simulated()[0].q.astype(float)
    q = q[np.isfinite(q[..., 0])]
    radius = np.linalg.norm(q + BEAM, axis=1)
    np.testing.assert_allclose(radius, 1 / WAVELENGTH, rtol=1e-6)
    assert np.linalg.norm(q, axis=1).max() < 1 / 2.6


def test_true_spots_have_whole_indices_and_false_ones_do_not() -> None:
    lists, truth = simulated()
    true, false = [], []
    for index in np.flatnonzero(truth.is_hit):
        q = lists.q[index][: lists.n_spots[index]].astype(float)
        outlier = truth.is_outlier[index][: len(q)]
        distance = np.abs(q @ truth.bases[index].T - np.rint(q @ truth.bases[index].T)).max(axis=1)
        true.append(distance[~outlier])
        false.append(distance[outlier])
    assert np.quantile(np.concatenate(true), 0.99) < 0.15
    assert np.median(np.concatenate(false)) > 0.3


def test_fractions_are_as_asked_for() -> None:
    lists, truth = simulated(300, hit_fraction=0.5, outlier_fraction=0.3)
    assert truth.is_hit.mean() == pytest.approx(0.5, abs=0.09)
    hits = truth.is_hit
    false = truth.is_outlier[hits].sum()
    assert false / (lists.n_spots[hits].sum() - false) == pytest.approx(0.3, rel=0.1)
    assert 30 < np.median(lists.n_spots[hits]) < 100
    assert lists.n_spots[~hits].mean() == pytest.approx(2.0, abs=0.5)
    np.testing.assert_array_equal(np.isfinite(truth.bases[:, 0, 0]), hits)


def test_the_longest_list_keeps_the_strongest_spots() -> None:
    (short, _), (long, truth) = simulated(max_spots=10), simulated()
    assert short.q.shape == (60, 10, 3)
    np.testing.assert_array_equal(short.q, long.q[:, :10])
    crystals = CrystalSimulator(LYSOZYME, sfx().crystals, WAVELENGTH, 2.65, 1)
    ratios = []
    for index in np.flatnonzero(truth.is_hit):
        sent = crystals.reflections(truth.bases[index])
        photons = dict(zip(map(tuple, sent.hkl.tolist()), sent.photons, strict=True))
        true = long.q[index][: long.n_spots[index]][~truth.is_outlier[index][: long.n_spots[index]]]
        indices = np.rint(true.astype(float) @ truth.bases[index].T).astype(int).tolist()
        strength = np.array([photons.get(tuple(hkl), np.nan) for hkl in indices])
        ratios.append(np.nanmean(strength[:5]) / np.nanmean(strength[-5:]))
    assert np.median(ratios) > 5


def test_a_list_depends_on_its_number_alone() -> None:
    simulator = SpotListSimulator(sfx(), seed=1)
    later, _ = simulator.spot_lists(5, first=7)
    np.testing.assert_array_equal(later.q, simulated()[0].q[7:12])
    other, _ = SpotListSimulator(sfx(), seed=2).spot_lists(5, first=7)
    assert not np.array_equal(later.q, other.q, equal_nan=True)


@pytest.mark.parametrize(
    "options",
    [{"hit_fraction": 1.1}, {"outlier_fraction": -0.1}, {"position_sigma": -1}, {"max_spots": 0}],
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        SpotListSimulator(sfx(), **options)


def test_the_program_keeps_lists_and_truth_apart(tmp_path: Path) -> None:
    out, truth, again = (tmp_path / name for name in ("out.npz", "truth.npz", "again.npz"))
    main([str(out), "--count", "12", "--seed", "5", "--truth", str(truth)])
    main([str(again), "--count", "12", "--seed", "5"])
    assert out.read_bytes() == again.read_bytes()
    with np.load(out) as lists:
        assert set(lists) == {"q", "unit_cell", "wavelength_angstrom"}
        assert lists["q"].shape == (12, 128, 3)
        assert lists["unit_cell"].tolist() == [*LYSOZYME.lengths, *LYSOZYME.angles]
    with np.load(truth) as scoring:
        assert scoring["bases"].shape == (12, 3, 3)
