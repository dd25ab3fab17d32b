"""Pulse characterisation as a stage: sinograms in, result tables out, and a second look at some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.analysis.pulses.result import Abstained, PulseEstimator, PulseResult
from autosteer.contracts import AUDIT, PULSE, FrameError, make_batch

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

DISAGREEMENT_SIGMAS = 5.0
"""Phases that differ by more than this many standard deviations disagree."""

_TWO = 2
# Multiples of the golden ratio fill the unit interval evenly, whatever the pulses' stride.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class AuditedShots:
    """What two estimators say of the same n shots.

    Parameters
    ----------
    first, second : PulseResult
        What the estimator in use says, and what the other one does.
    """

    first: PulseResult
    second: PulseResult

    def __len__(self) -> int:
        return len(self.first)

    @property
    def same_count(self) -> Bool:
        """Whether both count the same number of sub-spikes, shape (n,)."""
        same: Bool = self.first.n_spikes == self.second.n_spikes
        return same

    @property
    def deviation(self) -> Float:
        """Difference of the phases in their standard deviations; NaN unless both have one."""
        sigma = np.hypot(self.first.delta_phase_sigma, self.second.delta_phase_sigma)
        deviation: Float = np.abs(self.first.delta_phase - self.second.delta_phase) / sigma
        return deviation

    @property
    def disagrees(self) -> Bool:
        """Whether that is too much, shape (n,); false where there is none."""
        disagrees: Bool = self.deviation > DISAGREEMENT_SIGMAS
        return disagrees


class PulseAnalyser:
    """Characterises sinograms, and has a share of them looked at by a second estimator.

    Parameters
    ----------
    estimator : PulseEstimator
        Characterises all shots.
    auditor : PulseEstimator, optional
        Characterises some of them as well; without it there is no audit.
    audit_fraction : float, default 0.01
        Their share; which they are follows from their pulse ids alone.

    Attributes
    ----------
    result : PulseResult or None
        What was found in the newest batch.
    audited : AuditedShots or None
        The shots of it that were audited.

    Raises
    ------
    ValueError
        If the two take sinograms of different shapes.
    """

    def __init__(
        self,
        estimator: PulseEstimator,
        auditor: PulseEstimator | None = None,
        audit_fraction: float = 0.01,
    ) -> None:
        if auditor is not None and auditor.shape != estimator.shape:
            raise ValueError(
                f"the estimator takes sinograms of shape {estimator.shape}, the one that audits "
                f"{auditor.shape}: give the audit the calibration of this spectrometer"
            )
        self._estimator = estimator
        self._auditor = auditor
        self._audit_fraction = audit_fraction
        self._correction = two_spike_correction(estimator.confusion)
        self.result: PulseResult | None = None
        self.audited: AuditedShots | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of the sinograms that it takes."""
        return self._estimator.shape

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the tables that it makes."""
        return (PULSE.name,) if self._auditor is None else (PULSE.name, AUDIT.name)

    def warm_up(self, n_shots: int) -> None:
        """Use up the cost of first calls, before beam is spent on it.

        Parameters
        ----------
        n_shots : int
            Shots of a batch.
        """
        counts = np.zeros((n_shots, *self._estimator.shape), dtype=np.float32)
        counts[:, :, ::8] = 1
        self._estimator.characterize(counts)
        if self._auditor is not None:
            self._auditor.characterize(counts[:1])

    def analyse(
        self,
        frames: NDArray[Any],
        pulse_ids: NDArray[np.uint64],
        timestamps: NDArray[np.int64],
    ) -> dict[str, pa.RecordBatch]:
        """Characterise the pulses of some shots.

        Parameters
        ----------
        frames : ndarray, shape (n, n_channels, n_bins)
            Sinograms; NaN in channels that have not come.
        pulse_ids : ndarray of uint64, shape (n,)
            Number of each machine pulse.
        timestamps : ndarray of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Table ``pulse``, a row a shot, and where there is an audit ``audit``.

        Raises
        ------
        FrameError
            If there is not one sinogram for each shot.
        AnalysisError
            If the sinograms have another shape than the estimator takes.
        """
        if not len(frames) == len(pulse_ids) == len(timestamps):
            raise FrameError(
                f"{len(frames)} sinograms came with {len(pulse_ids)} pulse ids and "
                f"{len(timestamps)} times"
            )
        result = self.result = self._estimator.characterize(frames)
        keys = {"pulse_id": pulse_ids, "timestamp": timestamps}
        tables = {PULSE.name: make_batch(PULSE, {**keys, **self._columns(result)})}
        if self._auditor is not None:
            rows = np.flatnonzero(chosen(pulse_ids, self._audit_fraction))
            second = self._auditor.characterize(frames[rows])
            audited = self.audited = AuditedShots(result.select(rows), second)
            keys = {name: values[rows] for name, values in keys.items()}
            tables[AUDIT.name] = make_batch(AUDIT, {**keys, **_audit_columns(audited)})
        return tables

    def _columns(self, result: PulseResult) -> dict[str, Any]:
        """Name the columns of the table ``pulse``; what is not known is null."""
        unsaid = result.abstained != Abstained.NO
        counted = np.where(unsaid, 0, result.n_spikes)
        chances = result.probabilities
        return {
            "n_spikes": pa.array(counted.astype(np.uint32), mask=unsaid),
            **{f"p_{number}": chances[:, number] for number in range(chances.shape[1])},
            "p_two_spike": chances[:, _TWO],
            "phase_rad": result.phase,
            "delta_phase_rad": result.delta_phase,
            "delta_phase_sigma_rad": result.delta_phase_sigma,
            "delay_as": result.delay_as,
            "goodness": result.goodness,
            "ambiguous": pa.array(result.ambiguous, mask=unsaid),
            "abstained": result.abstained,
            "two_spike_corrected": np.where(unsaid, np.nan, self._correction[counted]),
        }


def chosen(pulse_ids: NDArray[np.uint64], fraction: float) -> Bool:
    """Choose a share of the pulses, evenly and by their numbers alone.

    Parameters
    ----------
    pulse_ids : ndarray of uint64, shape (n,)
        Numbers of machine pulses.
    fraction : float
        The share.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for those that are chosen.

    Examples
    --------
    >>> int(chosen(np.arange(10_000, dtype=np.uint64), 0.01).sum())
    101
    """
    return np.asarray((pulse_ids * _GOLDEN).astype(np.float64) < fraction * 2.0**64)


def two_spike_correction(confusion: Float) -> Float:
    """Return what a shot counts for among the two-spike ones, by what it was called.

    The mean of these numbers over many shots is the share of true two-spike shots without bias,
    whatever the mix of the others, as far as the estimator miscounts as it is said to: they are a
    row of the inverse of the confusion matrix.

    Parameters
    ----------
    confusion : ndarray of float64, shape (5, 5)
        Shares of what is called each number (columns), for each true number (rows).

    Returns
    -------
    ndarray of float64, shape (5,)
        By the number called; near 1 for two, near 0 for the others.

    Raises
    ------
    ValueError
        If the estimator cannot tell some numbers apart, so that there is no inverse.

    Examples
    --------
    >>> confusion = np.eye(5)
    >>> confusion[3] = [0, 0, 0.1, 0.9, 0]
    >>> two_spike_correction(confusion).round(3).tolist()
    [0.0, 0.0, 1.0, -0.111, 0.0]
    """
    try:
        correction: Float = np.asarray(np.linalg.inv(confusion)[:, _TWO], dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise ValueError("the confusion matrix has no inverse") from error
    return correction


def _audit_columns(audited: AuditedShots) -> dict[str, Any]:
    """Name the columns of the table ``audit``."""
    second, deviation = audited.second, audited.deviation
    unsaid = second.abstained != Abstained.NO
    return {
        "n_spikes": pa.array(np.where(unsaid, 0, second.n_spikes).astype(np.uint32), mask=unsaid),
        "same_count": pa.array(audited.same_count, mask=unsaid),
        "delta_phase_rad": second.delta_phase,
        "delta_phase_sigma_rad": second.delta_phase_sigma,
        "deviation": deviation,
        "disagrees": pa.array(audited.disagrees, mask=np.isnan(deviation)),
    }
