"""Where a policy may go: the box, places of stepped knobs, keep-out boxes, sums, and the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Problem

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# Without a speed a move counts as long as this, whatever its length [s].
_MOVE_S = 0.2


class Grounds:
    """The places that a problem allows.

    Parameters
    ----------
    problem : Problem
        Knobs and bounds on them.
    """

    def __init__(self, problem: Problem) -> None:
        self._names = list(problem.knobs)
        ranges = list(problem.knobs.values())
        self.low = np.array([knob.low for knob in ranges], np.float64)
        self.high = np.array([knob.high for knob in ranges], np.float64)
        self._step = np.array([np.nan if knob.step is None else knob.step for knob in ranges])
        self._max_step = np.array([
            np.inf if knob.max_step is None else knob.max_step for knob in ranges
        ])
        self._speed = np.array([np.inf if knob.speed is None else knob.speed for knob in ranges])
        self._problem = problem

    @property
    def span(self) -> Float:
        """Length of each knob's range, shape (n_knobs,)."""
        return self.high - self.low

    def places(self, unit: Float) -> Float:
        """Return the nearest places that the knobs can be at.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.

        Returns
        -------
        ndarray of float64, shape (n, n_knobs)
            Positions in the knobs' units.
        """
        x = self.low + np.clip(unit, 0.0, 1.0) * self.span
        stepped = np.isfinite(self._step)
        step = np.where(stepped, self._step, 1.0)
        most = np.floor(self.span / step + 1e-9)
        lattice = self.low + np.clip(np.rint((x - self.low) / step), 0, most) * step
        # Rounding must not carry a point over a limit.
        nearest: Float = np.clip(np.where(stepped, lattice, x), self.low, self.high)
        return nearest

    def unit(self, places: Float) -> Float:
        """Scale positions to the unit cube.

        Parameters
        ----------
        places : ndarray of float64, shape (n, n_knobs)
            Positions in the knobs' units.

        Returns
        -------
        ndarray of float64, shape (n, n_knobs)
            Positions in units of the box.
        """
        scaled: Float = (places - self.low) / self.span
        return scaled

    def allowed(self, unit: Float, here: Float | None) -> Float:
        """Keep the points that may be gone to, moved onto places that the knobs can be at.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        here : ndarray of float64, shape (n_knobs,), or None
            Where the knobs are, in the unit cube, for the largest steps; None if nobody knows.

        Returns
        -------
        ndarray of float64, shape (k, n_knobs)
            Those that are allowed. A step that is too long is cut short.
        """
        if here is not None and np.isfinite(self._max_step).any():
            # A little less than allowed: the knobs rest within their tolerance only.
            reach = 0.98 * self._max_step / self.span
            unit = np.clip(unit, here - reach, here + reach)
        places = self.places(unit)
        kept: Float = self.unit(places[self.permits(places)])
        return kept

    def permits(self, places: Float) -> Bool:
        """Tell which places lie outside keep-out boxes and keep the bounds on sums.

        Parameters
        ----------
        places : ndarray of float64, shape (n, n_knobs)
            Positions in the knobs' units.

        Returns
        -------
        ndarray of bool, shape (n,)
            Whether they may be gone to.
        """
        good: Bool = np.ones(len(places), np.bool_)
        columns = {name: places[:, index] for index, name in enumerate(self._names)}
        for box in self._problem.keep_out:
            inside = np.ones(len(places), np.bool_)
            for name, (low, high) in box.bounds.items():
                inside &= (columns[name] >= low) & (columns[name] <= high)
            good &= ~inside
        for limit in self._problem.linear:
            total = np.zeros(len(places))
            for name, weight in limit.weights.items():
                total += weight * columns[name]
            if limit.above is not None:
                good &= total >= limit.above
            if limit.below is not None:
                good &= total <= limit.below
        return good

    def on_the_way(self, unit: Float, here: Float, parts: int) -> Float:
        """Return where the knobs will be on the way to points: each stops when it is there.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        here : ndarray of float64, shape (n_knobs,)
            Where the knobs are.
        parts : int
            Parts of equal length in time.

        Returns
        -------
        ndarray of float64, shape (n, parts, n_knobs)
            Where they are at the end of each part; the last are the points.
        """
        distance = unit - here
        times = np.abs(distance) * self.span / self._speed
        slowest = np.max(times, axis=1, keepdims=True)
        # Without speeds all arrive together.
        share = np.divide(times, slowest, out=np.ones_like(times), where=slowest > 0)
        share = np.where(share > 0, share, 1.0)
        part = np.arange(1, parts + 1)[:, None] / parts
        way: Float = here + distance[:, None] * np.minimum(part / share[:, None], 1.0)
        return way

    def travel_s(self, unit: Float, here: Float | None) -> Float:
        """Return how long it takes to go to points and to settle there.

        Parameters
        ----------
        unit : ndarray of float64, shape (n, n_knobs)
            Points in the unit cube.
        here : ndarray of float64, shape (n_knobs,), or None
            Where the knobs are, in the unit cube; None if nobody knows.

        Returns
        -------
        ndarray of float64, shape (n,)
            Times [s].
        """
        rest_s = self._problem.rest_s
        if here is None or not np.isfinite(self._speed).any():
            return np.full(len(unit), rest_s + _MOVE_S)
        times: Float = rest_s + np.max(np.abs(unit - here) * self.span / self._speed, axis=1)
        return times
