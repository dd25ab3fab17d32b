"""The controller: events in, actions out. No I/O and no clock, so that a log replays exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pyarrow as pa

from autosteer.contracts import Decision, Experiment, Mode, MoveResult, Outcome, Refusal, Suggestion
from autosteer.steering.dialogue import Dialogue
from autosteer.steering.envelope import Envelope, Surroundings
from autosteer.steering.events import (
    Action,
    Announce,
    DeviceState,
    Fault,
    Finish,
    Halt,
    Heartbeat,
    InterlockValue,
    Measured,
    MoveEnded,
    Operator,
    PolicyFailed,
    PolicyReplied,
    Readback,
    RequestApproval,
    Stamped,
    Submit,
    TableArrived,
)
from autosteer.steering.latency import LatencyHistogram
from autosteer.steering.observer import Observer
from autosteer.steering.settings import Setting, SettingBook
from autosteer.steering.timetable import Timetable

START = "start"
FINAL = "final"
_LOOK_EVERY_NS = 20_000_000
_GREETING_NS = 3_000_000_000
_CLOSING_ANSWER_NS = 30_000_000_000


class Controller:
    """Decides when to ask, when to leave, where to go and when to stop.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    mode : {"observe", "suggest", "approve", "auto"}
        How far it may go.
    """

    def __init__(self, experiment: Experiment, mode: Mode) -> None:
        self._experiment = experiment
        self._envelope = Envelope(experiment)
        self._actions: list[Action] = []
        self._now_ns = self._next_look_ns = 0
        self.mode: Mode = mode
        self.observer = Observer(experiment)
        self.settings = SettingBook(experiment)
        self.policy = Dialogue()
        self.outcomes: dict[str, Outcome] = {}
        self.last_decision: Decision | None = None
        self.decisions = self.refusals = self.moves = 0
        self.decision_latency = LatencyHistogram()
        self.information_age = LatencyHistogram()
        self.set_latency = LatencyHistogram()
        self.policy_cpu_s = 0.0
        self.paused = False
        self.hold: Refusal | None = None
        self.approval: Decision | None = None
        self.moving: Decision | None = None
        self.ending: Finish | None = None
        self.finished: Finish | None = None
        self._then: Literal["best", "start", "stay"] = "stay"
        self._closing: Literal["wait", "ask", "move", "confirm"] = "wait"
        self._failures_in_a_row = 0
        self._refusals_in_a_row = 0
        self._t_last_move_ns = 0
        self._start_knobs: dict[str, float] = {}
        self._t_asked_ns = 0
        self._timetable = Timetable(experiment)

    @property
    def drives(self) -> bool:
        """Whether the mode lets anything move."""
        return self.mode in {"approve", "auto"}

    def handle(self, stamped: Stamped, batch: pa.RecordBatch | None = None) -> tuple[Action, ...]:
        """Take an event and say what is to be done.

        Parameters
        ----------
        stamped : Stamped
            The event, its number and its time.
        batch : pyarrow.RecordBatch, optional
            Rows of the table, for a `TableArrived`.

        Returns
        -------
        tuple of Action
            What to do, in this order.
        """
        self._actions = []
        self._now_ns = stamped.t_ns
        if self.finished is None:
            self._take(stamped, batch)
        elif isinstance(stamped.event, Readback):
            # Motors that were stopped tell where they have come to rest.
            self.observer.take_readback(stamped.event)
        # What merely flows in is looked at every few milliseconds; anything else at once.
        flowing = isinstance(stamped.event, TableArrived | Heartbeat | Readback | InterlockValue)
        if self.finished is None and not (flowing and self._now_ns < self._next_look_ns):
            self._next_look_ns = self._now_ns + _LOOK_EVERY_NS
            self._advance()
        return tuple(self._actions)

    def _take(self, stamped: Stamped, batch: pa.RecordBatch | None) -> None:
        match stamped.event:
            case TableArrived() as event:
                if batch is not None:
                    self.observer.take_table(event, batch, self._now_ns)
            case Heartbeat() as event:
                self.observer.take_heartbeat(event, self._now_ns)
            case Readback() as event:
                self.observer.take_readback(event)
            case DeviceState() as event:
                self._take_device(event)
            case InterlockValue() as event:
                self.observer.take_interlock(event, self._now_ns)
            case PolicyReplied() as event:
                self._take_reply(event)
            case PolicyFailed() as event:
                self._take_policy_failure(event)
            case MoveEnded() as event:
                self._take_move(event.result)
            case Operator() as event:
                self._take_operator(event)
            case Fault() as event:
                self._say("error" if event.fatal else "warning", f"{event.what}: {event.message}")
                if event.fatal:
                    self._end(ok=False, reason=f"{event.what}: {event.message}")

    def _say(self, level: Literal["info", "warning", "error"], text: str) -> None:
        self._actions.append(Announce(level, text))

    def _take_device(self, event: DeviceState) -> None:
        knob, after = event.knob, event.facts
        before = self.observer.facts.get(knob)
        was_connected = self.observer.connected[knob]
        self.observer.take_device(event)
        if was_connected and not event.connected:
            self._say("error", f"lost the device of knob '{knob}'")
        elif event.connected and not was_connected and before is not None:
            self._say("info", f"the device of knob '{knob}' is back")
        if before is None or after is None or before == after:
            return
        if (before.offset, before.direction) == (after.offset, after.direction):
            self._say("info", f"limits of knob '{knob}' are now {after.low:g} to {after.high:g}")
            return
        reason = (
            f"offset or direction of knob '{knob}' changed from {before.offset:g}, "
            f"{before.direction} to {after.offset:g}, {after.direction}: "
            "positions no longer mean what they did"
        )
        self._actions.append(Halt(reason))
        self._finish(Finish(ok=False, reason=reason))

    def _take_operator(self, event: Operator) -> None:
        who = event.who or "the operator"
        match event.command:
            case "pause":
                self.paused = True
                self._say("info", f"paused by {who}")
            case "resume":
                self.paused = False
                self._say("info", f"resumed by {who}")
            case "stop":
                self._end(ok=True, reason=f"stopped by {who}")
            case "abort":
                self._actions.append(Halt(f"aborted by {who}"))
                self._finish(Finish(ok=False, reason=f"aborted by {who}"))
            case "approve" | "deny":
                decision, self.approval = self.approval, None
                if decision is None:
                    self._say("warning", "there is nothing to approve")
                elif event.command == "deny":
                    self._refuse(decision, Refusal("approval", f"denied by {who}"))
                else:
                    # Time has passed since the question: everything is checked again.
                    self._submit(decision)

    def _take_reply(self, event: PolicyReplied) -> None:
        self.policy_cpu_s += event.cpu_s
        asked = self.policy.asking
        if asked is not None and asked.request == event.request and asked.num_points:
            self._timetable.note_ask((self._now_ns - self._t_asked_ns) / 1e9)
        if not self.policy.take_reply(event) or asked is None or self.ending is not None:
            return
        if event.stop_reason:
            self._end(ok=True, reason=f"the policy is done: {event.stop_reason}", planned=True)
        elif asked.num_points and not event.suggestions:
            self._count_failure("the policy suggests nothing")

    def _take_policy_failure(self, event: PolicyFailed) -> None:
        self.policy.take_failure()
        self._say("warning", f"the policy failed: {event.message}")
        self._count_failure("the policy fails")

    def _take_move(self, result: MoveResult) -> None:
        decision = self.moving
        if decision is None or decision.number != result.decision_number:
            return
        self.moving = None
        self.settings.arrive(self._now_ns)
        if result.status != "arrived":
            self._say("error", f"move {decision.number} {result.status}: {result.message}")
            self.policy.fail(decision.suggestion)
            self._count_failure("moves fail")
            return
        self.moves += 1
        self._failures_in_a_row = 0
        t_set_ns = result.t_set_ns or self._now_ns
        self.set_latency.add([(t_set_ns - decision.t_ns) / 1e9])
        self.decision_latency.add([(t_set_ns - decision.t_last_shot_ns) / 1e9])
        if decision.t_informed_ns:
            self.information_age.add([(t_set_ns - decision.t_informed_ns) / 1e9])
        self._timetable.note_move((self._now_ns - decision.t_ns) / 1e9)
        self._timetable.begin(self._now_ns)
        self.settings.open(decision.suggestion, t_set_ns, self._now_ns)

    def _count_failure(self, what: str) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self._experiment.stop.max_failures:
            self._end(ok=False, reason=f"{what}, {self._failures_in_a_row} times in a row")

    def _advance(self) -> None:
        self.observer.deal(self._now_ns, self.settings.unfinished, self.settings.trails)
        for setting in self.settings.complete(self.observer.t_processed_ns, self._now_ns):
            self._measure(setting, final=True)
        for trail in self.settings.complete_trails(self.observer.t_processed_ns, self._now_ns):
            for outcome in trail.outcomes(self.observer.histories):
                self.outcomes[outcome.suggestion_id] = outcome
                self._actions.append(Measured(outcome))
        self._follow_knobs()
        if self.ending is None:
            self._check_stop()
        self._watch_for_holds()
        if self.paused:
            return
        if self.ending is not None:
            self._advance_ending(self.ending)
            return
        self._ask_if_due()
        self._leave_if_due()

    def _measure(self, setting: Setting, *, final: bool) -> None:
        """Note what a setting has given so far; where it is final, have it recorded."""
        if setting.n_shots:
            outcome = setting.outcome(final=final)
            self.outcomes[setting.suggestion_id] = outcome
            if final:
                self._actions.append(Measured(outcome))

    def _follow_knobs(self) -> None:
        """Begin a setting where the knobs are found at rest; end it when somebody moves them."""
        if self.moving is not None:
            return
        positions = self.observer.positions
        if self.settings.current is None:
            if self.observer.at_rest and self.observer.t_first_shot_ns:
                self._start_knobs = self._start_knobs or positions
                number = self.settings.opened
                found = Suggestion(f"found-{number}" if number else START, positions)
                self._timetable.begin(self._now_ns)
                begun_ns = self._now_ns if number else self.observer.t_first_shot_ns
                self.settings.open(found, begun_ns, begun_ns)
            return
        away = self.settings.strays(self.observer.histories, self._now_ns)
        if away:
            if self.drives:
                where = ", ".join(f"{name} at {positions[name]:g}" for name in away)
                self._say("warning", f"somebody else moves a knob: {where}")
            self.settings.leave(self._now_ns)

    def _check_stop(self) -> None:
        stop = self._experiment.stop
        first_ns = self.observer.t_first_shot_ns
        if (
            stop.duration_s is not None
            and first_ns
            and self._now_ns - first_ns >= stop.duration_s * 1e9
        ):
            self._end(ok=True, reason=f"{stop.duration_s:g} s have passed", planned=True)
        elif stop.sample_ul is not None and first_ns and self._sample_used_ul >= stop.sample_ul:
            self._end(ok=True, reason=f"{stop.sample_ul:g} ul of sample are used", planned=True)
        elif stop.max_settings is not None and self.settings.opened > stop.max_settings:
            self._end(ok=True, reason=f"{stop.max_settings} settings are measured", planned=True)
        elif stop.when_sorted and self.observer.sorter is not None and self.observer.sorter.full:
            self._end(ok=True, reason="every bin has its quota of shots", planned=True)
        elif self.observer.stream_ended:
            self._end(ok=True, reason="the stream has ended", planned=True)

    @property
    def _sample_used_ul(self) -> float:
        """Sample that has flown since the first shot [ul]."""
        flow = self._experiment.sample.flow_ul_per_min or 0.0
        return flow * (self._now_ns - self.observer.t_first_shot_ns) / 60e9

    def _watch_for_holds(self) -> None:
        """Say when nothing may move, and when it may again."""
        first_ns = self.observer.t_first_shot_ns
        if not self.drives or not first_ns:
            return
        if not self.settings.opened and self._now_ns - first_ns < _GREETING_NS:
            # Devices are still reporting for the first time.
            return
        hold = self._envelope.blocked(self._surroundings())
        if hold is None:
            if self.hold is not None:
                self._say("info", "going on")
            self.hold = None
        elif hold.check != "rate":
            if self.hold is None or self.hold.check != hold.check:
                self._say("warning", f"holding: {hold.reason}")
            self.hold = hold

    def _surroundings(self) -> Surroundings:
        return self.observer.surroundings(self._now_ns, self._t_last_move_ns)

    def _share_of_dwell(self) -> float:
        """Return how much of the dwell is done; 0 where there is no setting."""
        current = self.settings.current
        if current is None:
            return 0.0
        return self._timetable.share_done(current, self.observer.t_processed_ns, self._now_ns)

    def _ask_if_due(self) -> None:
        current, moving = self.settings.current, self.moving
        busy = self.policy.asking or self.policy.next or self.approval
        if self.mode == "observe" or busy:
            return
        if current is not None:
            due = self._timetable.ask_is_due(current, self._share_of_dwell())
        elif moving is not None:
            since_s = (self._now_ns - moving.t_ns) / 1e9
            due = self._timetable.ask_is_due_on_the_way(moving.suggestion.shots, since_s)
        else:
            due = False
        if due:
            for setting in self.settings.unfinished:
                self._measure(setting, final=False)
            if not self.outcomes:
                # A policy is to know the start, which may be the only place known to be safe.
                return
            self._t_asked_ns = self._now_ns
            self._actions.append(self.policy.ask(1, self.outcomes))

    def _leave_if_due(self) -> None:
        busy = self.moving or self.approval or self.hold
        suggestion = self.policy.next
        if busy or suggestion is None or self._share_of_dwell() < 1:
            return
        in_flight = self._experiment.dwell.in_flight
        if self.drives and in_flight and len(self.settings.left) >= in_flight:
            return
        if self._envelope.blocked(self._surroundings()) is None:
            self.policy.next = None
            self._decide(suggestion, self.policy.next_informed_ns)

    def _decide(self, suggestion: Suggestion, informed_ns: int, *, final: bool = False) -> None:
        """Make a decision of a suggestion, as far as the mode lets us."""
        self.decisions += 1
        current = self.settings.current
        decision = Decision(
            number=self.decisions,
            suggestion=suggestion,
            status="accepted" if self.drives else "printed",
            refusal=None,
            t_ns=self._now_ns,
            last_pulse_id=current.last_pulse_id if current else 0,
            t_last_shot_ns=(current.t_last_shot_ns if current else 0)
            or self.observer.t_newest_shot_ns,
            t_informed_ns=informed_ns,
            final=final,
        )
        if not self.drives:
            if current is not None:
                taken = self._timetable.shots_taken(
                    current, self.observer.t_processed_ns, self._now_ns
                )
                self._timetable.begin(self._now_ns, taken)
            self._record(decision)
        elif self.mode == "approve":
            refusal = self._envelope.check(suggestion, self._surroundings())
            if refusal is not None:
                self._refuse(decision, refusal)
            else:
                self.approval = decision
                self._actions.append(RequestApproval(decision))
        else:
            self._submit(decision)

    def _submit(self, decision: Decision) -> None:
        """Let a decision through the envelope, and carry it out."""
        refusal = self._envelope.check(decision.suggestion, self._surroundings())
        if refusal is not None:
            self._refuse(decision, refusal)
            return
        self._refusals_in_a_row = 0
        self._t_last_move_ns = self._now_ns
        self.moving = replace(decision, t_ns=self._now_ns)
        self.settings.set_out(decision.suggestion.id, self._now_ns)
        self._record(self.moving)

    def _refuse(self, decision: Decision, refusal: Refusal) -> None:
        self.refusals += 1
        self._refusals_in_a_row += 1
        self._record(replace(decision, status="refused", refusal=refusal))
        self._say("warning", f"decision {decision.number} refused: {refusal.reason}")
        self.policy.fail(decision.suggestion)
        if self._refusals_in_a_row >= self._experiment.stop.max_refusals:
            reason = f"{self._refusals_in_a_row} suggestions refused in a row: {refusal.reason}"
            self._end(ok=False, reason=reason)

    def _record(self, decision: Decision) -> None:
        self.last_decision = decision
        self._actions.append(Submit(decision))

    def _end(self, *, ok: bool, reason: str, planned: bool = False) -> None:
        """Begin to end; a planned end leaves the knobs where the experiment file says."""
        if self.ending is not None:
            return
        self.ending = Finish(ok=ok, reason=reason)
        self._then = self._experiment.stop.then if planned and self.drives else "stay"
        self.policy.next = None
        self._say("info" if ok else "error", f"ending: {reason}")
        self._withdraw_approval("the run ends")

    def _withdraw_approval(self, reason: str) -> None:
        """Take back a question that nobody has answered."""
        decision, self.approval = self.approval, None
        if decision is not None:
            self._refuse(decision, Refusal("approval", reason))

    def _advance_ending(self, ending: Finish) -> None:
        """Go on with the end, one step at a time, whenever nothing is in flight."""
        if self.approval is not None and self._now_ns - self.approval.t_ns > _CLOSING_ANSWER_NS:
            self._withdraw_approval("nobody has answered, and the run ends")
        if self.policy.asking or self.moving or self.approval:
            return
        current = self.settings.current
        if self._closing == "wait" and self._then == "best":
            if current is not None:
                self._measure(current, final=False)
            self._actions.append(self.policy.ask(0, self.outcomes))
            self._closing = "ask"
        elif self._closing == "wait" and self._then == "start":
            self._close_with(Suggestion(FINAL, self._start_knobs, "back to the start"))
        elif self._closing == "ask" and self.policy.best is not None:
            best = self.policy.best
            why = f"the policy's best: {best.mean:.4g} +- {best.sd:.2g}"
            self._close_with(Suggestion(FINAL, best.knobs, why))
        elif self._closing == "move" and current is not None and current.suggestion_id == FINAL:
            self._closing = "confirm"
        elif self._closing == "confirm" and current is not None and self._share_of_dwell() < 1:
            return
        else:
            self._finish(ending)

    def _close_with(self, suggestion: Suggestion) -> None:
        """Make the closing move; what refuses it is part of the reason for the end."""
        self._closing = "move"
        self._decide(suggestion, self.observer.t_newest_shot_ns, final=True)

    def _finish(self, finish: Finish) -> None:
        self.settings.leave(self._now_ns)
        for setting in self.settings.left:
            self._measure(setting, final=True)
        self.settings.left = []
        best = self.policy.best
        if best is not None and best.front:
            count = len(best.front)
            self._say("info", f"the Pareto front has {count} place{'s' * (count > 1)}")
        self.finished = finish
        self._actions.append(finish)
