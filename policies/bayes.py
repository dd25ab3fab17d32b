"""Bayesian optimisation: where a measurement teaches most, per second of beam that it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.contracts import Aim, PolicyError, Problem
from autosteer.policies._candidates import climb, points_around, sobol_points
from autosteer.policies._chain import Model
from autosteer.policies._knowledge import knowledge_gradient
from autosteer.policies._learner import Learned, Learner
from autosteer.policies._ledger import Ledger
from autosteer.policies._links import LinkName, filled_errors
from autosteer.policies._search import PeakSearch, has_signal

Float = NDArray[np.float64]

# Stays that are considered [s]; the policy takes the one that teaches most per second.
_STAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_FEWEST_SHOTS = 4
import os

NOCHAIN = os.environ.get("NOCHAIN")
# A diagnostic is known well enough when a measurement is worth less than this share of it.
_GOOD_ENOUGH = 0.02
# The objective is sought where a diagnostic is at least this share of its best.
_GOOD_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Choice:
    """A place to go, in the unit cube, and why."""

    x: Float
    why: str
    shots: int | None = None
    worse_than: float | None = None
    gain: float = math.inf


class BayesianPolicy:
    """Gaussian process and knowledge gradient per second of beam, over the box of the knobs.

    While nothing stands out from the noise, it searches for a peak; see `PeakSearch`. After that, a
    Gaussian process is fitted to the newest outcome of every point, each with the variance that its
    shots gave, and the next point is where a measurement is expected to raise the best posterior mean
    most [1]_, divided by the beam time that move and measurement take. Points that are still pending
    count as measured. Every ask draws from a stream of its own, so that the same ask after the same
    ingests gives the same suggestion, and its cost is capped by evaluations, not by time.

    Parameters
    ----------
    problem : Problem
        Knobs, objective and limits.
    link : {"auto", "identity", "log"}, default "auto"
        Scale on which the model sees the objective; ``auto`` takes logarithms of shares of shots and
        of peaks.
    n_initial : int, default 6
        Places suggested by search before the model takes over.
    candidates : int, default 384
        Places spread over the box, and as many around good ones, at which each ask looks.

    Raises
    ------
    PolicyError
        If a count is not positive, or there is more than one objective.

    References
    ----------
    .. [1] P. Frazier, W. Powell, S. Dayanik, INFORMS J. Comput. 21, 599 (2009),
       doi:10.1287/ijoc.1080.0314.

    Examples
    --------
    >>> policy = BayesianPolicy(Problem.of({"x": (-1.0, 1.0)}, "hits", seed=3))
    >>> [point] = policy.suggest(1)
    >>> policy.ingest([{**point, "hits": 0.4, "hits_sem": 0.05}])
    >>> policy.best()["hits"]
    0.4
    """

    def __init__(
        self,
        problem: Problem,
        *,
        link: LinkName = "auto",
        n_initial: int = 6,
        candidates: int = 384,
    ) -> None:
        for name, count in {"n_initial": n_initial, "candidates": candidates}.items():
            if count < 1:
                raise PolicyError(f"{name} is {count}: it must be at least 1")
        if len(problem.objectives) > 1:
            raise PolicyError("several objectives: use the class autosteer.policies:ParetoPolicy")
        self._problem = problem
        self._ledger = Ledger(problem)
        self._grounds = self._ledger.grounds
        self._seed = problem.seed
        self._n_initial = n_initial
        self._candidates = candidates
        self._search = PeakSearch(len(problem.knobs), problem.seed)
        aims = (problem.objective, *problem.diagnostics)
        self._learners = {aim.name: Learner(aim, link) for aim in aims}
        self._learned: dict[Aim, Learned] = {}
        self._asks = 0
        self._here: Float | None = None
        self._reasons: dict[str, str] = {}

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; where shots are counted, also ``_shots``, how many of them
            the point is worth, and ``_worse_than``, below which it may be left early.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        if num_points < 1:
            raise PolicyError(f"num_points is {num_points}: it must be at least 1")
        points = []
        for _ in range(num_points):
            self._asks += 1
            choice = self._choose(np.random.default_rng([self._seed, self._asks]))
            [point] = self._ledger.suggest(choice.x[None])
            self._reasons[point["_id"]] = choice.why
            self._here = choice.x
            if choice.shots is not None:
                point["_shots"] = choice.shots
            if choice.worse_than is not None:
                point["_worse_than"] = choice.worse_than
            points.append(point)
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the objective, and perhaps its ``_sem``. Points that were
            never suggested are welcome.
        """
        self._ledger.ingest(points)
        self._learned.clear()

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: the policy keeps away from them.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._ledger.register_failures(points)

    def _choose(self, rng: np.random.Generator) -> _Choice:
        """Choose the next place."""
        table = self._ledger.table(self._ledger.objective)
        begun = len(table) >= 2 and len(table) + len(self._ledger.pending) >= self._n_initial
        telling = self._telling
        if begun and telling:
            aim = telling[-1]
            choice = self._improve(aim, rng)
            if aim == self._problem.objective or choice.gain > _GOOD_ENOUGH:
                return choice
        return self._look_for_signal(rng)

    @property
    def _telling(self) -> list[Aim]:
        """Quantities that stand out from the noise, from the broadest to the objective itself.

        With a diagnostic among them, the objective is worth modelling before it shows anything.
        """
        aims = (self._problem.objective, *self._problem.diagnostics)
        tables = [(aim, self._ledger.table(aim.name)) for aim in aims]
        telling = [aim for aim, table in tables if len(table) >= 2 and has_signal(table, aim)]
        return telling[::-1]

    @property
    def _avoided(self) -> Float:
        """Places that are pending or have failed, shape (n, n_knobs)."""
        return self._ledger.unit([*self._ledger.pending.values(), *self._ledger.failed.values()])

    def _look_for_signal(self, rng: np.random.Generator) -> _Choice:
        """Go where a peak would most probably be seen, if there is one."""
        table = self._ledger.table(self._ledger.objective)
        sem = filled_errors(table)
        avoided = self._avoided
        deviation = np.zeros(len(table))
        precision = np.ones(len(table))
        if sem is not None and len(table):
            sign = 1.0 if self._problem.objective.maximize else -1.0
            deviation = sign * (table.mean - np.median(table.mean)) / sem
            precision = np.median(sem) / sem
        x = self._search.next_place(
            np.concatenate([table.x, avoided]),
            np.concatenate([deviation, np.zeros(len(avoided))]),
            np.concatenate([precision, np.ones(len(avoided))]),
            self._allowed,
            rng,
            self._promise,
        )
        shots = None
        if self._problem.rate_hz is not None:
            # As long as the way: more would be spent on nothing, less on motion.
            [travel_s] = self._grounds.travel_s(x[None], self._here)
            shots = max(round(travel_s * self._problem.rate_hz), _FEWEST_SHOTS)
        return _Choice(x, f"looking for a signal: {len(table)} places are measured", shots)

    def _promise(self, x: Float) -> Float:
        """Return how probable it is that the closest telling diagnostic is good at places."""
        telling = self._telling
        if not telling:
            return np.ones(len(x))
        learned = self._learn(telling[-1])
        model = learned.surrogate
        top = float(model.mean(model.x).max())
        good = min(learned.link.latent(_GOOD_SHARE * float(learned.natural_at(top))), top)
        chance: Float = ndtr((model.mean(x) - good) / np.sqrt(model.variance(x)))
        return chance

    def _allowed(self, unit: Float) -> Float:
        return self._grounds.allowed(unit, self._here)

    def _improve(self, aim: Aim, rng: np.random.Generator) -> _Choice:
        """Go where a measurement raises the best posterior mean most, per second."""
        learned = self._learn(aim)
        avoided = self._avoided
        surrogate = learned.surrogate
        # A pending place will be known as well as places usually are.
        usual = float(np.median(learned.noise(avoided, None))) if len(avoided) else 0.0
        model = surrogate.awaiting(avoided, usual)
        lengths = np.minimum(surrogate.lengths, 0.5)
        known = surrogate.x[np.argsort(-surrogate.mean(surrogate.x), kind="stable")]
        first = np.concatenate([
            sobol_points(known.shape[1], self._seed + self._asks, 0, self._candidates),
            points_around(rng, known[:5], lengths, self._candidates),
            known[:8],
        ])
        first = self._allowed(first)
        ranked = first[np.argsort(-model.mean(first), kind="stable")[:64]]
        top = climb(model.mean, ranked, lengths / 2, rng, rounds=4, width=64)
        choices = np.concatenate([known[:128], ranked, top[None]])
        mean = model.mean(choices)

        def gain(x: Float, shots: float | None) -> Float:
            return knowledge_gradient(
                mean,
                model.covariance(x, choices),
                model.mean(x),
                model.variance(x),
                learned.noise(x, shots),
            )

        def rate(x: Float) -> Float:
            x = self._allowed(x)
            if self._problem.rate_hz is None:
                return gain(x, None)
            return gain(x, 0.2 * self._problem.rate_hz) / (
                0.2 + self._grounds.travel_s(x, self._here)
            )

        start = np.concatenate([first, self._allowed(top[None])])
        x = climb(rate, start, lengths / 3, rng, rounds=3, width=64)
        [x] = self._allowed(x[None])
        shots = self._worthwhile_shots(x, gain)
        [best_mean], [best_sd] = learned.natural(top[None])
        [here_mean], [here_sd] = learned.natural(x[None])
        [worth] = gain(x[None], shots)
        worth *= learned.link.slope(float(mean.max()))
        why = (
            f"{aim.name}: expects {here_mean:.4g} +- {here_sd:.2g} here, {best_mean:.4g} +- "
            f"{best_sd:.2g} at the best; worth {worth:.2g}"
        )
        return _Choice(x, why, shots, None, worth / max(abs(best_mean), 1e-12))

    def _worthwhile_shots(self, x: Float, gain: Any) -> int | None:
        """Return the number of shots that teaches most per second."""
        rate_hz = self._problem.rate_hz
        if rate_hz is None:
            return None
        [travel_s] = self._grounds.travel_s(x[None], self._here)
        stays = [stay_s for stay_s in _STAYS_S if stay_s * rate_hz >= _FEWEST_SHOTS]
        rates = [
            float(gain(x[None], stay_s * rate_hz)[0]) / (stay_s + travel_s) for stay_s in stays
        ]
        return max(round(stays[int(np.argmax(rates))] * rate_hz), _FEWEST_SHOTS)

    def _learn(self, aim: Aim) -> Learned:
        """Learn a quantity, and before it the diagnostics that it follows."""
        if aim not in self._learned:
            below: Model | None = None
            telling = self._telling
            for other in telling:
                if other == aim or (NOCHAIN and aim in telling):
                    break
                below = self._learn(other).surrogate
            table = self._ledger.table(aim.name)
            self._learned[aim] = self._learners[aim.name].learn(table.x, table, below)
        return self._learned[aim]

    def best(self) -> dict[str, Any]:
        """Return the place where the posterior mean is best.

        Returns
        -------
        dict
            Knobs, posterior mean under the objective's name and its ``_sd``; empty before the
            first measurement. With fewer than two points, the better of them.
        """
        name = self._ledger.objective
        if len(self._ledger.table(name)) < 2:
            return self._ledger.best_measured()
        learned = self._learn(self._problem.objective)
        model = learned.surrogate
        rng = np.random.default_rng([self._seed, 0])
        start = np.concatenate([
            model.x,
            self._grounds.allowed(sobol_points(model.x.shape[1], self._seed, 0, 256), None),
        ])
        ranked = start[np.argsort(-model.mean(start), kind="stable")[:10]]
        x = climb(model.mean, ranked, np.minimum(model.lengths, 0.5), rng, rounds=6, width=96)
        [x] = self._grounds.unit(self._grounds.places(x[None]))
        [place] = self._grounds.places(x[None])
        [mean], [sd] = learned.natural(x[None])
        return {**self._ledger.named(place), name: float(mean), f"{name}_sd": float(sd)}

    def explain(self, suggestion_id: str) -> str:
        """Say why a point was suggested.

        Parameters
        ----------
        suggestion_id : str
            ``_id`` of the suggestion.

        Returns
        -------
        str
            One line; empty for a point that was not suggested here.
        """
        return self._reasons.get(suggestion_id, "")

    def posterior(self, points: Sequence[Mapping[str, float]]) -> tuple[Float, Float]:
        """Return what the model expects at places, for plots.

        Parameters
        ----------
        points : sequence of mapping, length n
            Knobs by name.

        Returns
        -------
        mean, sd : ndarray of float64, shape (n,)
            Posterior mean and standard deviation of the objective.

        Raises
        ------
        PolicyError
            If fewer than two points are measured.
        """
        if len(self._ledger.table(self._ledger.objective)) < 2:
            raise PolicyError("the model needs two measured points at least")
        rows = [[point[name] for name in self._ledger.names] for point in points]
        return self._learn(self._problem.objective).natural(self._ledger.unit(rows))

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {
            "asks": self._asks,
            "here": None if self._here is None else self._here.tolist(),
            "ledger": self._ledger.checkpoint(),
            "learners": {name: one.checkpoint() for name, one in self._learners.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._asks = int(state["asks"])
        self._here = None if state["here"] is None else np.array(state["here"])
        self._ledger.restore(state["ledger"])
        for name, learner in self._learners.items():
            learner.restore(state["learners"][name])
        self._learned.clear()
