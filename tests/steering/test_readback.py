"""The readback history against a plain, slow judge of the same question."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autosteer.steering.readback import ReadbackHistory

Entry = tuple[int, float, bool]

entries = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from([0.0, 0.5, 1.0, 1.4, 3.0]), st.booleans()),
    max_size=12,
)


def judge(
    history: list[Entry], t: int, target: float, tolerance: float, hold: int, margin: int
) -> bool:
    """Look at every instant by itself: was the knob there all the time that it had to be?"""

    def there(instant: float) -> bool | None:
        known = [entry for entry in history if entry[0] <= instant]
        if not known:
            return None
        _, value, moving = known[-1]
        return abs(value - target) <= tolerance and not moving

    first = history[0][0] if history else 0
    # Half steps see what happens between two whole instants.
    instants = np.arange(t - hold - margin, t + margin + 0.25, 0.5)
    if not history or there(t) is None or t - hold - margin < first:
        return False
    return all(there(instant) for instant in instants)


@given(entries, st.integers(0, 110), st.integers(0, 8), st.integers(0, 4))
def test_in_position_means_there_for_long_enough(
    raw: list[Entry], t: int, hold: int, margin: int
) -> None:
    ordered = sorted(raw, key=lambda entry: entry[0])
    # Of several entries at the same instant only the last one ever held.
    held = [
        entry
        for index, entry in enumerate(ordered)
        if index + 1 == len(ordered) or ordered[index + 1][0] != entry[0]
    ]
    history = ReadbackHistory()
    for entry in held:
        history.add(*entry)
    [found] = history.in_position(np.array([t]), 1.0, 0.45, hold, margin)
    assert found == judge(held, t, 1.0, 0.45, hold, margin)


def test_a_resting_motor_stays_where_it_was_for_ever() -> None:
    history = ReadbackHistory()
    history.add(0, 1.0, False)
    assert history.in_position(np.array([10**15]), 1.0, 0.1, 0, 0).all()


def test_old_entries_are_forgotten_and_the_newest_kept() -> None:
    history = ReadbackHistory(capacity=8)
    for t in range(100):
        history.add(t, float(t), False)
    assert len(history) <= 8
    assert history.value == 99.0
    assert history.in_position(np.array([99]), 99.0, 0.1, 0, 0).all()


def test_a_time_stamp_that_goes_back_counts_as_now() -> None:
    history = ReadbackHistory()
    history.add(10, 0.0, False)
    history.add(4, 1.0, False)
    assert history.time_ns == 10
    assert history.value == 1.0
