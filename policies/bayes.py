"""Bayesian optimisation: where a measurement teaches most, per second of beam that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.contracts import Aim, PolicyError, Problem
from autosteer.policies._candidates import climb, sobol_points
from autosteer.policies._chain import Model
from autosteer.policies._errors import filled_errors
from autosteer.policies._goals import why_enough
from autosteer.policies._improvement import Choice, Improvement
from autosteer.policies._keeper import FEWEST_SHOTS
from autosteer.policies._learner import Learned
from autosteer.policies._links import LinkName
from autosteer.policies._modelled import Known, Modelled
from autosteer.policies._search import Flight, PeakSearch, has_signal
from autosteer.policies._situation import Situation

Float = NDArray[np.float64]

# A diagnostic is known well enough when no place can be hoped, by one standard deviation, to be
# better by more than this share.
_ROOM = 0.25
# The objective is sought where all diagnostics are at least this share of their best.
_GOOD_SHARE = 0.85
# Places at which a long way is looked at for what would be seen there.
_PARTS_OF_A_FLIGHT = 6


@dataclass(slots=True)
class _Known(Known):
    """What follows from the points measured so far."""

    telling: list[Aim] | None = None
    best: dict[str, Any] | None = None


class BayesianPolicy(Modelled[_Known]):
    """Gaussian process and knowledge gradient per second of beam, over the box of the knobs.

    While nothing stands out from the noise, it searches for a peak; see `PeakSearch`. As soon as a
    diagnostic does, that is followed upwards, and the peak is sought where it is good. As soon as
    the objective itself does, a Gaussian process is fitted to the newest outcome of every point,
    each with the variance that its shots gave, and the next point is where a measurement is
    expected to raise the best posterior mean most [1]_, divided by the beam time that move and
    measurement take. Points that are still pending count as measured.

    With limits on measured quantities, only points are suggested that keep all of them with the
    stated probability, beginning at places that were measured to do so; what a measurement is
    expected to add to these is part of its worth.

    Parameters
    ----------
    problem : Problem
        Knobs, objective, diagnostics and limits.
    link : {"auto", "identity", "log"}, default "auto"
        Scale on which the model sees the objective; ``auto`` takes logarithms of peaks, and the
        logarithm of the odds of shares of shots.
    n_initial : int, default 6
        Places suggested by search before the model takes over.
    candidates : int, default 384
        Places spread over the box, and as many around good ones, at which each ask looks.
    horizon_s : float, default 300
        How long a better place will be of use [s]: where a measurement would cost more of the
        objective than it brings in this time, the knobs stay at the best. Infinite: search on,
        whatever it costs.
    drift_s : float, optional
        Time over which the optimum is expected to wander [s]; the model learns the time itself,
        beginning with this. None: it stays where it is.

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
        horizon_s: float = 300.0,
        drift_s: float | None = None,
    ) -> None:
        if drift_s is not None and not drift_s > 0:
            raise PolicyError(f"drift_s is {drift_s}: it must be positive")
        if not horizon_s > 0:
            raise PolicyError(f"horizon_s is {horizon_s}: it must be positive")
        for name, count in {"n_initial": n_initial, "candidates": candidates}.items():
            if count < 1:
                raise PolicyError(f"{name} is {count}: it must be at least 1")
        if len(problem.objectives) > 1:
            raise PolicyError(
                "BayesianPolicy improves one objective, and there are several: take "
                "autosteer.policies:ParetoPolicy"
            )
        self._aims = (problem.objective, *problem.diagnostics)
        super().__init__(
            problem,
            self._aims,
            _Known,
            link=link,
            candidates=candidates,
            drift_s=drift_s,
        )
        self._objective = problem.objective
        self._n_initial = n_initial
        self._horizon_s = horizon_s
        self._search = PeakSearch(len(problem.knobs), problem.seed)

    @property
    def expected_gain(self) -> float:
        """What the newest suggestion is expected to add to the best, in the objective's unit.

        NaN while the objective shows nothing.
        """
        return self._gain

    def _choose(self, rng: np.random.Generator) -> Choice:
        """Choose the next place."""
        if self._fence and not self._learn_limits():
            return self._begin_safely()
        measured = len(self._ledger.measured)
        begun = measured >= 2 and measured + len(self._ledger.pending) >= self._n_initial
        if self._fence:
            return self._improve(self._objective, rng)
        telling = self._telling
        if begun and telling:
            choice = self._improve(telling[-1], rng)
            if telling[-1] == self._objective or choice.room > _ROOM:
                return choice
        if begun and telling and self._objective.min_shots > 1 and self._measured(self._objective):
            # What is costly to measure is modelled by what is not, before it tells by itself.
            return self._improve(self._objective, rng)
        return self._look_for_signal(rng)

    def _measured(self, aim: Aim) -> bool:
        """Tell whether there is enough to model a quantity."""
        return len(self._ledger.table(aim.name)) >= 2

    @property
    def _telling(self) -> list[Aim]:
        """Quantities that stand out from the noise, from the broadest to the objective itself."""
        if self._known.telling is None:
            tables = [(aim, self._ledger.table(aim.name)) for aim in reversed(self._aims)]
            self._known.telling = [
                aim for aim, table in tables if len(table) >= 2 and has_signal(table, aim)
            ]
        return self._known.telling

    def _noise_of_avoided(self, learned: Learned, x: Float) -> Float:
        """Return the variance that pending places will be known with, shape (n,)."""
        pending = [one.shots for one in self._ledger.pending.values()]
        shots = np.array([*pending, *[None] * len(self._ledger.failed)], np.float64)
        known = np.isfinite(shots)
        mean = learned.surrogate.mean(x)
        usual = learned.noise(mean, None)
        return np.where(known, learned.noise(mean, np.where(known, shots, 1.0)), usual)

    def _look_for_signal(self, rng: np.random.Generator) -> Choice:
        """Go where a peak would most probably be seen, if there is one."""
        table = self._ledger.table(self._objective.name)
        sem = filled_errors(table) if len(table) else None
        avoided = self._avoided
        deviation = np.zeros(len(table))
        precision = np.ones(len(table))
        if sem is not None:
            deviation = self._objective.sign * (table.mean - np.median(table.mean)) / sem
            precision = np.median(sem) / sem
        telling, flight = self._telling, self._flight
        x = self._search.next_place(
            np.concatenate([table.x, avoided]),
            np.concatenate([deviation, np.zeros(len(avoided))]),
            np.concatenate([precision, np.ones(len(avoided))]),
            self._situation.allowed,
            rng,
            self._promise if telling else None,
            flight,
        )
        shots = None
        if self._problem.rate_hz is not None:
            # As long as the way: more would be spent on nothing, less on motion.
            [travel_s] = self._grounds.travel_s(x[None], self._here) if flight is None else [0.0]
            least = FEWEST_SHOTS
            if telling or not self._problem.diagnostics:
                least = max(least, self._objective.min_shots)
            shots = max(round(travel_s * self._problem.rate_hz), least)
        return Choice(x, f"looking for a signal: {len(table)} places are measured", shots)

    @property
    def _flight(self) -> Callable[[Float], Flight] | None:
        """What gives the ways to places, if what is seen on the way counts."""
        here = self._here
        if here is None or not self._problem.shots_in_motion:
            return None

        def flight(x: Float) -> Flight:
            way = self._grounds.on_the_way(x, here, _PARTS_OF_A_FLIGHT)
            return Flight(way, self._grounds.travel_s(x, here))

        return flight

    def _promise(self, x: Float) -> Float:
        """Return how probable it is that all telling diagnostics are good at places."""
        chance = np.ones(len(x))
        for aim in self._telling:
            learned = self._learn(aim)
            model = learned.surrogate
            top = float(model.mean(model.x).max())
            good = min(learned.link.latent(_GOOD_SHARE * learned.natural_at(top)), top)
            chance *= ndtr((model.mean(x) - good) / np.sqrt(model.variance(x)))
        return chance

    @property
    def _situation(self) -> Situation:
        return replace(super()._situation, horizon_s=self._horizon_s)

    def _improve(self, aim: Aim, rng: np.random.Generator) -> Choice:
        """Go where a measurement raises the best posterior mean most, per second."""
        learned = self._learn(aim)
        avoided = self._avoided
        model = learned.surrogate
        if len(avoided):
            model = model.awaiting(avoided, self._noise_of_avoided(learned, avoided))
        improvement = Improvement(self._situation, aim, learned, model, rng, self._spread)
        choice = improvement.best_choice()
        if aim == self._objective:
            self._gain = choice.gain
        return choice

    def _below(self, aim: Aim) -> Model | None:
        """Return the model of a diagnostic that costs less, which a costly quantity follows."""
        below: Model | None = None
        for other in self._telling:
            if other != aim and other.min_shots < aim.min_shots:
                below = self._learn(other).surrogate
        return below

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether the goal is reached, or not worth the beam.

        Returns
        -------
        stop : bool
            Whether the target is reached with the stated confidence, or the next measurement is
            expected to gain less than the goal asks for.
        reason : str
            What to tell people.
        """
        goal = self._problem.goal
        knows = goal.target is not None and self._objective in self._telling
        best = self.best() if knows else {}
        reason = why_enough(goal, self._objective, best, self._gain, "measurement")
        return bool(reason), reason

    def best(self) -> dict[str, Any]:
        """Return the place where the posterior mean is best.

        Returns
        -------
        dict
            Knobs, posterior mean under the objective's name and its ``_sd``; empty before the
            first measurement. With fewer than two points, the better of them. With limits, the best
            of the places that keep them.
        """
        if self._known.best is None:
            self._known.best = self._find_best()
        return dict(self._known.best)

    def _anywhere(self, model: Model) -> Situation:
        """Return where the best may be, wherever the knobs are."""
        return replace(self._situation, here=None)

    def _find_best(self) -> dict[str, Any]:
        name = self._objective.name
        if not self._measured(self._objective):
            return self._ledger.best_measured()
        learned = self._learn(self._objective)
        if self._fence and not self._learn_limits():
            return self._ledger.best_measured()
        model = learned.surrogate
        rng = np.random.default_rng([self._problem.seed, 0])
        anywhere = self._anywhere(model)
        spread = anywhere.spread(sobol_points(model.x.shape[1], self._problem.seed, 0, 256))
        start = anywhere.allowed(np.concatenate([model.x, spread]))
        ranked = start[np.argsort(-model.mean(start), kind="stable")[:10]]
        lengths = np.minimum(model.lengths, 0.5)
        x = climb(model.mean, ranked, lengths, rng, anywhere.allowed, rounds=6, width=96)
        [place] = self._grounds.places(x[None])
        [mean], [sd] = learned.natural(x[None])
        return {**self._ledger.named(place), name: float(mean), f"{name}_sd": float(sd)}

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
        if not self._measured(self._objective):
            raise PolicyError("the model needs two measured points at least")
        rows = [[point[name] for name in self._ledger.names] for point in points]
        return self._learn(self._objective).natural(self._ledger.unit(rows))
