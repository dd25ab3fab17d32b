"""Spot finding on simulated frames."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.dense_spots import DenseSpotFinder
from autosteer.analysis.spots import SpotFinder, Spots
from autosteer.contracts import AnalysisError, FrameError
from autosteer.sims.detector_kinds import KINDS, MEDIUM, DetectorKind, KindSimulator
from tests.analysis.simulated_frames import (
    GAIN,
    add_spots,
    as_counts,
    blank_frames,
    random_places,
)

SHAPE = (2, 3, 256, 192)


def matches(spots: Spots, places: NDArray[Any], within_px: float = 1.5) -> NDArray[np.intp]:
    """For each place the number of the spot that was found there, or -1."""
    found = np.stack([spots.frame, spots.panel, spots.slow_px, spots.fast_px], axis=1)
    result = np.full(len(places), -1, dtype=np.intp)
    for index, place in enumerate(places):
        same = (found[:, :2] == place[:2]).all(axis=1)
        distance = np.where(same, np.hypot(*(found[:, 2:] - place[2:]).T), np.inf)
        if len(distance) and distance.min() < within_px:
            result[index] = distance.argmin()
    return result


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "float32"])
def test_spots_are_found_where_they_are(dtype: str) -> None:
    frames = blank_frames(SHAPE)
    places = random_places(60, SHAPE)
    add_spots(frames, places, 150.0)
    spots = SpotFinder().find(as_counts(frames, dtype))
    match = matches(spots, places)
    assert (match >= 0).mean() >= 0.98
    assert len(spots) <= len(places) + 2
    found = match[match >= 0]
    errors = spots.slow_px[found] - places[match >= 0, 2]
    # 0.9 px over the root of 150 photons is 0.07 px; the background adds to it.
    assert np.sqrt(np.mean(errors**2)) < 0.2
    assert abs(errors.mean()) < 0.06
    assert np.median(spots.intensity[found]) == pytest.approx(150 * GAIN, rel=0.1)


def test_bytes_are_searched_too() -> None:
    rng = np.random.default_rng(4)
    frames = rng.poisson(3.0, SHAPE).astype(np.uint8)
    frames[1, 2, 100:103, 50:53] += 30
    spots = SpotFinder().find(frames)
    assert (spots.frame[0], spots.panel[0]) == (1, 2)
    assert (spots.slow_px[0], spots.fast_px[0]) == pytest.approx((101, 51), abs=0.2)
    assert len(spots) == 1


@pytest.mark.parametrize(
    ("background", "pedestal", "readout", "dtype"),
    [
        (0.02, 0.0, 4.0, "int16"),
        (0.2, 40.0, 4.0, "uint16"),
        (0.5, 40.0, 4.0, "uint16"),
        (2.0, 40.0, 4.0, "uint16"),
        (20.0, 100.0, 4.0, "int32"),
        (0.0, 0.0, 5.0, "float32"),
    ],
)
def test_blank_frames_have_next_to_no_spots(
    background: float, pedestal: float, readout: float, dtype: str
) -> None:
    frames = blank_frames(
        (2, 1, 1024, 1024), background=background, pedestal=pedestal, readout=readout
    )
    spots = SpotFinder().find(as_counts(frames, dtype))
    assert (spots.n_spots <= 10).all()
    np.testing.assert_allclose(
        spots.background_level, pedestal + GAIN * background, atol=0.15 * GAIN
    )


def test_single_photons_on_a_dark_counting_detector_are_no_spots() -> None:
    photons = np.random.default_rng(4).poisson(0.03, (2, 1, 512, 512))
    assert SpotFinder().find(photons.astype(np.uint16)).n_spots.sum() <= 1
    frames = photons.astype(np.uint16)
    frames[0, 0, 200:203, 300:303] += np.array([[1, 3, 1], [3, 9, 3], [1, 3, 1]], np.uint16)
    spots = SpotFinder().find(frames)
    assert (spots.slow_px[0], spots.fast_px[0]) == pytest.approx((201, 301), abs=0.1)


def test_pairs_of_photons_on_a_quiet_detector_are_no_spots() -> None:
    # A photon is ten times the readout noise, and one pixel in twenty has one.
    frames = blank_frames((1, 1, 512, 512), background=0.05, pedestal=0.0, readout=1.0)
    places = random_places(20, (1, 1, 512, 512))
    add_spots(frames, places, 40.0)
    spots = SpotFinder().find(as_counts(frames, "int16"))
    assert (matches(spots, places) >= 0).mean() >= 0.9
    assert len(spots) <= len(places) + 30


@pytest.mark.parametrize("background", [0.0005, 0.003])
@pytest.mark.parametrize("finder", [SpotFinder, partial(DenseSpotFinder, "cpu")])
def test_rare_photons_that_meet_are_no_spots(background: float, finder: Any) -> None:
    # Some tens of times two photons fall side by side, or three.
    shape = (2, 1, 768, 768)
    frames = blank_frames(shape, background=background, pedestal=0.0, readout=1.0)
    assert len(finder().find(as_counts(frames, "int16"))) <= 4
    places = random_places(20, shape)
    add_spots(frames, places, 25.0)
    spots = finder().find(as_counts(frames, "int16"))
    assert (matches(spots, places) >= 0).mean() >= 0.9
    assert len(spots) <= len(places) + 4


@pytest.mark.parametrize("finder", [SpotFinder, partial(DenseSpotFinder, "cpu")])
@pytest.mark.parametrize(("background", "readout"), [(0.005, 0.25), (0.02, 0.25), (0.1, 0.4)])
def test_photons_that_barely_stand_out_of_readout_noise_are_no_spots(
    background: float, readout: float, finder: Any
) -> None:
    # Photons are rare, but not so rare that four or five never meet in a place.
    shape = (4, 1, 768, 768)
    frames = blank_frames(shape, background=background, pedestal=0.0, readout=readout * GAIN)
    places = random_places(20, shape)
    spots = finder().find(as_counts(frames, "int16"))
    assert len(spots) <= 6
    np.testing.assert_allclose(spots.gain, GAIN, rtol=0.15)
    add_spots(frames, places, 25.0)
    spots = finder().find(as_counts(frames, "int16"))
    assert (matches(spots, places) >= 0).mean() >= 0.9


def test_a_steep_ring_gives_no_spots() -> None:
    slow, fast = np.mgrid[:512, :512]
    radius = np.hypot(slow - 255.5, fast - 255.5)
    ring = 2.0 + 40.0 * np.exp(-(((radius - 120) / 14) ** 2))
    photons = np.random.default_rng(5).poisson(ring)
    frames = as_counts(GAIN * photons[None, None] + 40.0, "uint16")
    assert len(SpotFinder().find(frames)) <= 10


def test_hot_pixels_are_no_spots() -> None:
    frames = blank_frames(SHAPE)
    hot = np.random.default_rng(6).choice(frames.size, 300, replace=False)
    frames.reshape(-1)[hot] += 15_000
    places = random_places(30, SHAPE)
    add_spots(frames, places, 200.0)
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    at = np.stack(np.unravel_index(hot, SHAPE), axis=1)
    same_panel = (places[:, None, :2] == at[:, :2]).all(axis=2)
    distance = np.hypot(*np.moveaxis(places[:, None, 2:] - at[:, 2:], 2, 0))
    clear = np.where(same_panel, distance, np.inf).min(axis=1) > 4
    assert clear.sum() > 20
    assert (matches(spots, places[clear]) >= 0).all()
    assert len(spots) <= len(places) + 3


def test_masked_pixels_do_not_count() -> None:
    frames = blank_frames(SHAPE)
    frames[:, :, 100:110, :] = 65_535
    frames[:, :, :, 60:64] = 0
    mask = np.ones(SHAPE[1:], dtype=bool)
    mask[:, 100:110] = False
    mask[:, :, 60:64] = False
    places = random_places(40, SHAPE)
    add_spots(frames, places, 200.0)
    spots = SpotFinder(mask=mask).find(as_counts(frames, "uint16"))
    clear = (np.abs(places[:, 2] - 104.5) > 9) & (np.abs(places[:, 3] - 61.5) > 6)
    assert clear.sum() > 20
    assert (matches(spots, places[clear]) >= 0).mean() >= 0.97
    assert (np.abs(spots.slow_px - 104.5) > 4.5).all()
    assert spots.background_level == pytest.approx(60, abs=2)


def test_spots_on_the_border_of_a_panel_are_left_out() -> None:
    frames = blank_frames((1, 2, 128, 128))
    add_spots(frames, np.array([[0, 0, 127, 64], [0, 1, 0, 64], [0, 1, 64, 127]]), 400.0)
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    assert len(spots) == 0
    add_spots(frames, np.array([[0, 0, 4, 4], [0, 1, 123, 64]]), 400.0)
    assert len(SpotFinder().find(as_counts(frames, "uint16"))) == 2


def test_missing_numbers_do_not_count() -> None:
    frames = blank_frames(SHAPE).astype(np.float32)
    places = random_places(30, SHAPE)
    values = frames.astype(np.float64)
    add_spots(values, places, 200.0)
    frames = values.astype(np.float32)
    frames[:, :, 120:130] = np.nan
    frames[0, 0, 10, 10] = np.inf
    spots = SpotFinder().find(frames)
    clear = np.abs(places[:, 2] - 124.5) > 10
    assert (matches(spots, places[clear]) >= 0).all()
    assert np.isfinite([spots.slow_px, spots.fast_px, spots.intensity, spots.sigma]).all()
    assert spots.background_level == pytest.approx(60, abs=2)


def test_a_bad_frame_does_not_disturb_the_others() -> None:
    shape = (4, 1, 256, 256)
    frames = blank_frames(shape)
    places = random_places(20, (4, 1, 256, 256))
    places = places[np.isin(places[:, 0], (0, 3))]
    add_spots(frames, places, 200.0)
    good = frames.astype(np.float32)
    bad = good.copy()
    bad[1] = np.nan
    bad[2] = 1e6
    expected, spots = SpotFinder().find(good), SpotFinder().find(bad)
    np.testing.assert_array_equal(spots.n_spots[[0, 3]], expected.n_spots[[0, 3]])
    assert spots.n_spots[1] == spots.n_spots[2] == 0
    assert np.isnan(spots.background_level).tolist() == [False, True, False, False]
    kept = np.isin(spots.frame, (0, 3))
    np.testing.assert_allclose(
        spots.slow_px[kept], expected.slow_px[np.isin(expected.frame, (0, 3))]
    )


def test_saturated_pixels_are_counted_and_do_not_spoil_the_background() -> None:
    frames = blank_frames((1, 1, 256, 256))
    frames[0, 0, 40:42, 50:55] = 16_000
    add_spots(frames, np.array([[0, 0, 46.0, 52.0]]), 200.0)
    spots = SpotFinder(saturation=16_000).find(as_counts(frames, "uint16"))
    assert spots.saturated_fraction[0] == pytest.approx(10 / 256**2)
    near = matches(spots, np.array([[0, 0, 46.0, 52.0]]))
    assert near[0] >= 0
    assert spots.intensity[near[0]] == pytest.approx(200 * GAIN, rel=0.25)
    assert np.isnan(SpotFinder().find(as_counts(frames, "uint16")).saturated_fraction[0])
    everywhere = np.full((1, 1, 64, 64), 16_000, dtype=np.uint16)
    assert SpotFinder(saturation=16_000).find(everywhere).saturated_fraction[0] == 1.0


def test_limits_of_size_and_number_hold() -> None:
    frames = blank_frames((2, 1, 256, 256))
    places = random_places(30, (2, 1, 256, 256), seed=7)
    for rank, place in enumerate(places):
        add_spots(frames, place[None], 150.0 + 20 * rank)
    frames[0, 0, 3:23, 3:23] += 5_000
    counts = as_counts(frames, "uint16")
    every = SpotFinder().find(counts)
    assert (every.n_pixels <= 200).all()
    assert not ((every.frame == 0) & (every.slow_px < 25) & (every.fast_px < 25)).any()
    few = SpotFinder(max_spots=5).find(counts)
    np.testing.assert_array_equal(few.n_spots, [5, 5])
    for frame in (0, 1):
        brightest = np.sort(every.intensity[every.frame == frame])[::-1][:5]
        np.testing.assert_allclose(few.intensity[few.frame == frame], brightest)
    middle = int(np.median(every.n_pixels)) + 1
    large = SpotFinder(min_pixels=middle).find(counts)
    assert 0 < len(large) < len(every)
    assert (large.n_pixels >= middle).all()


def test_sigma_is_the_scatter_of_the_background() -> None:
    place = np.array([[0, 0, 64.0, 64.0]])
    intensities, sigmas = [], []
    for seed in range(120):
        frames = blank_frames((1, 1, 128, 128), background=20.0, seed=seed)
        # No counting noise: a spot of fixed counts on a fluctuating background.
        profile = np.outer(*2 * [np.exp(-((np.arange(-3, 4) / 0.9) ** 2) / 2)])
        frames[0, 0, 61:68, 61:68] += 1_500 * profile / profile.max()
        spots = SpotFinder().find(frames.astype(np.float32))
        spot = matches(spots, place)[0]
        intensities.append(spots.intensity[spot])
        sigmas.append(spots.sigma[spot])
    assert np.std(intensities) == pytest.approx(np.mean(sigmas), rel=0.3)


def test_many_frames_are_as_each_alone() -> None:
    shape = (5, 2, 128, 160)
    frames = blank_frames(shape)
    add_spots(frames, random_places(40, (5, 2, 128, 160)), 200.0)
    counts = as_counts(frames, "int32")
    finder = SpotFinder()
    together = finder.find(counts)
    for frame in range(5):
        alone = finder.find(counts[frame : frame + 1])
        chosen = together.frame == frame
        np.testing.assert_array_equal(alone.slow_px, together.slow_px[chosen])
        assert alone.n_spots[0] == together.n_spots[frame] == chosen.sum()
    big_endian = finder.find(counts.astype(">i4"))
    np.testing.assert_array_equal(big_endian.intensity, together.intensity)
    part = finder.find(counts[:, :, :100])
    assert (part.slow_px < 100).all()


@pytest.mark.parametrize("sigma_px", [0.6, 1.2, 2.5])
def test_spots_of_all_widths_are_found_at_ten_sigmas(sigma_px: float) -> None:
    shape = (2, 1, 384, 384)
    frames = blank_frames(shape, background=8.0)
    places = random_places(60, shape, margin=12)
    photons = 10 * np.sqrt(8.2 * 4 * np.pi * sigma_px**2)
    add_spots(frames, places, photons, sigma_px=sigma_px)
    spots = SpotFinder().find(as_counts(frames, "int16"))
    assert (matches(spots, places, within_px=2.5) >= 0).mean() >= 0.9
    assert len(spots) <= len(places) + 3


def test_a_wide_spot_of_few_photons_is_one_spot() -> None:
    shape = (4, 1, 384, 384)
    frames = np.zeros(shape)
    frames[:] = 0.2
    places = random_places(80, shape, margin=14)
    add_spots(frames, places, 80.0, sigma_px=2.5)
    counts = np.random.default_rng(3).poisson(frames / GAIN).astype(np.uint16)
    spots = SpotFinder().find(counts)
    assert len(spots) == pytest.approx(len(places), abs=4)


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_gaps_with_the_largest_number_need_no_mask(dtype: str) -> None:
    shape = (2, 1, 256, 256)
    frames = np.asarray(GAIN * np.random.default_rng(8).poisson(0.5, shape), np.float64)
    places = random_places(40, shape)
    add_spots(frames, places, 60.0)
    counts = as_counts(frames, dtype)
    counts[:, :, 100:137] = np.iinfo(dtype).max
    counts[:, :, :, 60:68] = np.iinfo(dtype).max
    counts[1, 0, 30, 40] = np.iinfo(dtype).max
    spots = SpotFinder().find(counts)
    clear = (np.abs(places[:, 2] - 118) > 22) & (np.abs(places[:, 3] - 63.5) > 7)
    assert clear.sum() > 15
    assert (matches(spots, places[clear]) >= 0).mean() >= 0.9
    assert (matches(spots, places) >= 0).sum() >= len(spots) - 1
    assert spots.intensity.max() < 100 * GAIN
    np.testing.assert_allclose(spots.background_level, 0.5 * GAIN, atol=1)


def test_a_spot_beside_a_hot_pixel_is_found_without_it() -> None:
    frames = blank_frames((1, 1, 128, 128))
    add_spots(frames, np.array([[0, 0, 60.0, 60.0]]), 300.0)
    frames[0, 0, 60, 63] = 20_000
    frames[0, 0, 90, 90] = 20_000
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    assert len(spots) == 1
    assert (spots.slow_px[0], spots.fast_px[0]) == pytest.approx((60, 60), abs=0.2)
    assert spots.intensity[0] == pytest.approx(300 * GAIN, rel=0.15)


def test_touching_spots_are_told_apart() -> None:
    frames = blank_frames((1, 1, 128, 128))
    places = np.array([[0, 0, 60.0, 60.0], [0, 0, 60.0, 64.0], [0, 0, 90.0, 30.0]])
    add_spots(frames, places, 400.0)
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    match = matches(spots, places, within_px=1.0)
    assert len(set(match)) == len(spots) == 3
    assert (match >= 0).all()


def test_sigma_holds_the_counting_noise_where_the_gain_is_known() -> None:
    shape = (1, 1, 512, 512)
    rng = np.random.default_rng(9)
    light = 2 + 30 * np.linspace(0, 1, 512)
    frames = np.asarray(GAIN * rng.poisson(light, shape) + 40.0, np.float64)
    places = np.array([[0, 0, 100.0 + 20 * n, 40.0] for n in range(10)])
    add_spots(frames, places, 3_000.0)
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    assert spots.gain[0] == pytest.approx(GAIN, rel=0.1)
    match = matches(spots, places)
    # Poisson: the variance of N photons is N, that of their counts the gain times the counts.
    own = np.sqrt(spots.gain[0] * spots.intensity[match])
    assert (spots.sigma[match] > own).all()
    assert spots.sigma[match] == pytest.approx(GAIN * np.sqrt(3_000), rel=0.2)
    even = SpotFinder().find(as_counts(blank_frames(shape), "uint16"))
    assert np.isnan(even.gain[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_one_setting_serves_all_kinds_of_detector(kind: DetectorKind) -> None:
    simulator = KindSimulator(kind, MEDIUM, seed=11)
    frame, truth = simulator.frame(0, simulator.random_spots(0, 80, sigma_px=(0.8, 2.0)))
    blank, _ = simulator.frame(1, simulator.random_spots(1, 0))
    spots = SpotFinder().find(np.stack([frame, blank]))
    placed = truth.spots
    places = np.stack([np.zeros(len(placed)), placed.panel, placed.slow_px, placed.fast_px], axis=1)
    strong = truth.whole & (truth.sigmas > 10)
    assert strong.sum() > 30
    assert (matches(spots, places[strong], within_px=2.5) >= 0).mean() > 0.93
    assert spots.n_spots[0] <= (truth.sigmas > 3).sum() + 3
    assert spots.n_spots[1] <= 3


def test_spots_of_one_frame_are_those_of_that_frame() -> None:
    frames = blank_frames((3, 1, 128, 128))
    add_spots(frames, np.array([[0, 0, 30, 30], [2, 0, 60, 60], [2, 0, 90, 90]]), 300.0)
    counts = as_counts(frames, "uint16")
    alone = SpotFinder().find(counts).of_frame(2)
    expected = SpotFinder().find(counts[2:])
    assert alone.n_spots.tolist() == [2]
    for field in fields(Spots):
        found, wanted = getattr(alone, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_lists_arrange_vectors_by_frame() -> None:
    frames = blank_frames((3, 1, 128, 128))
    places = np.array([[0, 0, 30, 30], [0, 0, 60, 60], [2, 0, 90, 90]])
    add_spots(frames, places, 300.0)
    spots = SpotFinder().find(as_counts(frames, "uint16"))
    lists = spots.lists(np.stack([spots.frame, spots.slow_px, spots.fast_px], axis=1))
    assert lists.shape == (3, 2, 3)
    assert np.isfinite(lists[..., 0]).sum(axis=1).tolist() == [2, 0, 1]
    assert lists[2, 0] == pytest.approx([2, 90, 90], abs=0.3)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 64, 64), np.uint16), r"shape \(2, 64, 64\): it must be \(n_frames"),
        (np.zeros((1, 1, 64, 64), np.float64), "type float64: convert them to one of"),
        (np.zeros((1, 1, 64, 63), np.uint16), "give the mask and geometry of this detector"),
    ],
)
def test_wrong_frames_are_named(frames: NDArray[Any], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        SpotFinder(mask=np.ones((1, 64, 64), dtype=bool)).find(frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_snr": 0.0}, "min_snr is 0.0: it must be positive"),
        ({"min_pixels": 5, "max_pixels": 4}, r"max_pixels \(4\) is below min_pixels \(5\)"),
        ({"mask": np.ones((8, 8), dtype=bool)}, r"the mask has shape \(8, 8\)"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        SpotFinder(**options)
