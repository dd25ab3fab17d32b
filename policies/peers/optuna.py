"""Samplers of Optuna as policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autosteer.contracts import OutcomeLimit, PolicyError, Problem
from autosteer.policies.peers._loading import peer_module
from autosteer.policies.peers._peer import (
    Feature,
    Proposal,
    RepeatablePeerPolicy,
    refuse_what_cannot_be,
)
from autosteer.policies.peers._trials import Status, Trial

_CAN: frozenset[Feature] = frozenset({"objectives", "limits", "steps"})
_SAMPLERS = {"gp": "GPSampler", "tpe": "TPESampler", "random": "RandomSampler"}
_LIMITED = ("gp", "tpe")
_LARGEST_SEED = 2**31 - 1


class OptunaPolicy(RepeatablePeerPolicy):
    """A sampler of Optuna.

    Telling Optuna costs next to nothing, so that the study is made anew for every ask: the newest
    outcome of a point counts, and suggestions in flight are running trials. So are failed ones:
    of a failed trial Optuna thinks nothing, and proposes it again. It takes no standard errors:
    every point counts the same.

    `best` is the best reading that keeps the limits: Optuna has no other recommendation. With
    several objectives, that with the best first one.

    Parameters
    ----------
    problem : Problem
        Knobs, objectives and limits.
    sampler : {"gp", "tpe", "random"} or callable, default "gp"
        Which sampler, or what makes one of a seed. It has to do with trials alone: one that keeps
        a course of its own (CMA-ES, genetic) would forget it at every ask.
    **options
        Further keyword arguments of the sampler, where a name is given.

    Raises
    ------
    PolicyError
        If there is no such sampler, or it does not take the problem or the options.
    MissingExtraError
        If Optuna is not installed.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: str | Callable[[int], Any] = "gp",
        **options: Any,
    ) -> None:
        super().__init__(problem)
        refuse_what_cannot_be(problem, "Optuna", _CAN)
        self._sampler = sampler
        self._options = options
        if isinstance(sampler, str):
            if sampler not in _SAMPLERS:
                raise PolicyError(f"there is no sampler '{sampler}': use {', '.join(_SAMPLERS)}")
            if problem.limits and sampler not in _LIMITED:
                raise PolicyError(f"the sampler '{sampler}' knows no limits: use gp or tpe")
        self._optuna = peer_module("optuna")
        # So that what is wrong with the options shows now.
        self._make_sampler()
        self._space = {
            name: self._optuna.distributions.FloatDistribution(
                knob.low,
                knob.high if knob.step is None else knob.low + ((knob.places or 1) - 1) * knob.step,
                step=knob.step,
            )
            for name, knob in problem.knobs.items()
        }

    def _make_sampler(self) -> Any:
        seed = self._draw % _LARGEST_SEED
        if not isinstance(self._sampler, str):
            return self._sampler(seed)
        try:
            maker = getattr(self._optuna.samplers, _SAMPLERS[self._sampler])
            return maker(seed=seed, **self._options)
        except TypeError as error:
            raise PolicyError(f"the sampler '{self._sampler}' cannot be made: {error}") from error

    def _propose(self, num_points: int) -> list[Proposal]:
        study = self._optuna.create_study(
            directions=[
                "maximize" if aim.maximize else "minimize" for aim in self._problem.objectives
            ],
            sampler=self._make_sampler(),
        )
        states = self._optuna.trial.TrialState
        kinds: dict[Status, Any] = {
            "measured": states.COMPLETE,
            "failed": states.RUNNING,
            "pending": states.RUNNING,
        }
        for status, state in kinds.items():
            study.add_trials([self._frozen(one, state) for one in self._book.of(status).values()])
        why = f"Optuna {type(study.sampler).__name__}"
        return [Proposal(study.ask(self._space).params, why) for _ in range(num_points)]

    def _frozen(self, trial: Trial, state: Any) -> Any:
        measured = trial.status == "measured"
        return self._optuna.trial.create_trial(
            state=state,
            params=self._book.knobs(trial),
            distributions=self._space,
            values=[trial.values[aim.name][0] for aim in self._problem.objectives]
            if measured
            else None,
            constraints={
                f"{limit.name} {side}": breach
                for limit in self._problem.limits
                for side, breach in _breaches(limit, trial.values[limit.name][0]).items()
            }
            if measured and self._problem.limits
            else None,
        )

    def _best(self) -> dict[str, Any]:
        return self._book.best_measured()


def _breaches(limit: OutcomeLimit, value: float) -> dict[str, float]:
    """Return by how much each bound is passed; at most zero where it is kept."""
    breaches = {}
    if limit.above is not None:
        breaches["above"] = limit.above - value
    if limit.below is not None:
        breaches["below"] = value - limit.below
    return breaches
