"""The spot finder for graphics processors finds what the other one finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autosteer.analysis.dense_spots import DenseSpotFinder
from autosteer.analysis.spots import SpotFinder, Spots
from autosteer.contracts import AnalysisError, FrameError
from autosteer.sims.detector_kinds import (
    CSPAD,
    EIGER,
    HIGH,
    JUNGFRAU,
    LOW,
    MEDIUM,
    RAYONIX,
    BackgroundKind,
    DetectorKind,
    KindSimulator,
)
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames, random_places

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]


def share_of_same(first: Spots, second: Spots) -> float:
    """Share of spots of the first that are the same in the second."""
    same = 0
    for frame in range(len(first.n_spots)):
        one, other = first.frame == frame, second.frame == frame
        apart = np.hypot(
            first.slow_px[one][:, None] - second.slow_px[other],
            first.fast_px[one][:, None] - second.fast_px[other],
        )
        apart[first.panel[one][:, None] != second.panel[other]] = np.inf
        ratio = first.intensity[one][:, None] / second.intensity[other]
        same += int(((apart < 0.1) & (np.abs(ratio - 1) < 0.02)).any(axis=1).sum())
    return same / len(first)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("kind", "background"), [(CSPAD, LOW), (RAYONIX, MEDIUM), (JUNGFRAU, HIGH), (EIGER, LOW)]
)
def test_the_same_spots_are_found(
    kind: DetectorKind, background: BackgroundKind, device: str
) -> None:
    simulator = KindSimulator(kind, background, seed=5)
    frames = np.stack([
        simulator.frame(number, simulator.random_spots(number, n_spots))[0]
        for number, n_spots in enumerate((80, 0, 20))
    ])
    expected = SpotFinder().find(frames)
    spots = DenseSpotFinder(device, frames_together=2).find(frames)
    assert len(expected) > 40
    assert share_of_same(expected, spots) > 0.95
    assert share_of_same(spots, expected) > 0.95
    np.testing.assert_allclose(spots.background_level, expected.background_level, rtol=1e-3)
    np.testing.assert_allclose(spots.gain, expected.gain, rtol=0.02)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32"])
def test_all_types_of_frames_are_searched(dtype: str) -> None:
    shape = (3, 2, 96, 128)
    frames = blank_frames(shape, background=0.5, pedestal=20.0)
    places = random_places(12, shape)
    add_spots(frames, places, 60.0, seed=3)
    counts = as_counts(frames, dtype)
    expected, spots = SpotFinder().find(counts), DenseSpotFinder("cpu").find(counts)
    assert share_of_same(expected, spots) == 1
    np.testing.assert_array_equal(spots.n_spots, expected.n_spots)
    big_endian = DenseSpotFinder("cpu").find(counts.astype(np.dtype(dtype).newbyteorder(">")))
    np.testing.assert_array_equal(big_endian.intensity, spots.intensity)


def test_batches_make_no_difference() -> None:
    frames = blank_frames((5, 2, 128, 160))
    add_spots(frames, random_places(30, (5, 2, 128, 160)), 200.0)
    counts = as_counts(frames, "int32")
    together = DenseSpotFinder("cpu", frames_together=5).find(counts)
    apart = DenseSpotFinder("cpu", frames_together=1).find(counts)
    np.testing.assert_array_equal(together.frame, apart.frame)
    np.testing.assert_allclose(together.slow_px, apart.slow_px, atol=1e-4)


def test_masks_missing_numbers_and_saturation_count_as_in_the_other_finder() -> None:
    shape = (2, 1, 192, 192)
    values = blank_frames(shape)
    add_spots(values, random_places(20, shape), 200.0)
    frames = values.astype(np.float32)
    frames[:, :, 50:60] = np.nan
    frames[0, 0, 100:104, 20:26] = 9_000
    frames[1] = np.nan
    mask = np.ones(shape[1:], dtype=bool)
    mask[:, :, 90:100] = False
    options: dict[str, Any] = {"mask": mask, "saturation": 8_000.0}
    expected = SpotFinder(**options).find(frames)
    spots = DenseSpotFinder("cpu", **options).find(frames)
    assert share_of_same(expected, spots) == 1
    assert spots.n_spots.tolist() == expected.n_spots.tolist()
    assert spots.n_spots[1] == 0
    np.testing.assert_allclose(spots.saturated_fraction, expected.saturated_fraction, rtol=1e-5)
    np.testing.assert_array_equal(
        np.isnan(spots.background_level), np.isnan(expected.background_level)
    )


def test_no_frames_have_no_spots() -> None:
    nothing = np.zeros((0, 1, 64, 64), np.uint16)
    assert len(DenseSpotFinder("cpu").find(nothing)) == len(SpotFinder().find(nothing)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "cpu", "frames_together": 0}, "frames_together is 0: it must be positive"),
        ({"device": "cpu", "min_snr": 0.0}, "min_snr is 0.0: it must be positive"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        DenseSpotFinder(**options)


def test_frames_of_another_shape_than_the_mask_are_named() -> None:
    mask: NDArray[np.bool_] = np.ones((1, 64, 64), dtype=bool)
    with pytest.raises(FrameError, match="give the mask and geometry of this detector"):
        DenseSpotFinder("cpu", mask=mask).find(np.zeros((1, 1, 64, 65), np.uint16))
