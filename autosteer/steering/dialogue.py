"""The dialogue with the policy: what it has been told, what it was asked, what it said."""

from __future__ import annotations

from collections.abc import Mapping

from autosteer.contracts import Best, Outcome, Suggestion
from autosteer.steering.events import AskPolicy, PolicyReplied


class Dialogue:
    """Keeps one ask at a time in flight and the next suggestion ready.

    Attributes
    ----------
    asking : AskPolicy or None
        The ask that is in flight.
    next : Suggestion or None
        The suggestion that is ready.
    next_informed_ns : int
        Exposure of the newest shot that the policy had seen when it made it [ns UTC]; 0 if none.
    best : Best or None
        Where the policy believes the optimum.
    """

    def __init__(self) -> None:
        self.asking: AskPolicy | None = None
        self.next: Suggestion | None = None
        self.next_informed_ns = 0
        self.best: Best | None = None
        self._asking_informed_ns = 0
        self._requests = 0
        self._told: dict[str, tuple[int, bool]] = {}
        self._failed: list[Suggestion] = []

    def ask(self, num_points: int, outcomes: Mapping[str, Outcome]) -> AskPolicy:
        """Make an ask that tells everything new.

        Parameters
        ----------
        num_points : int
            Suggestions wanted; 0 asks for the best place only.
        outcomes : mapping of str to Outcome
            Every outcome so far, by suggestion.

        Returns
        -------
        AskPolicy
            The ask, which is in flight from now on.
        """
        new = [
            outcome
            for outcome in outcomes.values()
            if outcome.estimates
            and self._told.get(outcome.suggestion_id) != (outcome.n_shots, outcome.final)
        ]
        for outcome in new:
            self._told[outcome.suggestion_id] = (outcome.n_shots, outcome.final)
        self._requests += 1
        self.asking = AskPolicy(
            request=self._requests,
            num_points=num_points,
            points=tuple(outcome.as_point() for outcome in new),
            failed=tuple({"_id": failed.id, **failed.knobs} for failed in self._failed),
        )
        self._failed.clear()
        self._asking_informed_ns = max(
            (outcome.t_last_shot_ns for outcome in outcomes.values()), default=0
        )
        return self.asking

    def take_reply(self, reply: PolicyReplied) -> bool:
        """Take the answer to the ask in flight.

        Parameters
        ----------
        reply : PolicyReplied
            The answer.

        Returns
        -------
        bool
            False if it answers no ask that is in flight.
        """
        if self.asking is None or reply.request != self.asking.request:
            return False
        self.asking = None
        self.best = reply.best or self.best
        if reply.suggestions:
            self.next = reply.suggestions[0]
            self.next_informed_ns = self._asking_informed_ns
        return True

    def take_failure(self) -> None:
        """Note that the ask in flight has failed: the next one tells everything again."""
        self.asking = None
        self._told.clear()

    def fail(self, suggestion: Suggestion) -> None:
        """Note a suggestion that was refused or failed, for the next ask.

        Parameters
        ----------
        suggestion : Suggestion
            The suggestion.
        """
        self._failed.append(suggestion)
