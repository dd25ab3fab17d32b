"""The experiment file: one YAML that says what to read, what to move, why, and how far.

The same file runs on simulated and on real devices: only addresses change. Every model refuses
unknown keys, so that a typo is an error with its path.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from autosteer.contracts.decisions import Mode
from autosteer.contracts.simulation import Simulation

Scalar = bool | int | float | str
Fraction = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """Base of all sections: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


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

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


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
    normalize_by: str | None = Field(
        default=None, description="Column to divide by, as ratio of sums (for example I0)"
    )

    @model_validator(mode="after")
    def _fractions_are_not_normalized(self) -> Self:
        if self.reduce == "fraction" and self.normalize_by is not None:
            raise ValueError("a fraction cannot be normalized: use reduce: mean")
        return self


class Objective(Quantity):
    """The quantity to optimise."""

    direction: Literal["maximize", "minimize"] = "maximize"


class DetectorSection(Section):
    """A flat detector square to the beam, perhaps made of modules with gaps."""

    shape: tuple[PositiveInt, PositiveInt] = Field(description="Pixels along (slow, fast)")
    pixel_size_um: PositiveFloat = Field(description="Pixel edge [um]")
    distance_mm: PositiveFloat = Field(description="Sample to detector [mm]")
    beam_center_px: tuple[FiniteFloat, FiniteFloat] = Field(
        description="Beam on the detector (slow, fast) [px]; 0 is the first pixel's centre"
    )
    wavelength_angstrom: PositiveFloat | None = Field(
        default=None, description="Wavelength [angstrom]; may be left to the geometry file"
    )
    saturation: PositiveFloat | None = Field(
        default=None,
        description="Counts at and above which a pixel is saturated; may be left to the geometry "
        "file",
    )
    modules: tuple[PositiveInt, PositiveInt] = Field(
        default=(1, 1), description="Modules along (slow, fast)"
    )
    gap_px: tuple[int, int] = Field(
        default=(0, 0), description="Insensitive pixels between modules along (slow, fast)"
    )
    mask_path: str | None = Field(
        default=None, description="NPY file, shape as the frame, true where a pixel is good"
    )
    geometry_path: str | None = Field(
        default=None,
        description="CrystFEL, DIALS or NXmx geometry of the panels, in place of pixel size, "
        "distance and beam center; 'shape' is that of a panel where frames come panel by panel, "
        "that of the slab where they come as one that holds all panels",
    )

    @model_validator(mode="after")
    def _wavelength_is_said(self) -> Self:
        if self.wavelength_angstrom is None and self.geometry_path is None:
            raise ValueError("wavelength_angstrom is needed where no geometry_path is given")
        return self


class OutsideProducer(Section):
    """Somebody else's producer of tables; it listens on a port for each of its consumers."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="What it calls itself in its messages"
    )
    agent: str = Field(description="tcp://127.0.0.1:port on which it serves the agent")
    recorder: str = Field(description="tcp://127.0.0.1:port on which it serves the recorder")


class _SourceSection(Section):
    rate_hz: PositiveFloat = Field(description="Shots per second")
    pulse_stride: PositiveInt = Field(default=1, description="Pulse ids from shot to shot")
    producers: tuple[OutsideProducer, ...] = Field(
        default=(), description="Where tables come from that nothing of autosteer makes"
    )


class _ShotSourceSection(_SourceSection):
    addresses: tuple[str, ...] = Field(
        default=(),
        description="Where nothing is simulated: tcp://127.0.0.1:port of the stream, one a worker",
    )


class FrameSourceSection(_ShotSourceSection):
    """Detector frames, analysed by autosteer's worker."""

    kind: Literal["frames"]


class SpotListSourceSection(_ShotSourceSection):
    """Spot lists in place of frames; the worker indexes them."""

    kind: Literal["spot_lists"]
    path: str | None = Field(
        default=None,
        description="Simulation: NPZ with q (n, spots, 3) in 1/angstrom, NaN-padded",
    )
    key: str = Field(default="q", description="Name of the array in the file")


class TableSourceSection(_SourceSection):
    """Result tables that somebody else's analysis publishes."""

    kind: Literal["tables"]
    flush_s: PositiveFloat = Field(
        default=0.01, description="Simulated producer: a micro-batch leaves after this time [s]"
    )


Source = Annotated[
    FrameSourceSection | SpotListSourceSection | TableSourceSection, Field(discriminator="kind")
]


class FinderSection(Section):
    """Spot finding."""

    min_snr: PositiveFloat = Field(
        default=5.0, description="Counts of a spot over the noise of the background under it"
    )
    min_pixels: PositiveInt = Field(default=2, description="Pixels of the smallest spot")
    max_pixels: PositiveInt = Field(default=200, description="Pixels of the largest spot")
    max_spots: PositiveInt = Field(default=500, description="Brightest spots kept in a frame")
    device: str = Field(
        default="cpu", description="Torch device that searches the frames, such as cuda or cuda:1"
    )
    learn_pixels: bool = Field(
        default=False,
        description="Learn hot and dead pixels from the frames and leave them out after 100 of "
        "them; takes some 3 ms for a frame of 1 Mpx",
    )


class IndexerSection(Section):
    """Indexing with a known cell."""

    unit_cell: tuple[
        PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat
    ] = Field(description="a, b, c [angstrom], alpha, beta, gamma [deg]")
    centering: Literal["P", "A", "B", "C", "I", "F", "R"] = "P"
    point_group: str | None = Field(
        default=None,
        description="Chiral point group of the crystals, such as 422: says which lattices can be "
        "indexed in several ways; by default the lowest that the cell allows",
    )
    cell_tolerance: float = Field(
        default=0.02,
        ge=1e-4,
        le=0.1,
        description="Largest deviation of a crystal's cell: lengths relative, angles in radians",
    )
    false_accept: float = Field(
        default=0.01,
        ge=1e-12,
        le=0.5,
        description="Bound on the probability that spots without a lattice are called indexed",
    )
    max_lattices: PositiveInt = Field(default=4, description="Lattices looked for in a frame")


class CalibrationSection(Section):
    """Small calibrations of the geometry while a run goes on, by the spots of its frames."""

    every_frames: int = Field(
        default=200, ge=30, le=5000, description="Hits that a worker collects for a calibration"
    )
    calibrant: bool = Field(
        default=False,
        description="The crystals are a calibrant whose cell is known beyond doubt: it is held "
        "fixed, and the distance calibrated, too",
    )
    apply: Literal["trusted", "never"] = Field(
        default="trusted",
        description="trusted: later frames use a calibration that is trusted, from a stated pulse "
        "on; never: calibrations are only published",
    )


class Analysis(Section):
    """From frames to result tables."""

    detector: DetectorSection | None = Field(
        default=None, description="Needed where the source gives frames"
    )
    finder: FinderSection = FinderSection()
    indexer: IndexerSection
    min_spots_hit: PositiveInt = Field(default=8, description="Spots that make a frame a hit")
    workers: PositiveInt = Field(default=1, description="Worker processes")
    batch_shots: PositiveInt = Field(default=8, description="A batch starts at this many shots")
    batch_wait_s: NonNegativeFloat = Field(
        default=0.04, description="or when the oldest shot has waited this long [s]"
    )
    calibration: CalibrationSection | None = Field(
        default=None,
        description="Calibrates the geometry while frames come; without it nothing does",
    )


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
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="Further keyword arguments of the class"
    )


class Dwell(Section):
    """How long to stay at a setting."""

    shots: PositiveInt = Field(default=100, description="Shots of a complete setting")
    max_s: PositiveFloat = Field(
        default=10.0, description="A setting ends after this time even if shots are missing [s]"
    )
    ask_at: Fraction = Field(
        default=0.5,
        description="The next suggestion is asked for when this share of the shots is in",
    )


class Stop(Section):
    """When to end, and where to leave the knobs."""

    duration_s: PositiveFloat | None = Field(
        default=None, description="Time from the first shot [s]"
    )
    max_settings: PositiveInt | None = Field(default=None, description="Settings measured")
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
    objective: Objective
    observables: tuple[Quantity, ...] = Field(
        default=(), description="Quantities that are recorded beside the objective"
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
        """The objective and the observables."""
        return (self.objective, *self.observables)

    @property
    def channels(self) -> tuple[str, ...]:
        """Table kinds that the quantities read, in alphabetic order."""
        columns = [
            column
            for quantity in self.quantities
            for column in (
                quantity.column,
                quantity.normalize_by,
                *(condition.column for condition in quantity.where),
            )
            if column is not None
        ]
        return tuple(sorted({column.split(".", 1)[0] for column in columns}))
