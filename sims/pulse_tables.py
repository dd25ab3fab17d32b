"""Tables of pulses without sinograms: what an estimator would have said, made fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts.table_kinds import MACHINE, PULSE
from autosteer.contracts.tables import make_batch
from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.physics.streaking import delay_as, fold_phase
from autosteer.sims._draws import PulseDraws
from autosteer.sims._monitor import monitor_batch
from autosteer.sims.xleap import PulseTruth

Float = NDArray[np.float64]

_MOST, _TWO = 4, 2
_MISCOUNT, _UP, _PHASE, _PHASE_ERROR, _MONITOR = 0, 1, 2, 3, 4


class PulseTableSimulator:
    """Tables of kinds ``pulse`` and ``machine`` for pulses; each row by seed and pulse alone.

    An estimator is stood for by two numbers: how often it miscounts sub-spikes by one, and the
    error of its phases. Nothing else of the truth is in the tables.

    Parameters
    ----------
    config : SimulatedXleap
        The machine, and how well pulses are characterised.
    seed : int, default 0
        The one seed of the simulation, not negative.
    """

    def __init__(self, config: SimulatedXleap, seed: int = 0) -> None:
        self._config = config
        self._draws = PulseDraws(seed, "pulse tables")
        self._correction = np.linalg.inv(_confusion(config.miscounts))[:, _TWO]

    def tables(self, truth: PulseTruth, timestamps_ns: ArrayLike) -> dict[str, pa.RecordBatch]:
        """Make the tables of pulses.

        Parameters
        ----------
        truth : PulseTruth
            What the pulses are, n rows.
        timestamps_ns : array_like of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables of n rows by kind: ``machine`` and ``pulse``.
        """
        keys = {"pulse_id": truth.pulse_id, "timestamp": np.asarray(timestamps_ns, np.int64)}
        errors = self._draws.normal(truth.pulse_id, _MONITOR)
        machine = monitor_batch(truth.pulse_id, timestamps_ns, truth.beam_intensity, errors)
        return {
            MACHINE.name: machine,
            PULSE.name: make_batch(PULSE, {**keys, **self._pulse(truth)}),
        }

    def _pulse(self, truth: PulseTruth) -> dict[str, Any]:
        draws, pulses = self._draws, truth.pulse_id
        counted = np.minimum(truth.n_spikes, _MOST)
        wrong = draws.uniform(pulses, _MISCOUNT) < self._config.miscounts
        up = (counted == 0) | ((counted < _MOST) & (draws.uniform(pulses, _UP) < 0.5))
        counted += np.where(wrong, np.where(up, 1, -1), 0)
        two = counted == _TWO
        # Where a pulse that has not two sub-spikes is taken for one that has, any phase is seen.
        difference = 2 * np.pi * draws.uniform(pulses, _PHASE)
        pairs = np.flatnonzero(truth.n_spikes == _TWO)
        if len(pairs):
            phase = truth.spikes.phase_rad[pairs]
            difference[pairs] = phase[:, 1] - phase[:, 0]
        sigma = self._config.phase_error_rad
        measured = fold_phase(difference + sigma * draws.normal(pulses, _PHASE_ERROR))
        delta_phase = np.where(two, measured, np.nan)
        return {
            "n_spikes": counted,
            "p_two_spike": np.where(two, 1 - self._config.miscounts, 0.0),
            "delta_phase_rad": delta_phase,
            "delta_phase_sigma_rad": np.where(two, sigma, np.nan),
            "delay_as": delay_as(delta_phase, self._config.wavelength_um),
            "ambiguous": np.zeros(len(pulses), dtype=np.bool_),
            "abstained": np.zeros(len(pulses), dtype=np.uint8),
            "two_spike_corrected": self._correction[counted],
            "result_latency_s": np.full(len(pulses), self._config.analysis_latency_s),
        }


def _confusion(miscounts: float) -> Float:
    """Return the shares of what is counted (columns) for each number (rows)."""
    confusion = (1 - miscounts) * np.eye(_MOST + 1)
    for number in range(_MOST + 1):
        neighbors = [one for one in (number - 1, number + 1) if 0 <= one <= _MOST]
        confusion[number, neighbors] = miscounts / len(neighbors)
    return confusion
