"""Poisson likelihood of sinograms: its value, gradient and Fisher information, shot by shot."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from autosteer.analysis._rows import Rows
from autosteer.analysis.pulses.calibration import PulseCalibration

# Numbers of a sub-spike: phase, center, and three of the electrons round the channels.
PER_SPIKE = 5
# A line is tabulated so finely [1/bin].
_PER_BIN = 16
_LEAST_BACKGROUND = 1e-4
_LEAST_ELECTRONS = 0.05
_MOST_POLARIZED = 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Streaks(Rows):
    """Lines that are fitted to n shots, m to each.

    Parameters
    ----------
    phase : Tensor, shape (n, m)
        Streaking phases [rad].
    center : Tensor, shape (n, m)
        Energies without the laser [bins].
    electrons : Tensor, shape (n, m, 3)
        Electrons in a channel: the mean, and the cosine and sine of twice the channel's angle.
    kick : Tensor, shape (n,)
        How far the laser moves a line at most [bins].
    background : Tensor, shape (n,)
        Electrons in each bin besides the lines.
    """

    phase: Tensor
    center: Tensor
    electrons: Tensor
    kick: Tensor
    background: Tensor

    def __len__(self) -> int:
        return len(self.kick)

    @property
    def n_spikes(self) -> int:
        """Lines of each shot."""
        return self.phase.shape[1]

    def with_spike(self, phase: Tensor, center: Tensor, electrons: Tensor) -> Streaks:
        """Add a line to each shot."""
        return replace(
            self,
            phase=torch.cat([self.phase, phase[:, None]], dim=1),
            center=torch.cat([self.center, center[:, None]], dim=1),
            electrons=torch.cat([self.electrons, electrons[:, None]], dim=1),
        )

    def only(self, lines: list[int]) -> Streaks:
        """Keep some lines of each shot."""
        return replace(
            self,
            phase=self.phase[:, lines],
            center=self.center[:, lines],
            electrons=self.electrons[:, lines],
        )

    def moved(self, step: Tensor) -> Streaks:
        """Add a step, shape (n, 5 * m + 2), and keep within what is possible."""
        n, m = self.phase.shape
        by_spike = step[:, : PER_SPIKE * m].reshape(n, PER_SPIKE, m)
        mean = (self.electrons[..., 0] + by_spike[:, 2]).clamp(min=_LEAST_ELECTRONS)
        turning = self.electrons[..., 1:] + by_spike[:, 3:].transpose(1, 2)
        most = _MOST_POLARIZED * mean
        excess = (torch.linalg.vector_norm(turning, dim=-1) / most).clamp(min=1)
        return Streaks(
            phase=self.phase + by_spike[:, 0],
            center=self.center + by_spike[:, 1],
            electrons=torch.cat([mean[..., None], turning / excess[..., None]], dim=-1),
            kick=self.kick + step[:, -2],
            background=(self.background + step[:, -1]).clamp(min=_LEAST_BACKGROUND),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood(Rows):
    """How well lines agree with shots.

    Parameters
    ----------
    value : Tensor, shape (n,)
        Logarithm of the likelihood, but for what depends on the counts alone.
    gradient : Tensor, shape (n, p)
        By all phases, centers, three times the electrons, then the kick and the background.
    information : Tensor, shape (n, p, p)
        Fisher information on the same.
    surprise : Tensor, shape (n,)
        How far the value lies above what such lines lead to expect, in its standard deviations.
    """

    value: Tensor
    gradient: Tensor
    information: Tensor
    surprise: Tensor


_Fitted = TypeVar("_Fitted", bound=Rows)


def with_better(mine: _Fitted, theirs: _Fitted, is_better: Tensor) -> _Fitted:
    """Take some shots from other fits with as many lines.

    Parameters
    ----------
    mine, theirs : Streaks or Likelihood
        Two fits of n shots.
    is_better : Tensor of bool, shape (n,)
        Which shots are taken from the second one.

    Returns
    -------
    Streaks or Likelihood
        The better one of each shot.
    """
    columns = []
    for field in fields(mine):
        one, other = getattr(mine, field.name), getattr(theirs, field.name)
        which = is_better.reshape(-1, *[1] * (one.ndim - 1))
        columns.append(torch.where(which, other, one))
    return type(mine)(*columns)


class StreakModel:
    """The law of a spectrometer, as its calibration has it, on a device.

    Parameters
    ----------
    calibration : PulseCalibration
        Lines and channels.
    device : torch.device
        Where the work is done.
    """

    def __init__(self, calibration: PulseCalibration, device: torch.device) -> None:
        def tensor(values: object) -> Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float64), device=device)

        self.n_channels, self.n_bins = calibration.n_channels, calibration.n_bins
        self.angles = tensor(2 * np.pi / self.n_channels * np.arange(self.n_channels))
        self.efficiency = tensor(calibration.efficiencies)
        self.reach = calibration.line_reach_bins
        self.n_window = int(np.ceil(2 * self.reach))
        points = np.linspace(-self.reach, self.reach, round(2 * self.reach * _PER_BIN) + 1)
        line = np.interp(points, calibration.line_bins, calibration.line)
        slope = np.gradient(line, points)
        self._table = tensor(np.stack([line, slope]))
        # Harmonics of the electrons round the channels, shape (3, n_channels).
        double = 2 * self.angles
        self.harmonics = torch.stack([torch.ones_like(double), double.cos(), double.sin()])

    def line(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return height and slope of a line at distances from its middle [bins]."""
        place = ((distance + self.reach) * _PER_BIN).clamp(0, self._table.shape[1] - 1.001)
        below = place.long()
        share = place - below
        height, slope = (
            torch.lerp(table[below], table[below + 1], share) for table in self._table.unbind()
        )
        inside = distance.abs() < self.reach
        return height * inside, slope * inside

    def positions(self, streaks: Streaks) -> Tensor:
        """Return where lines stand, shape (n, m, n_channels) [bins]."""
        angle = self.angles + streaks.phase[..., None]
        return streaks.center[..., None] + streaks.kick[:, None, None] * angle.cos()

    def weights(self, streaks: Streaks) -> Tensor:
        """Return the electrons of lines in channels of full efficiency, shape as positions."""
        return streaks.electrons @ self.harmonics

    def expected(self, streaks: Streaks) -> Tensor:
        """Return the electrons that are expected in each bin, shape (n, n_channels, n_bins)."""
        n = len(streaks)
        position = self.positions(streaks)
        bins = self._window_bins(position)
        height, _ = self.line(bins - position[..., None])
        height = height * self.weights(streaks)[..., None]
        inside = (bins >= 0) & (bins < self.n_bins)
        expected = streaks.background[:, None, None].expand(n, self.n_channels, self.n_bins)
        expected = expected.clone()
        row = torch.arange(n * self.n_channels, device=bins.device).reshape(
            n, 1, self.n_channels, 1
        )
        place = row * self.n_bins + bins.clamp(0, self.n_bins - 1)
        expected.view(-1).index_add_(0, place.reshape(-1), (height * inside).reshape(-1))
        return expected * self.efficiency[:, None]

    def _window_bins(self, position: Tensor) -> Tensor:
        """Return the bins that lines reach into, shape (..., n_window)."""
        first = torch.floor(position - self.reach).long() + 1
        return first[..., None] + torch.arange(self.n_window, device=position.device)

    def likelihood(self, counts: Tensor, streaks: Streaks) -> Likelihood:
        """Compare lines with shots.

        Parameters
        ----------
        counts : Tensor of float64, shape (n, n_channels, n_bins)
            Sinograms.
        streaks : Streaks
            Lines.

        Returns
        -------
        Likelihood
            How well they agree.
        """
        n, m = streaks.phase.shape
        position, weight = self.positions(streaks), self.weights(streaks)
        bins = self._window_bins(position)
        counted = (bins >= 0) & (bins < self.n_bins)
        # The last bin of a window may lie just beyond the line's end.
        counted &= (bins - position[..., None]).abs() < self.reach
        channel = torch.arange(self.n_channels, device=bins.device)[:, None]
        place = channel * self.n_bins + bins.clamp(0, self.n_bins - 1)
        seen = counts.reshape(n, -1).gather(1, place.reshape(n, -1)).reshape(place.shape)
        # Axes: shot, line whose window it is, channel, bin, line that contributes.
        distance = bins[..., None] - position.transpose(1, 2)[:, None, :, None, :]
        height, slope = self.line(distance)
        of_channel = weight.transpose(1, 2)[:, None, :, None, :]
        background = streaks.background[:, None, None, None]
        efficiency = self.efficiency[:, None]
        rate = (height * of_channel).sum(dim=-1) + background
        # A bin in the windows of several lines counts once.
        n_windows = (distance.abs() < self.reach).sum(dim=-1).clamp(min=1)
        share = counted / n_windows
        angle = (self.angles[:, None] + streaks.phase[:, None, :])[:, None, :, None, :]
        moved = slope * of_channel
        kick = streaks.kick[:, None, None, None, None]
        harmonics = self.harmonics[1:, None, :, None, None]
        columns = torch.cat(
            [
                moved * kick * angle.sin(),
                -moved,
                height,
                height * harmonics[0],
                height * harmonics[1],
                -(moved * angle.cos()).sum(dim=-1, keepdim=True),
                torch.ones_like(rate)[..., None],
            ],
            dim=-1,
        ).reshape(n, -1, PER_SPIKE * m + 2)
        scale = (share * efficiency / rate).reshape(n, 1, -1)
        excess = (share * (seen / rate - efficiency)).reshape(n, 1, -1)
        gradient = (excess @ columns).squeeze(1)
        information = (columns.transpose(1, 2) * scale) @ columns
        # What is in no window belongs to the background.
        in_windows = (share * seen).sum(dim=(1, 3))
        alone = counts.sum(dim=2) - in_windows
        bins_alone = self.n_bins - share.sum(dim=(1, 3))
        level = streaks.background
        expected_alone = (bins_alone * self.efficiency).sum(dim=1)
        gradient[:, -1] += alone.sum(dim=1) / level - expected_alone
        information[:, -1, -1] += expected_alone / level
        logs = torch.log(rate)
        log_level = torch.log(level)
        value = (share * (seen * logs - efficiency * rate)).sum(dim=(1, 2, 3))
        value = value + alone.sum(dim=1) * log_level - expected_alone * level
        # With the expected counts in place of the seen ones, and Poisson noise on them.
        mean_rate = share * efficiency * rate
        foreseen = (mean_rate * (logs - 1)).sum(dim=(1, 2, 3)) + expected_alone * level * (
            log_level - 1
        )
        variance = (mean_rate * logs**2).sum(dim=(1, 2, 3)) + expected_alone * level * log_level**2
        return Likelihood(value, gradient, information, (value - foreseen) / variance.sqrt())
