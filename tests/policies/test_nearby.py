"""The part of the ranges about a place: never outside, never empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.contracts import Range
from autosteer.policies._nearby import nearby


@given(
    low=st.floats(-100, 100),
    width=st.floats(0.1, 100),
    at=st.floats(0, 1),
    share=st.floats(0.01, 1),
    steps=st.none() | st.floats(0.5, 50),
)
def test_it_stays_within_the_range_and_on_its_steps(
    low: float, width: float, at: float, share: float, steps: float | None
) -> None:
    knob = Range(low, low + width, None if steps is None else width / steps, max_step=width)
    near = nearby({"x": knob}, {"x": low + at * width}, share)["x"]
    slack = 1e-9 * (abs(low) + width)
    assert near.low >= knob.low - slack
    assert near.high <= knob.high + slack
    assert near.max_step == knob.max_step
    if knob.step is None or knob.places is None or near.places is None:
        assert near.low - slack <= low + at * width <= near.high + slack
        return
    assert near.places >= min(knob.places, 2)
    number = (near.low - knob.low) / knob.step
    assert number == pytest.approx(round(number), abs=1e-6)
