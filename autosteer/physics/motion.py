"""Motion of one axis at constant speed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Travel:
    """A move from one position to another at constant speed.

    Parameters
    ----------
    start, target : float
        Positions, in the axis' unit.
    t_start_s : float
        When the move begins [s].
    speed : float
        Speed, positive [unit/s].

    Examples
    --------
    >>> travel = Travel(start=1.0, target=-1.0, t_start_s=10.0, speed=4.0)
    >>> travel.t_end_s
    10.5
    >>> travel.position([9.0, 10.25, 99.0]).tolist()
    [1.0, 0.0, -1.0]
    """

    start: float
    target: float
    t_start_s: float
    speed: float

    @property
    def t_end_s(self) -> float:
        """When the move ends [s]."""
        return self.t_start_s + abs(self.target - self.start) / self.speed

    def position(self, t_s: ArrayLike) -> NDArray[np.float64]:
        """Return where the axis is.

        Parameters
        ----------
        t_s : array_like of float, shape (...)
            Times [s].

        Returns
        -------
        ndarray of float64, shape (...)
            Positions: the start before the move, the target after it.
        """
        times = np.asarray(t_s, np.float64)
        way = np.clip(times - self.t_start_s, 0.0, None) * self.speed
        length = abs(self.target - self.start)
        position = self.start + math.copysign(1.0, self.target - self.start) * way
        # The end is the target itself, not the sum of steps.
        arrived: NDArray[np.float64] = np.where(way >= length, self.target, position)
        return arrived
