"""Several objectives: where a measurement extends the Pareto front most, per second of beam."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim, ParetoPoint, PolicyError, Problem
from autosteer.policies._candidates import points_around, sobol_points
from autosteer.policies._extension import Belief, Extending
from autosteer.policies._frontier import Frontier, extent_of, reference_below, unbeaten
from autosteer.policies._improvement import Choice
from autosteer.policies._keeper import FEWEST_SHOTS
from autosteer.policies._links import LinkName
from autosteer.policies._modelled import Known, Modelled

Float = NDArray[np.float64]

# Of places of the front that are closer to each other, in units of its extent, one is kept.
_SAME = 0.01
# Places at which the models are asked how far the front reaches.
_SPREAD = 256
# An opening place is the one of so many that is farthest from all others.
_OPENINGS = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Front:
    """Places of the front in the unit cube, shape (m, n_knobs), by the first objective.

    ``values`` and ``sd`` have the shape (m, n_objectives); more is better. ``extent`` and
    ``reference`` are those of the volume, shape (n_objectives,).
    """

    x: Float
    values: Float
    sd: Float
    extent: Float
    reference: Float

    @property
    def knee(self) -> int:
        """Row of the place that is nearest to having the best of everything."""
        short = (self.values.max(axis=0) - self.values) / self.extent
        return int(np.argmin(np.linalg.norm(short, axis=1)))


@dataclass(slots=True)
class _Known(Known):
    """What follows from the points measured so far."""

    front: _Front | None = None


class ParetoPolicy(Modelled[_Known]):
    """Gaussian processes and expected hypervolume improvement per second of beam.

    Each objective has a Gaussian process of its own, with the variance that the shots gave at each
    point. The front is that of the posterior means at the places that were measured, so that noise
    alone never makes a place part of it. The next point is where a measurement is expected to raise
    the volume that the front dominates most [1]_, divided by the beam time that move and
    measurement take. Points that are still pending count as measured, with their posterior means.

    With limits on measured quantities, only points are suggested that keep all of them with the
    stated probability; what a measurement is expected to add to these is part of its worth, and the
    front consists of such places. Diagnostics are disregarded.

    Parameters
    ----------
    problem : Problem
        Knobs, objectives and limits.
    link : {"auto", "identity", "log"}, default "auto"
        Scale on which the models see the objectives; see `BayesianPolicy`.
    n_initial : int, default 6
        Places spread over the box before the models take over.
    candidates : int, default 256
        Places spread over the box, and as many around the front, at which each ask looks.
    reference : mapping of str to float, optional
        By objective, what a value must be better than to count. Without it, somewhat less than the
        worst along the front that the models expect over all places.

    Raises
    ------
    PolicyError
        If a count is not positive, `reference` names no objective, or a target is wanted, which
        several objectives do not have.

    References
    ----------
    .. [1] M. Emmerich, K. Giannakoglou, B. Naujoks, IEEE Trans. Evol. Comput. 10, 421 (2006),
       doi:10.1109/TEVC.2005.859463.

    Examples
    --------
    >>> from autosteer.contracts import Range
    >>> aims = (Aim("signal"), Aim("background", maximize=False))
    >>> policy = ParetoPolicy(Problem({"x": Range(-1.0, 1.0)}, aims, seed=3))
    >>> [point] = policy.suggest(1)
    >>> policy.ingest([{**point, "signal": 4.0, "background": 1.0}])
    >>> [place] = policy.front()
    >>> place.mean
    {'signal': 4.0, 'background': 1.0}
    """

    def __init__(
        self,
        problem: Problem,
        *,
        link: LinkName = "auto",
        n_initial: int = 6,
        candidates: int = 256,
        reference: Mapping[str, float] | None = None,
    ) -> None:
        for name, count in {"n_initial": n_initial, "candidates": candidates}.items():
            if count < 1:
                raise PolicyError(f"{name} is {count}: it must be at least 1")
        names = [aim.name for aim in problem.objectives]
        unknown = sorted(set(reference or ()) - set(names))
        if unknown:
            raise PolicyError(f"reference names no objective: {', '.join(unknown)}")
        if problem.goal.target is not None:
            raise PolicyError("ParetoPolicy knows no target: let min_gain say when it is enough")
        super().__init__(problem, problem.objectives, _Known, link=link, candidates=candidates)
        self._n_initial = n_initial
        given = {} if reference is None else reference
        self._reference = np.array([
            aim.sign * given.get(aim.name, math.nan) for aim in problem.objectives
        ])

    def _choose(self, rng: np.random.Generator) -> Choice:
        """Choose the next place."""
        if self._fence and not self._learn_limits():
            # Where the knobs are found is the only place that may be safe.
            return self._begin_safely()
        measured = len(self._measured)
        begun = measured + len(self._ledger.pending) >= self._n_initial
        if measured < 2 or not begun:
            return self._open(rng)
        front = self._front_in_cube()
        # With limits, perhaps no place that was measured is safe.
        centers = front.x if len(front.x) else self._measured
        beliefs = tuple(self._belief(aim) for aim in self._problem.objectives)
        awaited = self._values(self._avoided)[0]
        values = np.concatenate([front.values, awaited]) / front.extent
        frontier = Frontier(values[unbeaten(values)], front.reference / front.extent)
        extending = Extending(self._situation, beliefs, frontier, front.extent)
        choice = extending.best(self._spread, centers, rng)
        self._gain = choice.gain
        return choice

    def _open(self, rng: np.random.Generator) -> Choice:
        """Spread the first places over the box, as far as they may be gone to."""
        taken = np.concatenate([self._measured, self._avoided])
        pool = self._spread
        if len(taken):
            lengths = np.full(len(self._ledger.names), 0.5)
            pool = np.concatenate([pool, points_around(rng, taken, lengths, len(pool))])
        allowed = self._situation.allowed(pool)
        if not len(allowed):
            raise PolicyError(
                "no place is left that boxes to stay out of and sums of knobs allow: "
                "are the bounds too narrow?"
            )
        allowed = allowed[:_OPENINGS]
        apart = np.full(len(allowed), np.inf)
        for x in taken:
            apart = np.minimum(apart, np.linalg.norm(allowed - x, axis=1))
        x = allowed[int(np.argmax(apart))]
        shots = None
        if self._problem.rate_hz is not None:
            least = max([FEWEST_SHOTS, *(aim.min_shots for aim in self._problem.objectives)])
            [travel_s] = self._grounds.travel_s(x[None], self._here)
            shots = max(round(float(travel_s) * self._problem.rate_hz), least)
        return Choice(x, f"opening: {len(self._measured)} places are measured", shots)

    @property
    def _measured(self) -> Float:
        """Places at which all objectives were measured, shape (n, n_knobs)."""
        names = {aim.name for aim in self._problem.objectives}
        return self._ledger.unit([
            point.x for point in self._ledger.measured.values() if names <= point.readings.keys()
        ])

    def _belief(self, aim: Aim) -> Belief:
        """Return what is known of an objective, pending places included."""
        learned = self._learn(aim)
        avoided = self._avoided
        model = learned.surrogate
        if len(avoided):
            model = model.awaiting(avoided, learned.noise(learned.surrogate.mean(avoided), None))
        return Belief(aim, learned, model)

    def _values(self, x: Float) -> tuple[Float, Float]:
        """Return posterior means, more is better, and standard deviations, shape (n, k)."""
        found = [(aim.sign, *self._learn(aim).natural(x)) for aim in self._problem.objectives]
        means = np.stack([sign * mean for sign, mean, _ in found], axis=1)
        return means, np.stack([sd for _, _, sd in found], axis=1)

    def _front_in_cube(self) -> _Front:
        """Find the front of posterior means; at least two places are measured."""
        if self._known.front is None:
            measured = self._measured
            x = np.unique(measured[self._grounds.permits(self._grounds.places(measured))], axis=0)
            if self._fence and self._learn_limits():
                x = x[self._fence.chance(x) >= 0]
            values, sd = self._values(x)
            rows = np.flatnonzero(unbeaten(values))
            rows = rows[np.argsort(values[rows, 0], kind="stable")]
            # How far the front reaches, the models know before both its ends are measured.
            anywhere = replace(self._situation, here=None)
            spread = sobol_points(measured.shape[1], self._problem.seed, 0, _SPREAD)
            expected, doubt = self._values(np.concatenate([measured, anywhere.allowed(spread)]))
            ends = np.concatenate([values[rows], expected[unbeaten(expected + doubt)]])
            extent = extent_of(ends, expected)
            inferred = reference_below(ends, extent)
            reference = np.where(np.isfinite(self._reference), self._reference, inferred)
            rows = rows[_distinct(values[rows] / extent)]
            self._known.front = _Front(x[rows], values[rows], sd[rows], extent, reference)
        return self._known.front

    def front(self) -> tuple[ParetoPoint, ...]:
        """Return the Pareto set as it is known: the measured places that no other one beats.

        What is compared are posterior means. Places that are nearly the same in all objectives, to
        a hundredth of the front's extent, are given once.

        Returns
        -------
        tuple of ParetoPoint
            The places, by the first objective; with limits, those that keep them. None before all
            objectives have been measured at one place.
        """
        aims = self._problem.objectives
        if len(self._measured) < 2:
            return self._single_measured()
        found = self._front_in_cube()
        places = self._grounds.places(found.x)
        return tuple(
            ParetoPoint(
                self._ledger.named(place),
                {aim.name: aim.sign * float(v) for aim, v in zip(aims, values, strict=True)},
                {aim.name: float(s) for aim, s in zip(aims, sd, strict=True)},
            )
            for place, values, sd in zip(places, found.values, found.sd, strict=True)
        )

    def _single_measured(self) -> tuple[ParetoPoint, ...]:
        """Return the only place where all objectives were measured, if there is one."""
        names = [aim.name for aim in self._problem.objectives]
        return tuple(
            ParetoPoint(
                self._ledger.named(point.x),
                {name: point.readings[name].mean for name in names},
                {name: point.readings[name].sem for name in names},
            )
            for point in self._ledger.measured.values()
            if set(names) <= point.readings.keys()
        )

    def best(self) -> dict[str, Any]:
        """Return one place of the front: its knee.

        It is the place that is nearest to having the best of every objective, in units of the
        front's extent.

        Returns
        -------
        dict
            Knobs, and posterior mean of each objective under its name, with its ``_sd``; empty
            before the first measurement, or where no place keeps the limits.
        """
        points = self.front()
        if not points:
            return {}
        point = points[self._front_in_cube().knee if len(self._measured) > 1 else 0]
        sds = {f"{name}_sd": sd for name, sd in point.sd.items()}
        return {**point.knobs, **point.mean, **sds}

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether a further measurement is not worth the beam.

        Returns
        -------
        stop : bool
            Whether the next measurement is expected to raise the front's volume by less than the
            goal's ``min_gain``, as a share of it.
        reason : str
            What to tell people.
        """
        least = self._problem.goal.min_gain
        if least is not None and self._gain < least:
            return True, (
                f"another measurement adds {self._gain:.2g} of its volume to the front: "
                f"less than {least:g}"
            )
        return False, ""

    def posterior(self, points: Sequence[Mapping[str, float]]) -> tuple[Float, Float]:
        """Return what the model expects of the first objective at places, for plots.

        Parameters
        ----------
        points : sequence of mapping, length n
            Knobs by name.

        Returns
        -------
        mean, sd : ndarray of float64, shape (n,)
            Posterior mean and standard deviation.
        """
        return self.posteriors(points)[self._problem.objective.name]

    def posteriors(
        self, points: Sequence[Mapping[str, float]]
    ) -> Mapping[str, tuple[Float, Float]]:
        """Return what the models expect at places, for plots.

        Parameters
        ----------
        points : sequence of mapping, length n
            Knobs by name.

        Returns
        -------
        mapping of str to (ndarray, ndarray), each of shape (n,)
            Posterior mean and standard deviation by objective.

        Raises
        ------
        PolicyError
            If fewer than two points are measured.
        """
        if len(self._measured) < 2:
            raise PolicyError("the models need two measured points at least")
        rows = [[point[name] for name in self._ledger.names] for point in points]
        x = self._ledger.unit(rows)
        return {aim.name: self._learn(aim).natural(x) for aim in self._problem.objectives}


def _distinct(values: Float) -> list[int]:
    """Leave out rows that are nearly the same as one before, in all objectives."""
    kept: list[int] = []
    for row, value in enumerate(values):
        if all(np.max(np.abs(value - values[other])) >= _SAME for other in kept):
            kept.append(row)
    return kept
