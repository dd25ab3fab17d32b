"""Numbers that a course is judged by: regrets, when a level is held, proportions, hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.bench.courses import Course

Float = NDArray[np.float64]

AXES = ("beam_s", "shots", "moves", "sample_ul")
"""What a run costs, as attributes of `Course`."""

_CONFIDENCE_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles over runs.

    Parameters
    ----------
    median, low, high : float
        Median, lower and upper quartile; infinite where as many runs never got there.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """Summarize values.

        Parameters
        ----------
        values : array_like, shape (n,)
            Values, some perhaps infinite; NaN where there is none.

        Returns
        -------
        Spread
            Median and quartiles, linearly interpolated; NaN where there are no values.
        """
        given = np.asarray(values, np.float64)
        ordered = np.sort(given[~np.isnan(given)])
        if not len(ordered):
            return cls(np.nan, np.nan, np.nan)
        return cls(*(_quantile(ordered, level) for level in (0.5, 0.25, 0.75)))


def _quantile(ordered: Float, level: float) -> float:
    """Interpolate between ordered values; between a finite and an infinite one lies infinity."""
    place = level * (len(ordered) - 1)
    below, above = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    if below == above:
        return float(below)
    return float(below + (place % 1) * (above - below))


@dataclass(frozen=True, slots=True)
class Proportion:
    """Some out of many, with the interval in which the true proportion lies.

    Parameters
    ----------
    count, total : int
        How many, out of how many.
    low, high : float
        Wilson's interval for 95 % confidence [1]_.

    References
    ----------
    .. [1] E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953.
    """

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Proportion:
        """Make the proportion of a count.

        Parameters
        ----------
        count, total : int
            How many, out of how many.

        Returns
        -------
        Proportion
            The proportion; its interval is [0, 1] where `total` is 0.

        Examples
        --------
        >>> round(Proportion.of(5, 5).low, 3)
        0.566
        """
        if not total:
            return cls(count, total, 0.0, 1.0)
        share, z2 = count / total, _CONFIDENCE_Z**2
        middle = (share + z2 / (2 * total)) / (1 + z2 / total)
        spread = share * (1 - share) / total + z2 / (4 * total**2)
        half = _CONFIDENCE_Z * np.sqrt(spread) / (1 + z2 / total)
        # At the ends rounding would leave a speck between the interval and 0 or 1.
        low = 0.0 if count == 0 else float(middle - half)
        high = 1.0 if count == total else float(middle + half)
        return cls(count, total, low, high)


def regret_of_recommended(course: Course) -> Float:
    """Return the simple regret over a course.

    Parameters
    ----------
    course : Course
        The course.

    Returns
    -------
    ndarray of float64, shape (n,)
        One less the share at the recommended place, at each moment. It is 1 before anything is
        recommended, and stays what it was while nothing can be attained.
    """
    attainable = ~np.isnan(course.share_actual)
    regret = 1 - np.nan_to_num(course.share_recommended, nan=0.0)
    # The newest moment at which something could be attained.
    newest = np.maximum.accumulate(np.where(attainable, np.arange(len(regret)), -1))
    carried: Float = np.where(newest >= 0, regret[newest], 1.0)
    return carried


def simple_regret(course: Course) -> float:
    """Return the simple regret at the end of a course.

    Parameters
    ----------
    course : Course
        The course.

    Returns
    -------
    float
        One less the share at the place that was recommended last.
    """
    return float(regret_of_recommended(course)[-1])


def lost_beam_s(course: Course) -> Float:
    """Return the cumulative regret over a course.

    Parameters
    ----------
    course : Course
        The course.

    Returns
    -------
    ndarray of float64, shape (n,)
        Beam time lost until each moment, as if the beam had been off for as large a part of it as
        the place fell short of the best [s]; nothing is lost while nothing can be attained.
    """
    regret = 1 - np.nan_to_num(course.share_actual[1:], nan=1.0)
    lost: Float = np.concatenate([[0.0], np.cumsum(regret * np.diff(course.beam_s))])
    return lost


def cumulative_regret(course: Course) -> float:
    """Return the mean regret over the beam time of a course: what the search itself has cost.

    Parameters
    ----------
    course : Course
        The course.

    Returns
    -------
    float
        One less the share at the actual place, on the average over the time in which something
        could be attained; NaN if there was none.
    """
    counted = float(np.diff(course.beam_s)[~np.isnan(course.share_actual[1:])].sum())
    return float(lost_beam_s(course)[-1]) / counted if counted else np.nan


def held_from(course: Course, level: float) -> int | None:
    """Find when a course reaches a level and holds it.

    Parameters
    ----------
    course : Course
        The course.
    level : float
        Share that the recommended place is to have.

    Returns
    -------
    int or None
        The first moment from which on the share at the recommended place is never below the
        level, as far as anything can be attained; None if it is below it at the last.
    """
    attainable = ~np.isnan(course.share_actual)
    short = attainable & ~(course.share_recommended >= level)
    after = int(np.flatnonzero(short)[-1]) + 1 if short.any() else 0
    good = np.flatnonzero(attainable[after:])
    return after + int(good[0]) if len(good) else None


def cost_to_hold(course: Course, level: float, axis: str) -> float:
    """Return what it cost to reach a level and hold it.

    Parameters
    ----------
    course : Course
        The course.
    level : float
        Share that the recommended place is to have.
    axis : {"beam_s", "shots", "moves", "sample_ul"}
        What is counted.

    Returns
    -------
    float
        The cost; infinite if the level was not held at the end, NaN where nothing is counted.
    """
    costs = getattr(course, axis)
    if np.isnan(costs[-1]):
        return np.nan
    moment = held_from(course, level)
    return np.inf if moment is None else float(costs[moment])


def hypervolume(points: Float, reference: Float) -> float:
    """Return the volume that is dominated by points, above a reference.

    Parameters
    ----------
    points : ndarray of float64, shape (n, k)
        Points; more is better in each column.
    reference : ndarray of float64, shape (k,)
        What is below it in any column counts nothing.

    Returns
    -------
    float
        The volume.

    Examples
    --------
    >>> hypervolume(np.array([[2.0, 1.0], [1.0, 3.0]]), np.zeros(2))
    4.0
    """
    above = np.maximum(points - reference, 0)
    above = above[(above > 0).all(axis=1)]
    if not len(above):
        return 0.0
    if above.shape[1] == 1:
        return float(above.max())
    # Slices between neighboring values of the last objective: each is dominated by what is higher.
    above = above[np.argsort(-above[:, -1], kind="stable")]
    heights = above[:, -1] - np.append(above[1:, -1], 0.0)
    if above.shape[1] == 2:
        return float(np.maximum.accumulate(above[:, 0]) @ heights)
    floor = np.zeros(above.shape[1] - 1)
    bases = [hypervolume(above[: end + 1, :-1], floor) for end in range(len(above))]
    return float(np.array(bases) @ heights)


def hypervolume_share(course: Course) -> float:
    """Return how much of the attainable front the visited places dominate.

    Parameters
    ----------
    course : Course
        The course.

    Returns
    -------
    float
        Hypervolume of the true means at the places that kept the limits, over that of the front;
        above the worst values along the front. NaN where there is one objective, or no front is
        known.
    """
    if len(course.front) < 2 or course.front.shape[1] < 2:
        return np.nan
    reference = course.front.min(axis=0)
    attainable = hypervolume(course.front, reference)
    visited = hypervolume(course.point_values[~course.point_violated], reference)
    return visited / attainable if attainable else np.nan


def on_grid(costs: ArrayLike, values: Float, grid: Float) -> Float:
    """Read values off a course where a cost reaches those of a grid.

    Parameters
    ----------
    costs : array_like, shape (n,)
        What each moment had cost, not decreasing.
    values : ndarray of float64, shape (n,)
        Value at each moment.
    grid : ndarray of float64, shape (g,)
        Costs that are asked for, not below the first.

    Returns
    -------
    ndarray of float64, shape (g,)
        The value at the newest moment that had cost no more; the last one beyond the end.
    """
    newest = np.searchsorted(np.asarray(costs), grid, side="right") - 1
    read: Float = values[newest]
    return read


def band(rows: Sequence[Float]) -> tuple[Float, Float, Float]:
    """Return median and quartiles of several lines.

    Parameters
    ----------
    rows : sequence of ndarray of float64, shape (g,)
        Lines on the same grid.

    Returns
    -------
    median, low, high : ndarray of float64, shape (g,)
        Median, lower and upper quartile.
    """
    low, median, high = np.quantile(np.stack(rows), (0.25, 0.5, 0.75), axis=0)
    return median, low, high
