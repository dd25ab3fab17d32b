"""Tables of pulses without sinograms: as an estimator would have made them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autosteer.contracts.table_kinds import MACHINE, PULSE
from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.sims import PulseTruth, XleapMachine
from autosteer.sims.pulse_tables import PulseTableSimulator


def config(**changes: Any) -> SimulatedXleap:
    return SimulatedXleap.model_validate({
        "kind": "xleap",
        "modulator": {"motor": "GAP", "best": 17.0, "width": 3.0},
        "chicane": {"motor": "CHICANE", "spread_as": 60},
        **changes,
    })  # fmt: skip


def truth(machine: SimulatedXleap, n: int, gap: float = 18.0, first: int = 0) -> PulseTruth:
    pulses = np.arange(first, first + n, dtype=np.uint64)
    return XleapMachine(machine, 2).shots(pulses, pulses / 1e3, {"GAP": gap, "CHICANE": 0.8})


def column(batch: pa.RecordBatch, name: str) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = batch.column(name).to_numpy(zero_copy_only=False)
    return values


@pytest.mark.parametrize("gap", [17.0, 21.0])
def test_the_corrected_share_of_pairs_is_the_true_one(gap: float) -> None:
    machine = config(miscounts=0.1)
    pulses = truth(machine, 40_000, gap)
    tables = PulseTableSimulator(machine, 3).tables(pulses, np.arange(40_000))
    assert tables["pulse"].schema.equals(PULSE.schema)
    assert tables["machine"].schema.equals(MACHINE.schema)
    wrong = column(tables["pulse"], "n_spikes") != np.minimum(pulses.n_spikes, 4)
    assert wrong.mean() == pytest.approx(0.1, abs=0.006)
    corrected = column(tables["pulse"], "two_spike_corrected")
    share = (pulses.n_spikes == 2).mean()
    assert corrected.mean() == pytest.approx(share, abs=4 * float(corrected.std()) / 200)


def test_delays_are_those_of_the_pairs_with_their_error() -> None:
    machine = config(phase_error_rad=0.02, miscounts=0.0)
    pulses = truth(machine, 5000)
    table = PulseTableSimulator(machine, 3).tables(pulses, np.arange(5000))["pulse"]
    delay = column(table, "delay_as")
    pair = np.isfinite(pulses.delay_as)
    error = delay[pair] - pulses.delay_as[pair]
    # 20 mrad of a period of 4003 as.
    assert error.std() == pytest.approx(0.02 * 4003 / (2 * np.pi), rel=0.05)
    np.testing.assert_array_equal(np.isfinite(delay), pulses.n_spikes == 2)


def test_a_row_does_not_depend_on_the_others_of_a_call() -> None:
    machine = config()
    simulator = PulseTableSimulator(machine, 3)
    whole = simulator.tables(truth(machine, 200), np.arange(200))["pulse"].slice(100, 30)
    part = simulator.tables(truth(machine, 30, first=100), np.arange(100, 130))["pulse"]
    for name in ("pulse_id", "timestamp", "n_spikes", "delay_as", "two_spike_corrected"):
        np.testing.assert_array_equal(column(whole, name), column(part, name))
