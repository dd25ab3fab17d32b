"""The network ``dciphr-small``, which treats all directions round the beam alike.

Turning a sinogram by a channel turns what every layer says by a channel and changes nothing else,
as it is for the phases of sub-spikes. So one shot teaches about all directions, and what is said of
a phase difference does not depend on the direction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autosteer.analysis.pulses.phase_mixture import OUTPUTS_PER_COMPONENT
from autosteer.analysis.pulses.result import N_CLASSES

_WIDTHS = (8, 16, 24, 32)
_STRIDES = (4, 2, 2, 2)
_KERNELS = (9, 3, 3, 3)
_FEATURES = 64
_PRODUCTS = 24
_HIDDEN = 192
_PAIR_COMPONENTS = 64
_COMPONENTS_A_CHANNEL = 4
_INPUT_SCALE = 0.5

REDUCTION = math.prod(_STRIDES)
"""The number of energy bins must be a multiple of this."""


class SmallOutputs(NamedTuple):
    """What the network says of n shots."""

    number: Tensor
    """Logits of 0, 1, 2, 3, and 4 or more sub-spikes, shape (n, 5)."""
    pair: Tensor
    """Phase between two sub-spikes, for `PhaseMixture`, shape (n, 3, 64)."""
    strongest: Tensor
    """Phase of the strongest sub-spike, for `PhaseMixture`, shape (n, 3, 4 * n_channels)."""


class RingLinear(nn.Module):
    """A linear map of the features of all channels that commutes with turning the ring.

    It is a circular convolution over the whole ring, done as a product in Fourier space.

    Parameters
    ----------
    n_channels : int
        Channels round the ring.
    n_in, n_out : int
        Features of a channel.
    """

    def __init__(self, n_channels: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out
        scale = math.sqrt(2 / (n_channels * n_in))
        self.weight = nn.Parameter(scale * torch.randn(n_channels, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.there: Tensor
        self.back: Tensor
        there, back = _ring_transforms(n_channels)
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("back", back, persistent=False)
        self._prepared: Tensor | None = None

    def prepare(self) -> None:
        """Transform the weights once and for all; they must not change afterwards."""
        self._prepared = self._spectra().detach()

    def spectrum(self, features: Tensor) -> Tensor:
        """Transform features along the ring.

        Parameters
        ----------
        features : Tensor, shape (n, n_channels, k)
            Features.

        Returns
        -------
        Tensor, shape (n, n_channels // 2 + 1, 2, k)
            Real and imaginary parts.
        """
        n, n_channels, k = features.shape
        return (self.there @ features).reshape(n, n_channels // 2 + 1, 2, k)

    def forward(self, features: Tensor) -> Tensor:
        """Map features.

        Parameters
        ----------
        features : Tensor, shape (n, n_channels, n_in)
            Features.

        Returns
        -------
        Tensor, shape (n, n_channels, n_out)
            Mapped features.
        """
        weights = self._spectra() if self._prepared is None else self._prepared
        n = len(features)
        spectra = self.spectrum(features).flatten(2).transpose(0, 1)
        mapped = torch.bmm(spectra, weights).transpose(0, 1)
        turned: Tensor = self.back @ mapped.reshape(n, -1, self.n_out)
        return turned + self.bias

    def _spectra(self) -> Tensor:
        """Return the weights as matrices of each frequency, shape (f, 2 * n_in, 2 * n_out)."""
        _, n_in, n_out = self.weight.shape
        spectra = (self.there @ self.weight.flatten(1)).reshape(-1, 2, n_in, n_out)
        real, imaginary = spectra.unbind(dim=1)
        of_real = torch.cat([real, imaginary], dim=2)
        of_imaginary = torch.cat([-imaginary, real], dim=2)
        return torch.cat([of_real, of_imaginary], dim=1)


def _ring_transforms(n_channels: int) -> tuple[Tensor, Tensor]:
    """Return the matrices of the real Fourier transform and of its inverse."""
    frequency = torch.arange(n_channels // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi / n_channels * frequency[:, None] * torch.arange(n_channels)
    waves = torch.stack([angle.cos(), -angle.sin()], dim=1)
    # All frequencies but the first, and the last of an even number, stand for two.
    twice = (frequency > 0) & (2 * frequency != n_channels)
    weight = torch.where(twice, 2.0, 1.0) / n_channels
    back = (weight[:, None, None] * waves).flatten(0, 1).T
    return waves.flatten(0, 1).float(), back.float().contiguous()


class SmallNetwork(nn.Module):
    """Counts sub-spikes and gives distributions of their phases.

    Convolutions, circular round the ring, shorten the energy axis; two maps over the whole ring
    find sub-spikes along their sine waves; means, maxima and correlations round the ring, which do
    not depend on the direction, give number and phase difference.

    Parameters
    ----------
    n_channels, n_bins : int
        Shape of the sinograms.

    Raises
    ------
    ValueError
        If `n_bins` is no multiple of `REDUCTION`.
    """

    def __init__(self, n_channels: int = 16, n_bins: int = 512) -> None:
        super().__init__()
        if n_bins % REDUCTION:
            raise ValueError(f"n_bins is {n_bins}: it must be a multiple of {REDUCTION}")
        self.convolutions = nn.ModuleList()
        before = 1
        for width, stride, kernel in zip(_WIDTHS, _STRIDES, _KERNELS, strict=True):
            self.convolutions.append(
                nn.Conv2d(before, width, (3, kernel), (1, stride), padding=(0, kernel // 2))
            )
            before = width
        self.lines = RingLinear(n_channels, before * (n_bins // REDUCTION), _FEATURES)
        self.pairs = RingLinear(n_channels, _FEATURES, _FEATURES)
        self.products = nn.Linear(_FEATURES, 2 * _PRODUCTS)
        n_known = 2 * _FEATURES + (n_channels // 2 + 1) * _PRODUCTS
        self.number = nn.Sequential(
            nn.Linear(n_known, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, N_CLASSES)
        )
        self.pair = nn.Sequential(
            nn.Linear(n_known, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, OUTPUTS_PER_COMPONENT * _PAIR_COMPONENTS),
        )
        self.strongest = RingLinear(
            n_channels, _FEATURES, OUTPUTS_PER_COMPONENT * _COMPONENTS_A_CHANNEL
        )

    def prepare(self) -> None:
        """Make ready for use; the weights must not change afterwards."""
        self.eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self.modules():
            if isinstance(module, RingLinear):
                module.prepare()

    def forward(self, counts: Tensor) -> SmallOutputs:
        """Look at sinograms.

        Parameters
        ----------
        counts : Tensor of float32, shape (n, n_channels, n_bins)
            Counts.

        Returns
        -------
        SmallOutputs
            What is seen.
        """
        # Square roots of counts have the same noise everywhere.
        seen = _INPUT_SCALE * counts.sqrt()[:, None]
        for convolution in self.convolutions:
            round_the_ring = torch.cat([seen[:, :, -1:], seen, seen[:, :, :1]], dim=2)
            seen = convolution(round_the_ring).relu_()
        lines = torch.relu(self.lines(seen.permute(0, 2, 1, 3).flatten(2)))
        pairs = torch.relu(self.pairs(lines))
        one, other = self.products(pairs).chunk(2, dim=2)
        correlation = (self.pairs.spectrum(one) * self.pairs.spectrum(other)).sum(dim=2)
        correlation = correlation / pairs.shape[1]
        known = torch.cat([pairs.mean(dim=1), pairs.amax(dim=1), correlation.flatten(1)], dim=1)
        # Where a line is at its highest energy moves down the ring as its phase goes up.
        n, n_channels, _ = pairs.shape
        strongest = self.strongest(pairs).flip(1)
        strongest = strongest.reshape(n, n_channels, OUTPUTS_PER_COMPONENT, -1).transpose(1, 2)
        return SmallOutputs(
            self.number(known),
            self.pair(known).reshape(n, OUTPUTS_PER_COMPONENT, -1),
            strongest.flatten(2),
        )
