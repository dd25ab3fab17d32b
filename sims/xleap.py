"""An X-ray laser tuned for pairs of attosecond pulses: what each pulse is.

Time is given from outside, and every draw belongs to a seed and a pulse id. What is returned is
the truth: it makes sinograms, and scores decisions; it never travels with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from autosteer.contracts.xleap_simulation import SimulatedKnob, SimulatedXleap
from autosteer.physics.sinogram_model import SubSpikes
from autosteer.physics.streaking import optical_period_as
from autosteer.sims._checks import checked_position, checked_pulses, checked_times, lognormal
from autosteer.sims._draws import PulseDraws, poisson_quantile, stream_seed
from autosteer.sims._processes import OrnsteinUhlenbeck
from autosteer.sims.mrco import MrcoSimulator

Float = NDArray[np.float64]

# Draws of a pulse, then one for the phase of each sub-spike.
_FIRST, _SECOND, _STRAY, _DELAY, _ENERGY, _PHASES = 0, 1, 2, 3, 4, 8
_MOST_STRAY = 3.0
_FOLDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class PairChances:
    """What the machine makes of a pulse, but for chance; all arrays have shape (n,).

    Parameters
    ----------
    first_chance, second_chance : ndarray of float64
        Probabilities that the first and the second spike of the pair lase.
    stray_mean : ndarray of float64
        Mean number of other sub-spikes.
    delay_mean_as : ndarray of float64
        Mean delay between the two of a pair [as].
    """

    first_chance: Float
    second_chance: Float
    stray_mean: Float
    delay_mean_as: Float


@dataclass(frozen=True, slots=True, eq=False)
class PulseTruth:
    """What many pulses are. For sinograms and scoring only.

    Parameters
    ----------
    pulse_id : ndarray of uint64, shape (n,)
        Number of the machine pulse.
    first_chance, second_chance, stray_mean, delay_mean_as : ndarray of float64, shape (n,)
        As of `PairChances`.
    n_spikes : ndarray of int64, shape (n,)
        Sub-spikes.
    delay_as : ndarray of float64, shape (n,)
        Delay where a pair alone has lased; NaN elsewhere [as].
    beam_intensity : ndarray of float64, shape (n,)
        Pulse energy over its nominal value.
    spikes : SubSpikes
        The sub-spikes of the n pulses as the spectrometer meets them.
    dark_rate : float
        Rate in each bin of the spectrometer without any light.
    """

    pulse_id: NDArray[np.uint64]
    first_chance: Float
    second_chance: Float
    stray_mean: Float
    delay_mean_as: Float
    n_spikes: NDArray[np.int64]
    delay_as: Float
    beam_intensity: Float
    spikes: SubSpikes
    dark_rate: float

    def __len__(self) -> int:
        return len(self.pulse_id)

    def dark(self) -> PulseTruth:
        """Return the same pulses with the shutter closed.

        Returns
        -------
        PulseTruth
            No light, so no sub-spikes; the machine's chances stay.
        """
        n = len(self)
        nothing = np.full((n, 0), np.nan)
        return replace(
            self,
            n_spikes=np.zeros(n, dtype=np.int64),
            delay_as=np.full(n, np.nan),
            beam_intensity=np.zeros(n),
            spikes=replace(
                self.spikes,
                center_bins=nothing,
                phase_rad=nothing,
                amplitude=nothing,
                polarization=nothing,
                polarization_angle_rad=nothing,
                background=np.full(n, self.dark_rate),
            ),
        )


class _Optimum:
    """Where a knob is best, as a function of time."""

    def __init__(self, knob: SimulatedKnob, wander_time_s: float, seed: int, role: str) -> None:
        self._knob = knob
        rng = np.random.default_rng(stream_seed(seed, f"{role} wander"))
        self._wander = OrnsteinUhlenbeck(knob.wander, wander_time_s, rng)

    def at(self, times_s: Float) -> Float:
        drift = self._knob.drift_per_min / 60 * times_s
        best: Float = self._knob.best + self._wander.at(times_s) + drift
        return best

    def widths_off(self, positions: Mapping[str, ArrayLike], times_s: Float) -> Float:
        """Return the distance of a motor from the best place, in widths."""
        here = _positions_of(positions, self._knob.motor, times_s)
        off: Float = (here - self.at(times_s)) / self._knob.width
        return off


class XleapMachine:
    """An X-ray laser whose knobs set how many sub-spikes pulses have, and how far apart.

    Each of the two spikes of a pair lases with a chance that is a Gaussian of the knobs' distances
    from their best places; other sub-spikes come at random, the more the farther the knobs are
    off. The delay of a pair is normally distributed about a mean, which the chicane sets and
    which shifts with the modulator's strength. It is a model of the statistics of such a machine
    [1]_, not of its electrons.

    Parameters
    ----------
    config : SimulatedXleap
        The machine and its spectrometer.
    seed : int
        The one seed of the simulation, not negative.

    References
    ----------
    .. [1] Z. Guo et al., Nature Photonics 18, 691 (2024), on pairs of attosecond pulses.
    """

    def __init__(self, config: SimulatedXleap, seed: int) -> None:
        self.config = config
        self.spectrometer = MrcoSimulator(config.spectrometer, seed)
        self._draws = PulseDraws(seed, "machine pulses")
        time_s = config.wander_time_s
        self._modulator = _Optimum(config.modulator, time_s, seed, "modulator")
        self._taper = config.taper and _Optimum(config.taper, time_s, seed, "taper")
        self._laser = config.laser_phase and _Optimum(
            config.laser_phase, time_s, seed, "laser phase"
        )
        rng = np.random.default_rng(stream_seed(seed, "delay wander"))
        self._delay_wander = OrnsteinUhlenbeck(config.chicane.wander_as, time_s, rng)

    @property
    def motors(self) -> tuple[str, ...]:
        """Names of the motors whose positions are needed."""
        return tuple(self.config.motors.values())

    def chances(self, positions: Mapping[str, ArrayLike], times_s: ArrayLike) -> PairChances:
        """Return what the machine makes of pulses at given positions, for scoring.

        Parameters
        ----------
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor; see `motors`.
        times_s : array_like of float, shape (n,)
            Times since the start [s].

        Returns
        -------
        PairChances
            The chances.

        Raises
        ------
        ValueError
            If a motor is missing, a position is not finite, shapes differ, or a time is negative
            or beyond what the simulation keeps (some days).
        """
        times = np.atleast_1d(checked_times(times_s, self._delay_wander.longest_s))
        nothing = np.zeros(times.shape)
        off = self._modulator.widths_off(positions, times)
        taper = self._taper.widths_off(positions, times) if self._taper else nothing
        laser = self._laser.widths_off(positions, times) if self._laser else nothing
        first = self.config.spike_chance * np.exp(-(off**2 + laser**2) / 2)
        chicane = self.config.chicane
        delay = 1000 * (_positions_of(positions, chicane.motor, times) + chicane.offset_fs)
        delay += self._delay_wander.at(times) + chicane.drift_as_per_min / 60 * times
        stray = self.config.stray_spikes * (1 + off**2 + laser**2 + taper**2)
        return PairChances(
            first_chance=first,
            second_chance=first * np.exp(-(taper**2) / 2),
            stray_mean=np.minimum(stray, _MOST_STRAY),
            delay_mean_as=delay + self.config.slippage_as * off,
        )

    def shots(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        positions: Mapping[str, ArrayLike],
    ) -> PulseTruth:
        """Say what pulses are.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        times_s : ndarray of float64, shape (n,)
            Time of each pulse since the start [s].
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor at each pulse; see `motors`.

        Returns
        -------
        PulseTruth
            One row per pulse. A pulse's row depends on seed, pulse id, time and positions, not on
            the other pulses of the call.

        Raises
        ------
        ValueError
            As `chances` does, and if there is not one time for each pulse.
        """
        pulses = checked_pulses(pulse_ids, times_s)
        chances = self.chances(positions, times_s)
        draws = self._draws
        first, second = (
            draws.uniform(pulses, draw) < chance
            for draw, chance in ((_FIRST, chances.first_chance), (_SECOND, chances.second_chance))
        )
        stray = poisson_quantile(draws.uniform(pulses, _STRAY), chances.stray_mean)
        number = np.minimum(first.astype(np.int64) + second + stray, self._most_spikes)
        delay = chances.delay_mean_as + self.config.chicane.spread_as * draws.normal(pulses, _DELAY)
        spikes = self.spectrometer.random_spikes(pulses, number)
        spikes = replace(spikes, phase_rad=self._phases(pulses, number, first & second, delay))
        dark_rate = self.config.spectrometer.dark_scale
        energy = lognormal(draws.normal(pulses, _ENERGY), self.config.intensity_spread)
        return PulseTruth(
            pulse_id=pulses,
            first_chance=chances.first_chance,
            second_chance=chances.second_chance,
            stray_mean=chances.stray_mean,
            delay_mean_as=chances.delay_mean_as,
            n_spikes=number,
            delay_as=np.where(first & second & (number == 2), delay, np.nan),
            beam_intensity=energy,
            spikes=replace(
                spikes,
                amplitude=spikes.amplitude * energy[:, None],
                background=dark_rate + (spikes.background - dark_rate) * energy,
            ),
            dark_rate=dark_rate,
        )

    @property
    def _most_spikes(self) -> int:
        return self.config.spectrometer.max_spikes

    def _phases(
        self,
        pulses: NDArray[np.uint64],
        number: NDArray[np.int64],
        pair: NDArray[np.bool_],
        delay_as: Float,
    ) -> Float:
        """Draw phases, shape (n, m); those of a pair, which come first, follow its delay."""
        most = int(number.max(initial=0))
        if not most:
            return np.empty((len(pulses), 0))
        phases = 2 * np.pi * self._draws.uniform(pulses, slice(_PHASES, _PHASES + most)).T
        if most > 1:
            turns = delay_as / optical_period_as(self.config.wavelength_um)
            phases[:, 1] = np.where(pair, phases[:, 0] + 2 * np.pi * turns, phases[:, 1])
        missing = np.arange(most) >= number[:, None]
        return np.where(missing, np.nan, np.mod(phases, 2 * np.pi))


def pair_share(
    chances: PairChances, window_as: tuple[float, float], config: SimulatedXleap
) -> Float:
    """Return the share of shots with two sub-spikes at a delay within a window, for scoring.

    Delays are as they can be seen: without a sign, and folded into half a period of the laser.

    Parameters
    ----------
    chances : PairChances
        What the machine makes of n pulses.
    window_as : (float, float)
        Least and largest delay, within half a period [as].
    config : SimulatedXleap
        The machine.

    Returns
    -------
    ndarray of float64, shape (n,)
        Probability that a shot has exactly two sub-spikes that far apart.
    """
    low, high = window_as
    period = optical_period_as(config.wavelength_um)
    spread, mean = config.chicane.spread_as, chances.delay_mean_as
    of_pairs = np.zeros_like(mean)
    for turn in range(-_FOLDS, _FOLDS + 1):
        for lower, upper in ((low, high), (-high, -low)):
            shifted = (np.array([upper, lower])[:, None] + turn * period - mean) / spread
            of_pairs += ndtr(shifted[0]) - ndtr(shifted[1])
    of_strays = (high - low) / (period / 2)
    first, second, stray = chances.first_chance, chances.second_chance, chances.stray_mean
    none = np.exp(-stray)
    one = first * (1 - second) + second * (1 - first)
    neither = (1 - first) * (1 - second)
    share: Float = none * (
        first * second * of_pairs + (one * stray + neither * stray**2 / 2) * of_strays
    )
    return share


def attainable_share(window_as: tuple[float, float], config: SimulatedXleap) -> float:
    """Return the largest such share that any places of the knobs give, for scoring.

    Parameters
    ----------
    window_as : (float, float)
        Least and largest delay, within half a period [as].
    config : SimulatedXleap
        The machine.

    Returns
    -------
    float
        The share with every knob at its best and the mean delay in the middle of the window.
    """
    best = np.array([config.spike_chance])
    chances = PairChances(
        best, best, np.array([config.stray_spikes]), np.array([sum(window_as) / 2])
    )
    return float(pair_share(chances, window_as, config)[0])


def _positions_of(positions: Mapping[str, ArrayLike], name: str, times: Float) -> Float:
    """Return a motor's positions, checked, shape of the times."""
    if name not in positions:
        raise ValueError(f"no position of motor '{name}': positions hold {sorted(positions)}")
    return np.broadcast_to(checked_position(positions, name, times), times.shape)
