"""Hot, noisy and dead pixels: from dark frames, and from a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.pixel_masks import find_faults, pixel_moments
from autosteer.analysis.pixel_watch import PixelWatch
from autosteer.contracts import AnalysisError, FrameError
from autosteer.sims.detector_kinds import CSPAD, EIGER, MEDIUM, KindSimulator

SHAPE = (2, 96, 128)


def dark_frames(n_frames: int = 40, seed: int = 0) -> NDArray[Any]:
    """Pedestals that differ by pixel, readout noise, and some faults."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(50, 2, SHAPE) + 200 * np.arange(2)[:, None, None]
    frames = frames + rng.normal(0, 4, (n_frames, *SHAPE))
    frames[:, 0, 10, 20] += 3_000
    frames[:, 1, 30, 40] += rng.normal(0, 80, n_frames)
    frames[:, 1, 50, 60] = 7
    return np.rint(frames).astype(np.int16)


def test_moments_are_those_of_all_frames_together() -> None:
    frames = dark_frames().astype(np.float32)
    frames[3, 0, 5, 5] = np.nan
    moments = pixel_moments([frames[:7], frames[7:8], frames[8:]])
    assert moments.n_frames == 40
    assert moments.measured[0, 5, 5] == 39
    np.testing.assert_allclose(moments.mean, np.nanmean(frames, axis=0), rtol=1e-6)
    np.testing.assert_allclose(moments.sigma, np.nanstd(frames, axis=0, ddof=1), rtol=1e-5)


def test_dark_frames_show_hot_noisy_and_dead_pixels() -> None:
    faults = find_faults(pixel_moments([dark_frames()]))
    assert np.argwhere(faults.hot).tolist() == [[0, 10, 20]]
    assert np.argwhere(faults.noisy).tolist() == [[1, 30, 40]]
    assert np.argwhere(faults.dead).tolist() == [[1, 50, 60]]
    assert faults.good.sum() == faults.good.size - 3


def test_light_shows_the_dead_pixels_of_a_counting_detector() -> None:
    rng = np.random.default_rng(1)
    dark = np.zeros((20, *SHAPE), np.uint16)
    dark[:, 0, 8, 9] = 30
    dark[5, 1, 70, 70] = 1
    dark[:, :, 40:44] = 65_535
    light = 3 + np.arange(SHAPE[2]) / 20
    lit = rng.poisson(light, (60, *SHAPE)).astype(np.uint16)
    lit[:, 1, 20, 21] = 0
    lit[:, 0, 8, 9] += 30
    lit[:, :, 40:44] = 65_535
    without = find_faults(pixel_moments([dark]))
    assert without.good.sum() == without.good.size - 1 - 2 * 4 * 128
    faults = find_faults(pixel_moments([dark]), pixel_moments([lit]))
    assert faults.dead[:, 40:44].all()
    assert faults.dead[1, 20, 21]
    assert faults.hot[0, 8, 9]
    assert faults.good.sum() == faults.good.size - 2 - 2 * 4 * 128


def test_frames_that_do_not_fit_are_named() -> None:
    with pytest.raises(AnalysisError, match="there is no frame"):
        pixel_moments([])
    with pytest.raises(AnalysisError, match=r"frame 2 has the shape \(2, 96, 100\)"):
        pixel_moments([dark_frames(2), dark_frames(2)[..., :100]])
    with pytest.raises(AnalysisError, match="9 dark frames are too few"):
        find_faults(pixel_moments([dark_frames(9)]))
    few = pixel_moments([dark_frames()[..., :100]])
    with pytest.raises(AnalysisError, match="both must come from one detector"):
        find_faults(pixel_moments([dark_frames()]), few)


SMALL = [
    replace(CSPAD, panels=(1, 2), hot_share=1e-3, dead_share=1e-3),
    replace(EIGER, panel_shape=(293, 266), hot_share=1e-3, dead_share=1e-3),
]


@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.name)
def test_a_stream_teaches_hot_and_dead_pixels(kind: Any) -> None:
    simulator = KindSimulator(kind, MEDIUM, seed=3)
    watch = PixelWatch(simulator.detector.frame_shape, frames_to_trust=30)
    for number in range(40):
        spots = simulator.random_spots(number, 10)
        watch.add(simulator.frame(number, spots)[0][None])
        assert watch.good().all() == (number < 29)
    good = watch.good()
    assert (good == simulator.good).mean() > 1 - 1e-5
    # A faulty pixel that is missed is worse than a good one that is given up, but both are rare.
    assert (good & ~simulator.good).sum() <= 0.05 * (~simulator.good).sum()
    assert (~good & simulator.good).sum() <= 2


def test_what_is_lit_again_and_again_stays() -> None:
    rng = np.random.default_rng(2)
    frames = rng.poisson(3.0, (150, 1, 128, 128)).astype(np.uint16)
    # A spot of salt that is always there, and a sharp powder ring.
    salt = np.array([[20, 60, 20], [60, 200, 60], [20, 60, 20]])
    frames[:, 0, 30:33, 40:43] += rng.poisson(salt, (150, 3, 3)).astype(np.uint16)
    slow, fast = np.mgrid[:128, :128]
    ring = 40 * np.exp(-(((np.hypot(slow - 64, fast - 64) - 40) / 1.2) ** 2) / 2)
    frames += rng.poisson(ring, (150, 1, 128, 128)).astype(np.uint16)
    frames[:, 0, 90, 10] = 60
    # Behind a beam stop next to nothing is seen, but the pixels live.
    frames[:, 0, 60:68, 60:68] = rng.poisson(0.02, (150, 8, 8))
    watch = PixelWatch((1, 128, 128))
    watch.add(frames)
    assert np.argwhere(watch.hot()).tolist() == [[0, 90, 10]]
    # The hot one is always the same, and so counts as dead too.
    dead = np.argwhere(watch.dead()).tolist()
    assert [0, 90, 10] in dead
    assert len(dead) < 10
    assert all(60 <= slow < 68 and 60 <= fast < 68 for _, slow, fast in dead[:-1])


def test_a_verdict_is_taken_back() -> None:
    rng = np.random.default_rng(4)
    frames = rng.poisson(2.0, (200, 1, 64, 64)).astype(np.uint16)
    frames[:100, 0, 20, 20] = 0
    watch = PixelWatch((1, 64, 64), frames_to_trust=50)
    watch.add(frames[:100])
    assert watch.dead()[0, 20, 20]
    watch.add(frames[100:])
    assert not watch.dead().any()


def test_wrong_frames_and_options_are_named() -> None:
    with pytest.raises(AnalysisError, match="frames_to_trust is 0: it must be positive"):
        PixelWatch((1, 64, 64), frames_to_trust=0)
    with pytest.raises(FrameError, match="watch each detector by itself"):
        PixelWatch((1, 64, 64)).add(np.zeros((1, 1, 64, 65), np.uint16))
