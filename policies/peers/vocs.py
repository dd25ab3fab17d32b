"""Problems as VOCS of gest-api, the description that Xopt and optimas share, and back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from autosteer.contracts import Aim, OutcomeLimit, PolicyError, Problem, Range
from autosteer.policies.peers._loading import peer_module


def vocs_of_problem(problem: Problem) -> Any:
    """Describe a problem as VOCS.

    The probability of a limit, the goal and the diagnostics have no word in VOCS, and are left out.

    Parameters
    ----------
    problem : Problem
        The problem.

    Returns
    -------
    gest_api.vocs.VOCS
        Knobs and context as variables, objectives, and limits as constraints.
    """
    vocs = peer_module("gest_api.vocs")
    variables: dict[str, Any] = {}
    for name, knob in problem.knobs.items():
        if knob.places is None or knob.step is None:
            variables[name] = vocs.ContinuousVariable(domain=[knob.low, knob.high])
        else:
            places = {knob.low + number * knob.step for number in range(knob.places)}
            variables[name] = vocs.DiscreteVariable(values=places)
    variables |= {name: vocs.ContextualVariable() for name in problem.context}
    return vocs.VOCS(
        variables=variables,
        objectives={
            aim.name: "MAXIMIZE" if aim.maximize else "MINIMIZE" for aim in problem.objectives
        },
        constraints={limit.name: _constraint(limit) for limit in problem.limits},
    )


def _constraint(limit: OutcomeLimit) -> list[Any]:
    if limit.below is None:
        return ["GREATER_THAN", limit.above]
    if limit.above is None:
        return ["LESS_THAN", limit.below]
    return ["BOUNDS", limit.above, limit.below]


def problem_of_vocs(vocs: Any, seed: int = 0) -> Problem:
    """Read a problem off VOCS.

    Constants and observables are no matter of a policy, and are left out.

    Parameters
    ----------
    vocs : gest_api.vocs.VOCS
        The description.
    seed : int, default 0
        Seed of whatever the policy draws.

    Returns
    -------
    Problem
        The problem.

    Raises
    ------
    PolicyError
        If a discrete variable has places that are not evenly spaced, a variable has no finite
        bounds, or an objective is to be explored.
    """
    words = peer_module("gest_api.vocs")
    context = [
        name
        for name, variable in vocs.variables.items()
        if isinstance(variable, words.ContextualVariable)
    ]
    return Problem(
        knobs={
            name: _range(name, variable)
            for name, variable in vocs.variables.items()
            if name not in context
        },
        objectives=tuple(_aim(words, name, one) for name, one in vocs.objectives.items()),
        limits=tuple(_limit(words, name, one) for name, one in vocs.constraints.items()),
        context=tuple(context),
        seed=seed,
    )


def _range(name: str, variable: Any) -> Range:
    values = getattr(variable, "values", None)
    if values is None:
        return Range(*map(float, variable.domain))
    places = sorted(float(value) for value in values)
    gaps = [high - low for low, high in pairwise(places)]
    if not gaps or not all(math.isclose(gap, gaps[0], rel_tol=1e-6) for gap in gaps):
        raise PolicyError(
            f"variable '{name}' may be {places}: a knob needs two places or more, evenly spaced"
        )
    return Range(places[0], places[-1], step=gaps[0])


def _aim(words: Any, name: str, objective: Any) -> Aim:
    if isinstance(objective, words.MaximizeObjective):
        return Aim(name)
    if isinstance(objective, words.MinimizeObjective):
        return Aim(name, maximize=False)
    raise PolicyError(f"objective '{name}' is to be explored: policies maximize or minimize")


def _limit(words: Any, name: str, constraint: Any) -> OutcomeLimit:
    if isinstance(constraint, words.GreaterThanConstraint):
        return OutcomeLimit(name, above=constraint.value)
    if isinstance(constraint, words.LessThanConstraint):
        return OutcomeLimit(name, below=constraint.value)
    above, below = constraint.range
    return OutcomeLimit(name, above=above, below=below)
