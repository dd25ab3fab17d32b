"""Pulse characterisation as a stage: tables, corrections, audits, and what people are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.pulses import PulseResult, load_estimator
from autosteer.analysis.pulses.analyser import (
    AuditedShots,
    PulseAnalyser,
    chosen,
    two_spike_correction,
)
from autosteer.analysis.pulses.estimators import default_calibration
from autosteer.analysis.pulses.result import Abstained
from autosteer.analysis.pulses.stage import load_analyser
from autosteer.analysis.pulses.watch import PulseWatch
from autosteer.contracts import AUDIT, PULSE, AnalysisError, FrameError
from autosteer.contracts.analysis_sections import PulseSection
from autosteer.sims.mrco import MrcoSimulator

PULSES = np.arange(500, 540, dtype=np.uint64)
TIMES = PULSES.astype(np.int64) * 1000


class Skewed:
    """The matched estimator with phases off by a little, as a network might be."""

    def __init__(self, off_rad: float = 0.0, sigma_rad: float = 0.01) -> None:
        self._inner = load_estimator("matched")
        self._off_rad, self._sigma_rad = off_rad, sigma_rad
        self.shape = self._inner.shape
        self.confusion = np.eye(5)
        self.confusion[3] = [0, 0, 0.1, 0.9, 0]

    def characterize(self, sinograms: NDArray[Any]) -> PulseResult:
        result = self._inner.characterize(sinograms)
        return replace(
            result,
            delta_phase=result.delta_phase + self._off_rad,
            delta_phase_sigma=np.where(result.n_spikes == 2, self._sigma_rad, np.nan),
        )


@pytest.fixture(scope="module")
def sinograms() -> NDArray[np.float32]:
    made = MrcoSimulator(seed=2).shots(PULSES).sinograms.astype(np.float32)
    made[3, 5] = np.nan
    made[4, 2, 100] = np.inf
    made[5] = 0
    return made


def test_tables_hold_what_is_said_and_null_where_nothing_is(sinograms: NDArray[Any]) -> None:
    analyser = PulseAnalyser(load_estimator("matched"))
    analyser.warm_up(2)
    tables = analyser.analyse(sinograms, PULSES, TIMES)
    assert set(tables) == {"pulse"} == set(analyser.kinds)
    table = tables["pulse"]
    assert table.schema.equals(PULSE.schema)
    assert table.column("pulse_id").to_pylist() == PULSES.tolist()
    abstained = table.column("abstained").to_numpy()
    assert abstained[3:6].tolist() == [
        Abstained.INCOMPLETE, Abstained.SATURATED, Abstained.EMPTY,
    ]  # fmt: skip
    assert (abstained != 0).sum() == 3
    number = table.column("n_spikes")
    assert number.null_count == 3
    two = number.fill_null(0).to_numpy() == 2
    delay = table.column("delay_as").to_numpy()
    np.testing.assert_array_equal(np.isfinite(delay), two)
    corrected = table.column("two_spike_corrected").to_numpy()
    np.testing.assert_array_equal(np.isnan(corrected), abstained != 0)
    np.testing.assert_array_equal(corrected[abstained == 0], two[abstained == 0])
    assert table.column("ambiguous").null_count == 3


def test_a_channel_that_the_calibration_knows_to_be_dead_is_not_missed(
    sinograms: NDArray[Any],
) -> None:
    whole = default_calibration()
    efficiencies = tuple(0.0 if n == 5 else one for n, one in enumerate(whole.efficiencies))
    estimator = load_estimator("matched", whole.model_copy(update={"efficiencies": efficiencies}))
    result = estimator.characterize(sinograms[:4])
    assert result.abstained[3] == Abstained.NO
    assert result.n_spikes[3] >= 0


def test_a_share_of_the_shots_is_audited(sinograms: NDArray[Any]) -> None:
    analyser = PulseAnalyser(Skewed(), load_estimator("matched"), audit_fraction=0.5)
    tables = analyser.analyse(sinograms, PULSES, TIMES)
    audit = tables["audit"]
    assert audit.schema.equals(AUDIT.schema)
    expected = PULSES[chosen(PULSES, 0.5)]
    assert audit.column("pulse_id").to_pylist() == expected.tolist()
    assert 15 <= len(expected) <= 25
    assert set(audit.column("disagrees").to_pylist()) == {False, None}
    # One in ten of the threes is called two, and pulls the share of twos back by that.
    corrected = tables["pulse"].column("two_spike_corrected").to_numpy()
    number = tables["pulse"].column("n_spikes").fill_null(9).to_numpy()
    assert corrected[number == 3] == pytest.approx(-1 / 9)


def test_phases_that_disagree_are_said_to(sinograms: NDArray[Any]) -> None:
    analyser = PulseAnalyser(Skewed(0.1), load_estimator("matched"), audit_fraction=1)
    audit = analyser.analyse(sinograms, PULSES, TIMES)["audit"]
    deviation = audit.column("deviation").to_numpy()
    compared = np.isfinite(deviation)
    assert compared.sum() >= 5
    assert (deviation[compared] > 9).all()
    assert audit.column("disagrees").true_count == compared.sum()


def test_the_corrected_share_is_that_of_the_truth() -> None:
    rng = np.random.default_rng(5)
    confusion = rng.dirichlet(np.ones(5), 5) * 0.2 + 0.8 * np.eye(5)
    truth = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    called = truth @ confusion
    assert called @ two_spike_correction(confusion) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="no inverse"):
        two_spike_correction(np.ones((5, 5)) / 5)


def test_chosen_shots_are_spread_evenly_whatever_the_stride() -> None:
    for stride in (1, 2, 3, 7, 120, 1000):
        pulses = (10**15 + stride * np.arange(20_000)).astype(np.uint64)
        share = chosen(pulses, 0.02).reshape(10, -1).mean(axis=1)
        np.testing.assert_allclose(share, 0.02, atol=0.008)
    assert not chosen(PULSES, 0).any()
    assert chosen(PULSES, 1).all()


def test_wrong_shots_are_errors(sinograms: NDArray[Any]) -> None:
    analyser = PulseAnalyser(load_estimator("matched"))
    with pytest.raises(FrameError, match="40 sinograms came with 39 pulse ids"):
        analyser.analyse(sinograms, PULSES[1:], TIMES)
    with pytest.raises(AnalysisError, match=r"\(40, 16, 100\)"):
        analyser.analyse(sinograms[:, :, :100], PULSES, TIMES)


def result(n: int, **columns: Any) -> PulseResult:
    """Make a result of n ordinary two-spike shots, with some columns changed."""
    values: dict[str, Any] = {
        "n_spikes": np.full(n, 2),
        "probabilities": np.tile([0.0, 0, 1, 0, 0], (n, 1)),
        "phase": np.zeros(n),
        "delta_phase": np.ones(n),
        "delta_phase_sigma": np.full(n, 0.01),
        "delay_as": np.full(n, 500.0),
        "goodness": np.zeros(n),
        "ambiguous": np.zeros(n, bool),
        "abstained": np.zeros(n, np.uint8),
    }
    return PulseResult(**(values | columns))


def test_people_are_told_of_abstentions_once_and_when_they_end() -> None:
    watch = PulseWatch()
    watch.take(result(2000, abstained=np.full(2000, int(Abstained.INCOMPLETE))), None)
    finding = watch.finding()
    assert finding is not None
    assert "100% of the last 2000 pulses: channels that have not come" in finding.text
    assert watch.finding() is None
    watch.take(result(2000), None)
    finding = watch.finding()
    assert finding is not None
    assert finding.kind == "well"
    assert watch.counters["abstained"] == 2000


def test_people_are_told_when_sinograms_are_unlike_the_calibration() -> None:
    watch = PulseWatch()
    watch.take(result(100, goodness=np.full(100, -12.0)), None)
    finding = watch.finding()
    assert finding is not None
    assert "median goodness -12.0" in finding.text


def test_people_are_told_when_nearly_all_pulses_have_many_sub_spikes() -> None:
    watch = PulseWatch()
    watch.take(result(2500, n_spikes=np.where(np.arange(2500) % 20, 4, 2)), None)
    finding = watch.finding()
    assert finding is not None
    assert "95% of the last 2000 pulses seem to have four or more" in finding.text


def test_people_are_told_when_estimators_disagree() -> None:
    watch = PulseWatch()
    other = result(50, delta_phase=np.where(np.arange(50) % 4, 1.0, 1.2))
    watch.take(result(50), AuditedShots(result(50), other))
    finding = watch.finding()
    assert finding is not None
    assert finding.kind == "disagree"
    assert watch.counters["audited_disagree"] == 13
    assert watch.counters["audited_phases"] == watch.counters["audited_same_count"] == 50


def test_nothing_is_said_while_all_is_well() -> None:
    watch = PulseWatch()
    watch.take(result(3000), AuditedShots(result(60), result(60)))
    assert watch.finding() is None


def test_the_section_of_an_experiment_makes_the_stage(tmp_path: Path) -> None:
    assert load_analyser(PulseSection()).kinds == ("pulse", "audit")
    assert load_analyser(PulseSection(audit_fraction=0)).kinds == ("pulse",)
    matched = load_analyser(PulseSection(estimator="matched"))
    assert matched.kinds == ("pulse",)
    assert matched.shape == (16, 512)
    with pytest.raises(AnalysisError, match=r"nowhere\.json"):
        load_analyser(PulseSection(calibration=str(tmp_path / "nowhere.json")))
    with pytest.raises(AnalysisError, match="takes no weights"):
        load_analyser(PulseSection(estimator="matched", weights="weights.safetensors"))
    narrow = default_calibration().model_copy(update={"n_bins": 256})
    narrow.write(tmp_path / "narrow.json")
    with pytest.raises(AnalysisError, match=r"pulses: the estimator takes .* \(16, 512\)"):
        load_analyser(PulseSection(calibration=str(tmp_path / "narrow.json")))
