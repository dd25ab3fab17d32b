"""The finder for a device, and the one that learns bad pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.dense_spots import DenseSpotFinder
from autosteer.analysis.spot_finders import LearningFinder, make_finder
from autosteer.analysis.spots import FindsSpots, SpotFinder
from autosteer.contracts import FrameError
from tests.analysis.simulated_frames import as_counts, blank_frames

SHAPE = (1, 96, 96)
BLEMISH = (np.array([40, 40, 41]), np.array([50, 51, 51]))


def frames_with_a_blemish(n_frames: int, seed: int) -> NDArray[Any]:
    """Frames on which the same three pixels are hot: alone, one would be seen through at once."""
    frames = blank_frames((n_frames, *SHAPE), seed=seed)
    frames[:, 0, *BLEMISH] += 900
    return as_counts(frames, "uint16")


def learning() -> LearningFinder:
    def make(mask: NDArray[np.bool_]) -> FindsSpots:
        return make_finder("cpu", mask=mask)

    good = np.ones(SHAPE, np.bool_)
    good[0, 10] = False
    return LearningFinder(make, good, frames_to_trust=30)


def test_the_device_chooses_the_finder() -> None:
    assert isinstance(make_finder("cpu"), SpotFinder)
    # A processor by its number is a device of torch.
    assert isinstance(make_finder("cpu:0"), DenseSpotFinder)


def test_bad_pixels_are_left_out_once_they_are_known() -> None:
    finder = learning()
    for seed in range(2):
        assert len(finder.find(frames_with_a_blemish(20, seed))) >= 20
    assert not finder.good[0, *BLEMISH].any()
    assert not finder.good[0, 10].any()
    assert finder.good.mean() > 0.98
    assert len(finder.find(frames_with_a_blemish(20, 2))) <= 2


def test_what_was_learned_is_forgotten() -> None:
    finder = learning()
    finder.find(frames_with_a_blemish(40, 0))
    finder.forget()
    assert finder.good[0, *BLEMISH].all()
    assert len(finder.find(frames_with_a_blemish(20, 1))) >= 20


def test_a_verdict_is_taken_back() -> None:
    finder = learning()
    finder.find(frames_with_a_blemish(10, 0))
    clean = as_counts(blank_frames((100, *SHAPE), seed=1), "uint16")
    finder.find(clean[:25])
    assert not finder.good[0, 40, 50]
    for _ in range(10):
        finder.find(clean)
    assert finder.good[0, 40, 50]


def test_frames_that_cannot_be_searched_teach_nothing() -> None:
    finder = learning()
    with pytest.raises(FrameError, match="the mask"):
        finder.find(np.zeros((40, 1, 8, 8), np.uint16))
    assert len(finder.find(np.zeros((0, *SHAPE), np.uint16))) == 0
    assert finder.good[0, 40:].all()
