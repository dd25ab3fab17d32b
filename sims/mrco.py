"""The angular-streaking spectrometer MRCO: random attosecond pulses and their sinograms.

Written from the published description of the simulator that DCIPHR was trained with [1]_. Counts
stand one bin lower than the lines, as they do there.

References
----------
.. [1] J. Hirschman et al., A Hybrid Neural Architecture: Online Attosecond X-ray Characterization
       (2025), and the simulator CookieSimSlim with which its data were made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from autosteer.contracts.pulse_simulation import MRCO_PRESETS, SimulatedMrco
from autosteer.physics.sinogram_model import SinogramLaw, SubSpikes
from autosteer.physics.streaking import fold_phase
from autosteer.sims._draws import PulseDraws, poisson_quantile, stream_seed
from autosteer.sims._electrons import Electrons
from autosteer.sims._processes import SlowWander

Float = NDArray[np.float64]
Pulses = NDArray[np.uint64]

_CHUNK_SHOTS = 256
# Draws of a pulse, then those of each sub-spike, the last of which are further tries of the phase.
_CLASS, _MANY, _SCALE, _KICK, _FIRST_SPIKE = 0, 1, 2, 3, 8
_CENTER, _AMPLITUDE, _POLARIZATION, _POLARIZATION_ANGLE, _PHASE = 0, 1, 2, 3, 4
_PHASE_TRIES = 15
_DRAWS_A_SPIKE = _PHASE + _PHASE_TRIES
_NEAR_BINS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class PulseShots:
    """Sinograms, and what they were made from.

    Parameters
    ----------
    sinograms : ndarray of uint16, shape (n, n_channels, n_bins)
        Counts.
    truth : SubSpikes
        The sub-spikes.
    """

    sinograms: NDArray[np.uint16]
    truth: SubSpikes

    def __len__(self) -> int:
        return len(self.sinograms)

    @property
    def delta_phase_rad(self) -> Float:
        """Folded phase difference of two sub-spikes; NaN for other numbers, shape (n,) [rad]."""
        phase = self.truth.phase_rad
        difference = np.full(len(self), np.nan)
        two = np.flatnonzero(self.truth.n_spikes == 2)
        if len(two):
            difference[two] = fold_phase(phase[two, 1] - phase[two, 0])
        return difference


class MrcoSimulator:
    """Random pulses and their sinograms; a pulse's row depends on seed and pulse id alone.

    Parameters
    ----------
    config : SimulatedMrco or str, default "paper"
        Pulses and spectrometer, or the name of a preset.
    seed : int, default 0
        The one seed of the simulation, not negative.

    Raises
    ------
    ValueError
        If there is no preset of that name.
    """

    def __init__(self, config: SimulatedMrco | str = "paper", seed: int = 0) -> None:
        if isinstance(config, str):
            if config not in MRCO_PRESETS:
                raise ValueError(
                    f"no preset '{config}': there are {', '.join(sorted(MRCO_PRESETS))}"
                )
            config = MRCO_PRESETS[config]
        self.config = config
        rng = np.random.default_rng(stream_seed(seed, "channel efficiencies"))
        efficiency = np.maximum(1 + config.gain_spread * rng.standard_normal(config.n_channels), 0)
        efficiency[list(config.dead_channels)] = 0
        self.law = SinogramLaw(
            n_channels=config.n_channels,
            n_bins=config.n_bins,
            line_half_width_bins=config.line_half_width_bins,
            efficiencies=tuple(efficiency.tolist()),
        )
        self._draws = PulseDraws(seed, "pulses")
        self._center_wander = SlowWander(
            config.center_wander_bins, config.wander_pulses, seed, "center wander"
        )
        self._kick_wander = SlowWander(
            config.kick_wander_bins, config.wander_pulses, seed, "kick wander"
        )
        self._electrons = Electrons(self.law, config, seed)

    def shots(self, pulse_ids: Pulses, n_spikes: int | None = None) -> PulseShots:
        """Make random pulses and their sinograms.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        n_spikes : int, optional
            Sub-spikes of every shot; at random if not given.

        Returns
        -------
        PulseShots
            The shots.

        Raises
        ------
        ValueError
            If `n_spikes` is negative or above `SimulatedMrco.max_spikes`.
        """
        pulses = np.asarray(pulse_ids, dtype=np.uint64)
        truth = self.random_spikes(pulses, n_spikes)
        return PulseShots(self.sinograms(pulses, truth), truth)

    def sinograms(self, pulse_ids: Pulses, spikes: SubSpikes) -> NDArray[np.uint16]:
        """Make the sinograms of given sub-spikes.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses, which make the electrons' noise.
        spikes : SubSpikes
            Sub-spikes of the n shots.

        Returns
        -------
        ndarray of uint16, shape (n, n_channels, n_bins)
            Counts.
        """
        pulses = np.asarray(pulse_ids, dtype=np.uint64)
        sinograms = np.empty((len(pulses), self.law.n_channels, self.law.n_bins), dtype=np.uint16)
        number = spikes.n_spikes
        for count in np.unique(number):
            alike = np.flatnonzero(number == count)
            for start in range(0, len(alike), _CHUNK_SHOTS):
                some = alike[start : start + _CHUNK_SHOTS]
                here = spikes.select(some).of_number(int(count))
                sinograms[some] = self._electrons.sinograms(pulses[some], here)
        return sinograms

    def random_spikes(
        self, pulse_ids: Pulses, n_spikes: int | NDArray[np.int64] | None = None
    ) -> SubSpikes:
        """Make random sub-spikes.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        n_spikes : int or ndarray of int64, shape (n,), optional
            Sub-spikes of every shot, or of each; at random if not given.

        Returns
        -------
        SubSpikes
            The sub-spikes.

        Raises
        ------
        ValueError
            If `n_spikes` is negative or above `SimulatedMrco.max_spikes`.
        """
        config, draws = self.config, self._draws
        pulses = np.asarray(pulse_ids, dtype=np.uint64)
        number = (
            self._numbers(pulses)
            if n_spikes is None
            else np.broadcast_to(np.asarray(n_spikes, dtype=np.int64), pulses.shape)
        )
        if not (number.min(initial=0) >= 0 and number.max(initial=0) <= config.max_spikes):
            raise ValueError(f"n_spikes is {n_spikes}: it must be 0 to {config.max_spikes}")
        most = int(number.max(initial=0))
        first = _FIRST_SPIKE + _DRAWS_A_SPIKE * np.arange(most)
        missing = np.arange(most)[:, None] >= number

        def uniform(draw: int) -> Float:
            if not most:
                return np.empty((0, len(pulses)))
            return np.stack([draws.uniform(pulses, int(one) + draw) for one in first])

        center = config.center_bin + config.center_spread_bins * ndtri(uniform(_CENTER))
        center += self._center_wander.at(pulses)
        quanta = config.amplitude_quanta
        amplitude = (
            poisson_quantile(uniform(_AMPLITUDE).ravel(), quanta).reshape(most, len(pulses))
            / quanta
        )
        polarization = uniform(_POLARIZATION) if config.polarized else np.zeros((most, len(pulses)))
        angle = np.pi * uniform(_POLARIZATION_ANGLE)
        phase = self._phases(pulses, center, first)
        center, phase, amplitude, polarization, angle = (
            np.where(missing, np.nan, column).T.copy()
            for column in (center, phase, amplitude, polarization, angle)
        )
        kick = config.kick_bins + config.kick_spread_bins * draws.normal(pulses, _KICK)
        kick += self._kick_wander.at(pulses)
        low, high = np.log(config.draw_scale_range)
        scale = np.exp(low + (high - low) * draws.uniform(pulses, _SCALE))
        mean_amplitude = np.nansum(amplitude, axis=1) / np.maximum(number, 1)
        background = config.dark_scale + config.secondary_scale * mean_amplitude
        return SubSpikes(
            center, phase, amplitude, polarization, angle, kick, background,
            electrons=config.draw_scale * scale,
        )  # fmt: skip

    def _numbers(self, pulses: Pulses) -> NDArray[np.int64]:
        """Draw the numbers of sub-spikes."""
        config = self.config
        chosen = self._draws.uniform(pulses, _CLASS)
        if config.class_mix is None:
            return np.minimum(poisson_quantile(chosen, config.mean_spikes), config.max_spikes)
        share = np.cumsum(config.class_mix) / sum(config.class_mix)
        number = np.searchsorted(share[:-1], chosen, side="right")
        many = len(config.class_mix) - 1
        above = config.max_spikes - many + 1
        more = np.floor(above * self._draws.uniform(pulses, _MANY)).astype(np.int64)
        return np.asarray(np.where(number == many, many + more, number), dtype=np.int64)

    def _phases(self, pulses: Pulses, center: Float, first: NDArray[np.int64]) -> Float:
        """Draw phases, shape (m, n), and again where lines would lie upon each other."""
        phases = np.empty_like(center)
        for spike in range(len(center)):
            before = phases[:spike]
            near = np.abs(center[:spike] - center[spike]) < _NEAR_BINS
            left = np.arange(len(pulses))
            for attempt in range(_PHASE_TRIES):
                draw = int(first[spike]) + _PHASE + attempt
                phases[spike, left] = 2 * np.pi * self._draws.uniform(pulses[left], draw)
                # As published, the difference is not taken round the circle.
                apart = np.abs(before[:, left] - phases[spike, left])
                close = (near[:, left] & (apart <= self.config.min_phase_rad)).any(axis=0)
                left = left[close]
                if not len(left):
                    break
        return phases
