"""Optimizers of blop as policies: the seam is nearly the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autosteer.contracts import PolicyError, Problem
from autosteer.policies.peers._loading import peer_module, quiet, seeded
from autosteer.policies.peers._peer import (
    Feature,
    PeerPolicy,
    Proposal,
    refuse_what_cannot_be,
)
from autosteer.policies.peers._trials import Trial
from autosteer.policies.peers.ax import describe

_AX_CAN: frozenset[Feature] = frozenset({"objectives", "limits", "linear", "steps"})
_ALL: frozenset[Feature] = _AX_CAN | {"context"}
_LARGEST_SEED = 2**31 - 1


class BlopPolicy(PeerPolicy):
    """An optimizer of blop, or anything that keeps its ``Optimizer`` protocol.

    A point is told under the optimizer's own ``_id``, and told again when its outcome changes:
    both optimizers that blop brings then replace what they knew. Points that were never
    suggested are registered first where the optimizer can do that, and are told without an
    ``_id`` otherwise.

    `best` is that of the optimizer's ``get_best_points`` whose first objective is best: for blop's
    own, the best reading.
    A state cannot be written down: blop's optimizers write theirs to files of their own.

    Parameters
    ----------
    problem : Problem
        What the policy is to do.
    optimizer : "ax" or Optimizer, default "ax"
        blop's ``AxOptimizer``, or an optimizer that was made for the problem.
    with_errors : bool, optional
        Whether it takes values as (mean, standard error); by default, only blop's own does.

    Raises
    ------
    PolicyError
        If the optimizer lacks what the protocol asks for, or does not take the problem.
    MissingExtraError
        If blop or Ax is not installed.
    """

    def __init__(
        self, problem: Problem, optimizer: Any = "ax", *, with_errors: bool | None = None
    ) -> None:
        super().__init__(problem)
        own = isinstance(optimizer, str)
        refuse_what_cannot_be(problem, "blop", _AX_CAN if own else _ALL)
        if own and optimizer != "ax":
            raise PolicyError(f"there is no optimizer '{optimizer}': use ax, or give one")
        self._optimizer = _make_ax(problem) if own else optimizer
        lacking = [
            name
            for name in ("suggest", "ingest", "get_best_points")
            if not callable(getattr(self._optimizer, name, None))
        ]
        if lacking:
            raise PolicyError(f"{type(optimizer).__name__} is no blop optimizer: no {lacking[0]}")
        self._with_errors = own if with_errors is None else with_errors
        self._token: dict[str, Any] = {}
        self._told: dict[str, Mapping[str, tuple[float, float]]] = {}
        self._left: set[str] = set()

    def _propose(self, num_points: int) -> list[Proposal]:
        self._tell()
        why = f"blop {type(self._optimizer).__name__}"
        points = self._optimizer.suggest(num_points)
        return [
            Proposal({name: float(point[name]) for name in self._book.names}, why, point["_id"])
            for point in points
        ]

    def _named(self, names: Sequence[str], proposals: Sequence[Proposal]) -> None:
        super()._named(names, proposals)
        self._token.update(zip(names, [one.token for one in proposals], strict=True))

    def _tell(self) -> None:
        """Bring the optimizer up to what the book says."""
        failed = [
            {"_id": self._token[name], **self._book.knobs(trial)}
            for name, trial in self._book.of("failed").items()
            if name in self._token and name not in self._left
        ]
        if failed and hasattr(self._optimizer, "register_failures"):
            self._optimizer.register_failures(failed)
            if hasattr(self._optimizer, "register_suggestions"):
                # blop's own would propose the very place again, were it not in flight.
                places = [{k: point[k] for k in self._book.names} for point in failed]
                self._optimizer.register_suggestions(places)
        self._left |= {name for name in self._book.of("failed") if name in self._token}
        changed = {
            name: trial
            for name, trial in self._book.of("measured").items()
            if self._told.get(name) != trial.values
        }
        if changed:
            self._optimizer.ingest([self._outcome(name, one) for name, one in changed.items()])
            self._told |= {name: trial.values for name, trial in changed.items()}

    def _outcome(self, name: str, trial: Trial) -> dict[str, Any]:
        knobs = self._book.knobs(trial)
        if name not in self._token and hasattr(self._optimizer, "register_suggestions"):
            [registered] = self._optimizer.register_suggestions([knobs])
            self._token[name] = registered["_id"]
        values = {
            quantity: (mean, sem) if self._with_errors and math.isfinite(sem) else mean
            for quantity, (mean, sem) in trial.values.items()
        }
        known = {"_id": self._token[name]} if name in self._token else {}
        return {**known, **knobs, **values}

    def _best(self) -> dict[str, Any]:
        self._tell()
        try:
            points = self._optimizer.get_best_points()
        except Exception:
            # No point keeps the limits, or the optimizer wants more of them first.
            return self._book.best_measured()
        if not points:
            return self._book.best_measured()
        aim = self._problem.objective
        _, knobs, values = max(points, key=lambda one: aim.sign * _mean_and_sd(one[2][aim.name])[0])
        mean, sd = _mean_and_sd(values[aim.name])
        return self._book.recommendation([knobs[k] for k in self._book.names], mean, sd)

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether the optimizer wants to stop.

        Returns
        -------
        stop : bool
            Whether it does; one that cannot say never does.
        reason : str
            Why.
        """
        ask = getattr(self._optimizer, "should_stop", None)
        if ask is None:
            return False, ""
        with quiet(), seeded(self._draw):
            self._tell()
            stop, reason = ask()
        return bool(stop), reason or ""


def _mean_and_sd(value: Any) -> tuple[float, float]:
    """Read a value that Ax gives with its variance, and others without one."""
    if isinstance(value, tuple | list):
        return float(value[0]), math.sqrt(value[1])
    return float(value), math.nan


def _make_ax(problem: Problem) -> Any:
    words = describe(problem)
    with quiet():
        try:
            return peer_module("blop.ax.optimizer").AxOptimizer(
                **words, client_kwargs={"random_seed": problem.seed % _LARGEST_SEED}
            )
        except ImportError:
            raise
        except Exception as error:
            raise PolicyError(f"blop does not take this problem: {error}") from error
