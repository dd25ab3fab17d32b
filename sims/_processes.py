"""Slow processes, wander and clogging, as functions of time (or of the pulse) alone.

Each is drawn forwards in blocks of fixed size from its own generator and kept, so that the value
at a time does not depend on which times were asked for before.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from autosteer.sims._draws import stream_seed

Float = NDArray[np.float64]

_WAVES = 12
_BLOCK = 4096
_SWITCH_BLOCK = 256
_MAX_STEPS = 2**24
_MAX_SWITCHES = 2**22


class OrnsteinUhlenbeck:
    """A coordinate that wanders about zero and forgets where it was.

    The process is drawn with its exact update [1]_ on a fixed time grid (a twentieth of the
    correlation time, within 5 to 100 ms), and linearly interpolated between.

    Parameters
    ----------
    rms : float
        Standard deviation [any unit].
    correlation_time_s : float
        Time after which the correlation has fallen to 1/e [s].
    rng : numpy.random.Generator
        Source of the draws, for this process alone.

    References
    ----------
    .. [1] D. T. Gillespie, Phys. Rev. E 54, 2084 (1996).
       https://doi.org/10.1103/PhysRevE.54.2084
    """

    def __init__(self, rms: float, correlation_time_s: float, rng: np.random.Generator) -> None:
        self._rms = rms
        self._rng = rng
        self._step_s = min(max(correlation_time_s / 20, 0.005), 0.1)
        self._memory = math.exp(-self._step_s / correlation_time_s)
        self._values: Float = rms * rng.standard_normal(1)

    @property
    def longest_s(self) -> float:
        """Latest time that can be asked for [s]."""
        return (_MAX_STEPS - 2) * self._step_s

    def at(self, times_s: Float) -> Float:
        """Return the coordinate at given times.

        Parameters
        ----------
        times_s : ndarray of float64, shape (n,)
            Times since the start, from 0 to `longest_s` [s].

        Returns
        -------
        ndarray of float64, shape (n,)
            Coordinate [unit of `rms`].
        """
        if self._rms == 0 or times_s.size == 0:
            return np.zeros(times_s.shape)
        steps = times_s / self._step_s
        before = steps.astype(np.int64)
        self._extend(int(before.max()) + 2)
        start = self._values[before]
        between: Float = start + (steps - before) * (self._values[before + 1] - start)
        return between

    def _extend(self, n_needed: int) -> None:
        n_blocks = -(-(n_needed - len(self._values)) // _BLOCK)
        if n_blocks <= 0:
            return
        blocks = [self._values]
        noise = self._rms * math.sqrt(1 - self._memory**2)
        for _ in range(n_blocks):
            state = [self._memory * blocks[-1][-1]]
            kicks = noise * self._rng.standard_normal(_BLOCK)
            blocks.append(lfilter([1.0], [1.0, -self._memory], kicks, zi=state)[0])
        self._values = np.concatenate(blocks)


class SlowWander:
    """A coordinate that wanders about zero, as a function of any pulse id, however large.

    It is a sum of waves whose lengths reach from one to ten times a given one, each with a phase
    of its own.

    Parameters
    ----------
    rms : float
        Standard deviation [any unit].
    length_pulses : float
        Length of the shortest wave over 2 pi [pulse ids].
    seed : int
        The one seed of the simulation, not negative.
    stream : str
        Name of the coordinate; different names wander independently.
    """

    def __init__(self, rms: float, length_pulses: float, seed: int, stream: str) -> None:
        rng = np.random.default_rng(stream_seed(seed, stream))
        self._amplitude = rms * math.sqrt(2 / _WAVES)
        self._frequencies = 10 ** -rng.uniform(0, 1, _WAVES) / length_pulses
        self._phases = rng.uniform(0, 2 * np.pi, _WAVES)

    def at(self, pulse_ids: NDArray[np.uint64]) -> Float:
        """Return the coordinate at given pulses.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.

        Returns
        -------
        ndarray of float64, shape (n,)
            Coordinate [unit of `rms`].
        """
        pulses = pulse_ids.astype(np.float64)
        value = np.zeros(pulses.shape)
        if self._amplitude:
            for frequency, phase in zip(self._frequencies, self._phases, strict=True):
                value += np.cos(frequency * pulses + phase)
        return self._amplitude * value


class RandomTelegraph:
    """A state that switches on and off at random, each with its own mean time.

    Parameters
    ----------
    rate_per_s : float
        Mean rate of switching on while off [1/s]; 0: it never does.
    mean_on_s : float
        Mean time that it then stays on [s].
    rng : numpy.random.Generator
        Source of the draws, for this process alone.
    """

    def __init__(self, rate_per_s: float, mean_on_s: float, rng: np.random.Generator) -> None:
        self._rate_per_s = rate_per_s
        self._mean_on_s = mean_on_s
        self._rng = rng
        self._switches: Float = np.zeros(0)

    @property
    def longest_s(self) -> float:
        """Latest time that can reasonably be asked for [s]."""
        if self._rate_per_s == 0:
            return math.inf
        return _MAX_SWITCHES / 2 * (1 / self._rate_per_s + self._mean_on_s)

    def is_on(self, times_s: Float) -> NDArray[np.bool_]:
        """Say whether the state is on at given times; it is off at 0.

        Parameters
        ----------
        times_s : ndarray of float64, shape (n,)
            Times since the start [s].

        Returns
        -------
        ndarray of bool, shape (n,)
            Whether it is on.
        """
        if self._rate_per_s == 0 or times_s.size == 0:
            return np.zeros(times_s.shape, dtype=np.bool_)
        self._extend(float(times_s.max()))
        # An odd number of switches so far means on.
        is_on: NDArray[np.bool_] = np.searchsorted(self._switches, times_s, side="right") % 2 == 1
        return is_on

    def _extend(self, latest_s: float) -> None:
        blocks = [self._switches]
        last = self._switches[-1] if self._switches.size else 0.0
        while last <= latest_s:
            durations = self._rng.standard_exponential((_SWITCH_BLOCK, 2))
            durations *= [1 / self._rate_per_s, self._mean_on_s]
            blocks.append(last + np.cumsum(durations))
            last = blocks[-1][-1]
        self._switches = np.concatenate(blocks)
