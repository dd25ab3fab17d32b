"""Electrons of a streaking spectrometer, drawn one by one and counted into energy bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, pdtrik

from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.sinogram_model import (
    SinogramLaw,
    SubSpikes,
    line_positions,
    line_weights,
    line_windows,
)
from autosteer.sims._draws import PulseDraws

Float = NDArray[np.float64]
Index = NDArray[np.int64]
Pulses = NDArray[np.uint64]
Counts = NDArray[np.uint16]


class Electrons:
    """Draws the electrons of shots.

    Parameters
    ----------
    law : SinogramLaw
        Lines and channels.
    config : SimulatedMrco
        How the spectrometer counts.
    seed : int
        The one seed of the simulation, not negative.
    """

    def __init__(self, law: SinogramLaw, config: SimulatedMrco, seed: int) -> None:
        self._law = law
        self._poisson_counts = config.poisson_counts
        self._response_bins = config.response_bins
        self._channels = PulseDraws(seed, "channel counts")
        self._places = PulseDraws(seed, "electrons")
        self._errors = PulseDraws(seed, "times of flight")

    def sinograms(self, pulse_ids: Pulses, spikes: SubSpikes) -> Counts:
        """Draw and count the electrons of shots with the same number of sub-spikes.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Pulses.
        spikes : SubSpikes
            Their sub-spikes, none of them missing.

        Returns
        -------
        ndarray of uint16, shape (n, n_channels, n_bins)
            Counts.
        """
        law = self._law
        lines = _lines_of(spikes, law)
        in_channel = self._numbers(pulse_ids, spikes, lines)
        in_shot = in_channel.reshape(-1, law.n_channels).sum(axis=1)
        channel = np.repeat(np.arange(len(in_channel)), in_channel)
        place = self._places.uniform_many(pulse_ids, in_shot) * lines.total[channel]
        bins = _bins(place, channel, lines, law.n_bins)
        counted = np.zeros((len(in_channel), law.n_bins), dtype=np.uint16)
        if self._response_bins > 0:
            # Energies lie evenly between the bin of the rate and the one below.
            within = np.fmod(place * _FRACTION_OF, 1.0)
            error = self._response_bins * ndtri(self._errors.uniform_many(pulse_ids, in_shot))
            bins = np.floor(bins + within + error).astype(np.int64)
            seen = (bins >= 0) & (bins < law.n_bins)
            bins, channel = bins[seen], channel[seen]
        np.add.at(counted.reshape(-1), channel * law.n_bins + bins, np.uint16(1))
        return counted.reshape(len(spikes), law.n_channels, law.n_bins)

    def _numbers(self, pulse_ids: Pulses, spikes: SubSpikes, lines: _Lines) -> Index:
        """Return the electrons of each channel, shape (n * n_channels,)."""
        law = self._law
        per_rate = spikes.electrons[:, None] * law.efficiency
        mean = per_rate * lines.total.reshape(len(spikes), law.n_channels)
        if not self._poisson_counts:
            return np.floor(mean).astype(np.int64).ravel()
        uniform = self._channels.uniform(pulse_ids, slice(0, law.n_channels)).T
        numbers = np.ceil(pdtrik(uniform, np.maximum(mean, 1e-300)))
        return np.where(mean > 0, np.maximum(numbers, 0), 0).astype(np.int64).ravel()


# Takes from a random number digits that say nothing of which bin it fell into.
_FRACTION_OF = 2.0**20


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Lines of shots with m sub-spikes each, channel by channel of shot by shot, c in all.

    Parameters
    ----------
    first_bin : ndarray of int64, shape (c, m)
        First bin that a line reaches into.
    rising : ndarray of float64, shape (c, m, n_window)
        Rates of a line summed up bin by bin, on top of those of the lines before.
    background : ndarray of float64, shape (c,)
        Rate in a bin besides the lines.
    total : ndarray of float64, shape (c,)
        Rate of the channel.
    """

    first_bin: Index
    rising: Float
    background: Float
    total: Float


def _lines_of(spikes: SubSpikes, law: SinogramLaw) -> _Lines:
    """Sum up the rates of the channels."""
    n, m = spikes.center_bins.shape
    n_lists = n * law.n_channels
    position = line_positions(spikes, law).transpose(0, 2, 1).reshape(n_lists, m)
    weight = line_weights(spikes, law).transpose(0, 2, 1).reshape(n_lists, m)
    bins, height = line_windows(position, law)
    height *= weight[..., None]
    height[(bins < 0) | (bins >= law.n_bins)] = 0
    rising = np.cumsum(height.reshape(n_lists, -1), axis=1).reshape(height.shape)
    background = np.repeat(spikes.background, law.n_channels)
    of_lines = rising[:, -1, -1] if m else np.zeros(n_lists)
    return _Lines(bins[..., 0], rising, background, of_lines + law.n_bins * background)


def _bins(place: Float, channel: Index, lines: _Lines, n_bins: int) -> Index:
    """Find the bins at which summed rates reach what was drawn."""
    m, n_window = lines.rising.shape[1:]
    # The lines come first, one behind the other, and then the background.
    spike = np.zeros(len(place), dtype=np.int64)
    for number in range(m):
        spike += place >= lines.rising[channel, number, -1]
    of_line = np.flatnonzero(spike < m)
    reached = lines.rising.reshape(-1, n_window)
    row = channel[of_line] * m + spike[of_line]
    above = place[of_line]
    step = np.zeros(len(of_line), dtype=np.int64)
    for number in range(n_window - 1):
        step += above >= reached[row, number]
    bins = np.empty(len(place), dtype=np.int64)
    bins[of_line] = lines.first_bin.reshape(-1)[row] + step
    rest = np.flatnonzero(spike == m)
    under = lines.rising[channel[rest], -1, -1] if m else 0.0
    bins[rest] = (place[rest] - under) / lines.background[channel[rest]]
    # An energy is taken between two points of the summed rate, and rounded down: counts stand a bin
    # below the rate, but for those at the lower end.
    return np.clip(bins - 1, 0, n_bins - 1)
