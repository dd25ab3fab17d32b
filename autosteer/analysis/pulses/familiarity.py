"""How much a sinogram looks like those that a network was trained with.

A few numbers are taken of each sinogram: how many electrons, how they gather in bins and channels,
and how far they spread. Of shots with the same number of sub-spikes and as many electrons they
scatter little, and a shot that lies far out of that scatter is not one that the network knows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from autosteer.analysis.pulses.result import N_CLASSES

_DOUBTFUL_SHARE = 1e-3
# Nothing is said of shots that are twice as far out as those few.
_STRANGE = 2.0
# An excess of the logarithm of the electrons that counts as one standard deviation.
_EXCESS = 0.05
_TERMS = 3
_RANGES = 8
_LEAST_VARIANCE = 1e-3
# Bins in the same line, and bins of which only wide lines reach both.
_APART = 1, 4


def statistics(counts: Tensor) -> Tensor:
    """Take a few numbers of sinograms.

    Parameters
    ----------
    counts : Tensor of float32, shape (n, n_channels, n_bins)
        Counts.

    Returns
    -------
    Tensor of float32, shape (n, 7)
        Logarithms of all counts, of the largest one, of the bins that are not empty over all
        counts, of the products of neighbouring bins over all counts, of those of bins four apart
        over these, and of how far the sum of a channel is from what polarised light can do;
        standard deviation of the energy [bins].
    """
    n_channels, n_bins = counts.shape[1:]
    in_channel, in_bin = counts.sum(dim=2), counts.sum(dim=1)
    total = in_channel.sum(dim=1)
    known = total.clamp(min=1)
    bins = torch.arange(n_bins, dtype=counts.dtype, device=counts.device)
    mean = in_bin @ bins / known
    square = in_bin @ bins**2 / known
    occupied = (counts > 0).sum(dim=(1, 2))
    near, far = ((counts[:, :, d:] * counts[:, :, :-d]).sum(dim=(1, 2)) for d in _APART)
    # Dipole emission by polarised light gives sums of a constant and a second harmonic.
    angle = torch.arange(n_channels, dtype=counts.dtype, device=counts.device)
    angle = 4 * torch.pi / n_channels * angle
    waves = torch.stack([torch.ones_like(angle), angle.cos(), angle.sin()])
    waves = waves / waves.square().sum(dim=1, keepdim=True).sqrt()
    expected = in_channel @ waves.T @ waves
    off = (in_channel - expected).square() / expected.clamp(min=1)
    return torch.stack(
        [
            total.log1p(),
            counts.amax(dim=(1, 2)).log1p(),
            ((occupied + 1) / (total + 1)).log(),
            ((near + 1) / (total + 1)).log(),
            ((far + 1) / (near + 1)).log(),
            off.amax(dim=1).log1p(),
            (square - mean**2).clamp(min=0).sqrt(),
        ],
        dim=1,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """What shots of a training look like, by the number of their sub-spikes.

    Parameters
    ----------
    trends : Tensor, shape (5, 3, 6)
        Parabolas of each number over the logarithm of the counts.
    edges : Tensor, shape (5, 9)
        Ranges of the logarithm of the counts, from the least to the largest one.
    whitening : Tensor, shape (5, 8, 6, 6)
        In each of them, maps deviations to independent ones of variance one.
    usual : Tensor, shape (5, 2)
        Median of the distance, and from there to the 84 % quantile.
    doubtful : Tensor, shape (5,)
        Goodness that one shot in a thousand does not reach.
    """

    trends: Tensor
    edges: Tensor
    whitening: Tensor
    usual: Tensor
    doubtful: Tensor

    @classmethod
    def learn(cls, seen: Tensor, classes: Tensor) -> Familiarity:
        """Learn from shots of a training.

        Parameters
        ----------
        seen : Tensor, shape (n, 7)
            Their `statistics`.
        classes : Tensor of int64, shape (n,)
            Their numbers of sub-spikes; some hundred shots of each.

        Returns
        -------
        Familiarity
            What they look like.
        """
        columns: dict[str, list[Tensor]] = {field.name: [] for field in fields(cls)}
        for number in range(N_CLASSES):
            some = seen[classes == number].double()
            counts, numbers = some[:, 0], some[:, 1:]
            powers = _powers(counts)
            trend = torch.linalg.lstsq(powers, numbers).solution
            deviation = numbers - powers @ trend
            edges = torch.quantile(counts, torch.linspace(0, 1, _RANGES + 1, dtype=counts.dtype))
            place = _place(counts, edges.expand(len(counts), -1))
            columns["trends"].append(trend)
            columns["edges"].append(edges)
            columns["whitening"].append(
                torch.stack([_whitening(deviation[place == one]) for one in range(_RANGES)])
            )
            columns["usual"].append(torch.tensor([0.0, 1.0], dtype=torch.float64))
            columns["doubtful"].append(torch.tensor(0.0, dtype=torch.float64))
        raw = cls(**{name: torch.stack(values).float() for name, values in columns.items()})
        usual, doubtful = torch.empty(N_CLASSES, 2), torch.empty(N_CLASSES)
        for number in range(N_CLASSES):
            some = seen[classes == number].float()
            distance = -raw.goodness(some, torch.full((len(some),), number))
            middle, upper, far = torch.quantile(
                distance, torch.tensor([0.5, 0.84, 1 - _DOUBTFUL_SHARE])
            )
            usual[number] = torch.stack([middle, (upper - middle).clamp(min=1e-3)])
            doubtful[number] = (middle - far) / usual[number, 1]
        return cls(raw.trends, raw.edges, raw.whitening, usual, doubtful)

    def goodness(self, seen: Tensor, classes: Tensor) -> Tensor:
        """Return how usual shots are.

        Parameters
        ----------
        seen : Tensor, shape (n, 7)
            Their `statistics`.
        classes : Tensor of int64, shape (n,)
            What numbers of sub-spikes they are taken to have.

        Returns
        -------
        Tensor, shape (n,)
            How much nearer they are to the middle of the training's shots than half of those, in
            standard deviations.
        """
        counts, numbers = seen[:, 0], seen[:, 1:]
        edges = self.edges[classes]
        inside = counts.clamp(min=edges[:, 0], max=edges[:, -1])
        expected = torch.einsum("nk,nks->ns", _powers(inside), self.trends[classes])
        whitening = self.whitening[classes, _place(inside, edges)]
        off = torch.einsum("ns,nst->nt", numbers - expected, whitening)
        beyond = (counts - inside) / _EXCESS
        distance = (off.square().sum(dim=1) + beyond.square()).sqrt()
        middle, scale = self.usual[classes].unbind(dim=1)
        return (middle - distance) / scale

    def judge(self, seen: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Say which shots are doubtful, and which are nothing that the network knows.

        Parameters
        ----------
        seen : Tensor, shape (n, 7)
            Their `statistics`.
        classes : Tensor of int64, shape (n,)
            What numbers of sub-spikes they are taken to have.

        Returns
        -------
        goodness : Tensor, shape (n,)
            As of `goodness`.
        doubtful, strange : Tensor of bool, shape (n,)
            Which ones.
        """
        goodness = self.goodness(seen, classes)
        limit = self.doubtful[classes]
        return goodness, goodness < limit, goodness < _STRANGE * limit

    def tensors(self) -> dict[str, Tensor]:
        """Return what it consists of.

        Returns
        -------
        dict of str to Tensor
            Tensors by name.
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> Familiarity:
        """Go to a device.

        Parameters
        ----------
        device : torch.device
            Which one.

        Returns
        -------
        Familiarity
            The same there.
        """
        return Familiarity(**{name: value.to(device) for name, value in self.tensors().items()})


def _place(values: Tensor, edges: Tensor) -> Tensor:
    """Return in which range values lie, shape (n,)."""
    return (values[:, None] >= edges[:, 1:-1]).sum(dim=1)


def _whitening(deviation: Tensor) -> Tensor:
    """Return a matrix that makes deviations independent, shape (s, s)."""
    n, s = deviation.shape
    eye = torch.eye(s, dtype=deviation.dtype)
    # A number that is always the same must not make everything else strange.
    covariance = deviation.T @ deviation / max(n, 1) + _LEAST_VARIANCE * eye
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(covariance if n > s else eye))
    return factor


def _powers(values: Tensor) -> Tensor:
    """Return the first powers of values, shape (n, 3)."""
    return torch.stack([values**power for power in range(_TERMS)], dim=1)
