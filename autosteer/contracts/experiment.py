"""The experiment file: one YAML that says what to read, what to move, why, and how far.

The same file runs on simulated and on real devices: only addresses change. Every model refuses
unknown keys, so that a typo is an error with its path.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import (
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from autosteer.contracts._section import Scalar, Section
from autosteer.contracts.analysis_sections import Analysis, PulseSection
from autosteer.contracts.decisions import Mode
from autosteer.contracts.problem import (
    Aim,
    Goal,
    KeepOutBox,
    LinearLimit,
    OutcomeLimit,
    Problem,
    Range,
)
from autosteer.contracts.quantities import Objective, OutcomeConstraint, Quantity, SortSection
from autosteer.contracts.simulation import Simulation
from autosteer.contracts.sources import Source


class Device(Section):
    """A device by the class that drives it."""

    class_name: str = Field(
        alias="class",
        description="Class as package.module:Name, or an autosteer.devices entry point",
    )
    prefix: str = Field(description="EPICS prefix (a motor record's name, or a PV)")
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="Further keyword arguments of the class"
    )


class Knob(Section):
    """What may be moved, how far, and when it counts as there."""

    device: str = Field(description="Name of a device in the section 'devices'")
    low: FiniteFloat = Field(description="Lowest allowed setpoint [units]")
    high: FiniteFloat = Field(description="Highest allowed setpoint [units]")
    units: str = Field(description="Units; they must be those of the motor record (EGU)")
    tolerance: PositiveFloat = Field(description="A readback this near the target is there [units]")
    settle_s: NonNegativeFloat = Field(
        default=0.0, description="Shots count only this long after the arrival [s]"
    )
    response_delay_s: NonNegativeFloat = Field(
        default=0.0, description="The sample follows the knob this much later [s]"
    )
    max_step: PositiveFloat | None = Field(
        default=None, description="Largest single step from the live readback [units]"
    )
    timeout_s: PositiveFloat = Field(
        default=10.0, description="A move that takes longer is a failure [s]"
    )
    step: PositiveFloat | None = Field(
        default=None,
        description="Only low, low + step, ... are places, for example wells or filters [units]",
    )
    speed: PositiveFloat | None = Field(
        default=None,
        description="How fast it moves, for policies that weigh the way; without it every move "
        "counts the same [units/s]",
    )

    @property
    def rest_s(self) -> float:
        """Time after an arrival before the shots count [s]."""
        return self.settle_s + self.response_delay_s

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Join(Section):
    """Event building by pulse id."""

    slots: PositiveInt = Field(default=8192, description="Shots held while waiting for a channel")
    deadline_s: PositiveFloat = Field(
        default=1.0, description="A shot that waits longer is closed with what there is [s]"
    )


class PolicySection(Section):
    """What decides where to go."""

    class_name: str = Field(
        default="autosteer.policies:BayesianPolicy",
        alias="class",
        description="Class as package.module:Name, or an autosteer.policies entry point",
    )
    options: dict[str, Scalar | dict[str, FiniteFloat]] = Field(
        default_factory=dict,
        description="Further keyword arguments of the class: values, or numbers by name",
    )
    warm_start: tuple[str, ...] = Field(
        default=(),
        description="Run folders, and tables or dumps of other optimizers, whose points the policy "
        "is told before it begins",
    )


class Dwell(Section):
    """How long to stay at a setting."""

    shots: PositiveInt = Field(
        default=100,
        description="Shots of a complete setting, unless the policy wants another number",
    )
    min_shots: PositiveInt = Field(
        default=8, description="No setting is left as clearly worse with fewer results than these"
    )
    max_s: PositiveFloat = Field(
        default=10.0, description="A setting ends after this time even if shots are missing [s]"
    )
    in_flight: int = Field(
        default=4,
        ge=0,
        description="Settings that may have been left before all of their results are back; 0: a "
        "setting is left only when its results are there",
    )
    motion: Literal["exclude", "tag"] = Field(
        default="exclude",
        description="Shots taken in motion: exclude them, or tag them with where the knobs were "
        "and let the policy have them, too",
    )


class Stop(Section):
    """When to end, and where to leave the knobs."""

    duration_s: PositiveFloat | None = Field(
        default=None, description="Time from the first shot [s]"
    )
    max_settings: PositiveInt | None = Field(default=None, description="Settings measured")
    when_sorted: bool = Field(
        default=False, description="End when every bin of the section 'sort' is full"
    )
    sample_ul: PositiveFloat | None = Field(
        default=None, description="Sample used from the first shot on, where its flow is known [ul]"
    )
    target: FiniteFloat | None = Field(
        default=None, description="Value of the objective that is enough"
    )
    min_gain: PositiveFloat | None = Field(
        default=None,
        description="End when the policy expects a smaller further gain of the objective",
    )
    confidence: float = Field(
        default=0.95, ge=0.5, lt=1, description="Probability with which 'target' is to be reached"
    )
    max_failures: PositiveInt = Field(
        default=3, description="Moves (or asks) that may fail in a row"
    )
    max_refusals: PositiveInt = Field(
        default=10, description="Suggestions that may be refused in a row"
    )
    then: Literal["best", "start", "stay"] = Field(
        default="best", description="Where the knobs are left at a regular end"
    )


class KeepOut(Section):
    """A box that no setpoint may enter: bounds for two or more knobs, all of which must hold."""

    name: str
    box: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        min_length=1, description="(low, high) by knob [units]"
    )


class LinearConstraint(Section):
    """A bound on a weighted sum of knobs that every setpoint must keep."""

    name: str
    weights: dict[str, FiniteFloat] = Field(min_length=1, description="Weight by knob")
    above: FiniteFloat | None = Field(default=None, description="The sum must not be less")
    below: FiniteFloat | None = Field(default=None, description="The sum must not be greater")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("give above or below")
        return self


class Interlock(Section):
    """A signal that must be as it should for anything to move."""

    name: str
    device: str = Field(description="Name of a signal device in the section 'devices'")
    above: FiniteFloat | None = Field(default=None, description="Its value must be greater")
    below: FiniteFloat | None = Field(default=None, description="Its value must be less")
    changes_within_s: PositiveFloat | None = Field(
        default=None, description="It must have changed within this time: a heartbeat [s]"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is None and self.below is None and self.changes_within_s is None:
            raise ValueError("give at least one of above, below, changes_within_s")
        return self


class EnvelopeSection(Section):
    """What every suggestion must pass, besides the knobs' own limits."""

    stale_after_s: PositiveFloat = Field(
        default=2.0, description="No move when the newest shot is older than this [s]"
    )
    min_interval_s: NonNegativeFloat = Field(
        default=0.0, description="Shortest time from move to move [s]"
    )
    keep_out: tuple[KeepOut, ...] = ()
    linear: tuple[LinearConstraint, ...] = ()
    interlocks: tuple[Interlock, ...] = ()


class Record(Section):
    """Where runs are recorded."""

    directory: str = Field(default="runs", description="Each run gets a folder of its own in here")


class Sample(Section):
    """The sample, as far as steering counts it."""

    name: str = ""
    flow_ul_per_min: PositiveFloat | None = Field(default=None, description="Sample flow [ul/min]")


class Experiment(Section):
    """The experiment file."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Names the run folders")
    metadata: dict[str, Scalar] = Field(
        default_factory=dict, description="Free metadata: proposal, people, purpose"
    )
    plugins: tuple[str, ...] = Field(
        default=(), description="Modules imported first: they register table kinds and the like"
    )
    sample: Sample = Sample()
    mode: Mode = Field(
        default="suggest",
        description="observe: read only; suggest: print; approve: move after a yes; auto: move",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the policy and of the simulation")
    devices: dict[str, Device] = Field(min_length=1)
    knobs: dict[str, Knob] = Field(min_length=1)
    source: Source
    analysis: Analysis | None = Field(
        default=None, description="Needed where the source gives frames or spot lists"
    )
    pulses: PulseSection | None = Field(
        default=None, description="Needed where the source gives sinograms"
    )
    objective: Objective
    trade_offs: tuple[Objective, ...] = Field(
        default=(), description="Further objectives: what no other point beats in all is kept"
    )
    constraints: tuple[OutcomeConstraint, ...] = Field(
        default=(), description="Quantities that must keep bounds wherever the beam is taken"
    )
    context: tuple[Quantity, ...] = Field(
        default=(), description="Quantities that matter but cannot be set: policies condition on"
    )
    diagnostics: tuple[Quantity, ...] = Field(
        default=(),
        description="Quantities that rise towards the optimum before the objective does, or are "
        "known with fewer shots",
    )
    observables: tuple[Quantity, ...] = Field(
        default=(), description="Quantities that are recorded beside all these"
    )
    sort: SortSection | None = Field(
        default=None, description="Sorts shots into bins; without it nothing does"
    )
    join: Join = Join()
    policy: PolicySection = PolicySection()
    dwell: Dwell = Dwell()
    stop: Stop = Stop()
    envelope: EnvelopeSection = EnvelopeSection()
    record: Record = Record()
    simulation: Simulation | None = Field(
        default=None, description="Starts simulated devices and source; without it nothing does"
    )

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All quantities that are reduced for each setting, the objective first."""
        return (
            self.objective,
            *self.trade_offs,
            *self.constraints,
            *self.context,
            *self.diagnostics,
            *self.observables,
        )

    @property
    def rest_s(self) -> float:
        """Time after the arrival of all knobs before shots count [s]."""
        return max(knob.rest_s for knob in self.knobs.values())

    @property
    def problem(self) -> Problem:
        """What the policy is to do."""
        stop = self.stop
        return Problem(
            knobs={
                name: Range(knob.low, knob.high, knob.step, knob.max_step, knob.speed)
                for name, knob in self.knobs.items()
            },
            objectives=tuple(
                Aim(one.name, one.direction == "maximize", one.reduce == "fraction", one.min_shots)
                for one in (self.objective, *self.trade_offs)
            ),
            limits=tuple(
                OutcomeLimit(
                    one.name, one.above, one.below, one.probability, one.reduce == "fraction"
                )
                for one in self.constraints
            ),
            context=tuple(one.name for one in self.context),
            diagnostics=tuple(
                Aim(one.name, fraction=one.reduce == "fraction", min_shots=one.min_shots)
                for one in self.diagnostics
            ),
            keep_out=tuple(KeepOutBox(one.box) for one in self.envelope.keep_out),
            linear=tuple(
                LinearLimit(one.weights, one.above, one.below) for one in self.envelope.linear
            ),
            goal=Goal(stop.target, stop.min_gain, stop.confidence),
            rate_hz=self.source.rate_hz,
            rest_s=self.rest_s,
            shots_in_motion=self.dwell.motion == "tag",
            seed=self.seed,
        )

    @property
    def named(self) -> tuple[tuple[str, str, str], ...]:
        """What the file names for others to find: a word for it, the name, and its group."""
        found = [
            (f"device '{key}'", device.class_name, "autosteer.devices")
            for key, device in self.devices.items()
        ]
        found.append(("policy", self.policy.class_name, "autosteer.policies"))
        if self.simulation is not None and self.simulation.beamline.kind == "custom":
            found.append(("world", self.simulation.beamline.world, "autosteer.worlds"))
        return tuple(found)

    @property
    def worker_section(self) -> Analysis | PulseSection | None:
        """The section that says what workers do; None where there are none."""
        match self.source.kind:
            case "tables":
                return None
            case "sinograms":
                return self.pulses
            case _:
                return self.analysis

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read shot by shot, as kind.name, each once."""
        quantities = self.quantities
        conditions = [one for each in quantities for one in (*each.where, *each.zero_unless)]
        names = [quantity.column for quantity in quantities]
        names += [quantity.normalize_by for quantity in quantities if quantity.normalize_by]
        if self.sort is not None:
            names.append(self.sort.column)
            conditions += self.sort.where
        names += [condition.column for condition in conditions]
        return tuple(dict.fromkeys(names))

    @property
    def channels(self) -> tuple[str, ...]:
        """Table kinds of these columns, in alphabetic order."""
        return tuple(sorted({column.split(".", 1)[0] for column in self.columns}))
