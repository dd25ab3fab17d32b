"""Beamline optics: focusing mirrors, time zero, slits and beamstop, a monochromator in tune."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.sims._draws import stream_seed
from autosteer.sims._processes import OrnsteinUhlenbeck
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.tables import FOCUS, PUMP_PROBE, SCATTERING, TRANSMISSION
from autosteer.sims.signal_world import world_of

Float = NDArray[np.float64]


class FocusScene(Scene):
    r"""A pair of bendable mirrors that focus onto a slit, one horizontally and one vertically.

    Each mirror's spot grows with defocus, :math:`s^2 = s_0^2 (1 + d^2 + a^2)`. Bending focuses, and
    so does pitch: defocus is :math:`d = (b + 0.5 a)` in units of one depth of focus, where a and b
    are pitch and bend off their best over their widths; pitch also steers the beam off the slit,
    and a little of the vertical bend shows in the horizontal spot. The slit lets through a share
    :math:`\prod s_0 / s \cdot e^{-o^2 / 2 s^2}`, where o is how far the beam is off.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same optimum.
    """

    knobs = ("pitch_h", "bend_h", "pitch_v", "bend_v")
    kind = FOCUS
    signals: Mapping[str, Signal] = {
        "slit_photons": Signal("count", per_energy=True),
        "spot_area_um2": Signal("reading", sd=0.4),
    }

    _BEST = (0.04, 61.0, -0.06, 38.0)
    # One depth of focus, or what is the same for pitch [mrad, N].
    _WIDTHS = (0.08, 8.0, 0.08, 8.0)
    _SPOT_UM, _OFF_UM = 0.5, 0.6

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where both mirrors focus onto the slit."""
        return dict(zip(self.knobs, self._BEST, strict=True))

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of photons through the slit and of the spot's area."""
        pitch_h, bend_h, pitch_v, bend_v = (
            (knobs[name] - best) / width
            for name, best, width in zip(self.knobs, self._BEST, self._WIDTHS, strict=True)
        )
        transmitted, area_um2 = np.ones_like(times_s), np.full_like(times_s, 2 * np.pi)
        for pitch, defocus in (
            (pitch_h, bend_h + 0.5 * pitch_h + 0.3 * bend_v),
            (pitch_v, bend_v + 0.5 * pitch_v),
        ):
            spot_um = self._SPOT_UM * np.sqrt(1 + defocus**2 + pitch**2)
            off_um = self._OFF_UM * pitch
            transmitted *= self._SPOT_UM / spot_um * np.exp(-0.5 * (off_um / spot_um) ** 2)
            area_um2 *= spot_um
        return {"slit_photons": 2 + 400 * transmitted, "spot_area_um2": area_um2}


class TimeZeroScene(Scene):
    r"""A pump laser and X-rays that are to meet in time and space.

    The laser fires on every other shot, at random. While both overlap, absorption changes by
    :math:`\frac{s}{w} e^{-\Delta t^2 / 2 w^2}`, with the pulses' cross-correlation s and, with the
    jitter between both, :math:`w^2 = s^2 + j^2`; after time zero it stays changed, which shows as
    an edge. Both need the beams on top of each other.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same optimum.
    jitter_ps : float
        RMS jitter between laser and X-rays [ps].
    """

    knobs = ("delay", "overlap")
    kind = PUMP_PROBE
    signals: Mapping[str, Signal] = {
        "laser_on": Signal("fraction"),
        "peak": Signal("reading", sd=0.25, only_with="laser_on"),
        "edge": Signal("reading", sd=0.25, only_with="laser_on"),
    }

    _TIME_ZERO_PS, _OVERLAP_MM, _SPOT_MM, _CROSS_CORRELATION_PS = 0.61, -0.035, 0.06, 0.09

    def __init__(self, seed: int, *, jitter_ps: float = 0.07) -> None:
        super().__init__(seed)
        self._width_ps = float(np.hypot(self._CROSS_CORRELATION_PS, jitter_ps))

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where both meet."""
        return {"delay": self._TIME_ZERO_PS, "overlap": self._OVERLAP_MM}

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations with the laser on, and how often it is."""
        late = (knobs["delay"] - self._TIME_ZERO_PS) / self._width_ps
        shared = np.exp(-0.5 * ((knobs["overlap"] - self._OVERLAP_MM) / self._SPOT_MM) ** 2)
        height = self._CROSS_CORRELATION_PS / self._width_ps
        return {
            "laser_on": np.full_like(times_s, 0.5),
            "peak": height * np.exp(-0.5 * late**2) * shared,
            "edge": 0.4 * ndtr(late) * shared,
        }


class BeamstopScene(Scene):
    r"""Small-angle scattering behind an aperture and a beamstop: signal against background.

    A wider aperture gives more signal until the beam is as large as the sample, and background with
    its area, from holder and air. A beamstop far from the sample hides less of the signal, and
    leaves more air in the beam.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same front.
    """

    knobs = ("aperture", "beamstop")
    kind = SCATTERING
    signals: Mapping[str, Signal] = {
        "signal": Signal("count", per_energy=True),
        "background": Signal("count", per_energy=True),
    }

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of signal and background."""
        aperture, beamstop = knobs["aperture"] / 30, knobs["beamstop"] / 60
        lit = -np.expm1(-(aperture**2))
        return {
            "signal": 240 * lit * -np.expm1(-6 * beamstop),
            "background": 3 + aperture**2 * (4 + 20 * beamstop),
        }


class MonochromatorScene(Scene):
    """A monochromator and an undulator that must follow a photon energy that nobody sets.

    The energy wanders about its nominal value. Angle and gap have a best place each, which moves
    in proportion to the energy's deviation; off it, the photons fall like a Gaussian.

    Parameters
    ----------
    seed : int
        Seed of the wander.
    wander_ev : float
        RMS wander of the photon energy [eV].
    wander_time_s : float
        Its correlation time [s].
    """

    knobs = ("angle", "gap")
    kind = TRANSMISSION
    signals: Mapping[str, Signal] = {
        "photon_energy_ev": Signal("reading", sd=1.5),
        "photons": Signal("count", per_energy=True),
    }
    changes = True

    _NOMINAL_EV = 7100.0
    _BEST = (16.2, 8.4)
    # How both follow the energy [mdeg/eV, mm/eV], and how sharp they are.
    _SLOPES = (-0.05, 0.01)
    _WIDTHS = (0.35, 0.1)

    def __init__(self, seed: int, *, wander_ev: float = 10.0, wander_time_s: float = 40.0) -> None:
        super().__init__(seed)
        rng = np.random.default_rng(stream_seed(seed, "photon energy"))
        self._wander = OrnsteinUhlenbeck(wander_ev, wander_time_s, rng)

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where both are in tune at a time."""
        off_ev = float(self._wander.at(np.array([time_s]))[0])
        return {
            knob: best + slope * off_ev
            for knob, best, slope in zip(self.knobs, self._BEST, self._SLOPES, strict=True)
        }

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of the photon energy and of the photons."""
        off_ev = self._wander.at(times_s)
        squares = [
            ((knobs[knob] - best - slope * off_ev) / width) ** 2
            for knob, best, slope, width in zip(
                self.knobs, self._BEST, self._SLOPES, self._WIDTHS, strict=True
            )
        ]
        return {
            "photon_energy_ev": self._NOMINAL_EV + off_ev,
            "photons": 1 + 90 * np.exp(-0.5 * sum(squares)),
        }


focusing_mirrors = world_of(FocusScene)
time_zero = world_of(TimeZeroScene)
aperture_and_beamstop = world_of(BeamstopScene)
monochromator = world_of(MonochromatorScene)
