"""What the estimators made of networks have in common: from sinograms, in parts, to a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis.pulses.familiarity import Familiarity
from autosteer.analysis.pulses.result import (
    N_CLASSES,
    Abstained,
    PulseResult,
    checked_sinograms,
    make_result,
)
from autosteer.analysis.pulses.weights import Weights

SURE = 0.95
"""Where the most probable number, or the peak of the phase, is less probable than this, something
else explains the shot, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What was found on fresh shots after a training, and is kept with the weights.

    Parameters
    ----------
    temperature : float
        Divides logits of the number, so that probabilities are right.
    sigma : float
        Multiplies standard deviations, so that they agree with errors.
    confusion : ndarray of float64, shape (5, 5)
        How the networks count: shares of what they call each true number.
    familiarity : Familiarity
        What shots look like.
    """

    temperature: float
    sigma: float
    confusion: NDArray[np.float64]
    familiarity: Familiarity

    @classmethod
    def of(cls, weights: Weights, device: torch.device) -> Scales:
        """Take them from weights.

        Parameters
        ----------
        weights : Weights
            The weights.
        device : torch.device
            Where shots are looked at.

        Returns
        -------
        Scales
            The scales.

        Raises
        ------
        AnalysisError
            If the weights lack one.
        """
        return cls(
            float(weights.tensor("calibration.temperature")),
            float(weights.tensor("calibration.sigma_scale")),
            weights.tensor("calibration.confusion").numpy(),
            Familiarity(**weights.under("familiarity")).to(device),
        )


class Seen(NamedTuple):
    """What networks say of n shots."""

    probabilities: Tensor
    """Of 0, 1, 2, 3, and 4 or more sub-spikes, shape (n, 5)."""
    numbers: Tensor
    """Phase, phase difference, its standard deviation [rad], and goodness, shape (4, n)."""
    flags: Tensor
    """Whether shots are ambiguous, and whether they are nothing that is known, shape (2, n)."""


def characterize_by(
    look: Callable[[Tensor], Seen],
    sinograms: NDArray[Any],
    shape: tuple[int, int],
    *,
    together: int,
    device: torch.device,
    wavelength_um: float,
) -> PulseResult:
    """Characterise pulses, some shots at a time.

    Parameters
    ----------
    look : callable
        Says what is seen in counts, a tensor of float32 of the shape (n, n_channels, n_bins).
    sinograms : ndarray, shape (n, n_channels, n_bins)
        Counts.
    shape : (int, int)
        Channels and bins that there have to be.
    together : int
        Shots that are looked at together.
    device : torch.device
        Where that is done.
    wavelength_um : float
        Wavelength of the streaking laser [um].

    Returns
    -------
    PulseResult
        What is known of them.

    Raises
    ------
    AnalysisError
        If the sinograms have another shape, or are not of numbers.
    """
    counts, abstained = checked_sinograms(sinograms, shape)
    n = len(counts)
    probabilities = np.full((n, N_CLASSES), np.nan)
    numbers = np.full((4, n), np.nan)
    flags = np.zeros((2, n), dtype=np.bool_)
    with torch.inference_mode():
        for start in range(0, n, together):
            some = slice(start, start + together)
            seen = look(torch.from_numpy(counts[some]).to(device))
            probabilities[some], numbers[:, some], flags[:, some] = (
                values.cpu().numpy() for values in seen
            )
    phase, delta_phase, sigma, goodness = numbers
    ambiguous, strange = flags
    abstained[strange & (abstained == Abstained.NO)] = Abstained.UNFAMILIAR
    return make_result(
        probabilities, phase, delta_phase, sigma, goodness, ambiguous, abstained, wavelength_um
    )
