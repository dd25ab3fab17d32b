"""The experiment file's section ``simulation``: simulated motors, and the beamline about them."""

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

from autosteer.contracts._section import Scalar
from autosteer.contracts.xleap_simulation import SimulatedXleap


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatedMotor(_Section):
    """A motor record of the soft IOC."""

    start: FiniteFloat = Field(default=0.0, description="Position at start [units]")
    low: FiniteFloat = Field(description="Low limit of the record [units]")
    high: FiniteFloat = Field(description="High limit of the record [units]")
    velocity: PositiveFloat = Field(default=1.0, description="Speed [units/s]")
    units: str = Field(default="mm", description="EGU of the record")

    @model_validator(mode="after")
    def _start_within_limits(self) -> Self:
        if not self.low <= self.start <= self.high:
            raise ValueError(f"start ({self.start}) must lie within [{self.low}, {self.high}]")
        return self


class SimulatedIoc(_Section):
    """The soft IOC: motors, beam monitor, pulse counter."""

    prefix: str = Field(default="SIM:", description="Prefix of all PVs")
    port: int = Field(default=0, ge=0, le=65535, description="Channel Access port; 0: a free one")
    motors: dict[str, SimulatedMotor] = Field(
        min_length=1, description="Motor records by name after the prefix"
    )
    failed_moves: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of moves that fail where they begin; on the virtual clock only",
    )


class SimulatedJet(_Section):
    """A liquid jet that carries crystals through the beam.

    Motors move the nozzle: ``across`` is perpendicular to beam and jet, ``along`` is the height,
    that is, the distance from the nozzle at which the beam meets the jet.
    """

    across: str = Field(description="Motor that moves the jet across the beam")
    along: str | None = Field(
        default=None, description="Motor that moves the jet along itself; none: always at best"
    )
    aligned_across_mm: FiniteFloat = Field(description="Position of 'across' that hits the jet")
    aligned_along_mm: FiniteFloat = Field(
        default=0.0, description="Position of 'along' at which the jet is most stable"
    )
    diameter_um: PositiveFloat = Field(default=60.0, description="Jet diameter [um]")
    stable_length_mm: PositiveFloat = Field(
        default=0.15, description="Distance along the jet where stability falls to exp(-1/2) [mm]"
    )
    wander_um: NonNegativeFloat = Field(
        default=0.0, description="RMS wander of the jet, each direction [um]"
    )
    wander_time_s: PositiveFloat = Field(
        default=20.0, description="Correlation time of the wander [s]"
    )
    drift_um_per_min: FiniteFloat = Field(
        default=0.0, description="Steady drift across the beam [um/min]"
    )
    clogs_per_min: NonNegativeFloat = Field(
        default=0.0, description="Mean rate at which the jet clogs [1/min]"
    )
    clog_s: PositiveFloat = Field(default=3.0, description="Mean time a clog lasts [s]")


class SimulatedBeam(_Section):
    """The X-ray beam at the sample."""

    fwhm_um: PositiveFloat = Field(default=10.0, description="Focus, FWHM [um]")
    jitter_um: NonNegativeFloat = Field(default=1.0, description="RMS pointing jitter [um]")
    intensity_spread: NonNegativeFloat = Field(
        default=0.1, description="Relative RMS of the pulse energy"
    )


class SimulatedCrystals(_Section):
    """Crystals in the jet and how they diffract."""

    mean_in_beam: PositiveFloat = Field(
        default=0.5, description="Mean number of crystals in the beam at perfect alignment"
    )
    resolution_angstrom: PositiveFloat = Field(
        default=2.8, description="Where the mean Bragg intensity has fallen to 1/e^2 of its start"
    )
    mosaicity_deg: NonNegativeFloat = Field(default=0.05, description="RMS mosaicity [deg]")
    domain_size_angstrom: PositiveFloat = Field(
        default=1500.0, description="Mosaic domain size: width of the reciprocal spots"
    )
    bandwidth: NonNegativeFloat = Field(default=0.001, description="Relative RMS bandwidth")
    photons_per_spot: PositiveFloat = Field(
        default=300.0, description="Mean photons of a full low-angle reflection"
    )
    spot_sigma_px: PositiveFloat = Field(default=0.9, description="RMS radius of a spot [px]")
    cell_spread: NonNegativeFloat = Field(
        default=0.001, description="Relative RMS of the cell lengths from crystal to crystal"
    )


class SimulatedDetector(_Section):
    """How the detector counts, and how far it is from where the section ``analysis`` has it."""

    adu_per_photon: PositiveFloat = Field(default=10.0, description="Gain [counts/photon]")
    pedestal_adu: NonNegativeFloat = Field(default=40.0, description="Offset [counts]")
    readout_noise_adu: NonNegativeFloat = Field(default=4.0, description="RMS noise [counts]")
    background_photons: NonNegativeFloat = Field(
        default=2.0, description="Mean background at the water ring, jet in the beam [photons/px]"
    )
    hot_pixels: int = Field(default=50, ge=0, description="Pixels that always shine")
    dead_pixels: int = Field(default=50, ge=0, description="Pixels that never count")
    bank_frames: PositiveInt = Field(
        default=48, description="Noise frames made at start and used in random order"
    )
    beam_center_error_px: tuple[FiniteFloat, FiniteFloat] = Field(
        default=(0.0, 0.0),
        description="True beam center less that of analysis.detector, (slow, fast) [px]",
    )
    distance_error_mm: FiniteFloat = Field(
        default=0.0, description="True distance less that of analysis.detector [mm]"
    )


class SimulatedSfx(_Section):
    """Serial femtosecond crystallography on a liquid jet."""

    kind: Literal["sfx"]
    jet: SimulatedJet
    beam: SimulatedBeam = SimulatedBeam()
    crystals: SimulatedCrystals = SimulatedCrystals()
    detector: SimulatedDetector = SimulatedDetector()
    analysis_latency_s: NonNegativeFloat = Field(
        default=0.05, description="Result tables without pixels: exposure to result [s]"
    )

    @property
    def motors(self) -> dict[str, str]:
        """Motors by the path of the key that names them."""
        named = {"jet.across": self.jet.across}
        return named if self.jet.along is None else {**named, "jet.along": self.jet.along}


class SimulatedCustom(_Section):
    """A world of somebody's own that gives result tables."""

    kind: Literal["custom"]
    world: str = Field(
        description="Makes it: package.module:name, or an autosteer.worlds entry point; called "
        "with the experiment, the seed and the options"
    )
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="Further keyword arguments"
    )

    @property
    def motors(self) -> dict[str, str]:
        """Motors by the path of the key that names them: the world takes those of the knobs."""
        return {}


class Simulation(_Section):
    """Everything simulated that a run starts."""

    ioc: SimulatedIoc
    beamline: Annotated[
        SimulatedSfx | SimulatedXleap | SimulatedCustom, Field(discriminator="kind")
    ]

    @model_validator(mode="after")
    def _motors_exist(self) -> Self:
        for path, name in self.beamline.motors.items():
            if name not in self.ioc.motors:
                raise ValueError(
                    f"beamline.{path}: no motor '{name}' in ioc.motors "
                    f"({', '.join(self.ioc.motors)})"
                )
        return self
