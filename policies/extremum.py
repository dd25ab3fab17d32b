"""Extremum seeking: small dithers of all knobs at once, and a step up the slope that they show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._errors import filled_errors, variance_per_shot
from autosteer.policies._keeper import FEWEST_SHOTS, check_count
from autosteer.policies._ledger import Table
from autosteer.policies._modelless import Modelless, refuse_what_is_beyond

Float = NDArray[np.float64]

# A stay lasts so many times as long as the way there.
_STAYS_PER_WAY = 2.0
# Places further from the center than about this count little for the slope, in amplitudes.
_NEAR = 3.0


@dataclass(frozen=True, slots=True)
class _Slope:
    """What the newest results say of the objective about the center.

    Parameters
    ----------
    value, value_sd : float
        At the center.
    change : ndarray of float64, shape (n_knobs,)
        Per amplitude of each knob; more is better.
    change_sd : ndarray of float64, shape (n_knobs,)
        Its standard error.
    """

    value: float
    value_sd: float
    change: Float
    change_sd: Float

    @property
    def step(self) -> Float:
        """How far to go, from -1 to 1 for each knob: nowhere where only noise is seen."""
        noise = np.divide(
            self.change_sd**2,
            self.change**2,
            out=np.ones(len(self.change)),
            where=np.abs(self.change) > self.change_sd,
        )
        step: Float = np.sign(self.change) * (1 - noise)
        return step


class ExtremumSeeking(Modelless):
    r"""Follows an optimum that wanders, by dithering all knobs about where it stands.

    Perturbation-based extremum seeking [1]_ [2]_ in steps instead of continuous time. Setting
    number k is at :math:`c + a \circ d_k`, where c is the center, a the amplitudes, and the signs
    :math:`d_k` go through the rows of a Hadamard matrix, a column for each knob, so that any number
    of knobs is dithered at once and their effects do not mix. Demodulation is by least squares:
    value and slope at the present center are fitted to the newest results, at the places that were
    reached, each with the weight of its shots: the same as correlating with the dither, where
    nothing is missing or late. The center then goes by

    .. math:: \Delta c_i = g\, a_i\, \mathrm{sign}(s_i) \max(0, 1 - \sigma_i^2 / s_i^2)

    with the slope s and its standard error. In units of its error, the slope has no unit: steps are
    bounded by the gain g [3]_, nothing depends on the scale of the objective, and knobs whose slope
    does not stand out from the noise stay.

    It finds no optimum: it has to begin where there is a slope, at `start`, at the best place of
    the warm start, or else where the knobs are found.

    Parameters
    ----------
    problem : Problem
        Knobs and one objective.
    amplitude : float or mapping of str to float, default 0.02
        Dither, as a share of each knob's range; by knob, those not named keep the default. Large
        enough that two amplitudes off the optimum change the objective by more than the noise of
        a setting, and small enough that one does not matter. At least a step of a stepped knob.
    gain : float, default 0.5
        Longest step of the center from one setting to the next, in amplitudes.
    memory : float, default 1.5
        A result counts 1/e after so many rounds of the dither.
    start : mapping of str to float, optional
        Where to begin, by knob [units].

    Raises
    ------
    PolicyError
        If an option is out of range or names no knob, or there are several objectives or limits.

    Notes
    -----
    A context is disregarded: an optimum that moves with it is followed like any other that moves.

    References
    ----------
    .. [1] M. Krstic, H.-H. Wang, Automatica 36, 595 (2000), doi:10.1016/S0005-1098(99)00183-1.
    .. [2] K. B. Ariyur, M. Krstic, Real-Time Optimization by Extremum-Seeking Control (2003),
       chapter 2: several parameters at once.
    .. [3] A. Scheinker, M. Krstic, Syst. Control Lett. 63, 25 (2014),
       doi:10.1016/j.sysconle.2013.10.004: update rates that are bounded whatever is measured.

    Examples
    --------
    >>> policy = ExtremumSeeking(Problem.of({"x": (0.0, 1.0)}, "flux"), start={"x": 0.3})
    >>> for _ in range(40):
    ...     [point] = policy.suggest(1)
    ...     policy.ingest([{**point, "flux": 5 - (point["x"] - 0.5) ** 2, "flux_sem": 1e-4}])
    >>> abs(policy.best()["x"] - 0.5) < 0.02
    True
    """

    def __init__(
        self,
        problem: Problem,
        *,
        amplitude: float | Mapping[str, float] = 0.02,
        gain: float = 0.5,
        memory: float = 1.5,
        start: Mapping[str, float] | None = None,
    ) -> None:
        refuse_what_is_beyond(problem, "ExtremumSeeking", context=True)
        for name, value in {"gain": gain, "memory": memory}.items():
            if not value > 0:
                raise PolicyError(f"{name} is {value}: it must be positive")
        super().__init__(problem)
        self._amplitude = self._amplitudes(amplitude)
        self._gain = gain
        self._start = None if start is None else self._place(start)
        names = self._ledger.names
        order = 1 << math.ceil(math.log2(len(names) + 1))
        # The first column is constant; a knob that alternated with it could not be told from it.
        self._signs = hadamard(order)[:, 1 : len(names) + 1].astype(np.float64)
        self._memory = memory * order
        self._center: Float | None = None
        self._settings = 0
        self._dithered: list[str] = []
        self._followed = 0

    def _amplitudes(self, given: float | Mapping[str, float]) -> Float:
        """Read the amplitudes, in the unit cube."""
        shares = given if isinstance(given, Mapping) else dict.fromkeys(self._ledger.names, given)
        unknown = sorted(set(shares) - set(self._ledger.names))
        if unknown:
            raise PolicyError(f"amplitude names no knob: {', '.join(unknown)}")
        amplitudes = []
        for name, knob in self._problem.knobs.items():
            share = shares.get(name, 0.02)
            if not 0 < share <= 0.25:
                raise PolicyError(
                    f"amplitude of '{name}' is {share}: give a share of its range up to 0.25"
                )
            amplitudes.append(max(share, (knob.step or 0.0) / (knob.high - knob.low)))
        return np.array(amplitudes)

    def _place(self, start: Mapping[str, float]) -> Float:
        """Read the start, in the unit cube."""
        if set(start) != set(self._ledger.names):
            raise PolicyError(f"start is {dict(start)}: give a place for {self._ledger.names}")
        for name, knob in self._problem.knobs.items():
            if not knob.low <= start[name] <= knob.high:
                raise PolicyError(
                    f"start of '{name}' is {start[name]}: it must lie in [{knob.low}, {knob.high}]"
                )
        return self._ledger.unit([[start[name] for name in self._ledger.names]]).reshape(-1)

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose the next settings of the dither.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob; where shots are counted, also ``_shots``.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        check_count(num_points)
        return [self._next() for _ in range(num_points)]

    def _next(self) -> dict[str, Any]:
        center, why = self._follow()
        self._center = center
        for _ in self._signs:
            signs = self._signs[self._settings % len(self._signs)]
            self._settings += 1
            x = self._reachable(center + self._amplitude * signs)
            if x is not None:
                point = self._give(x, why, self._shots(x))
                self._dithered.append(point["_id"])
                return point
        # Every dither is barred: stay where it is allowed.
        x = self._reachable(center)
        return self._give(center if x is None else x, "every dither is barred", None)

    def _shots(self, x: Float) -> int | None:
        rate_hz = self._problem.rate_hz
        if rate_hz is None:
            return None
        way_s = float(self._grounds.travel_s(x[None], self._here)[0])
        least = max(FEWEST_SHOTS, self._aim.min_shots)
        return max(round(_STAYS_PER_WAY * way_s * rate_hz), least)

    def _reachable(self, x: Float) -> Float | None:
        """Return the nearest place that may be gone to; None if it is barred or has failed."""
        allowed = self._grounds.allowed(x[None], self._here)
        if not len(allowed):
            return None
        failed = self._ledger.unit(list(self._ledger.failed.values()))
        if len(failed) and np.min(np.max(np.abs(failed - allowed[0]), axis=1)) < 1e-6:
            return None
        reachable: Float = allowed[0]
        return reachable

    @property
    def _own(self) -> int:
        """Number of settings of the dither that are measured."""
        return sum(name in self._ledger.measured for name in self._dithered)

    def _follow(self) -> tuple[Float, str]:
        """Return where the center is to be, and why."""
        own = self._own
        if self._center is None or own == 0:
            return self._inside(self._beginning()), "the dither begins"
        if own < len(self._signs):
            return self._center, f"{own} of {len(self._signs)} settings of the first round are in"
        slope = self._slope(self._center)
        told = ", ".join(
            f"{name} {change:.2g} +- {sd:.1g}"
            for name, change, sd in zip(
                self._ledger.names, slope.change, slope.change_sd, strict=True
            )
        )
        why = f"{self._aim.name} by amplitudes: {told}"
        if own == self._followed:
            # Nothing new has come since the last step.
            return self._center, why
        self._followed = own
        center = self._inside(self._center + self._gain * self._amplitude * slope.step)
        allowed = self._grounds.permits(self._grounds.low + center[None] * self._grounds.span)[0]
        return center if allowed else self._center, why

    def _beginning(self) -> Float:
        return super()._beginning() if self._start is None else self._start

    def _inside(self, center: Float) -> Float:
        """Keep the dither within the limits of the knobs."""
        margin = np.minimum(self._amplitude, 0.5)
        return np.clip(center, margin, 1 - margin)

    def _slope(self, center: Float) -> _Slope:
        """Fit value and slope at the center to the newest results."""
        table = self._ledger.table(self._aim.name)
        names = [
            name
            for name, point in self._ledger.measured.items()
            if self._aim.name in point.readings
        ]
        table = table.select(np.array([not self._is_on_the_way(name) for name in names], np.bool_))
        z = (table.x - center) / self._amplitude
        age = np.arange(len(table), 0, -1) - 1.0
        beyond = np.maximum(np.max(np.abs(z), axis=1) - 1, 0.0)
        counts = np.exp(-age / self._memory - 0.5 * (beyond / _NEAR) ** 2)
        variance = _variances(table)
        weight = counts / variance
        design = np.concatenate([np.ones((len(z), 1)), z], axis=1)
        inverse = np.linalg.pinv((design * weight[:, None]).T @ design, rcond=1e-9, hermitian=True)
        values = self._aim.sign * table.mean
        solution = inverse @ (design.T @ (weight * values))
        spread = inverse @ (design * (weight**2 * variance)[:, None]).T @ design @ inverse
        residual = values - design @ solution
        freedom = float(np.sum(counts)) - design.shape[1]
        excess = float(np.sum(weight * residual**2)) / freedom if freedom > 0 else 1.0
        if np.isfinite(table.sem).any():
            # What the shots do not explain, drift and curvature, makes the slope less certain.
            excess = max(excess, 1.0)
        sd = np.sqrt(np.maximum(np.diag(spread) * excess, 0.0))
        return _Slope(float(solution[0]), float(sd[0]), solution[1:], sd[1:])

    def best(self) -> dict[str, Any]:
        """Return the center of the dither.

        Returns
        -------
        dict
            Knobs, the objective there and its ``_sd``; before a round of the dither is measured,
            the best place measured, and empty without one.
        """
        if self._center is None or self._own < len(self._signs):
            return self._ledger.best_measured()
        slope, name = self._slope(self._center), self._aim.name
        [place] = self._grounds.places(self._center[None])
        return {
            **self._ledger.named(place),
            name: self._aim.sign * slope.value,
            f"{name}_sd": slope.value_sd,
        }

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {
            **super().checkpoint(),
            "center": None if self._center is None else self._center.tolist(),
            "settings": self._settings,
            "dithered": self._dithered,
            "followed": self._followed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        super().restore(state)
        self._center = None if state["center"] is None else np.array(state["center"])
        self._settings = int(state["settings"])
        self._dithered = list(state["dithered"])
        self._followed = int(state["followed"])


def _variances(table: Table) -> Float:
    """Return the variance of each mean; one for all where no error is known."""
    errors = filled_errors(table)
    if errors is None:
        return np.ones(len(table))
    shot = variance_per_shot(table, errors)
    if shot is None or not np.isfinite(table.n).all():
        return errors**2
    # By one law: a few shots that agree by chance are not certain.
    variance: Float = max(shot, 1e-300) / table.n
    return variance
