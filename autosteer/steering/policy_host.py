"""Puts a policy behind one question and one answer, wherever it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from autosteer.contracts import (
    Best,
    Explains,
    KnowsBest,
    KnowsFront,
    Policy,
    PolicyError,
    RegistersFailures,
    Stops,
    Suggestion,
)
from autosteer.steering.events import AskPolicy, PolicyReplied


class PolicyHost:
    """Asks a policy on behalf of the controller.

    Parameters
    ----------
    policy : Policy
        The policy.
    knobs : sequence of str
        Names of the knobs that every suggestion must have.
    objective : str
        Name of the objective.
    """

    def __init__(self, policy: Policy, knobs: Sequence[str], objective: str) -> None:
        self._policy = policy
        self._knobs = tuple(knobs)
        self._objective = objective

    def answer(self, ask: AskPolicy) -> PolicyReplied:
        """Tell the policy what is new, and give its answer.

        Parameters
        ----------
        ask : AskPolicy
            The question.

        Returns
        -------
        PolicyReplied
            The answer.

        Raises
        ------
        PolicyError
            If the policy raises, or suggests something that is no point.
        """
        begin_s = time.process_time()
        try:
            if ask.failed and isinstance(self._policy, RegistersFailures):
                self._policy.register_failures(ask.failed)
            if ask.points:
                self._policy.ingest(ask.points)
            stop, reason = (
                self._policy.should_stop() if isinstance(self._policy, Stops) else (False, "")
            )
            points = [] if stop or not ask.num_points else self._policy.suggest(ask.num_points)
            suggestions = tuple(self._suggestion(point) for point in points)
            best = self._best()
        except PolicyError:
            raise
        except Exception as error:
            name = type(self._policy).__name__
            raise PolicyError(f"{name} failed: {type(error).__name__}: {error}") from error
        return PolicyReplied(
            request=ask.request,
            suggestions=suggestions,
            best=best,
            stop_reason=(reason or "it says no more") if stop else "",
            cpu_s=time.process_time() - begin_s,
        )

    def _suggestion(self, point: Mapping[str, Any]) -> Suggestion:
        """Read a suggestion off a policy's dict."""
        if "_id" not in point:
            raise PolicyError(f"the policy suggested {dict(point)}, which has no '_id'")
        name = str(point["_id"])
        why = self._policy.explain(name) if isinstance(self._policy, Explains) else ""
        shots, worse_than = point.get("_shots"), point.get("_worse_than")
        return Suggestion(
            name,
            self._place(point),
            why,
            None if shots is None else max(int(shots), 1),
            None if worse_than is None else float(worse_than),
        )

    def _place(self, point: Mapping[str, Any]) -> dict[str, float]:
        missing = [name for name in self._knobs if name not in point]
        if missing:
            raise PolicyError(f"the policy's point {dict(point)} lacks the knob(s) {missing}")
        return {name: float(point[name]) for name in self._knobs}

    def _best(self) -> Best | None:
        """Ask for the best place; a policy that knows none yet says so by an empty dict."""
        if not isinstance(self._policy, KnowsBest):
            return None
        point = self._policy.best()
        if not point:
            return None
        mean = float(point[self._objective])
        sd = float(point.get(f"{self._objective}_sd", math.nan))
        front = self._policy.front() if isinstance(self._policy, KnowsFront) else ()
        return Best(self._place(point), mean, sd, front)
