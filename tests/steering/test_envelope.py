"""The envelope: nothing that it lets through breaks a rule, and what it cannot check it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.contracts import Experiment, MotorFacts, Suggestion
from autosteer.steering.envelope import Envelope, Signal, Surroundings
from tests.experiments import experiment

SECOND = 1_000_000_000
NOW = 100 * SECOND


def rules() -> Experiment:
    return experiment(
        knobs__x__max_step=0.05,
        envelope={
            "stale_after_s": 2,
            "min_interval_s": 0.5,
            "keep_out": [{"name": "catcher", "box": {"x": [0.05, 0.1], "y": [-0.4, -0.2]}}],
            "interlocks": [
                {"name": "beam", "device": "beam", "above": 0.2, "below": 5.0},
                {"name": "heart", "device": "beam", "changes_within_s": 2.0},
            ],
        },
    )


def signals(beam: float, silent_s: float = 1.0) -> dict[str, Signal]:
    return {"beam": Signal(beam, 0), "heart": Signal(7.0, NOW - round(silent_s * SECOND))}


GOOD = Surroundings(
    now_ns=NOW,
    readbacks={"x": 0.03, "y": 0.0},
    connected={"x": True, "y": True},
    facts={"x": MotorFacts("mm", -0.09, 0.12), "y": MotorFacts("mm", 0.0, 0.0)},
    interlocks=signals(1.0),
    t_newest_shot_ns=NOW - SECOND // 10,
    t_last_move_ns=NOW - SECOND,
)


def check(x: float | None, y: float = 0.0, now: Surroundings = GOOD) -> str:
    """Return the name of the check that refused, or nothing."""
    knobs = {"y": y} if x is None else {"x": x, "y": y}
    refusal = Envelope(rules()).check(Suggestion("s", knobs), now)
    assert refusal is None or refusal.reason
    return refusal.check if refusal else ""


def test_a_good_suggestion_passes() -> None:
    assert check(0.04) == ""


@pytest.mark.parametrize(
    ("x", "y", "refused_by"),
    [
        (None, 0.0, "knob"),
        (math.nan, 0.0, "finite"),
        (math.inf, 0.0, "finite"),
        (0.11, 0.0, "limits"),
        (0.03, 0.41, "limits"),
        (-0.03, 0.0, "step"),
        (0.06, -0.3, "keep-out"),
    ],
)
def test_a_bad_target_is_refused(x: float | None, y: float, refused_by: str) -> None:
    assert check(x, y) == refused_by


def test_the_motors_own_limits_hold_where_they_are_narrower() -> None:
    narrow = replace(GOOD, facts={"x": MotorFacts("mm", -0.09, 0.035)})
    assert check(0.04, now=narrow) == "limits"


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ({"connected": {"x": True, "y": False}}, "connection"),
        ({"connected": {}}, "connection"),
        ({"readbacks": {"x": 0.03}}, "connection"),
        ({"readbacks": {"x": 0.03, "y": math.nan}}, "connection"),
        ({"interlocks": {}}, "interlock"),
        ({"interlocks": signals(0.1)}, "interlock"),
        ({"interlocks": signals(6.0)}, "interlock"),
        ({"interlocks": signals(math.nan)}, "interlock"),
        ({"interlocks": signals(1.0, silent_s=3.0)}, "interlock"),
        ({"t_newest_shot_ns": 0}, "data"),
        ({"t_newest_shot_ns": NOW - 3 * SECOND}, "data"),
        ({"t_last_move_ns": NOW - SECOND // 10}, "rate"),
    ],
)
def test_what_forbids_any_move(change: dict[str, object], refused_by: str) -> None:
    now = replace(GOOD, **change)  # type: ignore[arg-type]
    assert check(0.04, now=now) == refused_by
    refusal = Envelope(rules()).blocked(now)
    assert refusal is not None
    assert refusal.check == refused_by


def test_a_check_that_breaks_refuses() -> None:
    class Broken(dict[str, float]):
        def __getitem__(self, key: str) -> float:
            raise RuntimeError("the archive is on fire")

    refusal = Envelope(rules()).check(
        Suggestion("s", {"x": 0.04, "y": 0.0}), replace(GOOD, readbacks=Broken(x=0, y=0))
    )
    assert refusal is not None
    assert refusal.check == "error"
    assert "on fire" in refusal.reason


numbers = st.floats(-1, 1) | st.just(math.nan) | st.just(math.inf)


@given(numbers, numbers, st.floats(-0.1, 0.1), st.floats(-0.4, 0.4), st.booleans())
def test_whatever_passes_breaks_no_rule(
    x: float, y: float, at_x: float, at_y: float, beam: bool
) -> None:
    now = replace(GOOD, readbacks={"x": at_x, "y": at_y}, interlocks=signals(float(beam)))
    if check(x, y, now) == "":
        assert beam
        assert -0.09 <= x <= 0.1
        assert -0.4 <= y <= 0.4
        assert abs(x - at_x) <= 0.05
        assert not (0.05 <= x <= 0.1 and -0.4 <= y <= -0.2)
