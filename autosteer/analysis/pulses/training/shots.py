"""Shots to train with: where they come from, how they are mixed, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosteer.analysis.pulses.result import N_CLASSES

_BATCHES_A_BLOCK = 8
# Parts of a mixture, and uses that must never share a shot, take numbers this far apart.
_PART_STRIDE = 1 << 44
VALIDATION, CALIBRATION, JUDGEMENT = 1 << 50, 1 << 51, 1 << 52
"""Numbers from which on shots are not trained with, but used for these."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingShots:
    """Sinograms, and what a network has to say of them.

    Parameters
    ----------
    sinograms : ndarray, shape (n, n_channels, n_bins)
        Counts.
    n_spikes : ndarray of int64, shape (n,)
        Sub-spikes.
    phase : ndarray of float64, shape (n,)
        Phase of the strongest sub-spike; NaN where there is none [rad].
    delta_phase : ndarray of float64, shape (n,)
        Phase between two sub-spikes, folded to [0, pi]; NaN unless there are two [rad].
    clean : ndarray of float32, shape (n, n_channels, n_bins), optional
        Expected counts, where they were asked for.
    """

    sinograms: NDArray[Any]
    n_spikes: NDArray[np.int64]
    phase: NDArray[np.float64]
    delta_phase: NDArray[np.float64]
    clean: NDArray[np.float32] | None = None


class ShotSource(Protocol):
    """Anything that makes any number of different shots."""

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of a sinogram."""
        ...

    def shots(
        self,
        first: int,
        count: int,
        *,
        n_spikes: int | None = None,
        varied: bool = False,
        clean: bool = False,
    ) -> TrainingShots:
        """Make shots; the same numbers always give the same ones.

        Parameters
        ----------
        first, count : int
            The first number, and how many.
        n_spikes : int, optional
            Sub-spikes of every shot; an even mix of classes if not given.
        varied : bool, default False
            Whether the number of electrons varies widely, with the noise of counting.
        clean : bool, default False
            Whether to give the expected counts, too.

        Returns
        -------
        TrainingShots
            The shots.
        """
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a mixture of shots.

    Parameters
    ----------
    eighths : int
        Its share, in eighths.
    n_spikes : int, optional
        Sub-spikes of its shots; an even mix of classes if not given.
    varied : bool, default False
        Whether the number of electrons varies widely.
    """

    eighths: int
    n_spikes: int | None = None
    varied: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Shots as a network takes them.

    Parameters
    ----------
    counts : Tensor of float32, shape (n, n_channels, n_bins)
        Counts.
    classes : Tensor of int64, shape (n,)
        Sub-spikes, where 4 stands for four or more.
    phase, delta_phase : Tensor of float32, shape (n,)
        As of `TrainingShots`.
    clean : Tensor of float32, shape (n, n_channels, n_bins), or None
        Expected counts.
    """

    counts: Tensor
    classes: Tensor
    phase: Tensor
    delta_phase: Tensor
    clean: Tensor | None


class Batches:
    """Batches by the number of the step, never the same shot twice.

    Parameters
    ----------
    source : ShotSource
        Where shots come from.
    mixture : sequence of Part
        Parts of which every batch has its share on average; eight eighths.
    size : int
        Shots of a batch, a multiple of eight.
    clean : bool, default False
        Whether expected counts are needed.
    device : torch.device, optional
        Where batches go.
    first : int, default 0
        Number of the first shot.
    """

    def __init__(
        self,
        source: ShotSource,
        mixture: Sequence[Part],
        size: int,
        *,
        clean: bool = False,
        device: torch.device | None = None,
        first: int = 0,
    ) -> None:
        self._source, self._mixture, self._size = source, tuple(mixture), size
        self._clean, self._device, self._first = clean, device, first
        self._block: tuple[int, TrainingShots] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step.

        Parameters
        ----------
        step : int
            Its number.

        Returns
        -------
        Batch
            Shots.
        """
        number, row = divmod(step, _BATCHES_A_BLOCK)
        if self._block is None or self._block[0] != number:
            self._block = number, self._make(number)
        some = slice(row * self._size, (row + 1) * self._size)
        block = self._block[1]

        def tensor(values: NDArray[Any]) -> Tensor:
            return torch.from_numpy(values[some].astype(np.float32)).to(self._device)

        classes = torch.from_numpy(np.minimum(block.n_spikes[some], N_CLASSES - 1))
        return Batch(
            tensor(block.sinograms),
            classes.to(self._device),
            tensor(block.phase),
            tensor(block.delta_phase),
            None if block.clean is None else tensor(block.clean),
        )

    def _make(self, number: int) -> TrainingShots:
        """Make the shots of several batches, and shuffle them."""
        eighth = self._size * _BATCHES_A_BLOCK // 8
        parts = []
        for place, part in enumerate(self._mixture):
            count = eighth * part.eighths
            parts.append(
                self._source.shots(
                    self._first + place * _PART_STRIDE + number * count, count,
                    n_spikes=part.n_spikes, varied=part.varied, clean=self._clean,
                )
            )  # fmt: skip
        order = np.random.default_rng([self._first, number]).permutation(8 * eighth)

        def shuffled(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in parts])[order]

        return TrainingShots(
            shuffled("sinograms"),
            shuffled("n_spikes"),
            shuffled("phase"),
            shuffled("delta_phase"),
            shuffled("clean") if self._clean else None,
        )
