"""Panels cut from stored frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.physics import Detector, PanelCuts


def unequal() -> PanelCuts:
    return PanelCuts(
        block=np.array([0, 0, 1]),
        first=np.array([[0, 0], [2, 5], [1, 0]]),
        sizes=np.array([[2, 4], [3, 3], [4, 6]]),
    )


def test_panels_are_their_rectangles_and_padding_is_zero() -> None:
    frame = np.arange(1, 2 * 6 * 9 + 1).reshape(2, 6, 9)
    cuts = unequal()
    assert cuts.panels_shape == (3, 4, 6)
    assert cuts.least_shape == (2, 5, 8)
    panels = cuts.cut(frame)
    np.testing.assert_array_equal(panels[0, :2, :4], frame[0, :2, :4])
    np.testing.assert_array_equal(panels[1, :3, :3], frame[0, 2:5, 5:8])
    np.testing.assert_array_equal(panels[2], frame[1, 1:5, :6])
    assert (panels != 0).sum() == 8 + 9 + 24
    several = np.stack([frame, 2 * frame])
    np.testing.assert_array_equal(cuts.cut(several), np.stack([panels, 2 * panels]))
    assert cuts.fit((2, 5, 8))
    assert not cuts.fit((1, 6, 9))
    assert not cuts.fit((2, 4, 9))


@given(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2))
def test_a_cut_pixel_is_found_in_the_stored_frame(panel: int, slow: int, fast: int) -> None:
    frame = np.arange(1, 2 * 6 * 9 + 1).reshape(2, 6, 9)
    cuts = unequal()
    block, at_slow, at_fast = cuts.stored_positions(
        np.array([panel]), np.array([slow]), np.array([fast])
    )
    stored = frame[block[0], int(at_slow[0]), int(at_fast[0])]
    assert stored == cuts.cut(frame)[panel, slow, fast]


def test_a_stack_is_not_copied() -> None:
    frame = np.ones((2, 6, 9))
    assert PanelCuts.stack((2, 6, 9)).cut(frame) is frame


def test_impossible_cuts_are_refused() -> None:
    with pytest.raises(ValueError, match="before its block"):
        PanelCuts(np.array([0]), np.array([[-1, 0]]), np.array([[2, 2]]))
    with pytest.raises(ValueError, match="do not agree"):
        PanelCuts(np.array([0]), np.array([[0, 0]]), np.array([2, 2]))


def test_padding_is_no_part_of_a_panel() -> None:
    # The padding of the first panel would lie over the second.
    detector = Detector(
        origin_mm=np.array([[0.0, 0.0, 100.0], [4.0, 0.0, 100.0]]),
        slow_axis=np.array([[0.0, 1.0, 0.0]] * 2),
        fast_axis=np.array([[1.0, 0.0, 0.0]] * 2),
        pixel_size_mm=1.0,
        panel_shape=(4, 8),
        panel_sizes=np.array([[4, 4], [4, 8]]),
    )
    panel, _, fast = detector.project(np.array([[3.0, 1.0, 100.0], [6.0, 1.0, 100.0]]))
    assert panel.tolist() == [0, 1]
    assert fast == pytest.approx([3.0, 2.0])
    assert detector.on_panels().sum() == 4 * 4 + 4 * 8
    with pytest.raises(ValueError, match="do not fit 2 panels"):
        Detector(
            detector.origin_mm,
            detector.slow_axis,
            detector.fast_axis,
            1.0,
            (4, 4),
            np.array([[4, 4], [4, 8]]),
        )
