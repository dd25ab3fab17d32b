"""Where to look while nothing has been found: search for a peak on a flat background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom, chi2, norm

from autosteer.contracts import Aim
from autosteer.policies._errors import filled_errors, variance_law
from autosteer.policies._ledger import Table

Float = NDArray[np.float64]

# What a peak may be like: center in units of the box, width (standard deviation) likewise, and
# height in standard errors of a measurement.
_CENTER_BETA = 3.0
_WIDTHS = (0.04, 0.35)
_HEIGHTS = (5.0, 100.0)
_PEAKS = 4096
_CANDIDATES, _FLIGHTS = 384, 128
# A peak counts as seen where it stands so many standard errors above the background.
_SEEN = 3.5
_CHANCE_OF_FALSE_ALARM = 0.002
_LARGEST_CONTRADICTION = 50.0


def has_signal(table: Table, aim: Aim) -> bool:
    """Tell whether values differ by more than their errors.

    Parameters
    ----------
    table : Table
        What was measured.
    aim : Aim
        The quantity.

    Returns
    -------
    bool
        Whether all of them together, or the best by itself, stand out; True where no error is
        known.
    """
    sem = filled_errors(table)
    if sem is None:
        return True
    if aim.fraction and aim.maximize and np.isfinite(table.n).all():
        return _has_excess(table)
    mean = aim.sign * table.mean
    if np.isfinite(table.n).all():
        # A few shots that agree by chance are not certain: all are judged by one law.
        constant, slope = variance_law(table.mean, sem, table.n)
        level = max(float(np.sum(table.n * table.mean) / np.sum(table.n)), 0.0)
        sem = np.sqrt((constant + slope * level) / table.n)
    weight = 1 / sem**2
    deviation = (mean - np.sum(weight * mean) / np.sum(weight)) / sem
    together = chi2.sf(np.sum(deviation**2), max(len(mean) - 1, 1))
    best = norm.sf(deviation.max()) * len(mean)
    return bool(together < _CHANCE_OF_FALSE_ALARM or best < _CHANCE_OF_FALSE_ALARM)


def _has_excess(table: Table) -> bool:
    """Tell whether the share differs from point to point, or exceeds all others' somewhere."""
    successes = np.rint(np.maximum(table.mean, 0.0) * table.n)
    total = table.n.sum()
    # The share elsewhere, with half a success more, so that it is never zero.
    others = (successes.sum() - successes + 0.5) / (total - table.n + 1.0)
    chance = binom.sf(successes - 1, table.n, np.minimum(others, 1.0))
    if chance.min() * len(table) < _CHANCE_OF_FALSE_ALARM:
        return True
    share = float(successes.sum() / total)
    expected = table.n * share
    # Where hardly a success is expected, squares of deviations say nothing.
    enough = expected * (1 - share) >= 1
    if np.count_nonzero(enough) < 2:
        return False
    squares = (successes - expected)[enough] ** 2 / (expected * (1 - share))[enough]
    return bool(chi2.sf(squares.sum(), np.count_nonzero(enough)) < _CHANCE_OF_FALSE_ALARM)


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """Ways on which shots are taken.

    Parameters
    ----------
    places : ndarray of float64, shape (n, parts, dimension)
        Where the knobs are on each way, in the unit cube.
    time_s : ndarray of float64, shape (n,)
        How long each takes [s].
    """

    places: Float
    time_s: Float


class PeakSearch:
    r"""Bayesian search for a peak of unknown place, width and height.

    Thousands of possible peaks are drawn from a broad prior, whose centers favour the inside of the
    box: limits are chosen about the place where the optimum is expected. Each measurement makes
    those unlikely that it should have shown, and makes those likely that agree with a faint rise;
    the next place is the one where a peak would most probably be seen [1]_.

    Parameters
    ----------
    dimension : int
        Number of knobs.
    seed : int
        Seed of the possible peaks.

    References
    ----------
    .. [1] L. D. Stone, Theory of Optimal Search, 2nd ed. (1989), chapter 2.
    """

    def __init__(self, dimension: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self._center = rng.beta(_CENTER_BETA, _CENTER_BETA, (_PEAKS, dimension))
        low, high = _WIDTHS
        self._width = low * (high / low) ** rng.random(_PEAKS)
        low, high = _HEIGHTS
        self._height = low * (high / low) ** rng.random(_PEAKS)

    def next_place(
        self,
        tried: Float,
        deviation: Float,
        precision: Float,
        allowed: Callable[[Float], Float],
        rng: np.random.Generator,
        promise: Callable[[Float], Float] | None = None,
        flight: Callable[[Float], Flight] | None = None,
    ) -> Float:
        """Return the place where a peak would most probably be seen, or on the way to it per time.

        Parameters
        ----------
        tried : ndarray of float64, shape (n, dimension)
            Places measured, or pending.
        deviation : ndarray of float64, shape (n,)
            What was seen there, above the background in standard errors; 0 where it is pending.
        precision : ndarray of float64, shape (n,)
            Typical standard error, over that of each.
        allowed : callable
            Gives those of some places that may be tried.
        rng : numpy.random.Generator
            Where chance comes from.
        promise : callable, optional
            How probable it is, from what else is known, that a peak has its center at some places.
        flight : callable, optional
            Gives the ways to some places, where shots are taken on the way.

        Returns
        -------
        ndarray of float64, shape (dimension,)
            The place.
        """
        weight = self._weights(tried, deviation, precision)
        if promise is not None:
            weight = weight * promise(self._center)
        likely = self._center[np.argsort(-weight, kind="stable")[:64]]
        count = _CANDIDATES if flight is None else _FLIGHTS
        spread = rng.random((count, self._center.shape[1]))
        places = allowed(np.concatenate([spread, likely]))
        if flight is None:
            worth = ndtr(self._seen_at(places) - _SEEN) @ weight
        else:
            way = flight(places)
            seen = self._seen_at(way.places.reshape(-1, way.places.shape[-1]))
            highest = seen.reshape(len(places), -1, _PEAKS).max(axis=1)
            worth = (ndtr(highest - _SEEN) @ weight) / way.time_s
        best: Float = places[np.argmax(worth)]
        return best

    def _seen_at(self, x: Float) -> Float:
        """Return how far each peak stands out at each place, shape (n, n_peaks)."""
        squares = np.sum(x**2, axis=1)[:, None] + np.sum(self._center**2, axis=1)
        distance = np.maximum(squares - 2 * x @ self._center.T, 0.0) / self._width**2
        height: Float = self._height * np.exp(-0.5 * distance)
        return height

    def _weights(self, tried: Float, deviation: Float, precision: Float) -> Float:
        seen = self._seen_at(tried) * precision[:, None]
        contradiction = (deviation[:, None] - seen) ** 2 - deviation[:, None] ** 2
        log_weight = -0.5 * np.sum(np.minimum(contradiction, _LARGEST_CONTRADICTION), axis=0)
        weight: Float = np.exp(log_weight - log_weight.max())
        return weight
