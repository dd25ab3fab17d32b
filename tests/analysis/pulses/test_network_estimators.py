"""The estimators made of networks: the same promises as of the matched one, and their figures."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autosteer.analysis.pulses import Abstained, PulseEstimator, PulseResult, load_estimator
from autosteer.analysis.pulses import dciphr as dciphr_module
from autosteer.analysis.pulses.dciphr import DciphrEstimator, Networks, decode, in_bfloat16
from autosteer.analysis.pulses.familiarity import Familiarity, statistics
from autosteer.analysis.pulses.networks import (
    N_PAIR_PHASES,
    N_SINGLE_PHASES,
    PhaseClassifier,
    n_parameters,
)
from autosteer.analysis.pulses.training.scores import count_scores, pair_scores, strongest_scores
from autosteer.analysis.pulses.weights import Weights
from autosteer.cli._training_shots import SimulatedShots
from autosteer.contracts import AnalysisError
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.physics.streaking import delay_as
from autosteer.sims.mrco import MrcoSimulator

HARD = {"draw_scale_range": (0.25, 4.0), "poisson_counts": True}
NUMBERS = ("phase", "delta_phase", "delta_phase_sigma", "delay_as", "goodness")


def pulses(n: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.arange(n, dtype=np.uint64)


def narrow_networks() -> Networks:
    """Make the five networks with phase networks that are quick, and answers of all kinds."""
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        for name, k in (("single", N_SINGLE_PHASES), ("pair", N_PAIR_PHASES)):
            patch.setattr(
                dciphr_module,
                f"{name}_phase_classifier",
                lambda k=k: PhaseClassifier((1, 1, 1, 1), k, width=4),
            )
        networks = Networks(top=20.0)
    with torch.no_grad():
        for name, value in networks.named_parameters():
            if name == "count.head.6.weight":
                value.mul_(300.0)
            elif name == "zero.head.2.bias":
                value.add_(1.0)
    return networks


@pytest.fixture(scope="module")
def narrow_dciphr() -> DciphrEstimator:
    shots = SimulatedShots("paper", 0).shots(0, 1000)
    familiarity = Familiarity.learn(
        statistics(torch.from_numpy(shots.sinograms.astype(np.float32))),
        torch.from_numpy(np.minimum(shots.n_spikes, 4)),
    )
    networks = narrow_networks()
    tensors = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    tensors |= {f"familiarity.{name}": value for name, value in familiarity.tensors().items()}
    tensors |= {f"calibration.{name}": torch.tensor(1.0) for name in ("temperature", "sigma_scale")}
    tensors["calibration.confusion"] = torch.eye(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dciphr_module, "Networks", narrow_networks)
        return DciphrEstimator(Weights("dciphr", (16, 512), tensors, {}))


@pytest.fixture(params=["dciphr-small", "dciphr"])
def estimator(request: pytest.FixtureRequest) -> PulseEstimator:
    if request.param == "dciphr":
        found: PulseEstimator = request.getfixturevalue("narrow_dciphr")
        return found
    return load_estimator("dciphr-small")


def test_a_shot_is_the_same_alone_and_among_others(estimator: PulseEstimator) -> None:
    sinograms = MrcoSimulator(seed=23).shots(pulses(150)).sinograms
    together = estimator.characterize(sinograms)
    for some in (slice(0, 1), slice(7, 8), slice(140, 150)):
        alone = estimator.characterize(sinograms[some])
        for field in fields(PulseResult):
            one, among = getattr(alone, field.name), getattr(together, field.name)[some]
            np.testing.assert_allclose(one, among, rtol=1e-3, atol=1e-5, err_msg=field.name)


def test_what_is_said_fits_together(estimator: PulseEstimator) -> None:
    result = estimator.characterize(MrcoSimulator(seed=22).shots(pulses(150)).sinograms)
    said = result.n_spikes >= 0
    assert said.any()
    np.testing.assert_allclose(result.probabilities[said].sum(axis=1), 1)
    assert (result.probabilities.argmax(axis=1) == result.n_spikes)[said].all()
    two = result.n_spikes == 2
    assert (np.isfinite(result.delta_phase) == two).all()
    assert (np.isfinite(result.delta_phase_sigma) == two).all()
    assert (result.delta_phase_sigma[two] > 0).all()
    assert ((result.delta_phase[two] >= 0) & (result.delta_phase[two] <= np.pi)).all()
    np.testing.assert_allclose(result.delay_as[two], delay_as(result.delta_phase[two], 1.2))
    assert np.isnan(result.phase[result.n_spikes < 1]).all()
    assert np.isfinite(result.phase[result.n_spikes == 1]).all()
    assert np.isfinite(result.goodness[said]).all()


def test_nothing_is_said_of_spoiled_shots(estimator: PulseEstimator) -> None:
    sinograms = MrcoSimulator(seed=24).shots(pulses(6), n_spikes=2).sinograms.astype(np.float32)
    sinograms[1] = 0
    sinograms[2, 3, 100] = np.nan
    sinograms[3, 0, 0] = -1
    sinograms[4] *= 1000
    result = estimator.characterize(sinograms)
    assert result.abstained.tolist() == [
        Abstained.NO, Abstained.EMPTY, Abstained.NOT_A_NUMBER, Abstained.NEGATIVE,
        Abstained.UNFAMILIAR, Abstained.NO,
    ]  # fmt: skip
    said_nothing = result.abstained > 0
    assert (result.n_spikes[said_nothing] == -1).all()
    for name in NUMBERS:
        assert np.isnan(getattr(result, name)[said_nothing]).all()
    assert np.isnan(result.probabilities[said_nothing]).all()
    assert not result.ambiguous[said_nothing].any()
    counts = MrcoSimulator(seed=24).shots(pulses(2), n_spikes=1).sinograms.astype(np.uint8)
    counts[1, 4, 77] = 255
    assert estimator.characterize(counts).abstained.tolist() == [0, Abstained.SATURATED]


def test_no_shots_give_no_results(estimator: PulseEstimator) -> None:
    result = estimator.characterize(np.zeros((0, 16, 512), np.uint16))
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
def test_wrong_arrays_are_errors(
    estimator: PulseEstimator, sinograms: np.ndarray[Any, Any], words: str
) -> None:
    with pytest.raises(AnalysisError, match=words):
        estimator.characterize(sinograms)


def test_wrong_requests_are_errors() -> None:
    with pytest.raises(AnalysisError, match="wavelength_um is 1200"):
        load_estimator("dciphr-small", wavelength_um=1200)
    with pytest.raises(AnalysisError, match="device 'nothing' cannot be used"):
        load_estimator("dciphr-small", device="nothing")


@pytest.mark.parametrize(("changes", "least"), [({}, 0.97), (HARD, 0.95)])
def test_the_small_network_counts(changes: dict[str, Any], least: float) -> None:
    shots = MrcoSimulator(SimulatedMrco(**changes), seed=31).shots(pulses(1000))
    result = load_estimator("dciphr-small").characterize(shots.sinograms)
    # Of an empty sinogram nothing is said; all that is in it is that there is nothing.
    some = result.abstained != Abstained.EMPTY
    scores = count_scores(shots.truth.n_spikes[some], result_of(result, some))
    assert scores["right"] > least
    assert min(scores[f"right_{number}"] for number in range(5)) > least - 0.03
    assert scores["calibration_error"] < 0.02
    assert scores["abstained"] < 0.01
    strongest = strongest_scores(shots.truth.phase_rad[:, 0], shots.truth.n_spikes, result)
    assert strongest["median_mrad"] < 10


def test_the_small_network_knows_phases_and_how_well() -> None:
    shots = MrcoSimulator(seed=32).shots(pulses(1000), n_spikes=2)
    result = load_estimator("dciphr-small").characterize(shots.sinograms)
    scores = pair_scores(shots.delta_phase_rad, result)
    assert scores["coverage"] > 0.95
    assert scores["rms_mrad"] < 25
    assert scores["rms_not_flagged_mrad"] < 18
    assert 0.8 < scores["pull_68"] < 1.25


def test_the_small_network_says_when_a_shot_is_not_of_its_kind() -> None:
    network = load_estimator("dciphr-small")
    wide = SimulatedMrco(line_half_width_bins=6.0)
    result = network.characterize(MrcoSimulator(wide, seed=33).shots(pulses(200), 2).sinograms)
    assert (result.ambiguous | (result.abstained > 0)).mean() > 0.5
    usual = network.characterize(MrcoSimulator(seed=33).shots(pulses(200), 2).sinograms)
    assert usual.ambiguous.mean() < 0.1
    assert np.median(result.goodness) < np.median(usual.goodness) - 2


def test_shipped_files_are_small_and_say_where_they_come_from() -> None:
    folder = Path(dciphr_module.__file__).parent / "data"
    path = folder / "dciphr-small.safetensors"
    assert path.stat().st_size < 5e6
    about = Weights.read(path, "dciphr-small").about
    assert {"configuration", "date", "commit", "version", "figures"} <= set(about)
    assert "## Limits" in (folder / "dciphr-small.md").read_text(encoding="utf-8")


def test_all_five_networks_have_the_published_number() -> None:
    with torch.device("meta"):
        assert n_parameters(Networks()) == 37_102_111


def test_classes_are_read_in_their_middle() -> None:
    logits = torch.full((3, 4000), -50.0)
    logits[0, 0] = logits[1, 3999] = logits[2, 2000] = logits[2, 2001] = 10.0
    logits[2, 2000] += 1e-3
    phase, sigma, share = decode(logits, circular=False)
    width = np.pi / 4000
    expected = torch.tensor([0.5, 3999.5, 2000.5], dtype=torch.float64) * width
    torch.testing.assert_close(phase.double(), expected, atol=1e-6, rtol=0)
    assert float(sigma[0]) == pytest.approx(width / np.sqrt(12), rel=1e-3)
    assert float(sigma[2]) > float(sigma[0])
    torch.testing.assert_close(share, torch.ones(3))
    ends = torch.full((1, 2000), -50.0)
    ends[0, 0], ends[0, 1999] = 10.0, 9.9
    _, _, share = decode(ends, circular=True)
    assert float(share) == pytest.approx(1)


def test_networks_of_bfloat16_say_about_the_same() -> None:
    networks = narrow_networks().eval()
    counts = torch.from_numpy(MrcoSimulator(seed=34).shots(pulses(8)).sinograms.astype(np.float32))
    with torch.inference_mode():
        clean, _ = networks.counted(counts)
        pair = networks.pair(clean)
        in_bfloat16(networks)
        again, logits = networks.counted(counts)
        assert again.dtype == torch.bfloat16
        assert logits.dtype == torch.float32
        torch.testing.assert_close(again.float(), clean, atol=0.01, rtol=0.05)
        torch.testing.assert_close(networks.pair(again).float(), pair, atol=0.05, rtol=0.1)


def result_of(result: PulseResult, some: np.ndarray[Any, Any]) -> PulseResult:
    return PulseResult(*(getattr(result, field.name)[some] for field in fields(PulseResult)))
