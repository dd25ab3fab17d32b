"""What an estimator knows of its spectrometer: lines, channels, and what pulses usually are."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from autosteer.contracts import AnalysisError

_FEWEST_POINTS = 3


class PulseCalibration(BaseModel):
    """An angular-streaking spectrometer, as it was found from its sinograms.

    `autosteer calibrate pulses` fits one to data; nobody has to write one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(default=1, ge=1, le=1, description="Of this format")
    source: str = Field(description="What it was made from")
    n_shots: int = Field(ge=1, description="Shots that it was made from")
    n_channels: int = Field(ge=4, description="Channels round the beam, the first at angle 0")
    n_bins: int = Field(ge=16, description="Energy bins of a channel")
    line_bins: tuple[FiniteFloat, ...] = Field(
        description="Distances from the middle of a line, increasing [bins]"
    )
    line: tuple[NonNegativeFloat, ...] = Field(
        description="Share of a line's electrons in a bin at each distance"
    )
    efficiencies: tuple[NonNegativeFloat, ...] = Field(
        description="What each channel counts, over the usual one; 0: nothing"
    )
    center_bins: FiniteFloat = Field(description="Mean energy of lines without the laser [bins]")
    center_spread_bins: PositiveFloat = Field(description="Its standard deviation [bins]")
    kick_bins: FiniteFloat = Field(description="Mean streaking amplitude [bins]")
    kick_spread_bins: PositiveFloat = Field(description="Its standard deviation [bins]")
    line_electrons: PositiveFloat = Field(description="Mean electrons of a line in a channel")
    background: PositiveFloat = Field(description="Mean electrons in a bin besides the lines")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(self.line) != len(self.line_bins) or len(self.line) < _FEWEST_POINTS:
            raise ValueError(
                f"line has {len(self.line)} values at {len(self.line_bins)} distances: it needs "
                f"one at each, and {_FEWEST_POINTS} or more"
            )
        if not (np.diff(self.line_bins) > 0).all() or not sum(self.line) > 0:
            raise ValueError("line_bins must increase, and line must not be all zero")
        if len(self.efficiencies) != self.n_channels or not sum(self.efficiencies) > 0:
            raise ValueError(
                f"efficiencies has {len(self.efficiencies)} values for {self.n_channels} "
                "channels: it needs one for each, not all zero"
            )
        return self

    @property
    def line_reach_bins(self) -> float:
        """Distance beyond which a line has no electrons [bins]."""
        line = np.asarray(self.line)
        bins = np.asarray(self.line_bins)
        some = np.flatnonzero(line > 0)
        last = min(int(some[-1]) + 1, len(bins) - 1)
        first = max(int(some[0]) - 1, 0)
        return float(max(abs(bins[first]), abs(bins[last])))

    @property
    def expected_shape(self) -> tuple[int, int]:
        """Channels and bins of a sinogram."""
        return self.n_channels, self.n_bins

    def write(self, path: Path) -> None:
        """Write it to a file.

        Parameters
        ----------
        path : Path
            JSON file.

        Raises
        ------
        AnalysisError
            If it cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise AnalysisError(f"{path}: cannot be written ({error.strerror})") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it from a file.

        Parameters
        ----------
        path : Path
            JSON file.

        Returns
        -------
        PulseCalibration
            The calibration.

        Raises
        ------
        AnalysisError
            If the file cannot be read, or is no calibration.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise AnalysisError(f"{path}: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise AnalysisError(
                f"{path}: no pulse calibration, {where}: {first['msg']}; make one with "
                "'autosteer calibrate pulses'"
            ) from error


def line_moments(calibration: PulseCalibration) -> tuple[float, float]:
    """Return mean and standard deviation of a line's electrons.

    Parameters
    ----------
    calibration : PulseCalibration
        The calibration.

    Returns
    -------
    mean, sd : float
        Distance from the middle [bins].
    """
    bins: NDArray[np.float64] = np.asarray(calibration.line_bins)
    line = np.asarray(calibration.line)
    mean = float((line * bins).sum() / line.sum())
    return mean, float(np.sqrt((line * (bins - mean) ** 2).sum() / line.sum()))
