"""Simulated spots on the detector."""

from __future__ import annotations

import numpy as np

from autosteer.physics import Detector
from autosteer.sims.spot_positions import simulate_spot_positions


def test_spots_lie_on_the_detector_and_the_seed_decides() -> None:
    detector = Detector.flat((800, 800), 0.2, 100.0, (399.5, 399.5))
    one, same, other = (
        simulate_spot_positions(detector, 1.3, 4, max_spots=40, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.slow_px, same.slow_px)
    assert len(one.slow_px) != len(other.slow_px) or (one.slow_px != other.slow_px).any()
    assert (np.diff(one.frame) >= 0).all()
    assert set(one.frame) == {0, 1, 2, 3}
    count = np.bincount(one.frame)
    assert (count >= 20).all()
    assert count.max() <= 2 * 40
    for place in (one.slow_px, one.fast_px):
        assert place.min() > -2
        assert place.max() < 801


def test_false_spots_come_on_top() -> None:
    detector = Detector.flat((800, 800), 0.2, 100.0, (399.5, 399.5))
    clean, dirty = (
        simulate_spot_positions(detector, 1.3, 20, max_spots=40, false_share=share)
        for share in (0.0, 0.5)
    )
    assert 1.3 < len(dirty.frame) / len(clean.frame) < 1.7
