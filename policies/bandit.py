"""A bandit: which of many samples, wells or jets to shoot at, and when to go on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._arms import Belief
from autosteer.policies._goals import why_enough
from autosteer.policies._grounds import Grounds
from autosteer.policies._keeper import FEWEST_SHOTS, check_count
from autosteer.policies._ledger import Pending, Table
from autosteer.policies._modelless import Modelless, refuse_what_is_beyond
from autosteer.policies._wear import learn_arms, level_left

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_MOST_ARMS = 4000
# A point belongs to an arm that is so near, in steps: between two wells there is neither.
_NEAR = 0.25
# Stays that are considered [s], and how long to stay where there is no reason to leave.
_STAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_REST_S = 0.8
# An arm that could not be reached is left alone for so many suggestions.
_PATIENCE = 10
# Values that differ by less than this share count as equal: the nearer arm is taken.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _Choice:
    """Where to go, and why."""

    arm: int
    why: str
    shots: int | None = None
    worse_than: float | None = None
    gain: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class _Learned:
    """What is known of the arms, how many shots they last, and which of them were visited."""

    belief: Belief
    lifetime: float
    visited: Int


class BanditPolicy(Modelless):
    """Chooses among places that have nothing to do with each other: samples, wells, jets.

    Every knob has steps, and each combination of them is an arm. What is believed of an arm is a
    Beta distribution where the objective is a share of shots, and a normal one otherwise; what the
    arms have in common (most wells are poor, say) is learned from those visited, and is expected
    of the others. The next arm is the one where looking brings most per second [1]_: how far shots
    there are expected to raise the best mean, for as long as that is of use, less what the best
    arm would have given meanwhile, ways included. Where nothing is worth leaving for, the knobs
    stay at the best.

    Arms may be used up while they are shot at: old shots count less [2]_, by the number of shots
    taken at the same arm since. Where the objective is a share of shots that is to be large, the
    lifetime that all arms have in common is learned, too. Another arm is then not only of use where
    it is better than the best, but as soon as the best will have come down to it.

    Parameters
    ----------
    problem : Problem
        Knobs with steps, and one objective.
    horizon_s : float, default 60
        How long a better arm will be of use [s], if it lasts so long.
    memory_shots : float, optional
        A shot counts 1/e of a new one after so many more at its arm; infinite where arms do not
        change. None: the lifetime to the power 2/3, at which noise and lag are about equal.

    Raises
    ------
    PolicyError
        If a knob has no steps, there are too many arms or none, an option is not positive, or
        there are several objectives, limits or a context.

    References
    ----------
    .. [1] I. O. Ryzhov, W. B. Powell, P. I. Frazier, Oper. Res. 60, 180 (2012),
       doi:10.1287/opre.1110.0999: the knowledge gradient where measuring is earning.
    .. [2] A. Garivier, E. Moulines, Algorithmic Learning Theory, 174 (2011),
       doi:10.1007/978-3-642-24412-4_16: discounted counts.

    Examples
    --------
    >>> from autosteer.contracts import Range
    >>> wells = {"well": Range(1, 3, step=1)}
    >>> policy = BanditPolicy(Problem.of(wells, "hits", fraction=True))
    >>> for well, hits in ((1, 0.1), (2, 0.6), (3, 0.0)):
    ...     policy.ingest([{"_id": f"w{well}", "well": well, "hits": hits, "hits_n": 50}])
    >>> policy.best()["well"]
    2.0
    """

    def __init__(
        self, problem: Problem, *, horizon_s: float = 60.0, memory_shots: float | None = None
    ) -> None:
        refuse_what_is_beyond(problem, "BanditPolicy")
        for name, value in {"horizon_s": horizon_s, "memory_shots": memory_shots}.items():
            if value is not None and not value > 0:
                raise PolicyError(f"{name} is {value}: it must be positive")
        super().__init__(problem)
        self._horizon_s = horizon_s
        self._memory_shots = memory_shots
        self._arms = _arms_of(problem, self._grounds)
        self._asks = 0
        self._shunned: dict[int, int] = {}
        self._gain = math.nan
        self._known: _Learned | None = None

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose arms.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; where shots are counted, also ``_shots`` and
            ``_worse_than``.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        check_count(num_points)
        points = []
        for _ in range(num_points):
            self._asks += 1
            choice = self._choose()
            self._gain = choice.gain
            x = self._arms[choice.arm]
            points.append(self._give(x, choice.why, choice.shots, choice.worse_than))
        return points

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: their arms are left alone for a while.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        super().register_failures(points)
        places = [
            self._ledger.failed[name]
            for point in points
            if (name := str(point.get("_id", ""))) in self._ledger.failed
        ]
        for arm in self._nearest(self._ledger.unit(places)):
            self._shunned[int(arm)] = self._asks

    def _nearest(self, x: Float) -> Int:
        """Return the arm that each place belongs to, -1 for none."""
        if not len(x):
            return np.zeros(0, np.intp)
        steps = np.array([knob.step or 1.0 for knob in self._problem.knobs.values()])
        scale = self._grounds.span / steps
        away = np.max(np.abs(x[:, None] - self._arms) * scale, axis=2)
        nearest = np.argmin(away, axis=1)
        return np.where(away[np.arange(len(x)), nearest] <= _NEAR, nearest, -1)

    def _table(self) -> tuple[Table, Int]:
        """Return what was measured at arms, and at which."""
        table = self._ledger.table(self._aim.name)
        names = [
            name
            for name, point in self._ledger.measured.items()
            if self._aim.name in point.readings
        ]
        arms = self._nearest(table.x)
        at_rest = np.array([not self._is_on_the_way(name) for name in names], np.bool_)
        rows = (arms >= 0) & at_rest
        return table.select(rows), arms[rows]

    @property
    def _learned(self) -> _Learned:
        """What is known of the arms."""
        if self._known is None:
            table, arms = self._table()
            belief, lifetime = learn_arms(
                table, arms, len(self._arms), self._aim, self._memory_shots
            )
            self._known = _Learned(belief, lifetime, np.unique(arms))
        return self._known

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; see `Modelless.ingest`.

        Parameters
        ----------
        points : sequence of mapping
            The points.
        """
        super().ingest(points)
        self._known = None

    def _pending_shots(self) -> Float:
        """Return the shots that are on their way, by arm."""
        pending: list[Pending] = list(self._ledger.pending.values())
        arms = self._nearest(self._ledger.unit([one.x for one in pending]))
        shots = np.array([one.shots or self._usual_shots for one in pending], np.float64)
        return np.bincount(arms[arms >= 0], shots[arms >= 0], len(self._arms)).astype(np.float64)

    @property
    def _usual_shots(self) -> float:
        known = [
            point.readings[self._aim.name].n
            for point in self._ledger.measured.values()
            if self._aim.name in point.readings
        ]
        counted = [n for n in known if math.isfinite(n)]
        return float(np.median(counted)) if counted else 1.0

    def _free(self, pending: Float) -> NDArray[np.bool_]:
        """Tell which arms may be suggested."""
        free: NDArray[np.bool_] = np.ones(len(self._arms), np.bool_)
        for arm, asks in self._shunned.items():
            free[arm] = self._asks - asks > _PATIENCE
        if self._here is not None:
            near = self._grounds.allowed(self._arms, self._here)
            if len(near):
                reachable = self._nearest(near)
                free &= np.isin(np.arange(len(free)), reachable)
        if self._problem.rate_hz is None:
            # Nobody is at the beam for long: one look at each arm is enough for the moment.
            free &= pending == 0
        return free if free.any() else np.ones(len(self._arms), np.bool_)

    def _choose(self) -> _Choice:
        """Choose the next arm."""
        pending = self._pending_shots()
        lifetime = self._learned.lifetime
        belief = self._learned.belief.awaiting(pending)
        arms = np.flatnonzero(self._free(pending))
        best = int(arms[np.argmax(belief.mean[arms])])
        bar = np.full(len(self._arms), belief.mean[best])
        others = belief.mean[arms[arms != best]]
        bar[best] = others.max() if len(others) else belief.mean[best]
        rate_hz = self._problem.rate_hz
        if rate_hz is None:
            gain = _gains(belief, bar, self._usual_shots)
            arm = self._first(arms, gain[arms])
            gained = float(gain[arm])
            return _Choice(arm, self._why(belief, arm, best, gained), gain=gained)
        least = max(FEWEST_SHOTS, self._aim.min_shots)
        use_s = self._horizon_s
        if math.isfinite(lifetime):
            # Arms are used up: another is of use as soon as this one has come down to it.
            level = level_left(belief.mean[arms], self._horizon_s * rate_hz / lifetime)
            bar = np.minimum(bar, level)
            use_s = min(use_s, lifetime / rate_hz)
        stays = [max(round(stay_s * rate_hz), least) for stay_s in _STAYS_S]
        gains = np.array([_gains(belief, bar, shots) for shots in stays])
        worths = np.array([
            self._worth(belief, best, gain, shots / rate_hz, use_s)
            for gain, shots in zip(gains, stays, strict=True)
        ])
        arm = self._first(arms, worths.max(axis=0)[arms])
        stay = int(np.argmax(worths[:, arm]))
        shots = stays[stay]
        if arm == best and arm in self._learned.visited:
            shots = max(round(_REST_S * rate_hz), least)
        gained = float(gains[stay, arm])
        worse_than = self._natural(bar[arm]) if len(others) else None
        return _Choice(arm, self._why(belief, arm, best, gained), shots, worse_than, gained)

    def _worth(self, belief: Belief, best: int, gain: Float, stay_s: float, use_s: float) -> Float:
        """Return what a stay at each arm brings per second, against staying at the best."""
        way_s = self._way_s(self._arms, self._here)
        back_s = self._way_s(self._arms, self._arms[best])
        detour_s = way_s + back_s - way_s[best]
        spent_s = stay_s + detour_s
        earning = belief.mean[best] - self._idle(belief)
        lost = (belief.mean[best] - belief.mean) * stay_s + earning * detour_s
        worth: Float = gain * np.maximum(use_s - spent_s, 0.0) - lost
        return worth / (stay_s + way_s)

    def _idle(self, belief: Belief) -> float:
        """Return what the time between arms is worth."""
        shares_of_shots = self._aim.fraction and self._aim.maximize
        return 0.0 if shares_of_shots else float(np.median(belief.mean))

    def _way_s(self, x: Float, here: Float | None) -> Float:
        """Return the time to each place [s]; none where the knobs are there."""
        way_s = self._grounds.travel_s(x, here)
        if here is None:
            return way_s
        away: Float = np.where(np.max(np.abs(x - here), axis=1) > _SAME, way_s, 0.0)
        return away

    def _first(self, arms: Int, worth: Float) -> int:
        """Return the arm that is worth most; of equals the nearest."""
        top = float(worth.max())
        equal = arms[worth >= top - _SAME * max(abs(top), 1e-300)]
        if self._here is None:
            return int(equal[0])
        return int(equal[np.argmin(np.sum((self._arms[equal] - self._here) ** 2, axis=1))])

    def _natural(self, value: float) -> float:
        """Return a value in which more is better as the objective has it."""
        if self._aim.fraction:
            return float(value if self._aim.maximize else 1 - value)
        return float(self._aim.sign * value)

    def _why(self, belief: Belief, arm: int, best: int, gain: float) -> str:
        def told(one: int) -> str:
            sd = math.sqrt(belief.variance[one])
            return f"{self._natural(belief.mean[one]):.3g} +- {sd:.2g}"

        if arm == best:
            return f"{self._aim.name}: {told(arm)} here, the best"
        return (
            f"{self._aim.name}: expects {told(arm)} here, {told(best)} at the best; a look is "
            f"worth {gain:.2g}"
        )

    def best(self) -> dict[str, Any]:
        """Return the arm that is best at present.

        Returns
        -------
        dict
            Knobs, expected objective and its ``_sd``; before anything was measured at an arm, the
            best place measured, and empty without one.
        """
        belief, visited = self._learned.belief, self._learned.visited
        if not len(visited):
            return self._ledger.best_measured()
        best = int(visited[np.argmax(belief.mean[visited])])
        [place] = self._grounds.places(self._arms[best][None])
        name = self._aim.name
        return {
            **self._ledger.named(place),
            name: self._natural(belief.mean[best]),
            f"{name}_sd": math.sqrt(belief.variance[best]),
        }

    def should_stop(self) -> tuple[bool, str]:
        """Tell whether the goal is reached, or not worth the beam.

        Returns
        -------
        stop : bool
            Whether the best arm reaches the target with the stated confidence, or the next look is
            expected to gain less than the goal asks for.
        reason : str
            What to tell people.
        """
        goal = self._problem.goal
        knows = goal.target is not None and len(self._learned.visited)
        best = self.best() if knows else {}
        reason = why_enough(goal, self._aim, best, self._gain, "look")
        return bool(reason), reason

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {
            **super().checkpoint(),
            "asks": self._asks,
            "shunned": [list(pair) for pair in self._shunned.items()],
            "gain": self._gain if math.isfinite(self._gain) else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        super().restore(state)
        self._known = None
        self._asks = int(state["asks"])
        self._shunned = {int(arm): int(asks) for arm, asks in state["shunned"]}
        self._gain = math.nan if state["gain"] is None else float(state["gain"])


def _gains(belief: Belief, bar: Float, shots: float) -> Float:
    """Return what is expected to be learned by shots at each arm, shape (n_arms,)."""
    gain = belief.gain_above(bar, np.full(len(bar), shots))
    # An arm above the bar teaches something by falling below it.
    return np.maximum(gain - np.maximum(belief.mean - bar, 0.0), 0.0)


def _arms_of(problem: Problem, grounds: Grounds) -> Float:
    """Return all places that the knobs can be at, in the unit cube, shape (n_arms, n_knobs)."""
    counts = []
    for name, knob in problem.knobs.items():
        if knob.places is None:
            raise PolicyError(
                f"knob '{name}' has no steps, so that its places cannot be counted: give it "
                "a step, or take BayesianPolicy"
            )
        counts.append(knob.places)
    if math.prod(counts) > _MOST_ARMS:
        raise PolicyError(
            f"there are {math.prod(counts)} arms, and BanditPolicy takes {_MOST_ARMS} at most: "
            "give the knobs longer steps, or take BayesianPolicy"
        )
    steps = np.array([knob.step for knob in problem.knobs.values()], np.float64)
    numbers = np.array(list(itertools.product(*map(range, counts))), np.float64)
    places = np.clip(grounds.low + numbers * steps, grounds.low, grounds.high)
    arms = grounds.unit(places[grounds.permits(places)])
    if not len(arms):
        raise PolicyError("every arm lies in a box to stay out of, or breaks a limit on a sum")
    return arms
