"""Sorts shots into bins of a column until each bin has its quota."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.quantities import SortSection
from autosteer.steering.reduction import satisfied
from autosteer.stream import JoinedShots


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin, and how full it is.

    Parameters
    ----------
    low, high : float
        Its edges; the lower one belongs to it [unit of the column].
    sorted : int
        Shots sorted into it so far.
    offered : int
        Shots that would have fitted, those that came when it was full among them.
    quota : int
        Shots that are wanted.
    """

    low: float
    high: float
    sorted: int
    offered: int
    quota: int


@dataclass(frozen=True, slots=True, eq=False)
class SortedShots:
    """The shots that were sorted, in the order they came.

    Parameters
    ----------
    pulse_id : ndarray of uint64, shape (n,)
        Numbers of the machine pulses.
    bin : ndarray of int64, shape (n,)
        Bin of each, from 0.
    value : ndarray of float64, shape (n,)
        What it was sorted by.
    """

    pulse_id: NDArray[np.uint64]
    bin: NDArray[np.int64]
    value: NDArray[np.float64]


class ShotSorter:
    """Sorts shots by a column.

    Parameters
    ----------
    section : SortSection
        The column, the bins and their quota.
    """

    def __init__(self, section: SortSection) -> None:
        self._section = section
        self._edges = np.array(section.edges)
        self._sorted = np.zeros(len(section.edges) - 1, dtype=np.int64)
        self._offered = np.zeros_like(self._sorted)
        self._parts: list[SortedShots] = []

    @property
    def bins(self) -> tuple[Bin, ...]:
        """The bins as they are now."""
        edges = self._edges.tolist()
        counts = zip(self._sorted.tolist(), self._offered.tolist(), strict=True)
        return tuple(
            Bin(low, high, done, offered, self._section.quota)
            for low, high, (done, offered) in zip(edges[:-1], edges[1:], counts, strict=True)
        )

    @property
    def full(self) -> bool:
        """Whether every bin has its quota."""
        return bool((self._sorted >= self._section.quota).all())

    @property
    def shots(self) -> SortedShots:
        """All shots that were sorted."""
        empty = SortedShots(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0))
        parts = [empty, *self._parts]
        return SortedShots(
            np.concatenate([part.pulse_id for part in parts]),
            np.concatenate([part.bin for part in parts]),
            np.concatenate([part.value for part in parts]),
        )

    def take(self, shots: JoinedShots) -> None:
        """Sort shots; what does not fit, or no longer, is left out.

        Parameters
        ----------
        shots : JoinedShots
            Shots in order, with the columns that the section names.
        """
        value = shots.columns[self._section.column]
        number = np.searchsorted(self._edges, value, side="right") - 1
        fits = satisfied(self._section.where, shots)
        fits &= (number >= 0) & (number < len(self._sorted)) & ~np.isnan(value)
        kept = np.zeros(len(shots), np.bool_)
        for one in np.unique(number[fits]):
            here = np.flatnonzero(fits & (number == one))
            room = max(self._section.quota - int(self._sorted[one]), 0)
            kept[here[:room]] = True
            self._offered[one] += len(here)
            self._sorted[one] += min(len(here), room)
        if kept.any():
            self._parts.append(SortedShots(shots.pulse_id[kept], number[kept], value[kept]))
