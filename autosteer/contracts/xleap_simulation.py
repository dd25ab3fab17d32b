"""A simulated X-ray laser that makes pairs of attosecond pulses, and what sees them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat

from autosteer.contracts._section import Section
from autosteer.contracts.pulse_simulation import MRCO_PRESETS, SimulatedMrco


class SimulatedKnob(Section):
    """A knob of the machine with a place at which it is best, which wanders and drifts."""

    motor: str = Field(description="Motor of the soft IOC")
    best: FiniteFloat = Field(description="Where it is best at the start [units]")
    width: PositiveFloat = Field(
        description="Distance from there at which a chance has fallen to exp(-1/2) [units]"
    )
    wander: NonNegativeFloat = Field(default=0.0, description="RMS wander of the best [units]")
    drift_per_min: FiniteFloat = Field(default=0.0, description="Drift of the best [units/min]")


class SimulatedChicane(Section):
    """The magnetic chicane that sets the delay between the two pulses of a pair."""

    motor: str = Field(description="Motor of the soft IOC, whose unit is fs")
    offset_fs: FiniteFloat = Field(
        default=0.0, description="Delay at the motor's zero, at the start [fs]"
    )
    spread_as: PositiveFloat = Field(
        default=60.0, description="RMS of the delay from shot to shot [as]"
    )
    wander_as: NonNegativeFloat = Field(default=0.0, description="RMS wander of the delay [as]")
    drift_as_per_min: FiniteFloat = Field(default=0.0, description="Drift of the delay [as/min]")


class SimulatedChannelStreams(Section):
    """How the channels of the spectrometer reach us: each on its own, and not perfectly."""

    latency_s: NonNegativeFloat = Field(default=0.002, description="Least delay [s]")
    late_s: NonNegativeFloat = Field(
        default=0.0, description="Mean of a further delay, random for each message [s]"
    )
    missing: float = Field(default=0.0, ge=0, le=1, description="Share of messages that are lost")
    duplicated: float = Field(
        default=0.0, ge=0, le=1, description="Share of messages that come twice"
    )


class SimulatedXleap(Section):
    """An X-ray laser in enhanced-SASE mode, tuned for pairs of attosecond pulses.

    A modulator gives the electrons the current spikes that lase, a chicane sets the delay between
    the two spikes of a pair, and the undulator taper lets the second one lase as well. Away from
    their best places pairs become rarer and stray sub-spikes more frequent.
    """

    kind: Literal["xleap"]
    modulator: SimulatedKnob = Field(description="Strength of the modulator")
    chicane: SimulatedChicane
    taper: SimulatedKnob | None = Field(
        default=None, description="Taper of the undulator; none: always at best"
    )
    laser_phase: SimulatedKnob | None = Field(
        default=None, description="Phase of the modulator's laser; none: always at best"
    )
    spike_chance: float = Field(
        default=0.9, gt=0, le=1, description="Chance of each spike of a pair, all knobs at best"
    )
    stray_spikes: NonNegativeFloat = Field(
        default=0.1, description="Mean number of other sub-spikes, all knobs at best"
    )
    slippage_as: FiniteFloat = Field(
        default=40.0, description="Change of the delay for a modulator off by one width [as]"
    )
    wander_time_s: PositiveFloat = Field(
        default=30.0, description="Correlation time of everything that wanders [s]"
    )
    intensity_spread: NonNegativeFloat = Field(
        default=0.1, description="Relative RMS of the pulse energy"
    )
    wavelength_um: float = Field(
        default=1.2, ge=0.2, le=30, description="Wavelength of the streaking laser [um]"
    )
    spectrometer: SimulatedMrco = Field(
        default=MRCO_PRESETS["paper"],
        description="The spectrometer; the number of sub-spikes comes from the machine",
    )
    streams: SimulatedChannelStreams = SimulatedChannelStreams()
    analysis_latency_s: NonNegativeFloat = Field(
        default=0.1, description="Result tables without sinograms: exposure to result [s]"
    )
    miscounts: float = Field(
        default=0.01, ge=0, lt=0.4, description="In these tables, share of wrong counts, by one"
    )
    phase_error_rad: PositiveFloat = Field(
        default=0.01, description="In these tables, RMS error of phase differences [rad]"
    )

    @property
    def motors(self) -> dict[str, str]:
        """Motors by the path of the key that names them."""
        named = {"modulator.motor": self.modulator.motor, "chicane.motor": self.chicane.motor}
        for role in ("taper", "laser_phase"):
            knob: SimulatedKnob | None = getattr(self, role)
            if knob is not None:
                named[f"{role}.motor"] = knob.motor
        return named
