"""What a policy is to do: knobs to turn, objectives to improve, limits to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from autosteer.contracts.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Range:
    """Where one knob may be.

    Parameters
    ----------
    low, high : float
        Limits [units].
    step : float, optional
        Only ``low``, ``low + step``, ... are places: wells, filters. None: every place is one.
    max_step : float, optional
        Largest single step from where the knob is [units].
    speed : float, optional
        How fast it moves [units/s]; None where moves take about the same time whatever their
        length.

    Raises
    ------
    PolicyError
        If the limits are not finite and in order, or a step or the speed is not positive.
    """

    low: float
    high: float
    step: float | None = None
    max_step: float | None = None
    speed: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low >= self.high:
            raise PolicyError(f"limits are ({self.low}, {self.high}): give finite low < high")
        for name in ("step", "max_step", "speed"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise PolicyError(f"{name} is {value}: it must be positive")

    @property
    def places(self) -> int | None:
        """Number of places; None where every place is one."""
        if self.step is None:
            return None
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1


@dataclass(frozen=True, slots=True)
class Aim:
    """A quantity to improve, or one that tells about it.

    Parameters
    ----------
    name : str
        Name of the quantity.
    maximize : bool, default True
        Whether more is better.
    fraction : bool, default False
        Whether it is a share of shots, with binomial statistics.
    min_shots : int, default 1
        With fewer shots it is not measured at all.
    """

    name: str
    maximize: bool = True
    fraction: bool = False
    min_shots: int = 1

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is."""
        return 1.0 if self.maximize else -1.0


@dataclass(frozen=True, slots=True)
class OutcomeLimit:
    """A bound on a measured quantity, that every point tried should keep.

    Parameters
    ----------
    name : str
        Name of the quantity.
    above, below : float, optional
        Bounds on its true mean.
    probability : float, default 0.95
        Each point that is tried keeps the bounds with at least this probability.
    fraction : bool, default False
        Whether the quantity is a share of shots.

    Raises
    ------
    PolicyError
        If there is no bound, or the probability is not between 1/2 and 1.
    """

    name: str
    above: float | None = None
    below: float | None = None
    probability: float = 0.95
    fraction: bool = False

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise PolicyError(f"the limit on '{self.name}' has no bound: give above or below")
        if not 0.5 <= self.probability < 1:
            raise PolicyError(
                f"the limit on '{self.name}' is to be kept with probability {self.probability}: "
                "it must lie in [0.5, 1)"
            )

    def kept_by(self, value: float) -> bool:
        """Tell whether a value keeps the bounds.

        Parameters
        ----------
        value : float
            Value of the quantity.

        Returns
        -------
        bool
            Whether it does; not a number does not.
        """
        high = math.inf if self.below is None else self.below
        low = -math.inf if self.above is None else self.above
        return low <= value <= high


@dataclass(frozen=True, slots=True)
class KeepOutBox:
    """A box that no point may lie in.

    Parameters
    ----------
    bounds : mapping of str to (float, float)
        (low, high) by knob; a point inside all of them is refused.
    """

    bounds: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LinearLimit:
    """A bound on a weighted sum of knobs, that every point must keep.

    Parameters
    ----------
    weights : mapping of str to float
        Weight by knob; others have none.
    above, below : float, optional
        Bounds on the sum.
    """

    weights: Mapping[str, float]
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """When a policy may say that it is done.

    Parameters
    ----------
    target : float, optional
        Value of the first objective that is enough.
    min_gain : float, optional
        A smaller expected further gain of the first objective is not worth the beam.
    confidence : float, default 0.95
        Probability with which the target is to be reached.
    """

    target: float | None = None
    min_gain: float | None = None
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Problem:
    """What every policy is made for.

    Parameters
    ----------
    knobs : mapping of str to Range
        What may be moved, and where.
    objectives : tuple of Aim
        What to improve; with more than one, the Pareto set is wanted.
    limits : tuple of OutcomeLimit
        Bounds on measured quantities.
    context : tuple of str
        Quantities that are observed and matter, but cannot be set.
    diagnostics : tuple of Aim
        Quantities that tell where the first objective is good, or will be.
    keep_out : tuple of KeepOutBox
        Boxes to stay out of.
    linear : tuple of LinearLimit
        Bounds on sums of knobs.
    goal : Goal
        When it is enough.
    rate_hz : float, optional
        Shots per second; None where a measurement is one evaluation, whatever its length.
    rest_s : float
        Time after a move before shots count [s].
    shots_in_motion : bool
        Whether the shots that are taken on the way come as points, too.
    seed : int
        Seed of whatever is drawn.

    Raises
    ------
    PolicyError
        If there is no knob or objective, a name stands for two quantities, or a box or sum names a
        knob that does not exist.

    Examples
    --------
    >>> problem = Problem.of({"x": (-1.0, 1.0)}, "hits", seed=3)
    >>> problem.objective
    Aim(name='hits', maximize=True, fraction=False, min_shots=1)
    """

    knobs: Mapping[str, Range]
    objectives: tuple[Aim, ...]
    limits: tuple[OutcomeLimit, ...] = ()
    context: tuple[str, ...] = ()
    diagnostics: tuple[Aim, ...] = ()
    keep_out: tuple[KeepOutBox, ...] = ()
    linear: tuple[LinearLimit, ...] = ()
    goal: Goal = field(default=Goal())
    rate_hz: float | None = None
    rest_s: float = 0.0
    shots_in_motion: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.knobs:
            raise PolicyError("a policy needs at least one knob")
        if not self.objectives:
            raise PolicyError("a policy needs at least one objective")
        used: set[str] = set(self.knobs)
        for name in self.quantities:
            if name in used:
                raise PolicyError(f"two things are called '{name}'")
            used.add(name)
        named = [name for box in self.keep_out for name in box.bounds]
        named += [name for limit in self.linear for name in limit.weights]
        unknown = sorted(set(named) - set(self.knobs))
        if unknown:
            raise PolicyError(f"keep_out or linear names no knob: {', '.join(unknown)}")

    @classmethod
    def of(
        cls,
        knobs: Mapping[str, Sequence[float] | Range],
        objective: str,
        *,
        maximize: bool = True,
        fraction: bool = False,
        seed: int = 0,
    ) -> Problem:
        """Make a problem with one objective and nothing else.

        Parameters
        ----------
        knobs : mapping of str to Range or (float, float)
            Ranges, or limits.
        objective : str
            Name of the objective.
        maximize : bool, default True
            Whether more is better.
        fraction : bool, default False
            Whether it is a share of shots.
        seed : int, default 0
            Seed of whatever is drawn.

        Returns
        -------
        Problem
            The problem.

        Raises
        ------
        PolicyError
            If limits are not two finite numbers in order.
        """
        ranges = {}
        for name, given in knobs.items():
            if not isinstance(given, Range) and len(given) != 2:
                raise PolicyError(f"limits of knob '{name}' are {given}: give (low, high)")
            try:
                ranges[name] = given if isinstance(given, Range) else Range(*given)
            except PolicyError as error:
                raise PolicyError(f"knob '{name}': {error}") from None
        return cls(ranges, (Aim(objective, maximize, fraction),), seed=seed)

    @property
    def objective(self) -> Aim:
        """The first objective."""
        return self.objectives[0]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all quantities: objectives, limits, context, diagnostics."""
        return (
            *(aim.name for aim in self.objectives),
            *(limit.name for limit in self.limits),
            *self.context,
            *(aim.name for aim in self.diagnostics),
        )

    def with_seed(self, seed: int) -> Problem:
        """Return the same problem with another seed.

        Parameters
        ----------
        seed : int
            Seed of whatever is drawn.

        Returns
        -------
        Problem
            The problem.
        """
        return replace(self, seed=seed)
