"""How good a place of a scene truly is: for scores only, never for what is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import Experiment, ExperimentFileError, Quantity
from autosteer.contracts.table_kinds import MACHINE
from autosteer.sims._places import best_place, pareto_places, spread_places
from autosteer.sims.scene import Scene

Float = NDArray[np.float64]

_BEAM = f"{MACHINE.name}.beam_intensity"


class _Best(NamedTuple):
    """What is best: true means of quantities, and the objectives, so that more is better."""

    truths: tuple[Mapping[str, float], ...]
    objectives: Float


class SceneScore:
    """Truths of an experiment's quantities in a scene, and the best that there are.

    Parameters
    ----------
    experiment : Experiment
        Knobs, quantities and their limits.
    scene : Scene
        What shots give on the average.
    motors : mapping of str to str
        Motor by knob.

    Raises
    ------
    ExperimentFileError
        If an objective or a limited quantity is nothing that the scene gives.
    """

    def __init__(self, experiment: Experiment, scene: Scene, motors: Mapping[str, str]) -> None:
        self._scene = scene
        self._problem = experiment.problem
        self._motors = {knob: motors[knob] for knob in scene.knobs}
        ranges = [self._problem.knobs[knob] for knob in scene.knobs]
        self._low = np.array([each.low for each in ranges])
        self._high = np.array([each.high for each in ranges])
        self._steps = np.array([each.step or 0.0 for each in ranges])
        quantities = {one.name: one for one in experiment.quantities}
        self._known = {name: one for name, one in quantities.items() if _is_known(one, scene)}
        needed = [aim.name for aim in self._problem.objectives]
        needed += [limit.name for limit in self._problem.limits]
        unknown = [name for name in needed if name not in self._known]
        if unknown:
            raise ExperimentFileError(
                experiment.name,
                [("simulation.beamline.world", f"does not know the truth of {', '.join(unknown)}")],
            )
        self._signs = np.array([aim.sign for aim in self._problem.objectives])
        first = self._problem.objective
        column = self._known[first.name].column.partition(".")[2]
        self._from_zero = first.maximize and scene.signals[column].law != "reading"

    def truths(self, positions: Mapping[str, ArrayLike], time_s: float) -> dict[str, float]:
        """Return the true mean of each quantity.

        Parameters
        ----------
        positions : mapping of str to array_like, shape ()
            Position of each motor.
        time_s : float
            Time since the start [s].

        Returns
        -------
        dict of str to float
            Mean by quantity; those that have none beforehand are left out.
        """
        place = np.array([[float(np.asarray(positions[name])) for name in self._motors.values()]])
        return self._truths_at(place, time_s)

    def attainable(self, time_s: float) -> tuple[Mapping[str, float], ...]:
        """Return the true means at the best place, or along the Pareto front.

        Parameters
        ----------
        time_s : float
            Time since the start [s].

        Returns
        -------
        tuple of dict of str to float
            One where there is one objective, else one for each of many places that no other
            beats; none where no place keeps the limits.
        """
        return self._best(time_s).truths

    def share(self, positions: Mapping[str, ArrayLike], time_s: float) -> float:
        """Return how good a place is, 1 at the best one.

        A fraction or a count that is to be large is divided by the largest there is. Else the
        share is 1 less the regret over the difference between the best and the mean of all
        places, so that it is 0 for a place taken at random. Where there are several objectives,
        the first one is compared with the best among the places that are no worse in the others: a
        place of the Pareto front has a share of 1. A place that breaks a limit is worth nothing:
        its share is not above 0.

        Parameters
        ----------
        positions : mapping of str to array_like, shape ()
            Position of each motor.
        time_s : float
            Time since the start [s].

        Returns
        -------
        float
            The share; NaN while nothing can be attained.
        """
        front = self._best(time_s).objectives
        if not len(front):
            return float("nan")
        truths = self.truths(positions, time_s)
        here = self._objectives([truths])[0]
        best = front[0, 0]
        if len(here) > 1:
            # Between the places of the front that are known there are others, such as this one.
            best = front[(front[:, 1:] >= here[1:]).all(axis=1), 0].max(initial=here[0])
        if self._from_zero:
            share = float(here[0] / best) if best > 0 else float("nan")
        else:
            share = 1 - float((best - here[0]) / (front[:, 0].max() - self._typical))
        return share if self._kept(truths) else min(share, 0.0)

    def _best(self, time_s: float) -> _Best:
        return self._search(time_s) if self._scene.changes else self._found

    @cached_property
    def _found(self) -> _Best:
        return self._search(0.0)

    @cached_property
    def _typical(self) -> float:
        """Mean of the first objective over all places, more is better."""
        places = self._stepped(spread_places(self._low, self._high, 12))
        return float(self._values(places, 0.0)[:, 0].mean())

    def _search(self, time_s: float) -> _Best:
        """Find the best place, or those of the Pareto front, unless the scene knows it."""
        known = self._scene.best(time_s)
        if known is not None and len(self._signs) == 1:
            truths = self._truths_at(np.array([[known[k] for k in self._scene.knobs]]), time_s)
            if self._kept(truths):
                return _Best((truths,), self._objectives([truths]))

        def values(places: Float) -> Float:
            return self._values(places, time_s, only_kept=True)

        if len(self._signs) == 1:
            places = best_place(lambda some: values(some)[:, 0], self._low, self._high)[None]
        else:
            places = pareto_places(values, self._low, self._high)
        found = [self._truths_at(place[None], time_s) for place in self._stepped(places)]
        kept = [truths for truths in found if self._kept(truths)]
        return _Best(tuple(kept), self._objectives(kept))

    def _objectives(self, truths: Sequence[Mapping[str, float]]) -> Float:
        """Give the objectives, shape (n, k), so that more is better."""
        names = [aim.name for aim in self._problem.objectives]
        rows = np.array([[each[name] for name in names] for each in truths])
        objectives: Float = self._signs * rows.reshape(-1, len(names))
        return objectives

    def _kept(self, truths: Mapping[str, float]) -> bool:
        return all(limit.kept_by(truths[limit.name]) for limit in self._problem.limits)

    def _stepped(self, places: Float) -> Float:
        """Move places to where knobs with steps can be."""
        steps = np.where(self._steps > 0, self._steps, 1.0)
        on_steps = self._low + np.rint((places - self._low) / steps) * steps
        on_steps = np.minimum(
            on_steps, self._low + np.floor((self._high - self._low) / steps) * steps
        )
        stepped: Float = np.where(self._steps > 0, on_steps, places)
        return stepped

    def _values(self, places: Float, time_s: float, *, only_kept: bool = False) -> Float:
        """Return the objectives at places, shape (n, k), so that more is better."""
        means = self._means(self._stepped(places), time_s)
        values = self._signs * np.stack(
            [means[aim.name] for aim in self._problem.objectives], axis=1
        )
        if only_kept:
            for limit in self._problem.limits:
                given = means[limit.name]
                low = -np.inf if limit.above is None else limit.above
                high = np.inf if limit.below is None else limit.below
                values[~((low <= given) & (given <= high))] = -np.inf
        return values

    def _truths_at(self, place: Float, time_s: float) -> dict[str, float]:
        return {name: float(mean[0]) for name, mean in self._means(place, time_s).items()}

    def _means(self, places: Float, time_s: float) -> dict[str, Float]:
        """Return the mean of each quantity at places of shape (n, d)."""
        knobs = dict(zip(self._scene.knobs, places.T, strict=True))
        columns = self._scene.expected(knobs, np.full(len(places), time_s))
        return {name: _mean(one, self._scene, columns) for name, one in self._known.items()}


def _is_known(quantity: Quantity, scene: Scene) -> bool:
    """Tell whether the mean of a quantity follows from the scene's expectations alone."""
    name = _column_of(quantity, scene)
    if name is None or quantity.zero_unless or quantity.normalize_by not in {None, _BEAM}:
        return False
    condition = f"{scene.kind.name}.{scene.signals[name].only_with}"
    return all(
        each.column == _BEAM or (each.column == condition and each.equals is True)
        for each in quantity.where
    )


def _column_of(quantity: Quantity, scene: Scene) -> str | None:
    kind, _, name = quantity.column.partition(".")
    return name if kind == scene.kind.name and name in scene.signals else None


def _mean(quantity: Quantity, scene: Scene, columns: Mapping[str, Float]) -> Float:
    """Return the mean of a quantity, given the expectation of each column."""
    name = quantity.column.partition(".")[2]
    signal = scene.signals[name]
    mean = columns[name]
    conditional = any(each.column != _BEAM for each in quantity.where)
    if signal.only_with and not conditional:
        chance = columns[signal.only_with]
        mean = chance * mean + (1 - chance) * signal.otherwise
    return mean
