"""What the author of a simulated beamline writes: what shots give on the average, and where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.tables import TableKind

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Signal:
    """How a column's value is drawn, shot by shot, where its expectation is known.

    Without beam a fraction is false, a count zero and a reading missing.

    Parameters
    ----------
    law : {"fraction", "count", "reading"}
        True or false; Poisson; normal.
    sd : float, default 0
        Standard deviation of a reading from shot to shot [unit of the column].
    per_energy : bool, default False
        The expectation is that of a nominal pulse, and goes with the pulse energy.
    only_with : str, default ""
        Column, a fraction without such a condition, that must be true for the expectation to
        hold: spots come with a hit, for example.
    otherwise : float, default 0
        Expectation where that column is false.
    """

    law: Literal["fraction", "count", "reading"]
    sd: float = 0.0
    per_energy: bool = False
    only_with: str = ""
    otherwise: float = 0.0


class Scene(ABC):
    """What shots give on the average, by knobs and time.

    A subclass names its knobs, its table kind and how each column is drawn; `world_of` makes a
    world of it that an experiment file can name.

    Parameters
    ----------
    seed : int
        Seed of what differs from run to run but is no shot's: wander, or the quality of samples.
    """

    knobs: tuple[str, ...]
    """Knobs that matter, as the experiment file calls them."""
    kind: ClassVar[TableKind]
    """Kind of the table that shots give."""
    signals: Mapping[str, Signal]
    """How each column is drawn; one that is conditional comes after its condition."""
    changes: bool = False
    """Whether expectations change with time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @abstractmethod
    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectation of each column at places, as things stand.

        Parameters
        ----------
        knobs : mapping of str to ndarray of float64, shape (n,)
            Places.
        times_s : ndarray of float64, shape (n,)
            Times since the start [s].

        Returns
        -------
        mapping of str to ndarray of float64, shape (n,)
            Expectation by column, in a pulse of nominal energy.
        """

    def expose(self, knobs: Mapping[str, Float], times_s: Float, lit: Bool) -> Mapping[str, Float]:
        """Return the expectations for shots that are really taken, in their order.

        Where shots leave traces (dose, used sample) a subclass takes note of them here.

        Parameters
        ----------
        knobs : mapping of str to ndarray of float64, shape (n,)
            Where each shot is taken.
        times_s : ndarray of float64, shape (n,)
            When [s].
        lit : ndarray of bool, shape (n,)
            Whether there is beam.

        Returns
        -------
        mapping of str to ndarray of float64, shape (n,)
            Expectation by column.
        """
        return self.expected(knobs, times_s)

    def best(self, time_s: float) -> Mapping[str, float] | None:
        """Return where the objective is best at a time, if no limit forbids it: for scoring.

        Parameters
        ----------
        time_s : float
            Time since the start [s].

        Returns
        -------
        mapping of str to float, or None
            The place; None where it is not known beforehand and has to be searched for.
        """
        return None
