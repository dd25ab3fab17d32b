"""Random numbers that depend on seed and pulse id alone, however pulses are grouped into calls."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Float = NDArray[np.float64]
Pulses = NDArray[np.uint64]

# Increment and multipliers of SplitMix64 (reference [1] of `PulseDraws`).
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)

_MAX_DRAWS = 256


def stream_seed(seed: int, stream: str) -> np.random.SeedSequence:
    """Derive the seed of a named stream, independent of every other stream.

    Parameters
    ----------
    seed : int
        The one seed of the simulation, not negative.
    stream : str
        Name of the stream.

    Returns
    -------
    numpy.random.SeedSequence
        Seed for a generator or for keys.
    """
    return np.random.SeedSequence(seed, spawn_key=tuple(stream.encode()))


def mix64(values: Pulses) -> Pulses:
    """Scramble 64-bit numbers one to one, so that neighbours have nothing in common.

    Parameters
    ----------
    values : ndarray of uint64, shape (n,)
        Any numbers. At least one-dimensional: scalars would warn of overflow.

    Returns
    -------
    ndarray of uint64, shape (n,)
        Scrambled numbers; equal inputs give equal outputs.
    """
    mixed = (values ^ (values >> np.uint64(30))) * _MULTIPLIER_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MULTIPLIER_2
    return mixed ^ (mixed >> np.uint64(31))


def unit_interval(bits: Pulses) -> Float:
    """Turn random bits into uniform numbers.

    Parameters
    ----------
    bits : ndarray of uint64, shape (...)
        Random bits.

    Returns
    -------
    ndarray of float64, shape (...)
        Numbers that are never 0 and never 1.
    """
    # 52 bits and a half: the largest number below 1 is then exact, and 0 cannot occur.
    uniform: Float = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return uniform


class PulseDraws:
    """A stream of draws in which pulse id and draw number are the counter.

    A counter-based generator needs no state: the draws of a pulse are the same whether it comes
    alone or among a million. The counter goes through SplitMix64's mixing function twice, with a
    key of the stream between the two.

    Parameters
    ----------
    seed : int
        The one seed of the simulation, not negative.
    stream : str
        Name of the stream; different names give independent draws.

    References
    ----------
    .. [1] G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014, p. 453.
       https://doi.org/10.1145/2660193.2660195
    .. [2] J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, SC 2011 (Philox).
       https://doi.org/10.1145/2063384.2063405
    """

    def __init__(self, seed: int, stream: str) -> None:
        keys = stream_seed(seed, stream).generate_state(3, np.uint64)
        self._outer, self._generator_key = keys[0:1], int(keys[2])
        self._counter_key = keys[1]
        self._counters = mix64(np.arange(_MAX_DRAWS, dtype=np.uint64) ^ keys[1])

    def uniform(self, pulse_ids: Pulses, draw: int | slice) -> Float:
        """Draw uniformly from the open interval (0, 1).

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Pulses.
        draw : int or slice
            Number of the draw within the pulse, below 256; another number is an independent
            draw. A slice gives k numbers at once.

        Returns
        -------
        ndarray of float64, shape (n,) or (k, n)
            Numbers that are never 0 and never 1.
        """
        counter = self._counters[draw]
        if isinstance(draw, slice):
            counter = counter[:, None]
        mixed = mix64(mix64(pulse_ids * _INCREMENT + self._outer) ^ counter)
        return unit_interval(mixed)

    def normal(self, pulse_ids: Pulses, draw: int | slice) -> Float:
        """Draw from the standard normal distribution.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Pulses.
        draw : int or slice
            Number of the draw within the pulse; see `uniform`.

        Returns
        -------
        ndarray of float64, shape (n,) or (k, n)
            Standard normal numbers.
        """
        normal: Float = ndtri(self.uniform(pulse_ids, draw))
        return normal

    def uniform_many(self, pulse_ids: Pulses, counts: NDArray[np.int64]) -> Float:
        """Draw as many uniform numbers as each pulse needs.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Pulses.
        counts : ndarray of int64, shape (n,)
            Numbers for each; they are independent of those of `uniform`.

        Returns
        -------
        ndarray of float64, shape (sum of counts,)
            Those of the first pulse, then those of the second, and so on.
        """
        most = int(counts.max(initial=0))
        numbers = np.arange(_MAX_DRAWS, _MAX_DRAWS + most, dtype=np.uint64)
        counters = mix64(numbers ^ self._counter_key)
        first = np.cumsum(counts) - counts
        number = np.arange(int(counts.sum())) - np.repeat(first, counts)
        keys = mix64(pulse_ids * _INCREMENT + self._outer)
        return unit_interval(mix64(np.repeat(keys, counts) ^ counters[number]))

    def generator(self, pulse_id: int) -> np.random.Generator:
        """Make a generator for one pulse, where the number of draws is not known beforehand.

        Parameters
        ----------
        pulse_id : int
            The pulse.

        Returns
        -------
        numpy.random.Generator
            Philox generator keyed by stream and pulse.
        """
        key = np.array([self._generator_key, pulse_id], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))


def poisson_quantile(uniform: Float, mean: ArrayLike) -> NDArray[np.int64]:
    """Find the Poisson counts that belong to cumulative probabilities.

    Parameters
    ----------
    uniform : ndarray of float64, shape (n,)
        Cumulative probabilities in (0, 1).
    mean : array_like of float, shape (n,) or ()
        Mean counts, not negative. The work grows with the largest mean.

    Returns
    -------
    ndarray of int64, shape (n,)
        Smallest counts whose cumulative probability reaches `uniform`.

    Raises
    ------
    ValueError
        If a mean is negative, not finite or above 700, where exp(-mean) has no value any more.

    Examples
    --------
    >>> poisson_quantile(np.array([0.3, 0.7, 0.99]), 0.5).tolist()
    [0, 1, 3]
    """
    means = np.broadcast_to(np.asarray(mean, dtype=np.float64), uniform.shape)
    if means.size and not (means.min() >= 0 and means.max() <= 700):
        raise ValueError(f"Poisson means reach {means.min()} to {means.max()}: use 0 to 700")
    probability = np.exp(-means)
    cumulative = probability.copy()
    counts = np.zeros(uniform.shape, dtype=np.int64)
    # Most means are below 1, so that only few elements remain after the first comparison.
    left = np.flatnonzero(uniform > cumulative)
    count = 0
    while left.size:
        count += 1
        probability[left] *= means[left] / count
        cumulative[left] += probability[left]
        counts[left] = count
        # Rounding may stop the sum short of 1: a term that adds nothing ends the search.
        growing = probability[left] > 0
        left = left[(uniform[left] > cumulative[left]) & growing]
    return counts
