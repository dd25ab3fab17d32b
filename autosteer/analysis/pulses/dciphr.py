"""The estimator ``dciphr``: the five published networks, and which shots go through which.

A shot goes through zero classifier and denoiser, and what is left of it through the classifier of
the number; only if that says one or two sub-spikes, through the network of that phase.

References
----------
.. [1] J. Hirschman et al., A Hybrid Neural Architecture: Online Attosecond X-ray Characterization
       (2025).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autosteer.analysis._devices import usable_device
from autosteer.analysis.pulses._cuda_graphs import captured
from autosteer.analysis.pulses._network_results import SURE, Scales, Seen, characterize_by
from autosteer.analysis.pulses.familiarity import statistics
from autosteer.analysis.pulses.networks import (
    N_BINS,
    N_CHANNELS,
    CountClassifier,
    Denoiser,
    ZeroClassifier,
    pair_phase_classifier,
    single_phase_classifier,
)
from autosteer.analysis.pulses.result import PulseResult
from autosteer.analysis.pulses.weights import Weights
from autosteer.physics.streaking import optical_period_as

ARCHITECTURE = "dciphr"
"""Name of the estimator and of its weights."""

_SHOTS_TOGETHER = {"cpu": 64, "cuda": 1024}
# Classes whose phases are within this of the best one belong to its peak [rad].
_PEAK_REACH_RAD = 0.12
_Calls = tuple[Callable[[Tensor], Any], Callable[[Tensor], Any], Callable[[Tensor], Any]]
_IN_BFLOAT16 = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.LSTM)


class Networks(nn.Module):
    """The five networks, and how sinograms are scaled for them.

    Parameters
    ----------
    top : float, default 1
        Counts that are scaled to one.
    """

    def __init__(self, top: float = 1.0) -> None:
        super().__init__()
        self.zero = ZeroClassifier()
        self.denoiser = Denoiser()
        self.count = CountClassifier()
        self.single = single_phase_classifier()
        self.pair = pair_phase_classifier()
        self.top: Tensor
        self.register_buffer("top", torch.tensor(top))

    def scaled(self, counts: Tensor) -> Tensor:
        """Scale counts to [0, 1], so that their noise is about the same everywhere.

        Parameters
        ----------
        counts : Tensor, shape (n, 16, 512)
            Counts, or expected counts.

        Returns
        -------
        Tensor, shape (n, 1, 16, 512)
            Scaled square roots.
        """
        return (counts / self.top).clamp(max=1).sqrt()[:, None]

    def cleaned(self, counts: Tensor) -> Tensor:
        """Take out noise, and everything where the zero classifier sees no sub-spike.

        Parameters
        ----------
        counts : Tensor of float32, shape (n, 16, 512)
            Counts.

        Returns
        -------
        Tensor, shape (n, 1, 16, 512)
            Scaled square roots of the expected counts.
        """
        images = self.scaled(counts).to(self.denoiser.encoder[0].weight.dtype)  # type: ignore[arg-type]
        images = images.contiguous(memory_format=torch.channels_last)
        some: Tensor = self.zero(images) > 0
        clean: Tensor = self.denoiser(images)
        return clean * some[:, None, None, None]

    def counted(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Count sub-spikes.

        Parameters
        ----------
        counts : Tensor of float32, shape (n, 16, 512)
            Counts.

        Returns
        -------
        cleaned : Tensor, shape (n, 1, 16, 512)
            As of `cleaned`.
        logits : Tensor, shape (n, 5)
            Logits of 0, 1, 2, 3, and 4 or more sub-spikes.
        """
        clean = self.cleaned(counts)
        return clean, self.count(clean).float()


def decode(logits: Tensor, *, circular: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Read the phase from logits of its classes.

    Parameters
    ----------
    logits : Tensor, shape (n, k)
        Logits of classes over [0, 2 pi) if `circular`, else over [0, pi).
    circular : bool
        Whether the ends of the range meet.

    Returns
    -------
    phase : Tensor, shape (n,)
        Middle of the most probable class, half a class above its lower edge [rad].
    sigma : Tensor, shape (n,)
        Standard deviation of the classes near to it, of all where those are not nearly all [rad].
    share : Tensor, shape (n,)
        Share of the probability that the classes near to it have.
    """
    k = logits.shape[1]
    turn = 2 * math.pi if circular else math.pi
    weights = logits.float().softmax(dim=1)
    middles = (torch.arange(k, device=logits.device) + 0.5) * (turn / k)
    phase = middles[weights.argmax(dim=1)]
    off = middles - phase[:, None]
    if circular:
        off = torch.remainder(off + math.pi, 2 * math.pi) - math.pi
    near = weights * (off.abs() < _PEAK_REACH_RAD)
    share = near.sum(dim=1)
    # Where something else is as probable, the classes near by alone would promise too much.
    counting = torch.where(share[:, None] < SURE, weights, near)
    width = turn / k / math.sqrt(12)
    variance = (counting * off**2).sum(dim=1) / counting.sum(dim=1) + width**2
    return phase, variance.sqrt(), share


class DciphrEstimator:
    """Characterises pulses with the networks of DCIPHR.

    Only of a shot with one sub-spike is `PulseResult.phase` given. Standard deviations come from
    the spread of the classes, scaled once so that they agree with the errors of fresh shots;
    goodness, flags and abstentions are as of ``dciphr-small``.

    On CUDA the products are of bfloat16, and single shots go through captured CUDA graphs. This
    path has not been run on a GPU yet.

    Parameters
    ----------
    weights : Weights
        Weights of the networks.
    wavelength_um : float, default 1.2
        Wavelength of the streaking laser [um].
    device : str, default "cpu"
        Torch device.

    Raises
    ------
    ValueError
        If no streaking laser has this wavelength.
    AnalysisError
        If there is no such device, or the weights do not fit.
    """

    def __init__(
        self, weights: Weights, *, wavelength_um: float = 1.2, device: str = "cpu"
    ) -> None:
        optical_period_as(wavelength_um)
        self._wavelength_um = wavelength_um
        self._device = usable_device(device)
        networks = Networks()
        weights.load("networks", networks)
        networks.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scales = Scales.of(weights, self._device)
        self._together: _Calls = networks.counted, networks.single, networks.pair
        self._alone: _Calls = self._together
        if self._device.type == "cuda":
            in_bfloat16(networks)
            counts = torch.zeros(1, N_CHANNELS, N_BINS, device=self._device)
            counted = captured(networks.counted, counts)
            clean, _ = counted(counts)
            self._alone = counted, captured(networks.single, clean), captured(networks.pair, clean)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of the sinograms that it takes."""
        return N_CHANNELS, N_BINS

    @property
    def confusion(self) -> NDArray[np.float64]:
        """How it counts on fresh shots of the training, shape (5, 5)."""
        return self._scales.confusion

    def characterize(self, sinograms: NDArray[Any]) -> PulseResult:
        """Characterise pulses.

        Parameters
        ----------
        sinograms : ndarray, shape (n, 16, 512)
            Counts.

        Returns
        -------
        PulseResult
            What is known of them.

        Raises
        ------
        AnalysisError
            If the sinograms have another shape.
        """
        return characterize_by(
            self._look, sinograms, (N_CHANNELS, N_BINS),
            together=_SHOTS_TOGETHER.get(self._device.type, 64), device=self._device,
            wavelength_um=self._wavelength_um,
        )  # fmt: skip

    def _look(self, counts: Tensor) -> Seen:
        """Look at sinograms."""
        counted, single, pair = self._alone if len(counts) == 1 else self._together
        clean, logits = counted(counts)
        probabilities = (logits.double() / self._scales.temperature).softmax(dim=1)
        sure, number = probabilities.max(dim=1)
        goodness, doubtful, strange = self._scales.familiarity.judge(statistics(counts), number)
        ambiguous = (sure < SURE) | doubtful
        numbers = counts.new_full((4, len(counts)), torch.nan)
        numbers[3] = goodness
        one, two = (number == 1).nonzero()[:, 0], (number == 2).nonzero()[:, 0]
        if len(one):
            numbers[0, one], _, share = decode(single(clean[one]), circular=True)
            ambiguous[one] |= share < SURE
        if len(two):
            numbers[1, two], sigma, share = decode(pair(clean[two]), circular=False)
            numbers[2, two] = self._scales.sigma * sigma
            ambiguous[two] |= share < SURE
        return Seen(probabilities, numbers, torch.stack([ambiguous, strange]))


def in_bfloat16(networks: nn.Module) -> None:
    """Make products of bfloat16; means and variances of batches stay float32.

    Parameters
    ----------
    networks : torch.nn.Module
        Networks, whose weights are converted in place.
    """
    for module in networks.modules():
        if isinstance(module, _IN_BFLOAT16):
            module.to(torch.bfloat16)
