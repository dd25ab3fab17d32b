"""Orientations, reflections and structure factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autosteer.contracts.simulation import SimulatedCrystals, SimulatedJet, SimulatedSfx
from autosteer.physics import UnitCell
from autosteer.sims import LYSOZYME, CrystalSimulator
from autosteer.sims._visibility import visible_photons, visible_spots
from autosteer.sims.crystals import (
    crystal_brightness,
    excitation_width,
    polarization,
    random_rotations,
    structure_factors_squared,
)

WAVELENGTH = 1.3
BEAM = np.array([0.0, 0.0, 1 / WAVELENGTH])


def simulator(
    cell: UnitCell = LYSOZYME, d_min: float = 3.0, seed: int = 1, **config: Any
) -> CrystalSimulator:
    return CrystalSimulator(cell, SimulatedCrystals(**config), WAVELENGTH, d_min, seed)


def test_rotations_are_proper_and_uniform() -> None:
    rotations = random_rotations(np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1),
        np.broadcast_to(np.eye(3), (20_000, 3, 3)),
        atol=1e-12,
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    np.testing.assert_allclose(rotations.mean(axis=0), 0.0, atol=0.02)
    # A uniformly turned axis has uniform direction cosines; the angle follows 1 - cos.
    assert stats.kstest(rotations[:, 2, 2], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    angle = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert stats.kstest(angle, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-3


def test_spots_lie_on_the_ewald_sphere_near_their_reflections() -> None:
    one = simulator()
    basis = one.random_bases(np.random.default_rng(2), 1)[0]
    found = one.reflections(basis)
    k_out = found.q + BEAM
    np.testing.assert_allclose(np.linalg.norm(k_out, axis=1), 1 / WAVELENGTH, rtol=1e-12)
    exact = found.hkl @ np.linalg.inv(basis).T
    error = np.linalg.norm(exact - found.q, axis=1)
    width = excitation_width(np.linalg.norm(exact, axis=1), SimulatedCrystals(), 1 / WAVELENGTH)
    assert len(found) > 100
    assert (error < 3.3 * width).all()
    np.testing.assert_allclose(found.partiality, np.exp(-0.5 * (error / width) ** 2), rtol=1e-6)


@pytest.mark.parametrize("d_min", [2.5, 4.0])
def test_no_reflection_is_missed(d_min: float) -> None:
    cell = UnitCell(30.0, 40.0, 50.0, 80.0, 95.0, 110.0)
    one = simulator(cell, d_min, cell_spread=0.01)
    grid = np.arange(-25, 26)
    hkl = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[(hkl != 0).any(axis=1)]
    inside = np.linalg.norm(hkl @ cell.reciprocal_basis(), axis=1) <= 1 / d_min
    assert one.n_reflections == np.count_nonzero(inside)
    hkl = hkl[inside]
    factors = structure_factors_squared(hkl.astype(np.float32), 1)
    for basis in one.random_bases(np.random.default_rng(3), 5):
        q = hkl @ np.linalg.inv(basis).T
        k_out = q + BEAM
        radius = np.linalg.norm(k_out, axis=1)
        size = np.linalg.norm(hkl @ cell.reciprocal_basis(), axis=1)
        width = excitation_width(np.linalg.norm(q, axis=1), SimulatedCrystals(), 1 / WAVELENGTH)
        photons = 300 * factors * np.exp(-2 * (2.8 * size) ** 2)
        photons *= np.exp(-0.5 * ((radius - 1 / WAVELENGTH) / width) ** 2)
        photons *= 1 - (k_out[:, 0] / radius) ** 2
        bright = {tuple(row) for row in hkl[photons > 5].tolist()}
        found = one.reflections(basis)
        assert bright <= {tuple(row) for row in found.hkl.tolist()}
        of = dict(zip(map(tuple, hkl.tolist()), photons, strict=True))
        expected = [of[tuple(row)] for row in found.hkl.tolist()]
        np.testing.assert_allclose(found.photons, expected, rtol=2e-3)


def test_bases_keep_the_cell_with_its_spread_and_handedness() -> None:
    bases = simulator(cell_spread=0.002).random_bases(np.random.default_rng(4), 5_000)
    lengths = np.linalg.norm(bases, axis=2)
    assert (np.linalg.det(bases) > 0).all()
    np.testing.assert_allclose(lengths.mean(axis=0), LYSOZYME.lengths, rtol=2e-4)
    np.testing.assert_allclose(lengths.std(axis=0) / lengths.mean(axis=0), 0.002, rtol=0.05)
    np.testing.assert_allclose(lengths[:, 0], lengths[:, 1])
    assert abs(np.corrcoef(lengths[:, 0], lengths[:, 2])[0, 1]) < 0.06


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"domain_size_angstrom": 1000.0, "mosaicity_deg": 0.0, "bandwidth": 0.0}, [4e-4, 4e-4]),
        # At q = k the scattering angle 2 theta is 60 degrees, at 2 k backwards.
        (
            {"domain_size_angstrom": 1e12, "mosaicity_deg": 0.1, "bandwidth": 0.0},
            [math.radians(0.1) * math.cos(math.pi / 6) / WAVELENGTH, 0.0],
        ),
        (
            {"domain_size_angstrom": 1e12, "mosaicity_deg": 0.0, "bandwidth": 0.01},
            [0.01 / 2 / WAVELENGTH, 0.02 / WAVELENGTH],
        ),
    ],
    ids=["domains", "mosaicity", "bandwidth"],
)
def test_each_effect_has_its_width(config: dict[str, float], expected: list[float]) -> None:
    width = excitation_width(
        np.array([1, 2]) / WAVELENGTH, SimulatedCrystals(**config), 1 / WAVELENGTH
    )
    np.testing.assert_allclose(width, expected, rtol=1e-9, atol=1e-11)


@given(hkl=st.tuples(*[st.integers(-300, 300)] * 3), seed=st.integers(0, 2**32))
def test_friedel_mates_have_equal_structure_factors(hkl: tuple[int, int, int], seed: int) -> None:
    pair = np.array([hkl, [-index for index in hkl]], dtype=np.float32)
    one, two = structure_factors_squared(pair, seed)
    assert one == two > 0
    alone = structure_factors_squared(pair[:1], seed)
    assert alone[0] == one


def test_structure_factors_follow_wilson_and_the_seed() -> None:
    hkl = np.stack(np.meshgrid(*[np.arange(40.0)] * 3), axis=-1).reshape(-1, 3)
    factors = structure_factors_squared(hkl.astype(np.float32), 1)
    assert stats.kstest(factors, "expon").pvalue > 1e-3
    assert len(np.unique(factors)) == len(factors)
    other = structure_factors_squared(hkl.astype(np.float32), 2)
    assert abs(np.corrcoef(factors, other)[0, 1]) < 0.02


def test_intensities_fall_off_and_scale_with_the_illumination() -> None:
    one = simulator(d_min=2.2, resolution_angstrom=4.0, mosaicity_deg=0.3)
    bases = one.random_bases(np.random.default_rng(5), 40)
    found = [one.reflections(basis, 1e6) for basis in bases]
    q = np.linalg.norm(np.concatenate([each.q for each in found]), axis=1)
    full = np.concatenate([each.photons / each.partiality for each in found]) / 1e6
    polarized = np.concatenate([polarization(each.q[:, 0] * WAVELENGTH) for each in found])
    near = np.abs(q - 1 / 4) < 0.01
    mean = (full / polarized)[near].mean()
    assert mean == pytest.approx(300 * math.exp(-2), rel=0.1)
    dim = one.reflections(bases[0], 1.0)
    bright = one.reflections(bases[0], 2.0)
    of = dict(zip(map(tuple, bright.hkl.tolist()), bright.photons, strict=True))
    np.testing.assert_allclose([of[tuple(row)] for row in dim.hkl.tolist()], 2 * dim.photons)


@pytest.mark.parametrize(
    ("centering", "share"), [("P", 1.0), ("A", 2), ("C", 2), ("I", 2), ("F", 4), ("R", 3)]
)
def test_centring_forbids_reflections(centering: Any, share: float) -> None:
    cell = UnitCell(60.0, 60.0, 80.0, 90.0, 90.0, 120.0, centering)
    primitive = simulator(UnitCell(60.0, 60.0, 80.0, 90.0, 90.0, 120.0), 4.0).n_reflections
    assert simulator(cell, 4.0).n_reflections == pytest.approx(primitive / share, rel=0.02)


@pytest.mark.parametrize(
    ("changed", "grows"),
    [
        ({"domain_size_angstrom": 500.0}, 1.8),
        ({"mosaicity_deg": 0.5}, 2.5),
        ({"bandwidth": 0.02}, 1.3),
    ],
)
def test_imperfect_crystals_and_beams_show_more_reflections(
    changed: dict[str, Any], grows: float
) -> None:
    plain, spoilt = simulator(), simulator(**changed)
    bases = plain.random_bases(np.random.default_rng(6), 10)
    counts = [
        sum(np.count_nonzero(each.reflections(basis).partiality > 0.5) for basis in bases)
        for each in (plain, spoilt)
    ]
    assert counts[1] > grows * counts[0]


@pytest.mark.parametrize("cell", [LYSOZYME, UnitCell(106.0, 106.0, 150.0, 90, 90, 90, "I")])
@pytest.mark.parametrize("brightness", [0.5, 1.0])
def test_the_mean_number_of_visible_spots_is_known_in_advance(
    cell: UnitCell, brightness: float
) -> None:
    config = SimulatedSfx(kind="sfx", jet=SimulatedJet(across="x", aligned_across_mm=0.0))
    one = simulator(cell, 2.65)
    limit = visible_photons(config)
    found = [
        one.reflections(basis, brightness)
        for basis in one.random_bases(np.random.default_rng(7), 150)
    ]
    seen = [each.photons > limit for each in found]
    count, outer_q = visible_spots(config, cell, WAVELENGTH, 2.65, np.array([brightness]))
    assert np.mean([np.count_nonzero(each) for each in seen]) == pytest.approx(count[0], rel=0.06)
    q = np.concatenate([
        np.linalg.norm(each.q[visible], axis=1) for each, visible in zip(found, seen, strict=True)
    ])
    assert np.quantile(q, 0.95) == pytest.approx(outer_q[0], rel=0.02)


def test_brightness_lies_between_half_and_full() -> None:
    brightness = crystal_brightness(np.array([1e-12, 0.5, 1 - 1e-12]))
    np.testing.assert_allclose(brightness, [1.0, math.sqrt(0.5), 0.5])


@pytest.mark.parametrize(("d_min", "message"), [(0.6, "nothing is seen"), (200.0, "no reflection")])
def test_impossible_resolutions_are_refused(d_min: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulator(d_min=d_min)
