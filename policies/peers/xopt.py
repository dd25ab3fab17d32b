"""Generators of Xopt as policies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from autosteer.contracts import PolicyError, Problem
from autosteer.policies.peers._loading import peer_module, quiet
from autosteer.policies.peers._peer import (
    Feature,
    Proposal,
    RepeatablePeerPolicy,
    refuse_what_cannot_be,
)
from autosteer.policies.peers._trials import Trial
from autosteer.policies.peers.vocs import vocs_of_problem

_CAN: frozenset[Feature] = frozenset({"objectives", "limits", "context", "steps"})


class XoptPolicy(RepeatablePeerPolicy):
    """A Bayesian generator of Xopt.

    Xopt's generators take one row per evaluation and know no evaluations in flight. Here the rows
    are made anew for every ask, so that the newest outcome of a point counts; standard errors go
    into the columns ``name_var``; and a point that is pending, or has failed, is believed to give
    what the model expects there [1]_, so that the next is another. The first points are Xopt's
    ``random_inputs``.

    `best` is the generator's ``get_optimum``, the best posterior mean within the limits of the
    knobs; before there is a model, and with several objectives, it is the best point measured.

    Parameters
    ----------
    problem : Problem
        Knobs, objectives, limits and context.
    generator : str or Generator, default "expected_improvement"
        Xopt's name of the generator, or a generator that is ready made for the problem's VOCS
        (see `vocs_of_problem`).
    n_initial : int, default 6
        Points measured before the generator takes over.
    **options
        Further fields of the generator, where a name is given. Its acquisition function is
        climbed without a limit of wall time unless ``numerical_optimizer`` says so: the same ask
        shall give the same answer on every machine.

    Raises
    ------
    PolicyError
        If Xopt does not know the generator, the generator does not take the problem, or it is one
        that keeps a course of its own (simplex, genetic, trust region): such a generator can
        neither take outcomes that replace earlier ones nor points it did not ask for.
    MissingExtraError
        If Xopt is not installed.

    References
    ----------
    .. [1] D. Ginsbourger, R. Le Riche, L. Carraro, "Kriging is well-suited to parallelize
       optimization" (2010), doi:10.1007/978-3-642-10701-6_6.
    """

    def __init__(
        self,
        problem: Problem,
        generator: Any = "expected_improvement",
        *,
        n_initial: int = 6,
        **options: Any,
    ) -> None:
        super().__init__(problem)
        if n_initial < 2:
            raise PolicyError(f"n_initial is {n_initial}: a model needs at least 2 points")
        refuse_what_cannot_be(problem, "Xopt", _CAN)
        self._vocs = vocs_of_problem(problem)
        self._n_initial = n_initial
        self._generator = (
            _make(self._vocs, generator, options) if isinstance(generator, str) else generator
        )
        self._check()

    def _check(self) -> None:
        base = peer_module("xopt.generators.bayesian.bayesian_generator").BayesianGenerator
        if not isinstance(self._generator, base):
            raise PolicyError(
                f"{type(self._generator).__name__} keeps a course of its own, and cannot take "
                "points as they come: use one of Xopt's Bayesian generators"
            )
        if self._generator.turbo_controller is not None:
            raise PolicyError(
                "a trust region of Xopt depends on what happened, not on the points alone: "
                "leave out turbo_controller"
            )
        if self._generator.vocs.model_dump() != self._vocs.model_dump():
            raise PolicyError(
                "the generator's VOCS are not those of the problem: make it with "
                "autosteer.policies.peers.vocs_of_problem(problem)"
            )

    def _propose(self, num_points: int) -> list[Proposal]:
        measured = self._book.of("measured")
        if len(measured) < self._n_initial:
            random_inputs = peer_module("xopt.vocs").random_inputs
            # Contextual variables cannot be drawn, and need not be.
            vocs = vocs_of_problem(
                Problem(self._problem.knobs, self._problem.objectives, seed=self._problem.seed)
            )
            rows = random_inputs(vocs, n=num_points, seed=self._draw)
            why = f"random input: {len(measured)} of {self._n_initial} places are measured"
            return [Proposal(row, why) for row in rows]
        proposals: list[Proposal] = []
        why = f"Xopt {self._generator.name}"
        aside = [*self._book.of("pending").values(), *self._book.of("failed").values()]
        believed = [self._book.knobs(trial) for trial in aside]
        for _ in range(num_points):
            self._load(believed)
            [row] = self._generator.suggest(1)
            knobs = {name: float(row[name]) for name in self._book.names}
            proposals.append(Proposal(knobs, why))
            believed.append(knobs)
        return proposals

    def _best(self) -> dict[str, Any]:
        several = len(self._problem.objectives) > 1
        if several or len(self._book.of("measured")) < self._n_initial:
            return self._book.best_measured()
        self._load([])
        self._generator.train_model()
        place = self._generator.get_optimum()
        [mean], [sd] = self._expect(place, self._problem.objective.name)
        return self._book.recommendation(
            [float(place[k].iloc[0]) for k in self._book.names], mean, sd
        )

    def _load(self, believed: list[dict[str, float]]) -> None:
        """Give the generator the measured points, and what it expects where others are."""
        pandas = peer_module("pandas")
        rows = [self._row(trial) for trial in self._book.of("measured").values()]
        self._generator.data = pandas.DataFrame(_with_errors(rows, self._book.wanted))
        if not believed:
            return
        self._generator.train_model()
        places = pandas.DataFrame(believed)
        for name in self._generator.model_output_names:
            places[name], sds = self._expect(places[list(self._book.names)], name)
            places[f"{name}_var"] = sds**2
        for name in self._problem.context:
            places[name] = self._generator.data[name].iloc[-1]
        both = pandas.concat([places, self._generator.data], ignore_index=True)
        self._generator.data = both[list(self._generator.data.columns)]

    def _row(self, trial: Trial) -> dict[str, float]:
        row = self._book.knobs(trial)
        for name, (mean, sem) in trial.values.items():
            row |= {name: mean, f"{name}_var": sem**2}
        return row

    def _expect(self, places: Any, name: str) -> tuple[Any, Any]:
        """Return mean and standard deviation of a quantity where the model expects it."""
        import torch

        inputs = places.copy()
        for one in self._problem.context:
            inputs[one] = self._generator.data[one].iloc[-1]
        index = self._generator.model_output_names.index(name)
        with torch.no_grad():
            posterior = self._generator.model.posterior(self._generator.get_input_data(inputs))
        mean = posterior.mean[:, index].numpy()
        return mean, np.sqrt(posterior.variance[:, index].numpy())


def _make(vocs: Any, name: str, options: Mapping[str, Any]) -> Any:
    generators = peer_module("xopt.generators")
    optimizer = peer_module("xopt.numerical_optimizer").LBFGSOptimizer(max_time=None)
    with quiet():
        try:
            maker = generators.get_generator(name)
        except Exception as error:
            known = ", ".join(sorted(set().union(*generators.all_generator_names.values())))
            raise PolicyError(f"Xopt has no generator '{name}': it has {known}") from error
        defaults = (
            {"numerical_optimizer": optimizer}
            if "numerical_optimizer" in maker.model_fields
            else {}
        )
        try:
            return maker(vocs=vocs, **{**defaults, **options})
        except Exception as error:
            raise PolicyError(f"Xopt's '{name}' does not take this problem: {error}") from error


def _with_errors(
    rows: list[dict[str, float]], quantities: tuple[str, ...]
) -> list[dict[str, float]]:
    """Fill in the typical variance where a row has none; drop the column where none has any."""
    for quantity in quantities:
        name = f"{quantity}_var"
        known = [row[name] for row in rows if math.isfinite(row[name]) and row[name] > 0]
        for row in rows:
            if not known:
                del row[name]
            elif not (math.isfinite(row[name]) and row[name] > 0):
                row[name] = float(np.median(known))
    return rows
