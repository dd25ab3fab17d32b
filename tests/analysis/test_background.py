"""Background by blocks, and groups of strong pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autosteer.analysis._background import BlockBackground
from autosteer.analysis._components import label_groups, touching_pairs


@pytest.mark.parametrize("shape", [(1, 128, 96), (3, 37, 50), (2, 185, 194)])
def test_level_and_noise_of_a_normal_background(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(0).normal(100, 7, (2, *shape)).astype(np.float32)
    background = BlockBackground(np.ones(shape, dtype=bool))
    levels = background.estimate(frames)
    assert levels.level == pytest.approx(100, abs=6)
    assert np.median(levels.noise) == pytest.approx(7, rel=0.1)
    threshold = background.thresholds(levels, 3.0)
    assert threshold.shape[:2] == (2, shape[0])
    assert threshold.shape[2] * background.strip_rows == shape[1]
    assert threshold.shape[3] == shape[2]
    assert threshold.mean() == pytest.approx(121, abs=4)


def test_thresholds_follow_a_slope() -> None:
    rows = np.arange(256, dtype=np.float32)[:, None] + np.zeros(256, np.float32)
    background = BlockBackground(np.ones((1, 256, 256), dtype=bool))
    levels = background.estimate(rows[None, None])
    threshold = background.thresholds(levels, 0.0)[0, 0]
    middle = np.repeat(threshold, background.strip_rows, axis=0)[32:-32]
    assert np.abs(middle - rows[32:-32]).max() < 9


def test_masked_blocks_take_the_values_of_their_neighbours() -> None:
    frames = np.random.default_rng(1).normal(50, 2, (1, 1, 128, 128)).astype(np.float32)
    mask = np.ones((1, 128, 128), dtype=bool)
    frames[..., :40, :40] = 1e6
    mask[:, :40, :40] = False
    background = BlockBackground(mask)
    levels = background.estimate(frames)
    assert levels.level == pytest.approx(50, abs=3)
    assert background.level_of_frames(levels)[0] == pytest.approx(50, abs=0.5)
    nothing = BlockBackground(np.zeros((1, 64, 64), dtype=bool))
    assert np.isnan(nothing.level_of_frames(nothing.estimate(frames[..., :64, :64])))


def test_blocks_and_regions_of_pixels() -> None:
    background = BlockBackground(np.ones((2, 256, 320), dtype=bool))
    places = np.ravel_multi_index(
        ([0, 0, 0, 1], [0, 1, 1, 1], [40, 0, 0, 255], [70, 0, 319, 319]), (2, 2, 256, 320)
    )
    block = background.block_of(places)
    np.testing.assert_array_equal(block, [12, 80, 89, 319])
    np.testing.assert_array_equal(background.region_of(block), [0, 6, 8, 23])


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
