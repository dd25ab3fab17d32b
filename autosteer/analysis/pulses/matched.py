"""The matched estimator: lines are fitted to sinograms with the Poisson likelihood of their counts.

Lines are found one after the other, each by a search along all the curves that it can take, and
after each all lines of the shot are refined together. A line is there if it raises the logarithm of
the likelihood by more than noise does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis._devices import usable_device
from autosteer.analysis.pulses._fit import phase_covariance, refine
from autosteer.analysis.pulses._search import LineSearch
from autosteer.analysis.pulses._streak_model import (
    Likelihood,
    StreakModel,
    Streaks,
)
from autosteer.analysis.pulses.calibration import PulseCalibration
from autosteer.analysis.pulses.result import (
    N_CLASSES,
    PulseResult,
    checked_sinograms,
    make_result,
)
from autosteer.physics.streaking import optical_period_as

_SHOTS_TOGETHER = 64
# Where the most probable number is less probable than this, another one explains the shot, too.
_SURE = 0.95
# A line that is worth less than this may be there in the place of others.
_DOUBTFUL_GAIN = 150.0
# A line of a pair that is worth less than this may be a wrong one.
_WEAK_GAIN = 80.0
# Another pair of lines that is less likely by no more than this factor's logarithm competes.
_COMPETES = 4.0
# A first line is looked for among many more than a further one, of which the kick is known.
_FIRST_LINE_EXTRA = 14.0


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Fits of shots with the same number of lines."""

    shots: Tensor
    streaks: Streaks
    likelihood: Likelihood

    def select(self, index: Tensor) -> _Fit:
        """Keep some shots."""
        return _Fit(self.shots[index], self.streaks.select(index), self.likelihood.select(index))

    def replaced(self, other: _Fit) -> _Fit:
        """Put other fits in the place of some; their shots are rows of this one."""
        row = torch.arange(len(self.shots), device=self.shots.device)
        row[other.shots] = len(row) + torch.arange(len(other.shots), device=row.device)
        return _Fit(
            self.shots,
            Streaks.join([self.streaks, other.streaks]).select(row),
            Likelihood.join([self.likelihood, other.likelihood]).select(row),
        )


class MatchedEstimator:
    """Fits the law of angular streaking to sinograms.

    Parameters
    ----------
    calibration : PulseCalibration
        What is known of the spectrometer.
    wavelength_um : float, default 1.2
        Wavelength of the streaking laser [um].
    line_gain : float, default 16
        Logarithm of the likelihood that a further line has to gain to be there; noise gains a
        tenth of what most lines do.
    device : str, default "cpu"
        Torch device.

    Raises
    ------
    ValueError
        If no streaking laser has this wavelength.
    AnalysisError
        If there is no such device.
    """

    def __init__(
        self,
        calibration: PulseCalibration,
        *,
        wavelength_um: float = 1.2,
        line_gain: float = 16.0,
        device: str = "cpu",
    ) -> None:
        optical_period_as(wavelength_um)
        self.calibration = calibration
        self._wavelength_um = wavelength_um
        self._prices = [0.0, line_gain + _FIRST_LINE_EXTRA, *[line_gain] * (N_CLASSES - 2)]
        self._device = usable_device(device)
        self.model = StreakModel(calibration, self._device)
        self._search = LineSearch(self.model, calibration)
        self._needed = np.array(calibration.efficiencies) > 0

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of the sinograms that it takes."""
        return self.calibration.expected_shape

    @property
    def confusion(self) -> NDArray[np.float64]:
        """How it counts, shape (5, 5): no miscounts are known beforehand."""
        return np.eye(N_CLASSES)

    def characterize(self, sinograms: NDArray[Any]) -> PulseResult:
        """Characterise pulses.

        Parameters
        ----------
        sinograms : ndarray, shape (n, n_channels, n_bins)
            Counts.

        Returns
        -------
        PulseResult
            What is known of them.

        Raises
        ------
        AnalysisError
            If the sinograms have another shape than those of the calibration.
        """
        counts, abstained = checked_sinograms(sinograms, self.shape, self._needed)
        n = len(counts)
        values = np.full((n, N_CLASSES), -np.inf)
        columns = np.full((5, n), np.nan)
        with torch.inference_mode():
            for start in range(0, n, _SHOTS_TOGETHER):
                some = slice(start, start + _SHOTS_TOGETHER)
                found = self._characterize(torch.from_numpy(counts[some]).to(self._device))
                values[some], columns[:, some] = found
        # Each line has its price; what is left are probabilities.
        priced = values - np.cumsum(self._prices)
        shifted = np.exp(priced - priced.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        phase, delta_phase, sigma, goodness, competing = columns
        ambiguous = (probabilities.max(axis=1, initial=0) < _SURE) | (competing == 1)
        return make_result(
            probabilities, phase, delta_phase, sigma, goodness, ambiguous, abstained,
            self._wavelength_um,
        )  # fmt: skip

    def fits(self, counts: NDArray[Any], most: int) -> Iterator[tuple[NDArray[np.intp], Streaks]]:
        """Fit shots, and give those with few lines.

        Parameters
        ----------
        counts : ndarray of float32, shape (n, n_channels, n_bins)
            Sinograms, checked.
        most : int
            Lines of a shot at most; shots without any, and with more, are left out.

        Yields
        ------
        shots : ndarray of int, shape (k,)
            Shots with the same number of lines.
        streaks : Streaks
            Their lines.
        """
        with torch.inference_mode():
            for start in range(0, len(counts), _SHOTS_TOGETHER):
                some = torch.from_numpy(counts[start : start + _SHOTS_TOGETHER]).to(self._device)
                for one in self._explain(some.double())[1]:
                    if len(one.shots) and 0 < one.streaks.n_spikes <= most:
                        yield start + one.shots.cpu().numpy(), one.streaks

    def _characterize(self, counts: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """Characterise some shots."""
        counts = counts.double()
        values, explained = self._explain(counts)
        columns = values.new_full((5, len(counts)), torch.nan)
        for one in explained:
            settled, competing = one, torch.zeros_like(one.shots, dtype=torch.bool)
            if len(one.shots) and one.streaks.n_spikes == 2:
                settled, competing = self._among_others(counts[one.shots], one)
            columns[:4, one.shots] = self._numbers(settled)
            columns[4, one.shots] = competing.double()
        return values.cpu().numpy(), columns.cpu().numpy()

    def _explain(self, counts: Tensor) -> tuple[Tensor, list[_Fit]]:
        """Find lines until no further one is there.

        Returns
        -------
        values : Tensor, shape (n, 5)
            Logarithm of the likelihood with each number of lines; -inf where it was not tried.
        explained : list of _Fit
            The fits, by number of lines.
        """
        fit = self._without_lines(counts)
        values = fit.likelihood.value.new_full((len(counts), N_CLASSES), -torch.inf)
        values[:, 0] = fit.likelihood.value
        explained = []
        for number in range(1, N_CLASSES):
            more = self._with_another(counts[fit.shots], fit)
            fit = self._with_fewer(counts[fit.shots], more, fit)
            values[fit.shots, number - 1] = fit.likelihood.value
            values[fit.shots, number] = more.likelihood.value
            there = more.likelihood.value - fit.likelihood.value > self._prices[number]
            explained.append(fit.select(~there))
            fit = more.select(there)
            if not len(fit.shots):
                break
        return values, [*explained, fit]

    def _without_lines(self, counts: Tensor) -> _Fit:
        """Fit the background alone."""
        n = len(counts)
        bins = self.model.n_bins * self.model.efficiency.sum()
        background = (counts.sum(dim=(1, 2)) / bins).clamp(min=1e-4)
        none = counts.new_empty((n, 0))
        streaks = Streaks(none, none, counts.new_empty((n, 0, 3)), counts.new_zeros(n), background)
        shots = torch.arange(n, device=self._device)
        return _Fit(shots, streaks, self.model.likelihood(counts, streaks))

    def _with_another(self, counts: Tensor, fit: _Fit) -> _Fit:
        """Find a further line, and refine all."""
        streaks = fit.streaks
        if streaks.n_spikes == 0:
            kick, center, phase = self._search.first(counts, streaks.background)
            streaks = replace(streaks, kick=kick)
        else:
            center, phase = self._search.further(counts, streaks)
        electrons = torch.zeros_like(center)[:, None].repeat(1, 3)
        electrons[:, 0] = self.calibration.line_electrons
        streaks = streaks.with_spike(phase, center, electrons)
        return _Fit(fit.shots, *refine(self.model, counts, streaks))

    def _with_fewer(self, counts: Tensor, more: _Fit, fewer: _Fit) -> _Fit:
        """Try the lines of a fit without each of them in turn, and keep what is best."""
        # Of two lines close together the first search may find one in between. Once both are found,
        # that one is not needed any more.
        m = more.streaks.n_spikes
        for needless in range(m - 1):
            kept = [number for number in range(m) if number != needless]
            streaks = more.streaks.only(kept)
            loss = more.likelihood.value - self.model.likelihood(counts, streaks).value
            some = (loss < _DOUBTFUL_GAIN).nonzero().squeeze(1)
            if len(some):
                tried = _Fit(some, *refine(self.model, counts[some], streaks.select(some)))
                better = tried.likelihood.value > fewer.likelihood.value[some]
                fewer = fewer.replaced(tried.select(better))
        return fewer

    def _among_others(self, counts: Tensor, fit: _Fit) -> tuple[_Fit, Tensor]:
        """Look for other pairs where a line is weak; return the best, and where others compete."""
        competing = torch.zeros(len(fit.shots), dtype=torch.bool, device=self._device)
        for doubtful in range(2):
            kept = fit.streaks.only([1 - doubtful])
            loss = fit.likelihood.value - self.model.likelihood(counts, kept).value
            some = (loss < _WEAK_GAIN).nonzero().squeeze(1)
            if not len(some):
                continue
            now, seen = fit.select(some), counts[some]
            # Without the electrons under the doubtful line, another one is found first.
            hidden = self._hidden(seen, now.streaks.only([doubtful]))
            start = self._without_lines(hidden)
            alone = self._with_another(hidden, start)
            tried = replace(self._with_another(seen, alone), shots=some)
            gain = tried.likelihood.value - now.likelihood.value
            better = gain > 0
            near = (gain.abs() < _COMPETES) & self._apart(tried, now)
            competing[some] = near | (competing[some] & ~better)
            fit = fit.replaced(tried.select(better))
        return fit, competing

    def _hidden(self, counts: Tensor, streaks: Streaks) -> Tensor:
        """Return counts without those that stand under lines."""
        bins = torch.arange(self.model.n_bins, device=self._device)
        under = (bins - self.model.positions(streaks)[:, 0, :, None]).abs() <= self.model.reach
        return counts.masked_fill(under, 0.0)

    def _apart(self, one: _Fit, other: _Fit) -> Tensor:
        """Tell where two fits say different things of the phase between two lines."""
        numbers = torch.stack([self._numbers(one), self._numbers(other)])
        phase, sigma = numbers[:, 1], numbers[:, 2]
        folded = torch.acos(phase.cos())
        return (folded[0] - folded[1]).abs() > 3 * sigma.square().sum(dim=0).sqrt()

    def _numbers(self, fit: _Fit) -> Tensor:
        """Return phase, phase difference, its sigma and goodness, shape (4, n)."""
        streaks = fit.streaks
        numbers = fit.likelihood.value.new_full((4, len(streaks)), torch.nan)
        numbers[3] = fit.likelihood.surprise
        if streaks.n_spikes:
            strongest = streaks.electrons[..., 0].argmax(dim=1, keepdim=True)
            numbers[0] = streaks.phase.gather(1, strongest)[:, 0]
        if streaks.n_spikes == 2:
            numbers[1] = streaks.phase[:, 1] - streaks.phase[:, 0]
            covariance = phase_covariance(fit.likelihood, 2)
            numbers[2] = (
                covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
            ).sqrt()
        return numbers
