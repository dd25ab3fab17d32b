"""The controller: when it asks, leaves, holds, refuses and stops."""

from __future__ import annotations

from typing import Any

import pytest

from autosteer.contracts import Best, MotorFacts
from autosteer.steering.events import (
    Announce,
    AskPolicy,
    DeviceState,
    Fault,
    Finish,
    Halt,
    Heartbeat,
    InterlockValue,
    Measured,
    Operator,
    PolicyFailed,
    RequestApproval,
    Submit,
)
from tests.steering.rig import FACTS, SECOND, Rig


def said(rig: Rig) -> str:
    return "\n".join(announcement.text for announcement in rig.of(Announce))


def ended(rig: Rig, ok: bool | None = None) -> Finish:
    """Return how the run ended; it must have, and in the way that is given."""
    finish = rig.finish()
    assert finish is not None
    assert ok is None or finish.ok == ok
    return finish


def test_one_round_asks_early_leaves_when_complete_and_reports_what_it_left() -> None:
    rig = Rig()
    rig.shots(20)
    assert rig.of(AskPolicy) == []
    rig.shots(10)
    [ask] = rig.of(AskPolicy)
    assert ask.num_points == 1
    [point] = ask.points
    assert point["_id"] == "start"
    assert point["hits"] == 1.0
    rig.reply(0.05, 0.1)
    assert rig.of(Submit) == []
    rig.shots(20)
    [submit] = rig.of(Submit)
    assert submit.decision.status == "accepted"
    assert submit.decision.suggestion.knobs == {"x": 0.05, "y": 0.1}
    assert 0 < submit.decision.t_ns - submit.decision.t_last_shot_ns < SECOND
    rig.arrive()
    rig.shots(20)
    [measured] = rig.of(Measured)
    assert measured.outcome.suggestion_id == "start"
    assert measured.outcome.final
    assert rig.controller.moves == 1


def test_shots_in_motion_and_while_settling_belong_to_nothing() -> None:
    rig = Rig(knobs__x__settle_s=0.3)
    rig.shots(60)
    rig.reply()
    rig.shots(30)
    before = rig.controller.observer.shots
    folded, outside = before.folded, before.outside
    rig.arrive()
    rig.shots(50)
    rig.wait(0.1)
    after = rig.controller.observer.shots
    # Of half a second after the arrival the first 0.3 s do not count.
    assert 17 <= after.folded - folded <= 20
    assert after.outside - outside >= 30


def test_the_next_setting_counts_its_own_shots_whenever_they_arrive() -> None:
    rig = Rig()
    rig.shots(30, hit=True)
    rig.reply()
    rig.shots(20, hit=True)
    rig.arrive()
    rig.shots(40, hit=False)
    rig.reply(0.0, 0.0)
    rig.shots(20, hit=False)
    rig.arrive()
    rig.shots(20, hit=True)
    first, second = rig.of(Measured)
    assert first.outcome.estimates["hits"].mean == 1.0
    assert second.outcome.estimates["hits"].mean == 0.0


def test_a_dwell_without_enough_shots_ends_in_time() -> None:
    rig = Rig(dwell__max_s=1.0, envelope__stale_after_s=5)
    rig.shots(30)
    rig.reply()
    rig.wait(1.0)
    assert len(rig.of(Submit)) == 1


def test_with_a_pipeline_the_beam_does_not_wait_for_the_analysis() -> None:
    waiting, flowing = Rig(dwell__shots=60), Rig(dwell__shots=60, dwell__in_flight=2)
    for rig in (waiting, flowing):
        rig.shots(10)
        rig.latency_ns = 3 * SECOND // 10
        rig.shots(30)
        rig.reply() if rig is flowing else None
        rig.shots(30)
    assert waiting.of(Submit) == []
    [submit] = flowing.of(Submit)
    # Results of the setting that was left still come, and count for it.
    flowing.arrive()
    flowing.shots(40)
    [measured] = flowing.of(Measured)
    assert measured.outcome.suggestion_id == "start"
    assert measured.outcome.t_last_shot_ns > submit.decision.t_last_shot_ns


def test_no_more_settings_are_in_flight_than_allowed() -> None:
    rig = Rig(dwell__shots=10, dwell__in_flight=1, envelope__stale_after_s=60)
    rig.shots(20)
    rig.latency_ns = 10 * SECOND
    rig.reply()
    rig.shots(10)
    rig.arrive()
    rig.reply(0.0, 0.0)
    rig.shots(100)
    assert len(rig.of(Submit)) == 1


@pytest.mark.parametrize(("worse_than", "leaves"), [(0.6, True), (None, False)])
def test_a_place_that_is_clearly_worse_is_left_early(
    worse_than: float | None, leaves: bool
) -> None:
    rig = Rig(dwell__shots=80, stop__duration_s=60)
    rig.shots(80)
    rig.reply(worse_than=worse_than)
    rig.shots(10)
    rig.arrive()
    rig.shots(30, hit=False)
    rig.reply(0.0, 0.0)
    rig.shots(10, hit=False)
    assert (len(rig.of(Submit)) == 2) == leaves


def test_the_policy_says_how_many_shots_it_wants() -> None:
    rig = Rig(dwell__shots=80, stop__duration_s=60)
    rig.shots(80)
    rig.reply(shots=20)
    rig.shots(10)
    rig.arrive()
    rig.shots(30)
    rig.reply(0.0, 0.0)
    rig.shots(10)
    assert len(rig.of(Submit)) == 2


def test_shots_in_motion_are_tagged_with_where_the_knobs_were() -> None:
    rig = Rig(dwell__motion="tag")
    rig.shots(30)
    rig.reply(0.09, 0.0)
    rig.shots(20)
    rig.arrive(beam=True)
    rig.shots(40)
    trail = [one.outcome for one in rig.of(Measured) if one.outcome.suggestion_id.startswith("s1/")]
    assert len(trail) >= 3
    xs = [outcome.readback["x"] for outcome in trail]
    assert xs == sorted(xs)
    assert 0 <= xs[0] < 0.03
    assert 0.06 < xs[-1] <= 0.09
    assert rig.controller.observer.shots.tagged == sum(outcome.n_shots for outcome in trail)


def test_observe_reads_only() -> None:
    rig = Rig("observe")
    rig.shots(200)
    assert rig.of(AskPolicy) == []
    assert rig.of(Submit) == []


def test_suggest_prints_and_moves_nothing() -> None:
    rig = Rig("suggest")
    for _ in range(3):
        rig.shots(30)
        rig.reply()
        rig.shots(20)
    decisions = [submit.decision for submit in rig.of(Submit)]
    assert len(decisions) == 3
    assert {decision.status for decision in decisions} == {"printed"}


def test_suggest_follows_the_hand_that_moves() -> None:
    rig = Rig("suggest")
    rig.shots(20)
    rig.readback("x", 0.01, moving=True)
    rig.readback("x", 0.04)
    rig.shots(40, hit=False)
    ask = rig.last(AskPolicy)
    assert [point["_id"] for point in ask.points] == ["start", "found-1"]
    assert ask.points[1]["x"] == 0.04
    assert ask.points[1]["hits"] == 0.0


def test_approve_waits_for_a_yes_and_checks_again() -> None:
    rig = Rig("approve")
    rig.shots(30)
    rig.reply(0.05, 0.1)
    rig.shots(30)
    assert len(rig.of(RequestApproval)) == 1
    rig.shots(60)
    assert rig.of(Submit) == []
    rig.post(Operator("approve", "Ada"))
    assert [s.decision.status for s in rig.of(Submit)] == ["accepted"]


def test_approve_refuses_at_the_yes_what_has_become_wrong_meanwhile() -> None:
    rig = Rig("approve")
    rig.shots(30)
    rig.reply()
    rig.shots(30)
    rig.wait(5)
    rig.post(Operator("approve", "Ada"))
    [submit] = rig.of(Submit)
    assert submit.decision.status == "refused"
    assert submit.decision.refusal is not None
    assert submit.decision.refusal.check == "data"


def test_an_end_takes_back_a_question_that_nobody_has_answered() -> None:
    rig = Rig("approve", stop__duration_s=2.0, stop__then="stay")
    rig.shots(30)
    rig.reply()
    rig.shots(40)
    assert rig.controller.approval is not None
    rig.shots(180)
    [submit] = rig.of(Submit)
    assert submit.decision.refusal is not None
    assert submit.decision.refusal.reason == "the run ends"
    assert ended(rig, ok=True)


def test_a_closing_move_that_nobody_allows_does_not_keep_the_run_alive() -> None:
    rig = Rig("approve", stop__duration_s=2.0, stop__then="start")
    rig.shots(250)
    rig.reply()
    rig.wait(0.1)
    assert rig.last(RequestApproval).decision.final
    rig.wait(29)
    assert rig.finish() is None
    rig.wait(2)
    assert rig.last(Submit).decision.status == "refused"
    assert ended(rig, ok=True)


def test_a_denied_suggestion_is_told_to_the_policy() -> None:
    rig = Rig("approve")
    rig.shots(30)
    rig.reply(0.05, 0.1)
    rig.shots(30)
    rig.post(Operator("deny", "Ada"))
    [submit] = rig.of(Submit)
    assert submit.decision.refusal is not None
    assert "Ada" in submit.decision.refusal.reason
    rig.shots(10)
    assert [point["_id"] for point in rig.last(AskPolicy).failed] == ["s1"]


def test_a_suggestion_out_of_limits_is_refused_and_another_one_is_asked_for() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply(x=9.0)
    rig.shots(30)
    [submit] = rig.of(Submit)
    assert submit.decision.status == "refused"
    assert rig.controller.refusals == 1
    assert len(rig.of(AskPolicy)) == 2
    rig.reply(0.05, 0.1)
    rig.shots(10)
    assert [s.decision.status for s in rig.of(Submit)] == ["refused", "accepted"]


def test_refusals_without_end_end_the_run() -> None:
    rig = Rig(stop__max_refusals=4)
    rig.shots(50)
    for _ in range(4):
        rig.reply(x=9.0)
        rig.shots(10)
    assert ended(rig, ok=False)
    assert "4 suggestions refused in a row" in ended(rig).reason


def test_a_lost_beam_holds_and_its_return_goes_on() -> None:
    rig = Rig(envelope__interlocks=[{"name": "beam", "device": "beam", "above": 0.2}])
    rig.shots(30)
    rig.post(InterlockValue("beam", 0.0))
    rig.reply()
    rig.shots(60)
    assert rig.of(Submit) == []
    assert "holding: 'beam' is at 0" in said(rig)
    rig.post(InterlockValue("beam", 1.0))
    rig.shots(10)
    assert "going on" in said(rig)
    assert len(rig.of(Submit)) == 1


def test_stale_data_hold() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply()
    rig.wait(10)
    assert rig.of(Submit) == []
    assert "the newest shot is" in said(rig)


def test_a_lost_device_holds_and_is_announced() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply()
    rig.post(DeviceState("x", False, None))
    rig.shots(60)
    assert rig.of(Submit) == []
    assert "lost the device of knob 'x'" in said(rig)
    rig.post(DeviceState("x", True, FACTS))
    rig.shots(10)
    assert "is back" in said(rig)
    assert len(rig.of(Submit)) == 1


def test_a_changed_offset_stops_everything() -> None:
    rig = Rig()
    rig.shots(30)
    rig.post(DeviceState("x", True, MotorFacts("mm", -0.5, 0.5, offset=0.2)))
    assert len(rig.of(Halt)) == 1
    assert "positions no longer mean" in ended(rig).reason


def test_new_limits_are_announced_and_hold() -> None:
    rig = Rig()
    rig.post(DeviceState("x", True, MotorFacts("mm", -0.5, 0.02)))
    rig.shots(30)
    rig.reply(0.05, 0.0)
    rig.shots(30)
    assert "limits of knob 'x' are now -0.5 to 0.02" in said(rig)
    assert rig.last(Submit).decision.status == "refused"


def test_a_knob_moved_by_somebody_else_ends_the_setting() -> None:
    rig = Rig()
    rig.shots(20)
    rig.readback("y", 0.3)
    rig.shots(40, hit=False)
    assert "somebody else moves a knob: y at 0.3" in said(rig)
    points = {point["_id"]: point for point in rig.last(AskPolicy).points}
    assert points["start"]["hits"] == 1.0
    assert points["found-1"]["hits"] == 0.0
    assert points["found-1"]["y"] == 0.3


def test_a_failed_move_is_no_success_and_three_of_them_end_the_run() -> None:
    rig = Rig()
    for number in range(3):
        rig.shots(60)
        rig.reply(0.05, 0.1)
        rig.shots(30)
        rig.arrive("failed", "time-out")
        assert rig.controller.moves == 0
        assert (rig.controller.ending is None) == (number < 2)
    # Another ask was on its way already: its answer is waited for.
    rig.reply()
    rig.wait(0.1)
    assert ended(rig).reason == "moves fail, 3 times in a row"
    assert said(rig).count("time-out") == 3


def test_after_a_failed_move_the_policy_hears_of_it_and_of_the_place_found() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply(0.05, 0.1)
    rig.shots(30)
    rig.arrive("failed")
    rig.shots(40)
    ask = rig.last(AskPolicy)
    assert [point["_id"] for point in ask.failed] == ["s1"]
    assert any(point["_id"] == "found-1" for point in ask.points)


def test_a_failing_policy_is_told_everything_again_and_thrice_is_enough() -> None:
    rig = Rig()
    rig.shots(30)
    first = rig.last(AskPolicy)
    rig.post(PolicyFailed(first.request, "no memory", forgot=True))
    rig.shots(10)
    again = rig.last(AskPolicy)
    assert again.request == first.request + 1
    assert [point["_id"] for point in again.points] == ["start"]
    for _ in range(2):
        rig.post(PolicyFailed(rig.last(AskPolicy).request, "no memory", forgot=True))
        rig.shots(10)
    assert ended(rig, ok=False)


def test_an_answer_to_an_old_ask_is_ignored() -> None:
    rig = Rig()
    rig.shots(30)
    old = rig.last(AskPolicy).request
    rig.post(PolicyFailed(old, "slow", forgot=False))
    rig.shots(10)
    assert rig.last(AskPolicy).request == old + 1
    rig.of(AskPolicy)
    before = rig.controller.policy.next
    rig.log.append(rig.of(AskPolicy)[0])
    rig.reply(0.01, 0.01)
    assert rig.controller.policy.next is before is None


def test_a_planned_end_goes_to_the_best_place_and_measures_it() -> None:
    rig = Rig(stop__duration_s=2.0)
    rig.one_setting()
    rig.shots(150)
    assert rig.last(AskPolicy).num_points == 1
    rig.reply(0.02, 0.02)
    rig.wait(0.1)
    assert rig.last(AskPolicy).num_points == 0
    rig.reply(best=Best({"x": 0.07, "y": -0.2}, 0.9, 0.01))
    decision = rig.last(Submit).decision
    assert decision.final
    assert decision.suggestion.knobs == {"x": 0.07, "y": -0.2}
    rig.arrive()
    rig.shots(60)
    assert ended(rig, ok=True)
    assert rig.of(Measured)[-1].outcome.suggestion_id == "final"


def test_a_planned_end_may_lead_back_to_the_start_or_stay() -> None:
    back = Rig(stop__duration_s=2.0, stop__then="start")
    back.one_setting()
    back.shots(150)
    back.reply()
    back.wait(0.1)
    assert back.last(Submit).decision.suggestion.knobs == {"x": 0.0, "y": 0.0}
    stay = Rig(stop__duration_s=2.0, stop__then="stay")
    stay.one_setting()
    stay.shots(150)
    stay.reply()
    stay.wait(0.1)
    assert len(stay.of(Submit)) == 1
    assert ended(stay, ok=True)


def test_a_stop_by_hand_leaves_the_knobs_after_the_move_in_flight() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply()
    rig.shots(30)
    rig.post(Operator("stop", "Ctrl-C"))
    assert rig.finish() is None
    rig.arrive()
    assert ended(rig, ok=True)
    assert rig.of(Halt) == []
    assert len(rig.of(Submit)) == 1


def test_an_abort_halts_at_once() -> None:
    rig = Rig()
    rig.one_setting()
    rig.post(Operator("abort", "Ctrl-C"))
    assert len(rig.of(Halt)) == 1
    assert ended(rig, ok=False)
    assert rig.post(Operator("resume", "x")) == ()


def test_a_pause_decides_nothing_and_keeps_counting() -> None:
    rig = Rig()
    rig.shots(30)
    rig.reply()
    rig.post(Operator("pause", "Ada"))
    rig.shots(60)
    assert rig.of(Submit) == []
    assert rig.controller.settings.current is not None
    assert rig.controller.settings.current.n_shots > 60
    rig.post(Operator("resume", "Ada"))
    rig.shots(10)
    assert len(rig.of(Submit)) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stop__max_settings": 2, "stop__then": "stay"}, "2 settings are measured"),
        ({"stop__duration_s": 3.0, "stop__then": "stay"}, "3 s have passed"),
    ],
)
def test_planned_ends(changes: dict[str, Any], reason: str) -> None:
    rig = Rig(**changes)
    for number in range(8):
        if rig.finish() is None:
            rig.one_setting(0.01 * number, 0.0)
    assert ended(rig).reason == reason


def test_the_policy_may_be_done() -> None:
    rig = Rig(stop__then="stay")
    rig.shots(30)
    rig.reply(stop="the grid is measured")
    assert "the grid is measured" in ended(rig).reason


def test_the_end_of_the_stream_ends_the_run() -> None:
    rig = Rig(stop__then="stay")
    rig.shots(30)
    rig.reply()
    rig.post(Heartbeat("worker-0", "indexing", 30, end_of_stream=True))
    rig.wait(0.1)
    assert ended(rig).reason == "the stream has ended"


def test_a_fault_is_announced_and_a_fatal_one_ends_the_run_without_a_move() -> None:
    rig = Rig()
    rig.one_setting()
    rig.post(Fault("process 'worker-0'", "ended unasked", fatal=False))
    assert "ended unasked" in said(rig)
    assert rig.finish() is None
    rig.post(Fault("the Bluesky plan", "broke", fatal=True))
    rig.wait(0.1)
    assert ended(rig, ok=False)
    assert len(rig.of(Submit)) == 1
