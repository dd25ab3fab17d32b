"""Frames of four kinds of detector with spots at known places."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import norm, poisson

from autosteer.sims._spot_patches import PlacedSpots
from autosteer.sims.detector_kinds import (
    CSPAD,
    EIGER,
    HIGH,
    JUNGFRAU,
    KINDS,
    LOW,
    MEDIUM,
    RAYONIX,
    DetectorKind,
    KindSimulator,
)


def one_spot(
    photons: float, sigma_px: float, slow: float = 100.0, fast: float = 90.0
) -> PlacedSpots:
    values = (slow, fast, photons, sigma_px, sigma_px, 0.0)
    return PlacedSpots(np.zeros(1, np.int64), *(np.array([value]) for value in values))


def no_spots() -> PlacedSpots:
    spots = one_spot(1.0, 1.0)
    return PlacedSpots(*(getattr(spots, field.name)[:0] for field in fields(spots)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_frames_have_the_type_and_background_of_their_kind(kind: DetectorKind) -> None:
    simulator = KindSimulator(kind, MEDIUM)
    frame, truth = simulator.frame(0, no_spots())
    assert frame.dtype == kind.dtype
    assert frame.shape == simulator.detector.frame_shape
    assert len(truth.spots) == 0
    photons = (frame[simulator.good] - kind.offset) / kind.gain
    assert 4 < np.median(photons) < 12
    assert simulator.good.mean() > 0.9


def test_a_frame_depends_on_seed_and_number_alone() -> None:
    first, second = KindSimulator(CSPAD, LOW, seed=3), KindSimulator(CSPAD, LOW, seed=3)
    second.frame(5, second.random_spots(5, 20))
    spots = first.random_spots(2, 30)
    again = second.random_spots(2, 30)
    np.testing.assert_array_equal(spots.slow_px, again.slow_px)
    np.testing.assert_array_equal(first.frame(2, spots)[0], second.frame(2, again)[0])
    other = KindSimulator(CSPAD, LOW, seed=4).frame(2, spots)[0]
    assert (first.frame(2, spots)[0] != other).any()


def test_gaps_hold_the_largest_number_or_nan() -> None:
    eiger = KindSimulator(EIGER, LOW)
    frame, _ = eiger.frame(0, no_spots())
    gap = ~eiger.good & (frame == 2**32 - 1)
    assert gap[:, 512:549].all()
    jungfrau = KindSimulator(JUNGFRAU, LOW)
    assert np.isnan(jungfrau.frame(0, no_spots())[0]).sum() == pytest.approx(100, abs=50)


def test_sigmas_are_those_of_poisson_statistics() -> None:
    # A wide spot on an even background: the best circle about a Gaussian has S/N of 0.90 of the
    # matched filter's, which is S / sqrt(4 pi sigma^2 B).
    even = replace(MEDIUM, center_photons=9.0, edge_photons=9.0, ring_photons=0.0)
    clean = replace(EIGER, modules=(1, 1), gap_px=(0, 0), hot_share=0.0, dead_share=0.0)
    simulator = KindSimulator(clean, even)
    _, truth = simulator.frame(0, one_spot(400.0, 2.0, slow=530.0, fast=600.0))
    level = simulator._photons[0, 530, 600]
    matched = 400 / math.sqrt(4 * math.pi * 4 * level)
    assert truth.sigmas[0] == pytest.approx(0.9 * matched, rel=0.03)
    assert truth.sigmas_with_own[0] < truth.sigmas[0]
    assert truth.whole[0]


@pytest.mark.parametrize("level", [0.1, 1.0, 100.0])
def test_as_rare_is_the_tail_of_the_poisson_distribution(level: float) -> None:
    even = replace(MEDIUM, center_photons=level, edge_photons=level, ring_photons=0.0)
    clean = replace(EIGER, modules=(1, 1), gap_px=(0, 0), hot_share=0.0, dead_share=0.0)
    simulator = KindSimulator(clean, even)
    photons = 10 * math.sqrt(level) + 6
    # So narrow that its best footprint is the pixel it falls on.
    _, truth = simulator.frame(0, one_spot(photons, 0.3, slow=530.0, fast=600.0))
    background = simulator._photons[0, 530, 600]
    expected = background + photons * math.erf(0.5 / 0.3 / math.sqrt(2)) ** 2
    least, next_one = (
        norm.isf(poisson.sf(count - 1, background))
        for count in (math.floor(expected), math.ceil(expected))
    )
    assert least - 0.01 <= truth.sigmas_as_rare[0] <= next_one + 0.01
    assert truth.sigmas_as_rare[0] < truth.sigmas[0]


def test_spots_hold_their_photons() -> None:
    clean = replace(RAYONIX, hot_share=0.0, dead_share=0.0, pixel_offset=0.0, readout_photons=0.0)
    simulator = KindSimulator(clean, LOW)
    spots = one_spot(50_000.0, 1.5)
    frame = simulator.frame(1, spots)[0].astype(float)
    blank = simulator.frame(1, no_spots())[0].astype(float)
    part = (0, slice(85, 116), slice(75, 106))
    excess = (frame - blank)[part]
    assert excess.sum() / clean.gain == pytest.approx(50_000, rel=0.03)
    steps = np.arange(31) - 15
    width = math.sqrt((excess * steps**2).sum() / excess.sum())
    assert width == pytest.approx(math.hypot(1.5, 1 / math.sqrt(12)), rel=0.05)


def test_spots_that_are_cut_are_not_whole() -> None:
    simulator = KindSimulator(CSPAD, HIGH)
    _, truth = simulator.frame(0, one_spot(500.0, 1.5, slow=0.0))
    assert not truth.whole[0]
