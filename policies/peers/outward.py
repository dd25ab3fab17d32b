"""Policies of ours as other people's optimizers: inside blop's plans, and inside Xopt."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autosteer.contracts import (
    Checkpointable,
    KnowsBest,
    Policy,
    PolicyError,
    Problem,
    RegistersFailures,
    Stops,
)
from autosteer.policies.peers._loading import peer_module
from autosteer.policies.peers.vocs import problem_of_vocs


class BlopOptimizer:
    """A policy that keeps blop's ``Optimizer`` protocol; made by `as_blop_optimizer`.

    Parameters
    ----------
    policy : Policy
        The policy.
    problem : Problem
        The problem that it was made for.
    checkpoint_path : path-like, optional
        Where `checkpoint` writes.
    """

    def __init__(
        self, policy: Policy, problem: Problem, checkpoint_path: str | os.PathLike[str] | None
    ) -> None:
        self._policy = policy
        self._problem = problem
        self._path = None if checkpoint_path is None else Path(checkpoint_path)
        # blop's evaluations come back with the _id alone.
        self._places: dict[str, dict[str, float]] = {}
        self._measured: dict[str, dict[str, float]] = {}
        self._registered = 0

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Propose points.

        Parameters
        ----------
        num_points : int, optional
            Points wanted; 1 if not given.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob.
        """
        points = self._policy.suggest(1 if num_points is None else num_points)
        for point in points:
            self._places[str(point["_id"])] = self._knobs(point)
        return points

    def register_suggestions(
        self, suggestions: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Take points that a person wants to see.

        Parameters
        ----------
        suggestions : sequence of mapping
            One entry per knob.

        Returns
        -------
        list of dict
            The same with an ``_id``.
        """
        registered = []
        for suggestion in suggestions:
            name = self._new_name()
            self._places[name] = self._knobs(suggestion)
            registered.append({**suggestion, "_id": name})
        return registered

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take outcomes, of suggestions or of anything else that was measured.

        Parameters
        ----------
        points : sequence of mapping
            Quantities by name; ``name_sem``, or a value (mean, standard error), where an error
            is known. ``_id`` of a suggestion, or one entry per knob.
        """
        told = []
        for point in points:
            name = str(point["_id"]) if "_id" in point else self._new_name()
            known = self._places.get(name, {})
            told.append({**known, **_with_errors(point), "_id": name})
        self._policy.ingest(told)
        for point in told:
            name = str(point["_id"])
            self._places[name] = self._knobs(point)
            self._measured[name] = {
                one: float(point[one]) for one in self._problem.quantities if one in point
            }

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured.

        Parameters
        ----------
        suggestions : sequence of mapping
            The suggestions, with their ``_id``.
        """
        if isinstance(self._policy, RegistersFailures):
            self._policy.register_failures(suggestions)

    def get_best_points(self) -> list[tuple[Any, dict[str, float], dict[str, float]]]:
        """Return the best points.

        Returns
        -------
        list of (str, dict, dict)
            ``_id``, knobs and quantities. With one objective, where the policy believes the
            optimum (under the ``_id`` ``best``), and what it expects there; if it does not say,
            the best point measured. With several, the measured points that no other beats in all.
        """
        if len(self._problem.objectives) == 1 and isinstance(self._policy, KnowsBest):
            best = self._policy.best()
            name = self._problem.objective.name
            return [("best", self._knobs(best), {name: float(best[name])})] if best else []
        kept = {
            name: values
            for name, values in self._measured.items()
            if all(
                math.isfinite(values.get(aim.name, math.nan)) for aim in self._problem.objectives
            )
            and all(
                limit.kept_by(values.get(limit.name, math.nan)) for limit in self._problem.limits
            )
        }
        return [
            (name, self._places[name], values)
            for name, values in kept.items()
            if not any(self._beats(other, values) for other in kept.values())
        ]

    def _beats(self, values: Mapping[str, float], other: Mapping[str, float]) -> bool:
        """Tell whether a point is at least as good in every objective, and better in one."""
        gains = [
            aim.sign * (values[aim.name] - other[aim.name]) for aim in self._problem.objectives
        ]
        return min(gains) >= 0 and max(gains) > 0

    def _new_name(self) -> str:
        """Name a point that the policy did not suggest."""
        self._registered += 1
        return f"registered-{self._registered}"

    def _knobs(self, point: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(point[name]) for name in self._problem.knobs}


class _Stopping(BlopOptimizer):
    """A policy that knows when it is done."""

    def should_stop(self) -> tuple[bool, str | None]:
        """Tell whether the policy is done.

        Returns
        -------
        stop : bool
            Whether it is.
        reason : str or None
            Why.
        """
        stop, reason = self._policy.should_stop()  # type: ignore[attr-defined]
        return stop, reason or None


class _Checkpointing(BlopOptimizer):
    """A policy whose state can be written down."""

    def checkpoint(self) -> None:
        """Write the state to the file named when the optimizer was made.

        Raises
        ------
        PolicyError
            If no file was named.
        """
        if self._path is None:
            raise PolicyError("no checkpoint_path was given to as_blop_optimizer")
        state = {
            "policy": self._policy.checkpoint(),  # type: ignore[attr-defined]
            "places": self._places,
            "measured": self._measured,
            "registered": self._registered,
        }
        partial = self._path.with_suffix(".part")
        partial.write_text(json.dumps(state), encoding="utf-8")
        os.replace(partial, self._path)

    def restore(self) -> None:
        """Take up the state in that file.

        Raises
        ------
        PolicyError
            If no file was named.
        """
        if self._path is None:
            raise PolicyError("no checkpoint_path was given to as_blop_optimizer")
        state = json.loads(self._path.read_text(encoding="utf-8"))
        self._policy.restore(state["policy"])  # type: ignore[attr-defined]
        self._places = state["places"]
        self._measured = state["measured"]
        self._registered = state["registered"]


class _StoppingAndCheckpointing(_Stopping, _Checkpointing):
    """A policy that can do both."""


def as_blop_optimizer(
    policy: Policy, problem: Problem, *, checkpoint_path: str | os.PathLike[str] | None = None
) -> BlopOptimizer:
    """Make a policy an optimizer for blop's plans.

    What it has besides blop's ``Optimizer`` protocol follows from the policy: ``should_stop``
    (so that ``iterations=None`` is allowed) and ``checkpoint`` only where the policy can do it.

    Parameters
    ----------
    policy : Policy
        The policy.
    problem : Problem
        The problem that it was made for; its knobs bear the names of the actuators.
    checkpoint_path : path-like, optional
        Where ``checkpoint`` writes, and ``restore`` reads.

    Returns
    -------
    BlopOptimizer
        The optimizer.

    Examples
    --------
    >>> from autosteer.policies import RandomPolicy
    >>> problem = Problem.of({"x": (0.0, 2.0)}, "hits")
    >>> optimizer = as_blop_optimizer(RandomPolicy(problem), problem)
    >>> [point] = optimizer.suggest()
    >>> optimizer.ingest([{"_id": point["_id"], "hits": 0.4}])
    >>> len(optimizer.get_best_points())
    1
    """
    kinds: dict[tuple[bool, bool], type[BlopOptimizer]] = {
        (False, False): BlopOptimizer,
        (True, False): _Stopping,
        (False, True): _Checkpointing,
        (True, True): _StoppingAndCheckpointing,
    }
    kind = kinds[isinstance(policy, Stops), isinstance(policy, Checkpointable)]
    return kind(policy, problem, checkpoint_path)


def as_gest_generator(policy: Policy, vocs: Any) -> Any:
    """Make a policy a generator of gest-api, for Xopt, optimas and others.

    Parameters
    ----------
    policy : Policy
        The policy, made for ``problem_of_vocs(vocs)``.
    vocs : gest_api.vocs.VOCS
        Variables, objectives and constraints. Standard errors of an outcome are taken from
        ``name_sem``, which an evaluator may return beside ``name``.

    Returns
    -------
    gest_api.generator.Generator
        The generator. Xopt copies it: what the copy learns, the policy given here does not know;
        ``generator.policy`` is the one that does.

    Raises
    ------
    MissingExtraError
        If gest-api is not installed.
    """
    base: Any = peer_module("gest_api.generator").Generator

    class PolicyGenerator(base):  # type: ignore[misc]
        """A policy as a generator."""

        returns_id = True

        def __init__(self, vocs: Any, policy: Policy) -> None:
            super().__init__(vocs)
            self.vocs = vocs
            self.policy = policy
            self._known: set[str] = set()
            self._given = 0

        def _validate_vocs(self, vocs: Any) -> None:
            try:
                problem_of_vocs(vocs)
            except PolicyError as error:
                raise ValueError(str(error)) from error

        def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
            """Propose points, with the constants in them."""
            wanted = 1 if num_points is None else num_points
            points = self.policy.suggest(wanted)
            if num_points is not None and len(points) != num_points:
                raise ValueError(f"{num_points} points are wanted, the policy has {len(points)}")
            self._known |= {str(point["_id"]) for point in points}
            constants = {name: one.value for name, one in self.vocs.constants.items()}
            return [{**constants, **point} for point in points]

        def ingest(self, results: list[dict[str, Any]]) -> None:
            """Take evaluated points; those without an ``_id`` were not suggested here."""
            points = []
            for result in results:
                name = result.get("_id")
                if name is None or name != name:
                    self._given += 1
                    points.append({**result, "_id": f"given-{self._given}"})
                elif str(name) in self._known:
                    points.append({**result, "_id": str(name)})
                else:
                    raise ValueError(f"'{name}' was not suggested here: leave out its _id")
            self.policy.ingest(points)

    return PolicyGenerator(vocs, policy)


def _with_errors(point: Mapping[str, Any]) -> dict[str, Any]:
    """Write values given as (mean, standard error) as two entries."""
    flat: dict[str, Any] = {}
    for name, value in point.items():
        if isinstance(value, tuple | list) and len(value) == 2:
            flat |= {name: value[0], f"{name}_sem": value[1]}
        else:
            flat[name] = value
    return flat
