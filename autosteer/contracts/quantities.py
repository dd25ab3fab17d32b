"""Quantities of a setting: what is reduced from its shots, for the policy and for the record."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from autosteer.contracts._section import Section


class Condition(Section):
    """A test on one column; all bounds that are given must hold. A missing value fails it."""

    column: str = Field(description="Column as kind.name, for example machine.beam_intensity")
    above: FiniteFloat | None = Field(default=None, description="Value must be greater")
    below: FiniteFloat | None = Field(default=None, description="Value must be less")
    equals: bool | int | float | None = Field(default=None, description="Value must be equal")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is None and self.below is None and self.equals is None:
            raise ValueError("give at least one of above, below, equals")
        return self


class Quantity(Section):
    """A number per setting, reduced from the shots of that setting."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Name that policies see")
    column: str = Field(description="Column as kind.name, for example indexing.hit")
    reduce: Literal["fraction", "mean"] = Field(
        description="fraction: share of shots that are true; mean: average of the values"
    )
    where: tuple[Condition, ...] = Field(
        default=(), description="Only shots for which all of these hold enter"
    )
    zero_unless: tuple[Condition, ...] = Field(
        default=(),
        description="Shots for which one of these does not hold enter with the value zero",
    )
    normalize_by: str | None = Field(
        default=None, description="Column to divide by, as ratio of sums (for example I0)"
    )
    min_shots: PositiveInt = Field(
        default=1, description="With fewer shots that enter, the quantity counts as not measured"
    )

    @model_validator(mode="after")
    def _fractions_are_not_normalized(self) -> Self:
        if self.reduce == "fraction" and self.normalize_by is not None:
            raise ValueError("a fraction cannot be normalized: use reduce: mean")
        return self


class Objective(Quantity):
    """The quantity to optimise."""

    direction: Literal["maximize", "minimize"] = "maximize"


class OutcomeConstraint(Quantity):
    """A quantity that must keep bounds wherever the beam is taken."""

    above: FiniteFloat | None = Field(default=None, description="Its true mean must be greater")
    below: FiniteFloat | None = Field(default=None, description="Its true mean must be less")
    probability: float = Field(
        default=0.95,
        ge=0.5,
        lt=1,
        description="Each point that is tried keeps the bounds with at least this probability",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("give above or below")
        return self


class SortSection(Section):
    """Shots sorted into bins of a column until each bin has enough."""

    column: str = Field(description="Column as kind.name, for example pulse.delay_as")
    edges: tuple[FiniteFloat, ...] = Field(
        min_length=2, description="Edges of the bins, ascending; a bin includes its lower edge"
    )
    quota: PositiveInt = Field(description="Shots that are wanted in each bin")
    where: tuple[Condition, ...] = Field(
        default=(), description="Only shots for which all of these hold are sorted"
    )

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(
                f"edges are {', '.join(f'{edge:g}' for edge in self.edges)}: they must ascend"
            )
        return self
