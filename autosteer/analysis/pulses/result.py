"""What is known of pulses after an estimator has seen their sinograms."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import AnalysisError
from autosteer.physics.streaking import delay_as, fold_phase

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

N_CLASSES = 5
"""Classes of pulses: none, one, two, three, and four or more sub-spikes."""

NOT_COUNTED = -1
"""Sub-spikes of a shot that nothing is said of."""


class Abstained(enum.IntEnum):
    """Why nothing is said of a shot."""

    NO = 0
    """Something is said."""
    EMPTY = 1
    """No electron was counted."""
    NOT_A_NUMBER = 2
    """A count is NaN."""
    NEGATIVE = 3
    """A count is negative."""
    SATURATED = 4
    """A count is the largest that its type can hold, or infinite."""
    INCOMPLETE = 5
    """A channel has not come: all its counts are NaN."""
    UNFAMILIAR = 6
    """Nothing like it was among the shots that a network was trained with."""


@dataclass(frozen=True, slots=True, eq=False)
class PulseResult:
    """Pulses of n shots; NaN where there is no such number.

    Parameters
    ----------
    n_spikes : ndarray of int64, shape (n,)
        Most probable number of sub-spikes, where 4 stands for four or more; -1 where the estimator
        abstained.
    probabilities : ndarray of float64, shape (n, 5)
        Probabilities of 0, 1, 2, 3, and 4 or more sub-spikes.
    phase : ndarray of float64, shape (n,)
        Streaking phase of the strongest sub-spike, in [0, 2 pi) [rad].
    delta_phase : ndarray of float64, shape (n,)
        Phase between two sub-spikes, folded to [0, pi]; NaN unless there are two [rad].
    delta_phase_sigma : ndarray of float64, shape (n,)
        Its standard deviation [rad].
    delay_as : ndarray of float64, shape (n,)
        The same as a delay; its sign and whole periods of the laser are not known [as].
    goodness : ndarray of float64, shape (n,)
        How far the agreement lies above what is to be expected, in standard deviations; far below
        zero, something else was seen. Of networks: how usual the shot is among those that they were
        trained with.
    ambiguous : ndarray of bool, shape (n,)
        Whether another number of sub-spikes explains the shot nearly as well; of networks, another
        phase as well, or the shot is unusual.
    abstained : ndarray of uint8, shape (n,)
        Why nothing is said, see `Abstained`; 0 where something is.
    """

    n_spikes: NDArray[np.int64]
    probabilities: Float
    phase: Float
    delta_phase: Float
    delta_phase_sigma: Float
    delay_as: Float
    goodness: Float
    ambiguous: Bool
    abstained: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.n_spikes)

    def select(self, shots: NDArray[np.intp] | Bool | slice) -> PulseResult:
        """Keep some shots.

        Parameters
        ----------
        shots : ndarray of int or bool, or slice
            Which ones.

        Returns
        -------
        PulseResult
            These, in the order given.
        """
        return PulseResult(*(getattr(self, field.name)[shots] for field in fields(self)))


class PulseEstimator(Protocol):
    """Anything that characterises pulses from their sinograms."""

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of the sinograms that it takes."""
        ...

    @property
    def confusion(self) -> Float:
        """How it counts on the average, shape (5, 5): shares of what it calls each true number."""
        ...

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
        """
        ...


def make_result(
    probabilities: Float,
    phase: Float,
    delta_phase: Float,
    delta_phase_sigma: Float,
    goodness: Float,
    ambiguous: Bool,
    abstained: NDArray[np.uint8],
    wavelength_um: float,
) -> PulseResult:
    """Put together what an estimator has found, and leave out what it must not say.

    Parameters
    ----------
    probabilities, phase, delta_phase, delta_phase_sigma, goodness, ambiguous, abstained
        As of `PulseResult`; phases may be of any turn, and be given where they do not count.
    wavelength_um : float
        Wavelength of the streaking laser [um].

    Returns
    -------
    PulseResult
        The result.
    """
    said = abstained == Abstained.NO
    best = np.where(np.isfinite(probabilities), probabilities, -1).argmax(axis=1)
    n_spikes = np.where(said, best, NOT_COUNTED)
    two = n_spikes == 2
    some = n_spikes > 0

    def only(where: Bool, values: Float) -> Float:
        return np.where(where, values, np.nan)

    folded = only(two, fold_phase(delta_phase))
    return PulseResult(
        n_spikes=n_spikes,
        probabilities=only(said[:, None], probabilities),
        phase=only(some, np.mod(phase, 2 * np.pi)),
        delta_phase=folded,
        delta_phase_sigma=only(two, delta_phase_sigma),
        delay_as=delay_as(folded, wavelength_um),
        goodness=only(said, goodness),
        ambiguous=ambiguous & said,
        abstained=abstained,
    )


def checked_sinograms(
    sinograms: NDArray[Any], shape: tuple[int, int], needed: Bool | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Check sinograms, and say for which of them nothing can be said.

    Parameters
    ----------
    sinograms : ndarray, shape (n, n_channels, n_bins)
        Counts of an integer or floating-point type.
    shape : (int, int)
        Channels and bins that an estimator takes.
    needed : ndarray of bool, shape (n_channels,), optional
        Channels that it looks at, all by default; what the others hold does not count.

    Returns
    -------
    counts : ndarray of float32, shape (n, n_channels, n_bins)
        Counts; all zero where nothing can be said.
    abstained : ndarray of uint8, shape (n,)
        Why that is so, see `Abstained`.

    Raises
    ------
    AnalysisError
        If the array has another shape, or is not of numbers.
    """
    given = np.asarray(sinograms)
    if given.ndim != 3 or given.shape[1:] != shape:
        raise AnalysisError(
            f"sinograms have the shape {given.shape}: it must be (n, {shape[0]}, {shape[1]}), "
            "channels and energy bins as the estimator was made for"
        )
    if given.dtype.kind not in "iuf":
        raise AnalysisError(f"sinograms have the type {given.dtype}: it must be one of numbers")
    counts = given.astype(np.float32)
    if needed is not None and not needed.all():
        counts[:, ~needed] = 0
        given = given[:, needed]
    flat = counts.reshape(len(counts), shape[0] * shape[1])
    abstained = np.zeros(len(counts), dtype=np.uint8)
    if given.dtype.kind in "iu":
        largest = np.iinfo(given.dtype).max
        saturated = given.max(axis=(1, 2), initial=0) == largest
        abstained[saturated] = Abstained.SATURATED
    abstained[flat.max(axis=1, initial=0) <= 0] = Abstained.EMPTY
    abstained[flat.min(axis=1, initial=0) < 0] = Abstained.NEGATIVE
    if given.dtype.kind == "f":
        missing: Bool = np.isnan(counts)
        abstained[np.isinf(flat).any(axis=1)] = Abstained.SATURATED
        abstained[np.any(missing, axis=(1, 2))] = Abstained.NOT_A_NUMBER
        abstained[np.any(np.all(missing, axis=2), axis=1)] = Abstained.INCOMPLETE
    counts[abstained != Abstained.NO] = 0
    return counts, abstained
