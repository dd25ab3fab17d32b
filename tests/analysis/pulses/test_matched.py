"""The matched estimator on simulated shots whose truth it does not see."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosteer.analysis.pulses import Abstained, PulseResult, load_estimator
from autosteer.analysis.pulses.calibration import line_moments
from autosteer.analysis.pulses.estimators import default_calibration
from autosteer.analysis.pulses.fit_calibration import fit_calibration
from autosteer.contracts import AnalysisError
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.sinogram_model import delta_phase_sigma
from autosteer.physics.streaking import delay_as, fold_phase
from autosteer.sims.mrco import MrcoSimulator


def pulses(n: int, first: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.arange(first, first + n, dtype=np.uint64)


def test_phases_of_two_spikes_are_known_as_well_as_they_can_be() -> None:
    simulator = MrcoSimulator(seed=21)
    shots = simulator.shots(pulses(300), n_spikes=2)
    result = load_estimator("matched").characterize(shots.sinograms)
    two = result.n_spikes == 2
    assert two.mean() > 0.99
    error = np.abs(result.delta_phase - shots.delta_phase_rad)[two]
    assert np.median(error) < 1.5e-3
    assert (error < 0.01).mean() > 0.98
    bound = delta_phase_sigma(shots.truth, simulator.law)[two]
    assert np.sqrt(np.mean((error / bound)[error < 0.05] ** 2)) < 1.25
    assert np.sqrt(np.mean((error / result.delta_phase_sigma[two])[error < 0.05] ** 2)) < 1.3
    np.testing.assert_allclose(result.delay_as[two], delay_as(result.delta_phase[two], 1.2))


def test_spikes_are_counted() -> None:
    shots = MrcoSimulator(seed=22).shots(pulses(300))
    result = load_estimator("matched").characterize(shots.sinograms)
    true = np.minimum(shots.truth.n_spikes, 4)
    assert (result.n_spikes == true).mean() > 0.985
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    assert np.isnan(result.delta_phase[result.n_spikes != 2]).all()
    assert np.isnan(result.phase[result.n_spikes == 0]).all()
    one = (true == 1) & (result.n_spikes == 1)
    off = fold_phase(result.phase - shots.truth.phase_rad[:, 0])[one]
    assert np.median(off) < 2e-3
    assert not result.abstained.any()
    # What was fitted is what was seen.
    assert np.abs(result.goodness[true < 4]).max() < 5


def test_a_shot_is_the_same_alone_and_among_others() -> None:
    sinograms = MrcoSimulator(seed=23).shots(pulses(12)).sinograms
    estimator = load_estimator("matched")
    together = estimator.characterize(sinograms)
    for shot in range(0, 12, 5):
        alone = estimator.characterize(sinograms[shot : shot + 1])
        for field in fields(PulseResult):
            one, among = getattr(alone, field.name)[0], getattr(together, field.name)[shot]
            np.testing.assert_allclose(one, among, rtol=1e-6, err_msg=field.name)


def test_nothing_is_said_of_spoiled_shots() -> None:
    sinograms = MrcoSimulator(seed=24).shots(pulses(6), n_spikes=2).sinograms.astype(np.float32)
    sinograms[1] = 0
    sinograms[2, 3, 100] = np.nan
    sinograms[3, 0, 0] = -1
    result = load_estimator("matched").characterize(sinograms)
    assert result.abstained.tolist() == [
        Abstained.NO, Abstained.EMPTY, Abstained.NOT_A_NUMBER, Abstained.NEGATIVE, 0, 0,
    ]  # fmt: skip
    said_nothing = result.abstained > 0
    assert (result.n_spikes[said_nothing] == -1).all()
    for name in ("phase", "delta_phase", "delta_phase_sigma", "delay_as", "goodness"):
        assert np.isnan(getattr(result, name)[said_nothing]).all()
    assert np.isnan(result.probabilities[said_nothing]).all()
    assert (result.n_spikes[~said_nothing] == 2).all()
    counts = MrcoSimulator(seed=24).shots(pulses(2), n_spikes=1).sinograms.astype(np.uint8)
    counts[1, 4, 77] = 255
    assert load_estimator("matched").characterize(counts).abstained.tolist() == [
        Abstained.NO, Abstained.SATURATED,
    ]  # fmt: skip


def test_no_shots_give_no_results() -> None:
    result = load_estimator("matched").characterize(np.zeros((0, 16, 512), np.uint16))
    assert len(result) == 0
    assert result.probabilities.shape == (0, 5)


@pytest.mark.parametrize(
    ("sinograms", "words"),
    [
        (np.zeros((2, 16, 500)), r"shape \(2, 16, 500\): it must be \(n, 16, 512\)"),
        (np.zeros((16, 512)), r"shape \(16, 512\)"),
        (np.zeros((1, 16, 512), "U1"), "type <U1: it must be one of numbers"),
    ],
)
def test_wrong_arrays_are_errors(sinograms: np.ndarray[Any, Any], words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        load_estimator("matched").characterize(sinograms)


def test_wrong_requests_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no estimator 'best': there are matched"):
        load_estimator("best")
    with pytest.raises(AnalysisError, match="wavelength_um is 1200"):
        load_estimator("matched", wavelength_um=1200)
    with pytest.raises(AnalysisError, match=r"gone\.json: No such file"):
        load_estimator("matched", tmp_path / "gone.json")


def test_a_calibration_is_found_from_sinograms_alone() -> None:
    config = SimulatedMrco(
        class_mix=(0.2, 0.5, 0.3), max_spikes=2, center_bin=240.0, kick_bins=110.0,
        kick_spread_bins=20.0, response_bins=0.8, dead_channels=(5,), gain_spread=0.1,
    )  # fmt: skip
    simulator = MrcoSimulator(config, seed=25)
    rounds: list[int] = []
    found = fit_calibration(simulator.shots(pulses(500)).sinograms, "a test", rounds.append)
    assert rounds == [1, 2, 3, 4, 5]
    assert found.center_bins == pytest.approx(239, abs=1)
    assert found.kick_bins == pytest.approx(110, abs=3)
    assert found.kick_spread_bins == pytest.approx(20, rel=0.2)
    # A raised cosine of half width 3, a bin's width twice, and the error of the time of flight.
    assert line_moments(found)[1] == pytest.approx(np.sqrt(1.084**2 + 1 / 6 + 0.64), rel=0.03)
    assert found.efficiencies[5] == 0
    true = simulator.law.efficiency / np.median(simulator.law.efficiency)
    alive = np.arange(16) != 5
    np.testing.assert_allclose(np.array(found.efficiencies)[alive], true[alive], rtol=0.08)
    again = MrcoSimulator(config, seed=26).shots(pulses(150), n_spikes=2)
    result = load_estimator("matched", found).characterize(again.sinograms)
    error = np.abs(result.delta_phase - again.delta_phase_rad)
    assert np.isfinite(error).mean() > 0.97
    assert np.nanmedian(error) < 3e-3
    default = load_estimator("matched").characterize(again.sinograms)
    # Lines that are wider than an estimator knows look like several.
    assert (default.n_spikes == 2).mean() < 0.9


def test_the_default_calibration_is_that_of_the_simulator() -> None:
    found = default_calibration()
    assert found.expected_shape == (16, 512)
    # Counts stand a bin below the rate.
    assert found.center_bins == pytest.approx(255, abs=0.3)
    assert found.kick_bins == pytest.approx(128, abs=2)
    assert line_moments(found)[1] == pytest.approx(1.084, rel=0.04)


@pytest.mark.parametrize(
    ("sinograms", "words"),
    [
        (np.zeros((5, 16, 512)), "none of 5 sinograms has counts"),
        (np.ones((5, 16, 512)), "the same at all energies"),
        (np.zeros((16, 512)), r"must be \(n, n_channels, n_bins\)"),
        (
            MrcoSimulator(seed=1).shots(pulses(20), n_spikes=1).sinograms,
            "20 lines in 20 shots are too",
        ),
    ],
)
def test_what_tells_no_calibration_is_an_error(sinograms: np.ndarray[Any, Any], words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        fit_calibration(sinograms, "a file")


def test_weak_pairs_are_looked_for_from_further_starts() -> None:
    # With an eighth of the electrons, the first pair found of this shot lies between its lines.
    weak = SimulatedMrco(draw_scale=0.5, poisson_counts=True)
    shots = MrcoSimulator(weak, seed=7).shots(np.array([1_000_567], dtype=np.uint64), 2)
    result = load_estimator("matched").characterize(shots.sinograms)
    assert abs(result.delta_phase - shots.delta_phase_rad) < 3 * result.delta_phase_sigma


def test_pairs_that_compete_are_flagged() -> None:
    # Of the first of these shots another pair of lines is nearly as likely; it is the true one.
    weak = SimulatedMrco(draw_scale=1.0)
    shots = MrcoSimulator(weak, seed=7).shots(pulses(20, first=1_000_148), 2)
    result = load_estimator("matched").characterize(shots.sinograms)
    error = np.abs(result.delta_phase - shots.delta_phase_rad)
    assert result.probabilities[0].max() > 0.95
    assert error[0] > 5 * result.delta_phase_sigma[0]
    assert result.ambiguous[0]
    assert not result.ambiguous[1:].all()
    assert (error[1:][~result.ambiguous[1:]] < 0.05).all()
