"""Rings of ice and powder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.rings import PowderRings, spots_on_rings
from autosteer.analysis.spots import Spots, no_spots
from autosteer.physics import Detector


def spots_at(lengths: list[NDArray[np.float64]]) -> tuple[Spots, NDArray[np.float64]]:
    """Spots of some frames at given lengths of q, in random directions."""
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(len(lengths)), [len(one) for one in lengths])
    direction = rng.normal(size=(len(frame), 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    counts = np.bincount(frame, minlength=len(lengths))
    spots = replace(no_spots(), frame=frame, n_spots=counts)
    return spots, direction * np.concatenate(lengths)[:, None]


def crystal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Lengths as those of a crystal's spots: evenly spread over the Ewald sphere."""
    return np.sqrt(rng.uniform(0.02**2, 0.5**2, count))


def test_spots_of_a_crystal_are_on_no_ring() -> None:
    rng = np.random.default_rng(1)
    spots, q = spots_at([crystal(rng, count) for count in (300, 100, 30, 0, 4)])
    rings = spots_on_rings(spots, q)
    assert rings.on_ring.mean() < 0.02
    np.testing.assert_allclose(rings.ring_score[:3], 0, atol=0.04)
    assert np.isnan(rings.ring_score[3])
    assert rings.ring_score[4] == 0


def test_spots_that_crowd_at_a_resolution_are_on_a_ring() -> None:
    rng = np.random.default_rng(2)
    ice = 1 / 3.67 + rng.normal(0, 0.0005, 12)
    salt = 0.41 + rng.normal(0, 0.0005, 25)
    spots, q = spots_at([
        crystal(rng, 60),
        np.concatenate([crystal(rng, 60), ice]),
        np.concatenate([crystal(rng, 60), salt]),
    ])
    rings = spots_on_rings(spots, q)
    on_ring = [rings.on_ring[spots.frame == frame] for frame in range(3)]
    assert not on_ring[0].any()
    assert on_ring[1][60:].all()
    assert on_ring[1][:60].mean() < 0.1
    assert on_ring[2][60:].all()
    assert rings.on_ice[spots.frame == 1][60:].all()
    assert not rings.on_ice[spots.frame == 2].any()
    assert rings.ring_score[1] == pytest.approx(12 / 72, abs=0.05)
    assert not spots_on_rings(spots, q, ice_d_angstrom=()).on_ice.any()


def test_few_spots_on_ice_count_where_ice_is_known_to_be() -> None:
    rng = np.random.default_rng(3)
    six = 1 / 2.25 + rng.normal(0, 0.0005, 6)
    spots, q = spots_at([np.concatenate([crystal(rng, 80), six])])
    assert spots_on_rings(spots, q).on_ice[80:].all()
    elsewhere, q = spots_at([np.concatenate([crystal(rng, 80), six + 0.02])])
    assert not spots_on_rings(elsewhere, q).on_ring[80:].any()


def test_no_spots_are_on_no_rings() -> None:
    rings = spots_on_rings(no_spots(), np.zeros((0, 3)))
    assert len(rings.on_ring) == len(rings.on_ice) == len(rings.ring_score) == 0


def test_a_narrow_ring_of_the_background_is_found_and_a_wide_one_is_not() -> None:
    detector = Detector.flat((400, 400), 0.2, 100.0, (199.5, 180.0))
    wavelength = 1.3
    panel, slow, fast = (index.ravel() for index in np.indices(detector.frame_shape))
    length = np.linalg.norm(detector.scattering_vectors(panel, slow, fast, wavelength), axis=1)
    length = length.reshape(detector.frame_shape)
    liquid = 5 + 20 * np.exp(-(((length - 0.2) / 0.05) ** 2) / 2)
    ice = 4 * np.exp(-(((length - 1 / 3.9) / 0.0015) ** 2) / 2)
    rng = np.random.default_rng(4)
    frames = rng.poisson(np.stack([liquid, liquid + ice])).astype(np.float32)
    frames[:, 0, 100:103, 200:203] += 3_000
    frames[:, 0, :20] = np.nan
    mask = np.ones(detector.frame_shape, dtype=bool)
    mask[:, 390:] = False
    rings = PowderRings(detector, wavelength, mask).find(frames)
    assert rings.contrast[0] == 0
    assert np.isnan(rings.d_angstrom[0])
    assert rings.d_angstrom[1] == pytest.approx(3.9, abs=0.03)
    assert 0.1 < rings.contrast[1] < 0.5
    assert rings.sigmas[1] > 8
