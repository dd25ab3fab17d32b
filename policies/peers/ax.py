"""Ax as a policy."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autosteer.contracts import PolicyError, Problem
from autosteer.policies.peers._loading import peer_module, quiet
from autosteer.policies.peers._peer import (
    Feature,
    PeerPolicy,
    Proposal,
    refuse_what_cannot_be,
)
from autosteer.policies.peers._trials import Trial

_CAN: frozenset[Feature] = frozenset({"objectives", "limits", "linear", "steps"})
_LARGEST_SEED = 2**31 - 1


class AxPolicy(PeerPolicy):
    """Ax, by its client.

    Suggestions are trials of Ax, which knows those that are still running. A measured point
    completes its trial, with mean and standard error; a later outcome of the same point replaces
    the data. A point that was reached elsewhere than asked for, or was never asked for, becomes a
    trial of its own. A point that has failed is abandoned, not marked as failed: Ax proposes a
    failed trial again, and to the very digit if nothing else was measured meanwhile.

    `best` is the trial that Ax's model holds for the best, with the model's mean and standard
    error; with several objectives, that of the Pareto set whose first objective is best.

    Parameters
    ----------
    problem : Problem
        Knobs, objectives, limits on measured quantities and on sums of knobs. Ax weighs limits in
        its own way: it does not keep their probability.
    **options
        Of Ax's ``Client.configure_generation_strategy``, for example ``initialization_budget``.

    Raises
    ------
    PolicyError
        If Ax does not take the problem or the options.
    MissingExtraError
        If Ax is not installed.
    """

    def __init__(self, problem: Problem, **options: Any) -> None:
        super().__init__(problem)
        refuse_what_cannot_be(problem, "Ax", _CAN)
        self._seed = problem.seed % _LARGEST_SEED
        self._client = make_client(problem, self._seed, options)
        # By _id: trial, where it is, what was told of it, and which of them are given up.
        self._index: dict[str, int] = {}
        self._place: dict[str, tuple[float, ...]] = {}
        self._told: dict[str, dict[str, tuple[float, float]]] = {}
        self._left: set[str] = set()

    def _propose(self, num_points: int) -> list[Proposal]:
        self._tell()
        trials = self._client.get_next_trials(max_trials=num_points)
        return [Proposal(knobs, f"Ax trial {index}", index) for index, knobs in trials.items()]

    def _named(self, names: Sequence[str], proposals: Sequence[Proposal]) -> None:
        super()._named(names, proposals)
        for name, proposal in zip(names, proposals, strict=True):
            self._index[name] = int(proposal.token or 0)
            self._place[name] = self._book.trials[name].x

    def _tell(self) -> None:
        """Bring Ax up to what the book says."""
        for name in self._book.of("failed"):
            if name in self._index and name not in self._left and name not in self._told:
                self._abandon(name)
        for name, trial in self._book.of("measured").items():
            if self._told.get(name) != trial.values:
                self._tell_measured(name, trial)

    def _tell_measured(self, name: str, trial: Trial) -> None:
        data = {
            quantity: mean if math.isnan(sem) else (mean, sem)
            for quantity, (mean, sem) in trial.values.items()
        }
        if name in self._told:
            self._client.attach_data(self._index[name], data)
        else:
            if name in self._left or (
                name in self._index and self._book.far(self._place[name], trial.x)
            ):
                self._abandon(name)
                del self._index[name]
                self._left.discard(name)
            if name not in self._index:
                self._index[name] = self._client.attach_trial(self._book.knobs(trial))
                self._place[name] = trial.x
            self._client.complete_trial(self._index[name], data)
        self._told[name] = dict(trial.values)

    def _abandon(self, name: str) -> None:
        if name not in self._left:
            self._client.mark_trial_abandoned(self._index[name])
            self._left.add(name)

    def _best(self) -> dict[str, Any]:
        self._tell()
        several = len(self._problem.objectives) > 1
        aim = self._problem.objective
        try:
            if several:
                frontier = self._client.get_pareto_frontier()
                knobs, values, *_ = max(
                    frontier, key=lambda one: aim.sign * _mean(one[1][aim.name])
                )
            else:
                knobs, values, *_ = self._client.get_best_parameterization()
        except Exception:
            # Ax recommends nothing before its model is made, or where no trial keeps the limits.
            return self._book.best_measured()
        value = values[aim.name]
        sd = math.sqrt(value[1]) if isinstance(value, tuple) else math.nan
        return self._book.recommendation([knobs[k] for k in self._book.names], _mean(value), sd)

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values, with Ax's own snapshot.

        A snapshot leaves out the model, from which Ax starts its next fit. So that this policy and
        a restored one go on alike, this one goes on from the snapshot, too.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        with tempfile.TemporaryDirectory() as folder, quiet():
            path = Path(folder) / "ax.json"
            self._client.save_to_json_file(str(path))
            snapshot = json.loads(path.read_text(encoding="utf-8"))
        self._client = self._load(snapshot)
        return {
            "asks": self._asks,
            "book": self._book.checkpoint(),
            "index": self._index,
            "place": {name: list(x) for name, x in self._place.items()},
            "told": {
                name: {
                    quantity: [mean, None if math.isnan(sem) else sem]
                    for quantity, (mean, sem) in values.items()
                }
                for name, values in self._told.items()
            },
            "left": sorted(self._left),
            "client": snapshot,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._asks = int(state["asks"])
        self._book.restore(state["book"])
        self._index = {name: int(index) for name, index in state["index"].items()}
        self._place = {name: tuple(x) for name, x in state["place"].items()}
        self._told = {
            name: {
                quantity: (mean, math.nan if sem is None else sem)
                for quantity, (mean, sem) in values.items()
            }
            for name, values in state["told"].items()
        }
        self._left = set(state["left"])
        self._client = self._load(state["client"])

    def _load(self, snapshot: Mapping[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as folder, quiet():
            path = Path(folder) / "ax.json"
            path.write_text(json.dumps(snapshot), encoding="utf-8")
            client = peer_module("ax").Client.load_from_json_file(str(path))
        # The snapshot keeps everything but the seed of the asks.
        client._random_seed = self._seed  # ruff: ignore[private-member-access]
        return client


def make_client(problem: Problem, seed: int, options: Mapping[str, Any]) -> Any:
    """Make a client of Ax for a problem.

    Parameters
    ----------
    problem : Problem
        The problem.
    seed : int
        Seed of Ax's draws.
    options : mapping
        Of ``Client.configure_generation_strategy``.

    Returns
    -------
    ax.Client
        The client, ready to be asked.

    Raises
    ------
    PolicyError
        If Ax does not take the problem or the options.
    """
    words = describe(problem)
    with quiet():
        try:
            client = peer_module("ax").Client(random_seed=seed)
            client.configure_experiment(
                parameters=words["parameters"],
                parameter_constraints=words["parameter_constraints"],
            )
            client.configure_optimization(
                objective=words["objective"], outcome_constraints=words["outcome_constraints"]
            )
            settings = {"initialization_random_seed": seed, **options}
            client.configure_generation_strategy(**settings)
        except Exception as error:
            raise PolicyError(f"Ax does not take this problem: {error}") from error
    return client


def describe(problem: Problem) -> dict[str, Any]:
    """Describe a problem in Ax's words.

    Parameters
    ----------
    problem : Problem
        The problem.

    Returns
    -------
    dict
        ``parameters``, ``parameter_constraints``, ``objective``, ``outcome_constraints``.

    Raises
    ------
    PolicyError
        If a name is none that Ax could read in its expressions.
    """
    for name in (*problem.knobs, *problem.quantities):
        if not name.isidentifier():
            raise PolicyError(f"Ax cannot read the name '{name}': use letters, digits and _")
    ax = peer_module("ax")
    parameters = []
    for name, knob in problem.knobs.items():
        if knob.step is None or knob.places is None:
            parameters.append(
                ax.RangeParameterConfig(
                    name=name, bounds=(knob.low, knob.high), parameter_type="float"
                )
            )
        else:
            places = [knob.low + number * knob.step for number in range(knob.places)]
            parameters.append(
                ax.ChoiceParameterConfig(
                    name=name, values=places, parameter_type="float", is_ordered=True
                )
            )
    return {
        "parameters": parameters,
        "parameter_constraints": [
            f"{total} {sign} {bound}"
            for limit in problem.linear
            for total in [" + ".join(f"{weight}*{k}" for k, weight in limit.weights.items())]
            for sign, bound in ((">=", limit.above), ("<=", limit.below))
            if bound is not None
        ],
        "objective": ", ".join(
            f"{'' if aim.maximize else '-'}{aim.name}" for aim in problem.objectives
        ),
        "outcome_constraints": [
            f"{limit.name} {sign} {bound}"
            for limit in problem.limits
            for sign, bound in ((">=", limit.above), ("<=", limit.below))
            if bound is not None
        ],
    }


def _mean(value: Any) -> float:
    return float(value[0] if isinstance(value, tuple) else value)
