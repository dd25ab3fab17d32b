"""What a policy's models believe, as a report draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import ParetoPoint

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What is expected of an objective along one knob, the others at the best place.

    Parameters
    ----------
    objective, knob : str
        Objective and knob.
    position : ndarray of float64, shape (n,)
        Positions along the knob, in its unit.
    mean, sd : ndarray of float64, shape (n,)
        Posterior mean and standard deviation of the objective.
    """

    objective: str
    knob: str
    position: Float
    mean: Float
    sd: Float


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """What is expected of an objective along two knobs, the others at the best place.

    Parameters
    ----------
    objective : str
        The objective.
    knobs : (str, str)
        Knobs of the horizontal and the vertical axis.
    x : ndarray of float64, shape (n,)
        Positions of the first knob, in its unit.
    y : ndarray of float64, shape (m,)
        Positions of the second knob.
    mean : ndarray of float64, shape (m, n)
        Posterior mean of the objective.
    """

    objective: str
    knobs: tuple[str, str]
    x: Float
    y: Float
    mean: Float


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """What the models of a policy believe.

    Parameters
    ----------
    best : mapping of str to float
        The best place, by knob.
    slices : tuple of Slice
        For each objective, one for each knob.
    maps : tuple of Map
        One for each objective, where there are two knobs.
    front : tuple of ParetoPoint
        With several objectives, the Pareto front.
    missing : tuple of str
        What there should be and is not, and why.
    """

    best: Mapping[str, float] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    maps: tuple[Map, ...] = ()
    front: tuple[ParetoPoint, ...] = ()
    missing: tuple[str, ...] = ()
