"""Where a measurement teaches most about the best place, per second of beam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim
from autosteer.policies._candidates import climb, points_around
from autosteer.policies._chain import Model
from autosteer.policies._keeper import FEWEST_SHOTS
from autosteer.policies._knowledge import knowledge_gradient
from autosteer.policies._learner import Learned
from autosteer.policies._reasons import place_in_words, runner_up
from autosteer.policies._situation import Situation

Float = NDArray[np.float64]

# Stays that are considered [s]; the one is taken that teaches most per second.
_STAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_WIDTH = 64
# Where nothing is worth leaving for, the knobs stay this long before they ask again [s].
_REST_S = 0.8


@dataclass(frozen=True, slots=True)
class Choice:
    """A place to go, and why.

    Parameters
    ----------
    x : ndarray of float64, shape (n_knobs,)
        The place, in the unit cube.
    why : str
        The reason, one line for people.
    shots : int, optional
        Shots that the place is worth; None where shots are not counted.
    worse_than : float, optional
        Value of the objective below which the place may be left early.
    gain : float
        What the measurement is expected to add: to the best, in the quantity's unit, or to the
        volume below a front, as a share of it.
    room : float
        By what share of the best some place can be hoped to be better.
    """

    x: Float
    why: str
    shots: int | None = None
    worse_than: float | None = None
    gain: float = math.nan
    room: float = math.inf


class Improvement:
    """The search for the next measurement, on what is known at one moment.

    Parameters
    ----------
    situation : Situation
        Where the knobs are, and where they may go.
    aim : Aim
        The quantity to improve.
    learned : Learned
        What is known of it.
    model : Model
        The same, with what is pending taken as measured.
    rng : numpy.random.Generator
        Where chance comes from.
    spread : ndarray of float64, shape (n, n_knobs)
        Places all over the unit cube; as many are looked at around good ones.
    """

    def __init__(
        self,
        situation: Situation,
        aim: Aim,
        learned: Learned,
        model: Model,
        rng: np.random.Generator,
        spread: Float,
    ) -> None:
        self._situation = situation
        self._problem = situation.problem
        self._aim = aim
        self._learned = learned
        self._model = model
        self._rng = rng
        self._lengths = np.minimum(learned.surrogate.lengths, 0.5)
        known = learned.surrogate.x
        known = known[np.argsort(-learned.surrogate.mean(known), kind="stable")]
        around = points_around(rng, known[:5], self._lengths, len(spread))
        everywhere = np.concatenate([spread, around, known[:8]])
        self._start = situation.allowed(everywhere)
        ranked = self._start[np.argsort(-model.mean(self._start), kind="stable")[:64]]
        self._top = climb(
            model.mean,
            ranked,
            self._lengths / 2,
            rng,
            situation.allowed,
            rounds=4,
            width=_WIDTH,
        )
        self._choices = np.concatenate([self._safe_of(known[:128]), ranked, self._top[None]])
        self._mean = model.mean(self._choices)
        self._joint = model.towards(self._choices)
        self._widening = situation.widening(everywhere, self._better_by)

    def best_choice(self) -> Choice:
        """Return where to go.

        Returns
        -------
        Choice
            The place, how long to stay, and why.
        """
        learned, model, top = self._learned, self._model, self._top
        start = np.concatenate([self._start, top[None]])
        rates = self._rate(start)
        x = climb(
            self._rate,
            start[np.argsort(-rates, kind="stable")[:3]],
            self._lengths / 3,
            self._rng,
            self._situation.allowed,
            rounds=3,
            width=_WIDTH,
        )
        rate_hz = self._problem.rate_hz
        shots = None if rate_hz is None else self._worthwhile_shots(x, rate_hz)
        gain = self._gain(x, shots)
        if rate_hz and shots and self._costs_more(x, shots / rate_hz, gain):
            x, shots = top, max(round(_REST_S * rate_hz), self._aim.min_shots)
            gain = self._gain(x, shots)
        [best_mean], [best_sd] = learned.natural(top[None])
        [here_mean], [here_sd] = learned.natural(x[None])
        best = float(self._mean.max())
        hoped = float(np.max(self._mean + np.sqrt(model.variance(self._choices))))
        now = learned.natural_at(best)
        worse_than = best_mean - 2 * self._aim.sign * best_sd
        return Choice(
            x,
            f"{self._aim.name}: expects {here_mean:.4g} +- {here_sd:.2g} here, {best_mean:.4g} "
            f"+- {best_sd:.2g} at the best; a measurement is worth {gain:.2g}"
            + self._besides(x, start, rates),
            shots,
            None if shots is None or self._aim != self._problem.objective else float(worse_than),
            gain=gain,
            room=abs(learned.natural_at(hoped) - now) / max(abs(now), 1e-12),
        )

    def _besides(self, x: Float, places: Float, rates: Float) -> str:
        """Say what a second of beam is worth, what else was in question, what holds back."""
        slope = self._learned.link.slope(float(self._mean.max()))
        [rate] = self._rate(x[None]) * slope
        text = "" if self._problem.rate_hz is None else f", {rate:.2g} a second"
        other = runner_up(places, rates, x, self._lengths)
        if other is not None:
            [place] = self._situation.grounds.places(places[other][None])
            words = place_in_words(tuple(self._problem.knobs), place)
            text += f"; runner-up {words} with {rates[other] * slope:.2g}"
        for name, chance in self._situation.fence.active(x):
            text += f"; limit on {name} kept with {chance:.1%}"
        return text

    def _worth(self, x: Float, shots: Float | None) -> Float:
        """Return what measurements are worth, on the model's scale, shape (n,)."""
        joint = self._joint(x)
        noise = self._learned.noise(joint.mean, shots)
        gain = knowledge_gradient(self._mean, joint.covariance, joint.mean, joint.variance, noise)
        if self._widening is not None:
            gain = gain + self._widening(x, shots)
        return gain

    def _gain(self, x: Float, shots: int | None) -> float:
        """Return what one measurement is worth, in the quantity's unit."""
        [worth] = self._worth(x[None], None if shots is None else np.array(shots))
        return float(worth) * self._learned.link.slope(float(self._mean.max()))

    def _rate(self, x: Float) -> Float:
        """Return what measurements are worth, per second."""
        shots = self._situation.shots(x, self._aim.min_shots)
        return self._situation.per_second(self._worth(x, shots), x, shots)

    def _worthwhile_shots(self, x: Float, rate_hz: float) -> int:
        """Return the number of shots that teaches most per second."""
        [travel_s] = self._situation.travel_s(x[None])
        least = max(FEWEST_SHOTS, self._aim.min_shots)
        counts = [max(stay_s * rate_hz, least) for stay_s in _STAYS_S]
        rates = [
            float(self._worth(x[None], np.array(count))[0]) / (count / rate_hz + travel_s)
            for count in counts
        ]
        return round(counts[int(np.argmax(rates))])

    def _costs_more(self, x: Float, stay_s: float, gain: float) -> bool:
        """Tell whether a measurement costs more of the objective than it will bring."""
        # It brings its expected gain for as long as that is of use, and costs what the best place
        # would give during the way, and what it gives more than this place during the stay.
        horizon_s = self._situation.horizon_s
        if self._aim != self._problem.objective or math.isinf(horizon_s):
            return False
        natural, _ = self._learned.natural(np.concatenate([self._top[None], x[None]]))
        best, here = self._aim.sign * natural
        elsewhere, _ = self._learned.natural(self._learned.surrogate.x)
        usual = float(np.median(self._aim.sign * elsewhere))
        # There, and back again.
        [travel_s] = 2 * self._situation.travel_s(x[None])
        cost = max(best - here, 0.0) * stay_s + max(best - usual, 0.0) * travel_s
        return bool(gain * max(horizon_s - stay_s - travel_s, 0.0) < cost)

    def _safe_of(self, x: Float) -> Float:
        fence = self._situation.fence
        return x[fence.chance(x) >= 0] if fence else x

    def _better_by(self, x: Float) -> Float:
        """Return by how much places would be better than the best safe one."""
        better: Float = self._model.mean(x) - float(self._mean.max())
        return better
