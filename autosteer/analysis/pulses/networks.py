"""The five networks of DCIPHR, with exactly the numbers of parameters that were published.

Sinograms come as images of one channel, shape (n, 1, 16, 512): 16 detector channels by 512 energy
bins, scaled to [0, 1].

References
----------
.. [1] J. Hirschman et al., A Hybrid Neural Architecture: Online Attosecond X-ray Characterization
       (2025), table 2.
.. [2] K. He, X. Zhang, S. Ren and J. Sun, CVPR 2016, p. 770, on residual networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

N_CHANNELS, N_BINS = 16, 512
"""Shape of the sinograms that the networks take."""

N_CLASSES = 5
N_SINGLE_PHASES, N_PAIR_PHASES = 2000, 4000
"""Classes of the phase of one sub-spike, over [0, 2 pi), and between two, over [0, pi)."""

_DROPOUT = 0.2


class ZeroClassifier(nn.Module):
    """Tells shots without any sub-spike from the others; 70,345 parameters.

    The published text pools by 3 by 3 pixels first, which does not lead to the published number;
    pooling by 2 by 2 does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(32 * (N_CHANNELS // 4) * (N_BINS // 4), 4), nn.ReLU(), nn.Linear(4, 1)
        )

    def forward(self, sinograms: Tensor) -> Tensor:
        """Return logits of there being sub-spikes, shape (n,).

        Parameters
        ----------
        sinograms : Tensor, shape (n, 1, 16, 512)
            Scaled sinograms.

        Returns
        -------
        Tensor, shape (n,)
            Logits; positive where there is a sub-spike.
        """
        logits: Tensor = self.head(self.features(sinograms))
        return logits.squeeze(1)


class Denoiser(nn.Module):
    """Takes the noise out of sinograms; 46,529 parameters.

    It was published as an autoencoder. It keeps the resolution throughout, and its inner layers are
    larger than its input by two rows and columns, 18 by 514.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, padding=2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, sinograms: Tensor) -> Tensor:
        """Return sinograms without noise.

        Parameters
        ----------
        sinograms : Tensor, shape (n, 1, 16, 512)
            Scaled sinograms.

        Returns
        -------
        Tensor, shape (n, 1, 16, 512)
            The same without noise.
        """
        clean: Tensor = self.decoder(self.encoder(sinograms))
        return clean


class CountClassifier(nn.Module):
    """Counts sub-spikes, as a sequence of channels that is read both ways; 1,458,597 parameters.

    What both directions know at their ends goes on. The published code takes the output at the last
    channel, where the direction from behind has seen that channel alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.LSTM(
            N_BINS, 128, num_layers=3, batch_first=True, bidirectional=True, dropout=_DROPOUT
        )
        self.head = nn.Sequential(
            nn.Linear(256, 32), nn.ReLU(), nn.Dropout(_DROPOUT),
            nn.Linear(32, 64), nn.ReLU(), nn.Dropout(_DROPOUT),
            nn.Linear(64, N_CLASSES),
        )  # fmt: skip

    def forward(self, sinograms: Tensor) -> Tensor:
        """Return logits of 0, 1, 2, 3, and 4 or more sub-spikes.

        Parameters
        ----------
        sinograms : Tensor, shape (n, 1, 16, 512)
            Sinograms without noise.

        Returns
        -------
        Tensor, shape (n, 5)
            Logits.
        """
        _, (states, _) = self.reader(sinograms.squeeze(1))
        # The last layer's two directions come last.
        logits: Tensor = self.head(torch.cat([states[-2], states[-1]], dim=1))
        return logits


class _Block(nn.Module):
    """Two convolutions, and the way round them."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.through = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.around: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.around = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, values: Tensor) -> Tensor:
        return torch.relu(self.through(values) + self.around(values))


class PhaseClassifier(nn.Module):
    """A residual network that puts a phase into one of many classes.

    With 18 layers and 2000 classes it has 12,196,240 parameters, with 34 layers and 4000 classes
    23,330,400.

    Parameters
    ----------
    blocks : sequence of int
        Blocks of each of the four stages: (2, 2, 2, 2) for 18 layers, (3, 4, 6, 3) for 34.
    n_phases : int
        Classes.
    width : int, default 64
        Channels of the first stage; each further one has twice as many.
    """

    def __init__(self, blocks: Sequence[int], n_phases: int, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        layers: list[nn.Module] = []
        before = width
        for stage, count in enumerate(blocks):
            here = width * 2**stage
            for number in range(count):
                layers.append(_Block(before, here, 2 if stage and not number else 1))
                before = here
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(before, n_phases)

    def forward(self, sinograms: Tensor) -> Tensor:
        """Return logits of the classes of phase.

        Parameters
        ----------
        sinograms : Tensor, shape (n, 1, 16, 512)
            Sinograms without noise.

        Returns
        -------
        Tensor, shape (n, n_phases)
            Logits.
        """
        seen = self.stages(self.stem(sinograms)).mean(dim=(2, 3))
        logits: Tensor = self.head(seen)
        return logits


def single_phase_classifier() -> PhaseClassifier:
    """Return the network for the phase of one sub-spike; 12,196,240 parameters.

    Returns
    -------
    PhaseClassifier
        18 layers, 2000 classes.
    """
    return PhaseClassifier((2, 2, 2, 2), N_SINGLE_PHASES)


def pair_phase_classifier() -> PhaseClassifier:
    """Return the network for the phase between two sub-spikes; 23,330,400 parameters.

    Returns
    -------
    PhaseClassifier
        34 layers, 4000 classes.
    """
    return PhaseClassifier((3, 4, 6, 3), N_PAIR_PHASES)


def n_parameters(network: nn.Module) -> int:
    """Count the parameters of a network; what it keeps of batches does not count.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    Returns
    -------
    int
        Their number.

    Examples
    --------
    >>> n_parameters(ZeroClassifier())
    70345
    """
    return sum(parameter.numel() for parameter in network.parameters())
