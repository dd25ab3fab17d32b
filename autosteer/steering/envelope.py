"""The envelope: the one gate that every suggestion passes before a device sees it.

It fails closed: what cannot be checked is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autosteer.contracts import Experiment, Knob, MotorFacts, Refusal, Suggestion
from autosteer.contracts.experiment import Interlock


@dataclass(frozen=True, slots=True)
class Signal:
    """A value and the time at which it was told.

    Parameters
    ----------
    value : float
        The value.
    since_ns : int
        When it came [ns UTC].
    """

    value: float
    since_ns: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the envelope looks at besides the suggestion itself.

    Parameters
    ----------
    now_ns : int
        Time now [ns UTC].
    readbacks : mapping of str to float
        Live position by knob; a knob whose position is not known is absent.
    connected : mapping of str to bool
        Whether each knob's device is connected.
    facts : mapping of str to MotorFacts
        What each knob's motor says of itself, as far as known.
    interlocks : mapping of str to Signal
        Value of each interlock's signal, and since when; absent where it is not known.
    t_newest_shot_ns : int
        Exposure of the newest shot [ns UTC]; 0 if there is none.
    t_last_move_ns : int
        When the last move was asked for [ns UTC]; 0 if there was none.
    """

    now_ns: int
    readbacks: Mapping[str, float]
    connected: Mapping[str, bool]
    facts: Mapping[str, MotorFacts]
    interlocks: Mapping[str, Signal]
    t_newest_shot_ns: int
    t_last_move_ns: int


class Envelope:
    """The checks of one experiment.

    Parameters
    ----------
    experiment : Experiment
        Knobs and envelope as the experiment file says.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._knobs = experiment.knobs
        self._section = experiment.envelope

    def check(self, suggestion: Suggestion, now: Surroundings) -> Refusal | None:
        """Check a suggestion against everything.

        Parameters
        ----------
        suggestion : Suggestion
            Where somebody wants to go.
        now : Surroundings
            What is known at this moment.

        Returns
        -------
        Refusal or None
            The first refusal, or None if the suggestion may be carried out.
        """
        return self.blocked(now) or _first(self._target_refusals(suggestion, now))

    def blocked(self, now: Surroundings) -> Refusal | None:
        """Check whether anything at all may move.

        Parameters
        ----------
        now : Surroundings
            What is known at this moment.

        Returns
        -------
        Refusal or None
            Why nothing may move, or None.
        """
        return _first(self._standing_refusals(now))

    def _standing_refusals(self, now: Surroundings) -> Iterator[Refusal]:
        """Yield what forbids any move at present."""
        for name in self._knobs:
            if not now.connected.get(name, False):
                yield Refusal("connection", f"the device of knob '{name}' is not connected")
            elif name not in now.readbacks or not math.isfinite(now.readbacks[name]):
                yield Refusal("connection", f"the position of knob '{name}' is not known")
        for interlock in self._section.interlocks:
            yield from _interlock_refusals(interlock, now)
        age_s = (now.now_ns - now.t_newest_shot_ns) / 1e9
        if now.t_newest_shot_ns == 0:
            yield Refusal("data", "no shot has come yet")
        elif age_s > self._section.stale_after_s:
            limit = self._section.stale_after_s
            yield Refusal("data", f"the newest shot is {age_s:.1f} s old: the limit is {limit:g} s")
        since_s = (now.now_ns - now.t_last_move_ns) / 1e9
        if now.t_last_move_ns and since_s < self._section.min_interval_s:
            limit = self._section.min_interval_s
            yield Refusal("rate", f"the last move was {since_s:.2f} s ago: wait for {limit:g} s")

    def _target_refusals(self, suggestion: Suggestion, now: Surroundings) -> Iterator[Refusal]:
        """Yield what speaks against this target."""
        for name in suggestion.knobs:
            if name not in self._knobs:
                yield Refusal("knob", f"there is no knob '{name}': {', '.join(self._knobs)}")
        for name, knob in self._knobs.items():
            target = suggestion.knobs.get(name)
            if target is None:
                yield Refusal("knob", f"the suggestion says nothing about knob '{name}'")
                continue
            if not math.isfinite(target):
                yield Refusal("finite", f"{name} = {target} is not a finite number")
                continue
            if knob.step is not None:
                steps = (target - knob.low) / knob.step
                if abs(steps - round(steps)) * knob.step > knob.tolerance:
                    yield Refusal(
                        "step", f"{name} = {target:g} is no place: they are {knob.step:g} apart"
                    )
            low, high = limits_of(knob, now.facts.get(name))
            if not low <= target <= high:
                yield Refusal(
                    "limits", f"{name} = {target:g} {knob.units} lies outside [{low:g}, {high:g}]"
                )
            step = abs(target - now.readbacks[name])
            if knob.max_step is not None and step > knob.max_step:
                yield Refusal(
                    "step",
                    f"{name} would move by {step:g} {knob.units}: the limit is {knob.max_step:g}",
                )
        for zone in self._section.keep_out:
            if all(low <= suggestion.knobs[name] <= high for name, (low, high) in zone.box.items()):
                yield Refusal("keep-out", f"the target lies in the keep-out zone '{zone.name}'")
        for limit in self._section.linear:
            total = sum(weight * suggestion.knobs[name] for name, weight in limit.weights.items())
            low = -math.inf if limit.above is None else limit.above
            high = math.inf if limit.below is None else limit.below
            if not low <= total <= high:
                yield Refusal(
                    "linear", f"'{limit.name}' would be {total:g}: outside [{low:g}, {high:g}]"
                )


def limits_of(knob: Knob, facts: MotorFacts | None) -> tuple[float, float]:
    """Return the narrower of the experiment file's limits and the motor's.

    Parameters
    ----------
    knob : Knob
        The knob as the file describes it.
    facts : MotorFacts, optional
        What the motor says; equal limits mean that it states none.

    Returns
    -------
    low, high : float
        Limits in force, in the knob's unit.
    """
    if facts is None or facts.low == facts.high:
        return knob.low, knob.high
    return max(knob.low, facts.low), min(knob.high, facts.high)


def _interlock_refusals(interlock: Interlock, now: Surroundings) -> Iterator[Refusal]:
    """Yield a refusal if an interlock's signal is unknown, out of its bounds, or silent."""
    name, signal = interlock.name, now.interlocks.get(interlock.name)
    if signal is None or math.isnan(signal.value):
        yield Refusal("interlock", f"'{name}' is not known")
        return
    if interlock.above is not None and not signal.value > interlock.above:
        bound = interlock.above
        yield Refusal("interlock", f"'{name}' is at {signal.value:g}: it must be above {bound:g}")
    if interlock.below is not None and not signal.value < interlock.below:
        bound = interlock.below
        yield Refusal("interlock", f"'{name}' is at {signal.value:g}: it must be below {bound:g}")
    age_s = (now.now_ns - signal.since_ns) / 1e9
    limit = interlock.changes_within_s
    if limit is not None and age_s > limit:
        yield Refusal(
            "interlock", f"'{name}' has been silent for {age_s:.1f} s: {limit:g} s at most"
        )


def _first(refusals: Iterator[Refusal]) -> Refusal | None:
    """Return the first refusal; an exception in a check refuses, too."""
    try:
        return next(refusals, None)
    except Exception as error:
        return Refusal("error", f"a check could not be made: {type(error).__name__}: {error}")
