"""How rare it is that noise fills a footprint, and what single photons add to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from autosteer.analysis._box_sums import BOX_PIXELS, boxes_above
from autosteer.analysis._gain import learn_gain
from autosteer.analysis._photon_size import photon_sizes
from autosteer.analysis._rare_photons import rare_photons
from autosteer.analysis._significance import BOX, COARSE, FINE, Footprint, equivalent_sigmas


def equivalent(height: float, mean: float, readout: float, gain: float) -> float:
    """Sigmas of a height above the mean of photons and readout noise, all in photons."""
    variance = mean + readout**2
    numbers = (height, np.sqrt(variance), mean / variance, 1.0)
    return equivalent_sigmas(*(torch.tensor([gain * number]) for number in numbers)).item()


@given(mean=st.floats(0.03, 300.0), sigmas=st.floats(3.0, 7.0), gain=st.floats(0.5, 50.0))
def test_a_number_of_photons_is_as_rare_as_its_equivalent_sigmas(
    mean: float, sigmas: float, gain: float
) -> None:
    count = poisson.isf(norm.sf(sigmas), mean) + 1
    exact = norm.isf(poisson.sf(count - 1, mean))
    # Half a photon below the whole number is a rough way to hold all of its chance.
    assert equivalent(count - 0.5 - mean, mean, 0.0, gain) == pytest.approx(exact, abs=0.25)


@given(
    mean=st.floats(0.03, 300.0),
    readout=st.floats(0.3, 3.0),
    sigmas=st.floats(3.0, 7.0),
    gain=st.floats(0.5, 50.0),
)
def test_photons_with_readout_noise_are_as_rare_as_their_equivalent_sigmas(
    mean: float, readout: float, sigmas: float, gain: float
) -> None:
    most = mean + 12 * np.sqrt(mean + readout**2) + 40
    count = np.arange(most)
    share = poisson.pmf(count, mean)
    height = brentq(
        lambda above: share @ norm.sf((above + mean - count) / readout) - norm.sf(sigmas), 0, most
    )
    assert equivalent(height, mean, readout, gain) == pytest.approx(sigmas, abs=0.06)


@pytest.mark.parametrize("footprint", [FINE, COARSE, BOX])
def test_noise_of_light_that_spreads_is_that_of_simulated_frames(footprint: Footprint) -> None:
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(600, 600)), 0.7, mode="wrap")
    noise /= noise.std()
    window = np.lib.stride_tricks.sliding_window_view(noise, (5, 5)).reshape(-1, 25)
    together = (window @ footprint.weights).std()
    alone = np.sqrt((footprint.weights**2).sum())
    assert footprint.noise_factor(np.zeros(1, np.float32))[0] == pytest.approx(alone, rel=1e-5)
    correlated = footprint.noise_factor(np.array([0.6], np.float32))[0]
    assert correlated == pytest.approx(together, rel=0.05)


def test_gain_is_learned_from_slopes_only() -> None:
    rng = np.random.default_rng(1)
    photons = np.linspace(2, 40, 400, dtype=np.float32).reshape(1, 4, 10, 10)
    offsets = rng.normal(0, 300, (1, 4, 1, 1)).astype(np.float32)
    sampled = (1 + 0.18 * rng.standard_normal(photons.shape)).astype(np.float32)
    noise = np.sqrt((7.0**2 * photons + 20) * sampled)
    assert learn_gain(7 * photons + offsets, noise)[0] == pytest.approx(7, rel=0.1)
    even = np.full_like(photons, 100)
    assert np.isnan(learn_gain(even, np.sqrt(even * sampled)))[0]
    assert np.isnan(learn_gain(photons[:, :, :1, :2], noise[:, :, :1, :2]))[0]


def test_blocks_that_are_bright_by_chance_tell_no_gain() -> None:
    rng = np.random.default_rng(7)
    photons = 10.0 * rng.poisson(0.3, (1, 1, 20, 20, 64)) + rng.normal(0, 4, (1, 1, 20, 20, 64))
    level, noise = (of(photons, axis=4).astype(np.float32) for of in (np.mean, np.std))
    assert np.isnan(learn_gain(level, noise))[0]


@pytest.mark.parametrize(("background", "readout"), [(0.02, 0.25), (0.1, 0.4), (0.2, 0.25)])
def test_the_size_of_a_photon_shows_in_the_noise_of_dark_frames(
    background: float, readout: float
) -> None:
    rng = np.random.default_rng(8)
    shape = (3, 1000, 64)
    samples = 12 * (rng.poisson(background, shape) + rng.normal(0, readout, shape)) + 70
    samples[:, :10, :20] = np.nan
    level = torch.full(shape[:2], 12 * background + 70)
    noise = torch.full(shape[:2], 12 * np.sqrt(background + readout**2))
    sizes = photon_sizes(torch.from_numpy(samples).float(), level, noise, 0.4 * noise)
    np.testing.assert_allclose(sizes, 12, rtol=0.1)


@pytest.mark.parametrize(("background", "readout"), [(0.0, 0.4), (0.1, 2.0), (20.0, 0.4)])
def test_noise_that_hides_photons_tells_no_size(background: float, readout: float) -> None:
    rng = np.random.default_rng(9)
    shape = (3, 1000, 64)
    samples = 12 * (rng.poisson(background, shape) + rng.normal(0, readout, shape))
    level = torch.full(shape[:2], 12 * background)
    noise = torch.full(shape[:2], 12 * np.sqrt(background + readout**2))
    assert not photon_sizes(torch.from_numpy(samples).float(), level, noise, 0.4 * noise).any()


def test_rare_photons_add_their_variance() -> None:
    rng = np.random.default_rng(2)
    blocks, pixels_per_block = (2, 1, 8, 8), 1024.0
    # One pixel in a hundred of the first frame holds a photon twelve times as high as the noise.
    count = rng.poisson(0.01 * 1024, 64)
    block = np.repeat(np.arange(64), count)
    height = np.full(len(block), 12.0, np.float32)
    variance, third = rare_photons(height, block, blocks, pixels_per_block, 9.9)
    assert variance[:64].mean() == pytest.approx(0.01 * 144 / norm.cdf(2.1 / 8**0.5), rel=0.1)
    np.testing.assert_allclose(third[:64] / variance[:64], 12, rtol=1e-5)
    assert not variance[64:].any()
    few = rare_photons(height[:5], np.full(5, 27), blocks, pixels_per_block, 9.9)
    assert not np.any(few)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("shape", [(1, 130, 70), (2, 9, 33)])
def test_boxes_are_those_of_plain_sums(dtype: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype) if dtype != "float32" else np.iinfo(np.int32)
    frame = rng.poisson(20.0, shape).astype(dtype)
    frame[0, 5, 7] = limits.max - 1
    frame[0, 4, 20] = max(limits.min, -1000)
    masked = rng.random(shape) < 0.02
    masked[0, 5, 7] = False
    if dtype != "uint8":
        frame[-1, 3, 25] = np.nan if dtype == "float32" else limits.max
    bad = masked | ~np.isfinite(frame.astype(float))
    if dtype not in {"float32", "uint8"}:
        bad |= frame == limits.max
    strips = -(-shape[1] // 8)
    level = np.full((shape[0], strips, shape[2]), 20.0, np.float32)
    threshold = np.full_like(level, BOX_PIXELS * 20 + 25.5)
    out = np.zeros(shape, dtype=bool)
    boxes_above(frame, level, threshold, masked, out)
    filled = np.where(bad, 20.0, frame.astype(float))
    window = np.lib.stride_tricks.sliding_window_view(filled, (1, 3, 3)).sum(axis=(3, 4, 5))
    expected = np.zeros(shape, dtype=bool)
    expected[:, 1:-1, 1:-1] = window > threshold[0, 0, 0]
    np.testing.assert_array_equal(out, expected)
    assert out.any()
