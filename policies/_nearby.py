"""The part of the knobs' ranges about a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autosteer.contracts import Range


def nearby(
    knobs: Mapping[str, Range], place: Mapping[str, float], share: float
) -> dict[str, Range]:
    """Return the part of each range about a place.

    Parameters
    ----------
    knobs : mapping of str to Range
        The ranges.
    place : mapping of str to float
        The place, in the units of the knobs.
    share : float
        How far it reaches to either side, as a share of the range.

    Returns
    -------
    dict of str to Range
        The parts, within the ranges, with two places at least where there are two.
    """
    near = {}
    for name, knob in knobs.items():
        reach = share * (knob.high - knob.low)
        low, high = max(knob.low, place[name] - reach), min(knob.high, place[name] + reach)
        if knob.step is not None and knob.places is not None:
            # The last place but one at most, so that there are two.
            steps = min(round((low - knob.low) / knob.step), max(knob.places - 2, 0))
            low = knob.low + steps * knob.step
            high = max(high, min(low + knob.step, knob.high))
        near[name] = replace(knob, low=low, high=high)
    return near
