"""From frames to result tables: the experiment file's section ``analysis``."""

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

from autosteer.contracts._section import Section


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


class _Workers(Section):
    """Processes that analyse, and what they take at a time."""

    workers: PositiveInt = Field(default=1, description="Worker processes")
    batch_shots: PositiveInt = Field(default=8, description="A batch starts at this many shots")
    batch_wait_s: NonNegativeFloat = Field(
        default=0.04, description="or when the oldest shot has waited this long [s]"
    )


class Analysis(_Workers):
    """From frames, or spot lists, to result tables."""

    detector: DetectorSection | None = Field(
        default=None, description="Needed where the source gives frames"
    )
    finder: FinderSection = FinderSection()
    indexer: IndexerSection
    min_spots_hit: PositiveInt = Field(default=8, description="Spots that make a frame a hit")
    calibration: CalibrationSection | None = Field(
        default=None,
        description="Calibrates the geometry while frames come; without it nothing does",
    )


class PulseSection(_Workers):
    """From the channels of a streaking spectrometer to result tables of pulses."""

    estimator: Literal["matched", "dciphr", "dciphr-small"] = Field(
        default="dciphr-small", description="How pulses are characterised"
    )
    calibration: str | None = Field(
        default=None,
        description="File by 'autosteer calibrate pulses', for the matched estimator and the "
        "audit; default: that of the simulated spectrometer",
    )
    weights: str | None = Field(
        default=None, description="File by 'autosteer train pulses'; default: the built-in weights"
    )
    wavelength_um: float = Field(
        default=1.2, ge=0.2, le=30, description="Wavelength of the streaking laser [um]"
    )
    device: str = Field(default="cpu", description="Torch device, such as cuda or cuda:1")
    channel_wait_s: PositiveFloat = Field(
        default=0.2, description="A shot waits this long for the last of its channels [s]"
    )
    audit_fraction: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the shots that the matched estimator looks at as well",
    )
    batch_shots: PositiveInt = Field(default=64, description="A batch starts at this many shots")
    batch_wait_s: NonNegativeFloat = Field(
        default=0.1, description="or when the oldest shot has waited this long [s]"
    )
