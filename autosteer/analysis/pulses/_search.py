"""Where a line may be: sums of what electrons say for it, along all curves that lines can take."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autosteer.analysis.pulses._streak_model import StreakModel, Streaks
from autosteer.analysis.pulses.calibration import PulseCalibration

_WITHIN_SIGMAS = 4.0
_LEAST_KICK_BINS = 8.0
# First of all, how far the laser moves the lines is unknown: lines are widened for a coarse grid.
_FIRST_PHASES, _FIRST_STEP_BINS = 128, 6.0
_PHASES, _CENTER_STEP_BINS = 512, 2
_BEST = 8


class LineSearch:
    """Searches sinograms for lines.

    Parameters
    ----------
    model : StreakModel
        The law.
    calibration : PulseCalibration
        What pulses usually are.
    """

    def __init__(self, model: StreakModel, calibration: PulseCalibration) -> None:
        self._model = model
        self._device = model.angles.device
        self._electrons = calibration.line_electrons
        spread = _WITHIN_SIGMAS * calibration.center_spread_bins
        reach = _WITHIN_SIGMAS * calibration.kick_spread_bins
        low = max(calibration.kick_bins - reach, _LEAST_KICK_BINS)
        high = max(calibration.kick_bins + reach, low)
        self._center = calibration.center_bins
        self._kicks = self._even(low, high, _FIRST_STEP_BINS)
        self._first_centers = self._even(-spread, spread, _FIRST_STEP_BINS)
        steps = math.ceil(spread / _CENTER_STEP_BINS)
        self._steps = (
            torch.arange(-steps, steps + 1, device=self._device) * _CENTER_STEP_BINS
        ).tolist()
        self._first = self._first_grid()
        kick, center, phase = self._first
        place = center + kick * (model.angles[:, None] + phase).cos()
        self._first_places = place.round().long().clamp(0, model.n_bins - 1)

    def _even(self, low: float, high: float, step: float) -> Tensor:
        """Return numbers from low to high, evenly and about a step apart."""
        count = max(1, math.ceil((high - low) / step) + 1)
        return torch.linspace(low, high, count, dtype=torch.float64, device=self._device)

    def _phase_grid(self, count: int) -> Tensor:
        return torch.arange(count, dtype=torch.float64, device=self._device) * (2 * math.pi / count)

    def _first_grid(self) -> Tensor:
        """Kick, center and phase of all curves of the coarse grid, shape (3, n_curves)."""
        axes = (self._kicks, self._first_centers + self._center, self._phase_grid(_FIRST_PHASES))
        return torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)

    def first(self, counts: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the line that is seen best, when nothing is known of a shot.

        Parameters
        ----------
        counts : Tensor of float64, shape (n, n_channels, n_bins)
            Sinograms.
        background : Tensor of float64, shape (n,)
            Electrons in a bin besides lines.

        Returns
        -------
        kick, center, phase : Tensor of float64, shape (n,)
            The line [bins, bins, rad].
        """
        n = len(counts)
        expected = background[:, None, None] * self._model.efficiency[:, None]
        expected = expected.expand(n, -1, self._model.n_bins)
        coarse = self._evidence(counts, expected, widen=round(_FIRST_STEP_BINS / 2))
        score = torch.zeros(
            (n, self._first_places.shape[1]), dtype=coarse.dtype, device=self._device
        )
        for channel, place in enumerate(self._first_places):
            score += coarse[:, channel].index_select(1, place)
        best = score.topk(_BEST, dim=1).indices
        kick, center, phase = self._first[:, best]
        fine = self._evidence(counts, expected, widen=0)
        for step_bins in (2.0, 0.8):
            kick, center, phase = self._closer(fine, kick, center, phase, step_bins)
        return kick[:, 0], center[:, 0], phase[:, 0]

    def _closer(
        self, evidence: Tensor, kick: Tensor, center: Tensor, phase: Tensor, step_bins: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Try the neighbours of candidates, shape (n, k), and order them, the best first."""
        steps = torch.arange(-2, 3, device=self._device) * step_bins
        by_kick, by_center, by_phase = (
            axis.reshape(-1) for axis in torch.meshgrid(steps, steps, steps, indexing="ij")
        )
        kicks = (kick[..., None] + by_kick).clamp(min=_LEAST_KICK_BINS)
        centers = center[..., None] + by_center
        phases = phase[..., None] + by_phase / kicks
        shape = (len(kick), -1)
        kicks, centers, phases = (x.reshape(shape) for x in (kicks, centers, phases))
        score = self._score(evidence, kicks, centers, phases)
        best = score.topk(kick.shape[1], dim=1).indices
        return kicks.gather(1, best), centers.gather(1, best), phases.gather(1, best)

    def _score(self, evidence: Tensor, kick: Tensor, center: Tensor, phase: Tensor) -> Tensor:
        """Sum up the evidence along curves, shape (n, k)."""
        n, n_bins = len(evidence), self._model.n_bins
        score = torch.zeros_like(kick, dtype=evidence.dtype)
        for channel, angle in enumerate(self._model.angles):
            place = (center + kick * (angle + phase).cos()).round().long().clamp(0, n_bins - 1)
            score += evidence[:, channel].gather(1, place.reshape(n, -1))
        return score

    def further(self, counts: Tensor, streaks: Streaks) -> tuple[Tensor, Tensor]:
        """Find the line that is seen best besides those that are known.

        Parameters
        ----------
        counts : Tensor of float64, shape (n, n_channels, n_bins)
            Sinograms.
        streaks : Streaks
            Lines that are known; their kick is taken to be that of the further one.

        Returns
        -------
        center, phase : Tensor of float64, shape (n,)
            The line [bins, rad].
        """
        n = len(counts)
        expected = self._model.expected(streaks)
        evidence = self._evidence(counts, expected, widen=1)
        grid = self._phase_grid(_PHASES)
        angle = self._model.angles[:, None] + grid
        base = (self._center + streaks.kick[:, None, None] * angle.cos()).round().long()
        last = self._model.n_bins - 1
        best_score = torch.full((n,), -torch.inf, dtype=evidence.dtype, device=self._device)
        best_phase = torch.zeros((n,), dtype=torch.long, device=self._device)
        best_step = torch.zeros((n,), dtype=torch.float64, device=self._device)
        for step in self._steps:
            score = evidence.gather(2, (base + step).clamp(0, last)).sum(dim=1)
            value, index = score.max(dim=1)
            better = value > best_score
            best_score = torch.where(better, value, best_score)
            best_phase = torch.where(better, index, best_phase)
            best_step = torch.where(better, float(step), best_step)
        center, phase = best_step + self._center, grid[best_phase]
        fine = self._evidence(counts, expected, widen=0)
        for step_bins in (0.8, 0.4):
            steps = torch.arange(-3, 4, device=self._device) * step_bins
            by_center, by_phase = torch.meshgrid(steps, steps, indexing="ij")
            centers = center[:, None] + by_center.reshape(-1)
            phases = phase[:, None] + by_phase.reshape(-1) / streaks.kick[:, None].clamp(min=1)
            kick = streaks.kick[:, None].expand_as(centers)
            index = self._score(fine, kick, centers, phases).argmax(dim=1, keepdim=True)
            center, phase = centers.gather(1, index)[:, 0], phases.gather(1, index)[:, 0]
        return center, phase

    def _evidence(self, counts: Tensor, expected: Tensor, widen: int) -> Tensor:
        """Sum up for each bin what the electrons about it say for a line in its place."""
        # That is the logarithm of the likelihood's gain if a usual line stood there, but for the
        # electrons that it leads to expect, which are the same for all places.
        n, n_channels, n_bins = counts.shape
        reach = math.ceil(self._model.reach) + widen
        offset = torch.arange(-reach, reach + 1, device=self._device)
        height, _ = self._model.line(offset.double())
        if widen:
            width = 2 * widen + 1
            padded = torch.nn.functional.pad(height[None, None], (widen, widen))
            height = torch.nn.functional.avg_pool1d(padded, width, stride=1)[0, 0]
        shot, channel, bins = counts.nonzero().unbind(1)
        seen = counts[shot, channel, bins]
        level = expected[shot, channel, bins].clamp(min=1e-9)
        rate = self._electrons * self._model.efficiency[channel, None] * height
        says = seen[:, None] * torch.log1p(rate / level[:, None])
        place = bins[:, None] - offset
        inside = (place >= 0) & (place < n_bins)
        index = (shot * n_channels + channel)[:, None] * n_bins + place.clamp(0, n_bins - 1)
        evidence = torch.zeros(n * n_channels * n_bins, dtype=torch.float32, device=self._device)
        evidence.index_add_(0, index.reshape(-1), (says * inside).reshape(-1).float())
        return evidence.reshape(n, n_channels, n_bins)
