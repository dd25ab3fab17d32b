"""From shots to an estimate with an honest standard error, accumulated batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Estimate, Quantity
from autosteer.contracts.quantities import Condition
from autosteer.stream import JoinedShots

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_MAX_GROUPS = 16
_MIN_GROUPS = 16
# With 16 groups or more, independent shots exceed this variance ratio less than once in 200.
_CORRELATED_RATIO = 2.2


def satisfied(conditions: Iterable[Condition], shots: JoinedShots) -> Bool:
    """Tell for which shots all conditions hold; a missing value fails one.

    Parameters
    ----------
    conditions : iterable of Condition
        The conditions.
    shots : JoinedShots
        Shots with their columns.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where all hold.
    """
    holds = np.ones(len(shots), np.bool_)
    for condition in conditions:
        holds &= _holds(condition, shots)
    return holds


def _holds(condition: Condition, shots: JoinedShots) -> Bool:
    values = shots.columns[condition.column]
    holds = ~np.isnan(values)
    if condition.above is not None:
        holds &= values > condition.above
    if condition.below is not None:
        holds &= values < condition.below
    if condition.equals is not None:
        holds &= np.equal(values, float(condition.equals))
    return holds


class Reduction:
    r"""Running estimate of one quantity at one setting.

    Every quantity is treated as a ratio of sums :math:`R = \sum y / \sum x`, with x = 1 unless it
    is normalised. The variance of R comes from the residuals :math:`y - R x` (delta method [1]_);
    where groups of successive shots vary more than independent shots would, the shots are
    correlated and the variance between groups counts instead (batch means [2]_). A fraction has
    the variance of its Jeffreys posterior [3]_ at least, so that 0 of 60 is not known exactly; its
    values may lie a little off zero and one where they are corrected for wrong counts.

    Parameters
    ----------
    quantity : Quantity
        What to reduce.

    References
    ----------
    .. [1] W. G. Cochran, Sampling Techniques, 3rd ed. (1977), section 6.4.
    .. [2] J. M. Flegal and G. L. Jones, Ann. Stat. 38, 1034 (2010), doi:10.1214/09-AOS735.
    .. [3] L. D. Brown, T. T. Cai, A. DasGupta, Stat. Sci. 16, 101 (2001),
       doi:10.1214/ss/1009213286.
    """

    def __init__(self, quantity: Quantity) -> None:
        self._quantity = quantity
        self._n = 0
        # Sums of y, x, y y, x x, x y over all shots.
        self._sums = np.zeros(5)
        # Sums of y and x over groups of `_group_size` successive shots; the last may be unfinished.
        self._groups: list[tuple[float, float]] = []
        self._group_size = 1
        self._open_group = (0, 0.0, 0.0)

    def add(self, shots: JoinedShots) -> None:
        """Take shots in, those that the quantity's conditions let through.

        Parameters
        ----------
        shots : JoinedShots
            Shots of the setting, in order.
        """
        y = shots.columns[self._quantity.column]
        x = np.ones(len(shots))
        if self._quantity.normalize_by is not None:
            x = shots.columns[self._quantity.normalize_by]
        valid = ~(np.isnan(y) | np.isnan(x))
        valid &= satisfied(self._quantity.where, shots)
        if self._quantity.zero_unless:
            y = np.where(satisfied(self._quantity.zero_unless, shots), y, 0.0)
        if not valid.any():
            return
        y, x = y[valid], x[valid]
        self._n += len(y)
        self._sums += [y.sum(), x.sum(), y @ y, x @ x, x @ y]
        self._add_to_groups(y, x)

    def _add_to_groups(self, y: Float, x: Float) -> None:
        """Add to groups of equal size; when there are too many, neighbours merge."""
        count, open_y, open_x = self._open_group
        group = (count + np.arange(len(y))) // self._group_size
        sum_y, sum_x = np.bincount(group, y), np.bincount(group, x)
        sum_y[0] += open_y
        sum_x[0] += open_x
        complete, count = divmod(count + len(y), self._group_size)
        self._groups += zip(sum_y[:complete].tolist(), sum_x[:complete].tolist(), strict=True)
        self._open_group = (count, float(sum_y[-1]), float(sum_x[-1])) if count else (0, 0.0, 0.0)
        while len(self._groups) >= 2 * _MAX_GROUPS:
            if len(self._groups) % 2:
                last_y, last_x = self._groups.pop()
                count, open_y, open_x = self._open_group
                self._open_group = (count + self._group_size, open_y + last_y, open_x + last_x)
            pairs = zip(self._groups[::2], self._groups[1::2], strict=True)
            self._groups = [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
            self._group_size *= 2

    @property
    def estimate(self) -> Estimate | None:
        """The estimate so far; none where too few shots entered to have an error."""
        sum_y, sum_x, sum_yy, sum_xx, sum_xy = self._sums.tolist()
        n = self._n
        is_fraction = self._quantity.reduce == "fraction"
        fewest = max(self._quantity.min_shots, 1 if is_fraction else 2)
        if n < fewest or sum_x == 0:
            return None
        ratio = sum_y / sum_x
        squares = max(sum_yy - 2 * ratio * sum_xy + ratio**2 * sum_xx, 0.0)
        variance = squares / max(n - 1, 1) * n / sum_x**2
        correlated = self._variance_between_groups(ratio)
        if is_fraction:
            successes = min(max(sum_y, 0.0), n)
            ratio = successes / n
            jeffreys = (successes + 0.5) * (n - successes + 0.5) / ((n + 1) ** 2 * (n + 2))
            # Values that stand for corrected zeros and ones spread more than these would.
            corrected = sum_yy != sum_y
            variance = max(jeffreys, variance) if corrected else jeffreys
        if correlated is not None and correlated > _CORRELATED_RATIO * variance:
            variance = correlated
        return Estimate(
            mean=ratio,
            sem=math.sqrt(variance),
            n=n,
            n_success=round(n * ratio) if is_fraction else None,
        )

    def _variance_between_groups(self, ratio: float) -> float | None:
        """Estimate the variance of the ratio from groups; none where they are too few or single."""
        if len(self._groups) < _MIN_GROUPS or self._group_size == 1:
            return None
        sums = np.array(self._groups)
        residuals = sums[:, 0] - ratio * sums[:, 1]
        n_groups = len(sums)
        squares = float(residuals @ residuals) / (n_groups - 1)
        return squares * n_groups / float(sums[:, 1].sum()) ** 2


def estimates_of(reductions: Mapping[str, Reduction]) -> dict[str, Estimate]:
    """Return the estimates that there are.

    Parameters
    ----------
    reductions : mapping of str to Reduction
        Reductions by the name of their quantity.

    Returns
    -------
    dict of str to Estimate
        Quantities with too few shots are left out.
    """
    return {
        name: estimate
        for name, reduction in reductions.items()
        if (estimate := reduction.estimate) is not None
    }
