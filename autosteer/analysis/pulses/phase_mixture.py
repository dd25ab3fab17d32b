"""Distributions of a phase as mixtures of many narrow normal distributions, and what they tell.

The components stand evenly over the range of the phase; a network gives their weights, shifts them
by up to one spacing and says how wide they are. So the phase is finer than the spacing, two
competing explanations are two peaks, and the width is a standard deviation.

References
----------
.. [1] C. M. Bishop, Mixture Density Networks, Aston University NCRG/94/004 (1994).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OUTPUTS_PER_COMPONENT = 3
"""Numbers that a network gives for each component: logit, shift and logarithm of the width."""

_LEAST_SIGMA, _LARGEST_SIGMA = 1e-3, 0.3
# Components that stand this near to the most probable one belong to its peak.
_PEAK_REACH = 2


@dataclass(frozen=True, slots=True, eq=False)
class PhaseMixture:
    """Distributions of n phases.

    Parameters
    ----------
    log_weights : Tensor, shape (n, k)
        Logarithms of the components' weights, which add up to one.
    means, sigmas : Tensor, shape (n, k)
        Their means and standard deviations [rad].
    circular : bool
        Whether the range is a whole turn, whose ends meet.
    """

    log_weights: Tensor
    means: Tensor
    sigmas: Tensor
    circular: bool

    @classmethod
    def from_outputs(cls, outputs: Tensor, *, circular: bool) -> PhaseMixture:
        """Read what a network gives.

        Parameters
        ----------
        outputs : Tensor, shape (n, 3, k)
            Logits, shifts and widths.
        circular : bool
            Whether the range is [0, 2 pi) and its ends meet; otherwise it is [0, pi].

        Returns
        -------
        PhaseMixture
            The distributions.
        """
        logits, shifts, widths = outputs.float().unbind(dim=1)
        spacing = (2 * math.pi if circular else math.pi) / logits.shape[1]
        middles = (torch.arange(logits.shape[1], device=logits.device) + 0.5) * spacing
        # At zero output a component is about half a spacing wide.
        sigmas = (0.5 * spacing * widths.clamp(-8, 4).exp()).clamp(_LEAST_SIGMA, _LARGEST_SIGMA)
        means = middles + spacing * shifts.tanh()
        return cls(logits.log_softmax(dim=1), means, sigmas, circular)

    def log_density(self, phase: Tensor) -> Tensor:
        """Return the logarithm of the density at given phases.

        Parameters
        ----------
        phase : Tensor, shape (n,)
            Phases in the range [rad].

        Returns
        -------
        Tensor, shape (n,)
            Logarithms of the density [1/rad].
        """
        pull = self._from(phase[:, None]) / self.sigmas
        normal = -0.5 * pull**2 - self.sigmas.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weights + normal, dim=1)

    def peak(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the most probable phase.

        Returns
        -------
        phase : Tensor, shape (n,)
            Mean of the highest peak [rad].
        sigma : Tensor, shape (n,)
            Its standard deviation [rad].
        share : Tensor, shape (n,)
            Share of the distribution that lies in that peak.
        """
        weights = self.log_weights.exp()
        k = weights.shape[1]
        offsets = torch.arange(-_PEAK_REACH, _PEAK_REACH + 1, device=weights.device)
        summed = _windowed(weights, self.circular)
        best = summed.argmax(dim=1, keepdim=True)
        near = best + offsets
        inside = torch.ones_like(near, dtype=torch.bool)
        if not self.circular:
            inside = (near >= 0) & (near < k)
        index = near.remainder(k)
        weight = weights.gather(1, index) * inside
        share = weight.sum(dim=1)
        weight = weight / share[:, None]
        middle = self.means.gather(1, best)
        distance = -self._from(middle).gather(1, index)
        mean = (weight * distance).sum(dim=1)
        variance = self.sigmas.gather(1, index) ** 2 + (distance - mean[:, None]) ** 2
        return middle[:, 0] + mean, (weight * variance).sum(dim=1).sqrt(), share

    def spread(self, phase: Tensor) -> Tensor:
        """Return how far the whole distribution spreads about given phases.

        Parameters
        ----------
        phase : Tensor, shape (n,)
            Phases in the range [rad].

        Returns
        -------
        Tensor, shape (n,)
            Root mean squares of the distance [rad].
        """
        square = self.sigmas**2 + self._from(phase[:, None]) ** 2
        return (self.log_weights.exp() * square).sum(dim=1).sqrt()

    def _from(self, phase: Tensor) -> Tensor:
        """Return how far phases lie above the means, shape (n, k)."""
        distance = phase - self.means
        if self.circular:
            distance = torch.remainder(distance + math.pi, 2 * math.pi) - math.pi
        return distance


def _windowed(weights: Tensor, circular: bool) -> Tensor:
    """Add up the weights about each component."""
    padded = torch.nn.functional.pad(
        weights[:, None], (_PEAK_REACH, _PEAK_REACH), mode="circular" if circular else "constant"
    )
    return torch.nn.functional.avg_pool1d(padded, 2 * _PEAK_REACH + 1, stride=1)[:, 0]
