"""Frames: what the detector reads, and where the spots are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autosteer.contracts.simulation import SimulatedCrystals, SimulatedDetector
from autosteer.physics import Detector, module_mask
from autosteer.sims import FrameSimulator, Shot
from autosteer.sims._background import (
    BEAM_STOP_Q,
    WATER_RING_Q,
    NoiseBank,
    background_photons,
    liquid_profile,
)
from tests.sims.beamlines import detector_section, sfx

GAIN, PEDESTAL, NOISE = 10.0, 40.0, 4.0


def shot(pulse_id: int = 1, n_crystals: int = 0, **changes: Any) -> Shot:
    plain = Shot(pulse_id, n_crystals, beam_intensity=1.0, jet_thickness_in_beam=1.0)
    return replace(plain, **changes)


def on_module() -> np.ndarray[Any, np.dtype[np.bool_]]:
    section = detector_section()
    return module_mask(section.shape, section.modules, section.gap_px)[None]


def is_good(frames: FrameSimulator) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the pixels that are neither in a gap nor hot nor dead, from a blank frame."""
    blank = frames.frame(shot())
    return on_module() & (blank > 0) & (blank < 0.85 * frames.saturation)


def test_a_frame_depends_on_its_shot_alone(frames: FrameSimulator) -> None:
    wanted = [shot(pulse, n_crystals=pulse % 3) for pulse in range(6)]
    forwards = [frames.frame(one) for one in wanted]
    backwards = [frames.frame(one) for one in reversed(wanted)]
    for one, two in zip(forwards, reversed(backwards), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(forwards[0], forwards[3])
    assert forwards[0].shape == (1, 250, 258)
    assert forwards[0].dtype == np.uint16


def test_the_seed_makes_all_the_difference() -> None:
    config = sfx(detector=SimulatedDetector(bank_frames=2))
    section = detector_section(shape=(64, 64), modules=(1, 1), gap_px=(0, 0))
    one, again, other = (FrameSimulator(section, config, seed=seed) for seed in (1, 1, 2))
    met = shot(n_crystals=1)
    np.testing.assert_array_equal(one.frame(met), again.frame(met))
    assert not np.array_equal(one.frame(met), other.frame(met))
    assert not np.array_equal(one.truth(met).bases, other.truth(met).bases)


def test_gaps_and_dead_pixels_read_zero_and_hot_ones_shine(frames: FrameSimulator) -> None:
    several = [frames.frame(shot(pulse, n_crystals=5)) for pulse in range(4)]
    always_zero = np.all([frame == 0 for frame in several], axis=0)
    assert np.count_nonzero(always_zero & on_module()) == 9
    assert always_zero[~on_module()].all()
    always_hot = np.all([frame >= 0.9 * frames.saturation - 1 for frame in several], axis=0)
    assert np.count_nonzero(always_hot & on_module()) >= 12
    blank = frames.frame(shot(9))
    assert np.count_nonzero(blank >= 0.9 * frames.saturation - 1) == 12
    assert max(int(frame.max()) for frame in several) <= frames.saturation


@pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
def test_the_background_has_its_mean_and_noise(frames: FrameSimulator, level: float) -> None:
    air, full = (background_photons(frames.detector, 1.3, one, 2.0)[0] for one in (0.0, 1.0))
    expected = air + level * (full - air)
    stack = np.stack([
        frames.frame(shot(pulse, jet_thickness_in_beam=level))[0] for pulse in range(60)
    ]).astype(float)
    good = is_good(frames)[0]
    residual = (stack - PEDESTAL - GAIN * expected)[:, good]
    # Each pixel is drawn from eight frames at most, so that the stack averages little.
    assert residual.mean() == pytest.approx(0.0, abs=0.15)
    # The bank's 24 frames make 6 levels up to 1.3; what lies between two is a mixture of both.
    part = (level / 0.26) % 1
    mixture = part * (1 - part) * (0.26 * GAIN * (full - air)) ** 2
    variance = (GAIN**2 * expected + NOISE**2 + 1 / 12 + mixture)[good].mean()
    assert residual.var() == pytest.approx(variance, rel=0.01)


def test_the_beam_stop_casts_a_shadow(frames: FrameSimulator) -> None:
    expected = background_photons(frames.detector, 1.3, 1.0, 2.0)
    panel, slow, fast = np.indices(frames.detector.frame_shape)
    q = np.linalg.norm(
        frames.detector.scattering_vectors(panel, slow, fast, 1.3).reshape(*panel.shape, 3), axis=-1
    )
    assert not expected[q < BEAM_STOP_Q].any()
    assert (expected[q > BEAM_STOP_Q] > 0).all()


def test_the_water_ring_is_where_water_scatters() -> None:
    q = np.linspace(0.15, 0.8, 2000)
    profile = liquid_profile(q)
    assert q[profile.argmax()] == pytest.approx(WATER_RING_Q, abs=0.01)
    assert profile.max() == pytest.approx(1.0, abs=0.01)
    assert profile[-1] < 0.3


def test_polarisation_and_solid_angle_dim_the_edges() -> None:
    section = detector_section(modules=(1, 1), gap_px=(0, 0))
    detector = FrameSimulator(
        section, sfx(detector=SimulatedDetector(bank_frames=1)), seed=0
    ).detector
    photons = background_photons(detector, 1.3, 1.0, 2.0)[0]
    # Same distance from the beam, along and across the polarisation.
    along, across = photons[121, 131 + 90], photons[121 + 90, 131]
    angle = np.arctan(90 * 0.3 / 80)
    assert along / across == pytest.approx(np.cos(angle) ** 2, rel=0.02)


def test_the_solid_angle_of_a_pixel_falls_as_the_cosine_cubed() -> None:
    detector = Detector.flat((400, 3), 0.3, 80.0, (0.0, 1.0))
    photons = background_photons(detector, 1.3, 1.0, 2.0)[0, 20:, 1]
    far = np.arange(20, 400) * 0.3
    q = 2 * np.sin(np.arctan(far / 80) / 2) / 1.3
    scattered = 2.0 * (liquid_profile(q) + 0.5 * np.exp(-q / 0.06))
    np.testing.assert_allclose(photons / scattered, (80 / np.hypot(80, far)) ** 3, rtol=1e-9)


def test_spots_carry_their_photons(frames: FrameSimulator) -> None:
    expected, found = 0.0, 0.0
    for pulse in range(40):
        met = shot(pulse, n_crystals=1)
        truth = frames.truth(met)
        expected += truth.photons.sum()
        blank = frames.frame(replace(met, n_crystals=0)).astype(int)
        found += (frames.frame(met) - blank).sum() / GAIN
    # Gaps, bad pixels and the rim take a little; the error of the sum is 0.2 %.
    assert 0.97 * expected < found < 1.0 * expected


def test_spots_are_where_the_truth_says(frames: FrameSimulator) -> None:
    offsets = []
    for pulse in range(20):
        met = shot(pulse, n_crystals=1, beam_intensity=2.0)
        truth = frames.truth(met)
        blank = frames.frame(replace(met, n_crystals=0)).astype(float)
        added = (frames.frame(met) - blank)[0]
        for slow, fast in zip(truth.slow_px, truth.fast_px, strict=True):
            row, column = round(slow), round(fast)
            apart = np.hypot(truth.slow_px - slow, truth.fast_px - fast)
            box = (slice(row - 3, row + 4), slice(column - 3, column + 4))
            patch = added[box]
            if np.sort(apart)[1] < 10 or patch.shape != (7, 7) or not is_good(frames)[0][box].all():
                continue
            if patch.sum() < 100 * GAIN:
                continue
            grid = np.indices(patch.shape) - 3
            center = (grid * patch).sum(axis=(1, 2)) / patch.sum()
            offsets.append([row + center[0] - slow, column + center[1] - fast])
    assert len(offsets) > 50
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.03
    assert np.std(offsets, axis=0).max() < 0.12


def test_the_truth_agrees_with_the_geometry(frames: FrameSimulator) -> None:
    truth = frames.truth(shot(3, n_crystals=2))
    assert truth.bases.shape == (2, 3, 3)
    assert set(truth.crystal.tolist()) == {0, 1}
    q = frames.detector.scattering_vectors(truth.panel, truth.slow_px, truth.fast_px, 1.3)
    np.testing.assert_allclose(q, truth.q, atol=1e-9)
    indices = np.einsum("nij,nj->ni", truth.bases[truth.crystal], truth.q)
    assert np.abs(indices - truth.hkl).max() < 0.2
    assert on_module()[0][
        np.rint(truth.slow_px).astype(int), np.rint(truth.fast_px).astype(int)
    ].all()


def test_a_shot_without_crystals_has_an_empty_truth(frames: FrameSimulator) -> None:
    truth = frames.truth(shot())
    assert truth.bases.shape == (0, 3, 3)
    assert len(truth.photons) == len(truth.hkl) == 0


def test_overlapping_spots_add_up_and_saturate() -> None:
    config = sfx(
        crystals=SimulatedCrystals(photons_per_spot=1e6),
        detector=SimulatedDetector(bank_frames=2, hot_pixels=0, dead_pixels=0),
    )
    section = detector_section(
        shape=(64, 64),
        beam_center_px=(-30.0, 31.5),
        saturation=900.0,
        modules=(1, 1),
        gap_px=(0, 0),
    )
    frame = FrameSimulator(section, config, seed=2).frame(shot(n_crystals=40))
    assert frame.max() == 900
    assert np.count_nonzero(frame == 900) > 200


def test_overlapping_spots_lose_no_photons() -> None:
    config = sfx(
        crystals=SimulatedCrystals(spot_sigma_px=4.0),
        detector=SimulatedDetector(bank_frames=2, hot_pixels=0, dead_pixels=0),
    )
    section = detector_section(modules=(1, 1), gap_px=(0, 0), saturation=None)
    simulator = FrameSimulator(section, config, seed=2)
    met = shot(n_crystals=30)
    added = simulator.frame(met).astype(int) - simulator.frame(replace(met, n_crystals=0))
    photons = simulator.truth(met).photons.sum()
    assert np.count_nonzero(added) > 0.7 * added.size
    # What falls over the rim is lost, and 0.5 % beyond the patches.
    assert 0.96 * photons < added.sum() / GAIN < 0.999 * photons


def test_frames_may_go_into_an_array_of_the_caller(frames: FrameSimulator) -> None:
    out = np.full((1, 250, 258), 7, dtype=np.uint16)
    given = frames.frame(shot(5, n_crystals=1), out)
    assert given is out
    np.testing.assert_array_equal(out, frames.frame(shot(5, n_crystals=1)))


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((250, 258), np.uint16),
        np.zeros((1, 250, 258), np.int32),
        np.zeros((1, 250, 516), np.uint16)[:, :, ::2],
    ],
    ids=["shape", "type", "strides"],
)
def test_unfit_arrays_of_the_caller_are_refused(
    frames: FrameSimulator, out: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(ValueError, match="must be contiguous"):
        frames.frame(shot(), out)


def test_the_bank_reports_its_progress_and_size() -> None:
    seen: list[tuple[int, int]] = []
    section = detector_section(shape=(32, 256), modules=(1, 1), gap_px=(0, 0))
    config = sfx(detector=SimulatedDetector(bank_frames=9))
    simulator = FrameSimulator(
        section, config, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 8) for done in range(1, 9)]
    assert simulator.bank_bytes == 8 * 32 * 256 * 2


def test_too_many_bad_pixels_are_refused() -> None:
    section = detector_section(shape=(8, 8), modules=(1, 1), gap_px=(0, 0))
    with pytest.raises(ValueError, match="hot_pixels and dead_pixels"):
        FrameSimulator(section, sfx(detector=SimulatedDetector(bank_frames=1)))


@pytest.mark.parametrize("width", [64, 70, 5])
def test_the_bank_mixes_levels_in_proportion(width: int) -> None:
    # Level and pixel stand in the value, so that each pixel shows where it came from.
    pixel = np.arange(40 * width).reshape(1, 40, width)
    levels = np.array([0.0, 0.5, 1.0])
    made = np.stack([pixel + 3000 * step for step in (0, 0, 1, 1, 2, 2)]).astype(np.uint16)
    bank = NoiseBank(levels, made)
    rng = np.random.default_rng(0)
    out = np.empty((1, 40, width), dtype=np.uint16)
    for level, expected in (
        (-1.0, 0.0),
        (0.0, 0.0),
        (0.35, 0.7),
        (0.5, 1.0),
        (1.0, 2.0),
        (3.0, 2.0),
    ):
        drawn = []
        for _ in range(40):
            bank.draw(rng, level, out)
            np.testing.assert_array_equal(out % 3000, pixel % 3000)
            drawn.append((out.astype(int) - pixel) // 3000)
        steps = np.stack(drawn)
        assert set(np.unique(steps).tolist()) <= {int(expected), -int(-expected // 1)}
        assert steps.mean() == pytest.approx(expected, abs=0.05)


def test_the_true_detector_may_be_off_from_what_the_file_says() -> None:
    section = detector_section(shape=(64, 64), modules=(1, 1), gap_px=(0, 0))
    said = SimulatedDetector(bank_frames=2)
    off = said.model_copy(update={"beam_center_error_px": (2.0, -3.0), "distance_error_mm": 0.5})
    one, other = (FrameSimulator(section, sfx(detector=each)) for each in (said, off))
    moved = other.detector.origin_mm - one.detector.origin_mm
    np.testing.assert_allclose(moved, [[3 * 0.3, -2 * 0.3, 0.5]])
    truth = other.truth(shot(n_crystals=3))
    assert len(truth.panel)
    seen = other.detector.scattering_vectors(truth.panel, truth.slow_px, truth.fast_px, 1.3)
    k_out = truth.q + np.array([0, 0, 1 / 1.3])
    direction = k_out / np.linalg.norm(k_out, axis=1, keepdims=True) - np.array([0, 0, 1])
    np.testing.assert_allclose(seen, direction / 1.3, atol=1e-9)
    behind = said.model_copy(update={"distance_error_mm": -80.0})
    with pytest.raises(ValueError, match="the true distance would be 0 mm"):
        FrameSimulator(section, sfx(detector=behind))
    unsaid = section.model_copy(update={"wavelength_angstrom": None})
    with pytest.raises(ValueError, match="wavelength_angstrom is needed"):
        FrameSimulator(unsaid, sfx(detector=said))
