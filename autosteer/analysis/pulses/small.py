"""The estimator ``dciphr-small``: one small network, whose weights come with the package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis._devices import usable_device
from autosteer.analysis.pulses._network_results import SURE, Scales, Seen, characterize_by
from autosteer.analysis.pulses.familiarity import statistics
from autosteer.analysis.pulses.phase_mixture import PhaseMixture
from autosteer.analysis.pulses.result import PulseResult
from autosteer.analysis.pulses.small_network import SmallNetwork
from autosteer.analysis.pulses.weights import Weights
from autosteer.physics.streaking import optical_period_as

ARCHITECTURE = "dciphr-small"
"""Name of the estimator and of its weights."""

# So few that what is in between stays in the cache of a core.
_SHOTS_TOGETHER = 32


class SmallEstimator:
    """Characterises pulses with a small network.

    Standard deviations are what the network predicts for each shot, scaled once so that they agree
    with the errors of fresh shots: those of the highest peak, and where other phases are probable,
    too, those of the whole distribution. `PulseResult.goodness` says how usual the sinogram is
    among those of the training with as many sub-spikes, by a few numbers taken of it (see
    `autosteer.analysis.pulses.familiarity`): it sees other spectrometers and broken channels, not
    whether the network is right. Shots that are ambiguous in number or phase, or unusual, are
    flagged; of those that are like nothing in the training nothing is said.

    Parameters
    ----------
    weights : Weights
        Weights of the network.
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
        self._shape = weights.shape
        self._network = SmallNetwork(*weights.shape)
        weights.load("network", self._network)
        self._network.to(self._device).prepare()
        self._scales = Scales.of(weights, self._device)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of the sinograms that it takes."""
        return self._shape

    @property
    def confusion(self) -> NDArray[np.float64]:
        """How it counts on fresh shots of the training, shape (5, 5)."""
        return self._scales.confusion

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
            If the sinograms have another shape than those of the training.
        """
        return characterize_by(
            self._look, sinograms, self._shape,
            together=_SHOTS_TOGETHER, device=self._device, wavelength_um=self._wavelength_um,
        )  # fmt: skip

    def _look(self, counts: Tensor) -> Seen:
        """Look at sinograms."""
        outputs = self._network(counts)
        probabilities = (outputs.number.double() / self._scales.temperature).softmax(dim=1)
        sure, number = probabilities.max(dim=1)
        pair = PhaseMixture.from_outputs(outputs.pair, circular=False)
        delta_phase, sigma, share = pair.peak()
        # Where something else is as probable, the peak alone would promise too much.
        sigma = torch.where(share < SURE, pair.spread(delta_phase), sigma)
        phase, _, _ = PhaseMixture.from_outputs(outputs.strongest, circular=True).peak()
        goodness, doubtful, strange = self._scales.familiarity.judge(statistics(counts), number)
        ambiguous = (sure < SURE) | doubtful | ((number == 2) & (share < SURE))
        numbers = torch.stack([phase, delta_phase, self._scales.sigma * sigma, goodness])
        return Seen(probabilities, numbers, torch.stack([ambiguous, strange]))
