"""How a simulated angular-streaking spectrometer sees simulated attosecond pulses."""

from __future__ import annotations

import math
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    model_validator,
)

MOST_SPIKES = 12
"""Sub-spikes that a simulated shot can have."""


class SimulatedMrco(BaseModel):
    """An angular-streaking spectrometer, and the statistics of the pulses that it sees.

    The defaults are those with which DCIPHR was trained and judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_channels: int = Field(default=16, ge=4, le=64, description="Channels round the beam")
    n_bins: int = Field(default=512, ge=64, le=4096, description="Energy bins of a channel")
    class_mix: tuple[NonNegativeFloat, ...] | None = Field(
        default=(0.2, 0.2, 0.2, 0.2, 0.2),
        description="Shares of shots with 0, 1, 2, ... sub-spikes; the last share is that of shots "
        "with as many or more, up to max_spikes. None: Poisson numbers about mean_spikes",
    )
    mean_spikes: PositiveFloat = Field(default=3.0, description="Mean of Poisson numbers")
    max_spikes: int = Field(default=10, ge=1, le=MOST_SPIKES, description="Most sub-spikes")
    center_bin: PositiveFloat = Field(default=256.0, description="Mean energy of the lines [bins]")
    center_spread_bins: NonNegativeFloat = Field(default=5.0, description="RMS of a line's energy")
    kick_bins: NonNegativeFloat = Field(default=128.0, description="Mean streaking amplitude")
    kick_spread_bins: NonNegativeFloat = Field(default=32.0, description="RMS of the amplitude")
    amplitude_quanta: PositiveFloat = Field(
        default=10.0, description="A sub-spike's amplitude is a Poisson number over its mean, this"
    )
    polarized: bool = Field(
        default=True, description="Lines have linear polarisations at random, not circular ones"
    )
    min_phase_rad: NonNegativeFloat = Field(
        default=math.pi / 8,
        description="Least phase difference of lines that are less than a bin apart",
    )
    line_half_width_bins: PositiveFloat = Field(default=3.0, description="Where a line ends")
    draw_scale: PositiveFloat = Field(default=4.0, description="Electrons for a unit of rate")
    draw_scale_range: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(1.0, 1.0), description="Range of factors of draw_scale, evenly in its logarithm"
    )
    dark_scale: NonNegativeFloat = Field(default=0.0005, description="Rate in each bin, always")
    secondary_scale: NonNegativeFloat = Field(
        default=0.002, description="Rate in each bin for a mean amplitude of one"
    )
    poisson_counts: bool = Field(
        default=False, description="Channels count Poisson numbers, not the whole part of the mean"
    )
    response_bins: NonNegativeFloat = Field(
        default=0.0, description="RMS of the error of an electron's time of flight [bins]"
    )
    dead_channels: tuple[int, ...] = Field(default=(), description="Channels that count nothing")
    center_wander_bins: NonNegativeFloat = Field(
        default=0.0, description="RMS of a slow wander of the lines' mean energy [bins]"
    )
    kick_wander_bins: NonNegativeFloat = Field(
        default=0.0, description="RMS of a slow wander of the mean streaking amplitude [bins]"
    )
    wander_pulses: PositiveFloat = Field(
        default=30_000.0, description="Pulses over which these wander"
    )
    gain_spread: NonNegativeFloat = Field(
        default=0.0, lt=0.5, description="RMS error of the channels' efficiencies, always the same"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        mix, most = self.class_mix, self.max_spikes + 1
        if mix is not None and not (2 <= len(mix) <= most and sum(mix) > 0):
            raise ValueError(
                f"class_mix has {len(mix)} shares with the sum {sum(mix):g}: it needs 2 to "
                f"max_spikes + 1 = {most}, and a positive sum"
            )
        wrong = [channel for channel in self.dead_channels if not 0 <= channel < self.n_channels]
        if wrong:
            raise ValueError(
                f"dead_channels names {wrong}: channels are 0 to {self.n_channels - 1}"
            )
        low, high = self.draw_scale_range
        if low > high:
            raise ValueError(f"draw_scale_range is ({low:g}, {high:g}): put the smaller one first")
        return self


MRCO_PRESETS: dict[str, SimulatedMrco] = {
    "paper": SimulatedMrco(),
    "upstream-main": SimulatedMrco(
        n_bins=128,
        class_mix=None,
        center_bin=64.0,
        kick_bins=16.0,
        kick_spread_bins=4.0,
        polarized=False,
        min_phase_rad=0.0,
        line_half_width_bins=4.0,
        draw_scale=5.0,
    ),
}
"""Settings with which others have simulated such a spectrometer, by name."""
