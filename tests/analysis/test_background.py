"""Background by blocks, and groups of strong pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autosteer.analysis._background import BlockBackground
from autosteer.analysis._block_layout import STRIP_ROWS
from autosteer.analysis._components import label_groups, touching_pairs


@pytest.mark.parametrize("shape", [(1, 128, 96), (3, 37, 50), (2, 185, 194)])
def test_level_and_noise_of_a_normal_background(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(0).normal(100, 7, (2, *shape)).astype(np.float32)
    background = BlockBackground(np.ones(shape, dtype=bool))
    levels = background.estimate(frames)
    assert levels.level == pytest.approx(100, abs=6)
    assert np.median(levels.noise) == pytest.approx(7, rel=0.1)
    assert np.median(levels.quantum) < 2
    assert (levels.correlation == 0).all()
    level = background.spread(levels.level)
    assert level.shape == (2, shape[0], -(-shape[1] // STRIP_ROWS), shape[2])
    assert level.mean() == pytest.approx(100, abs=2)


@pytest.mark.parametrize(("photons", "gain"), [(0.05, 1.0), (0.5, 12.0), (8.0, 3.0)])
def test_the_quantum_of_photons_is_the_gain(photons: float, gain: float) -> None:
    rng = np.random.default_rng(5)
    frames = (gain * rng.poisson(photons, (1, 1, 512, 512))).astype(np.float32)
    levels = BlockBackground(np.ones((1, 512, 512), dtype=bool)).estimate(frames)
    assert np.median(levels.quantum) == pytest.approx(gain, rel=0.2)
    assert np.median(levels.noise) == pytest.approx(gain * np.sqrt(photons), rel=0.1)


def test_light_that_spreads_correlates_neighbours_and_a_slope_does_not() -> None:
    rng = np.random.default_rng(6)
    photons = rng.poisson(20.0, (1, 1, 512, 512)).astype(np.float32)
    slope = np.arange(512, dtype=np.float32)
    spread = ndimage.gaussian_filter(photons, (0, 0, 0.7, 0.7))
    background = BlockBackground(np.ones((1, 512, 512), dtype=bool))
    # Of a Gaussian of 0.7 px neighbours share exp(-1 / (4 * 0.7**2)).
    assert background.estimate(spread + slope).correlation[0] == pytest.approx(0.6, abs=0.08)
    assert background.estimate(photons + slope).correlation[0] == 0


def test_gaps_that_are_flagged_take_the_background_beside_them() -> None:
    rng = np.random.default_rng(7)
    frames = rng.poisson(30.0, (1, 2, 256, 256)).astype(np.uint32)
    frames[:, :, 100:170] = 2**32 - 1
    frames[:, 1] += 1000
    frames[:, 1, 100:170] = 2**32 - 1
    levels = BlockBackground(np.ones((2, 256, 256), dtype=bool)).estimate(frames)
    assert levels.level[0, 0] == pytest.approx(30, abs=4)
    assert levels.level[0, 1] == pytest.approx(1030, abs=4)


def test_thresholds_follow_a_slope() -> None:
    rows = np.arange(256, dtype=np.float32)[:, None] + np.zeros(256, np.float32)
    background = BlockBackground(np.ones((1, 256, 256), dtype=bool))
    levels = background.estimate(rows[None, None])
    level = background.spread(levels.level)[0, 0]
    middle = np.repeat(level, STRIP_ROWS, axis=0)[32:-32]
    assert np.abs(middle - rows[32:-32]).max() < 9


def test_masked_blocks_take_the_values_of_their_neighbours() -> None:
    frames = np.random.default_rng(1).normal(50, 2, (1, 1, 128, 128)).astype(np.float32)
    mask = np.ones((1, 128, 128), dtype=bool)
    frames[..., :40, :40] = 1e6
    mask[:, :40, :40] = False
    background = BlockBackground(mask)
    levels = background.estimate(frames)
    assert levels.level == pytest.approx(50, abs=3)
    assert background.level_of_frames(levels.level)[0] == pytest.approx(50, abs=0.5)
    nothing = BlockBackground(np.zeros((1, 64, 64), dtype=bool))
    assert np.isnan(nothing.level_of_frames(nothing.estimate(frames[..., :64, :64]).level))


def test_blocks_of_pixels() -> None:
    background = BlockBackground(np.ones((2, 256, 320), dtype=bool))
    places = np.ravel_multi_index(
        ([0, 0, 0, 1], [0, 1, 1, 1], [40, 0, 0, 255], [70, 0, 319, 319]), (2, 2, 256, 320)
    )
    block = background.block_of(places)
    np.testing.assert_array_equal(block, [12, 80, 89, 319])


def test_groups_are_those_of_a_dense_labelling() -> None:
    strong = np.random.default_rng(2).random((2, 3, 40, 30)) < 0.08
    place = np.flatnonzero(strong)
    first, second = touching_pairs(place, strong)
    n_groups, label = label_groups(len(place), first, second)
    expected = np.zeros(strong.shape, dtype=np.intp)
    total = 0
    for index in np.ndindex(2, 3):
        panel, count = ndimage.label(strong[index], structure=np.ones((3, 3)))
        expected[index] = np.where(panel, panel + total, 0)
        total += count
    assert n_groups == total
    dense = expected.reshape(-1)[place]
    pairs = np.unique(np.stack([label, dense]), axis=1)
    assert pairs.shape[1] == total


def test_pairs_leave_out_what_is_not_listed() -> None:
    strong = np.zeros((1, 8, 8), dtype=bool)
    strong[0, 3, 3:6] = True
    first, second = touching_pairs(np.array([27, 29]), strong)
    assert len(first) == len(second) == 0
