"""Training: batches, stopping and going on, calibration, and what is written."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from autosteer.analysis.pulses import load_estimator
from autosteer.analysis.pulses._tensor_files import read_tensors, write_tensors
from autosteer.analysis.pulses.networks import N_PAIR_PHASES, N_SINGLE_PHASES, PhaseClassifier
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.dciphr import phase_labels
from autosteer.analysis.pulses.training.recipes import RECIPES
from autosteer.analysis.pulses.training.shots import Batches, Part, TrainingShots
from autosteer.analysis.pulses.training.trainer import STATE_FILE, Progress, Trainer
from autosteer.analysis.pulses.weights import Weights
from autosteer.cli._training_shots import SimulatedShots
from autosteer.cli.main import app
from autosteer.contracts import AnalysisError

CPU = torch.device("cpu")


def configuration(**changes: object) -> TrainingConfiguration:
    return TrainingConfiguration.model_validate(
        {
            "network": "dciphr-small", "preset": "upstream-main", "shots": 64, "batch": 8,
            "precision": "float32", "judged_shots": 1000,
        }
        | changes
    )  # fmt: skip


def trainer(folder: Path, asked: TrainingConfiguration, **every: int) -> Trainer:
    source = SimulatedShots(asked.preset, asked.seed)
    stages = RECIPES[asked.network].stages(source, asked, CPU)
    return Trainer(stages, asked, folder, **every)


def weights(trained: Trainer) -> Mapping[str, torch.Tensor]:
    return {
        f"{stage.name}.{name}": value
        for stage in trained._stages
        for name, value in stage.network.state_dict().items()
    }


def test_batches_have_their_parts_and_repeat_nothing() -> None:
    source = SimulatedShots("paper", 0)
    batches = Batches(source, (Part(4), Part(2, varied=True), Part(2, n_spikes=2)), 16)
    steps = [batches(step) for step in range(20)]
    rows = torch.cat([batch.counts for batch in steps]).flatten(1)
    assert len(torch.unique(rows, dim=0)) > 250  # shots without sub-spikes may be alike
    assert torch.equal(steps[3].counts, Batches(source, batches._mixture, 16)(3).counts)
    classes = torch.cat([batch.classes for batch in steps])
    assert 0.3 < float((classes == 2).float().mean()) < 0.5
    two = classes == 2
    delta_phase = torch.cat([batch.delta_phase for batch in steps])
    assert torch.isfinite(delta_phase).tolist() == two.tolist()
    phase = torch.cat([batch.phase for batch in steps])
    assert torch.isfinite(phase).tolist() == (classes > 0).tolist()


def test_expected_counts_are_those_of_many_shots() -> None:
    shots = SimulatedShots("paper", 0).shots(0, 200, n_spikes=2, clean=True)
    assert shots.clean is not None
    counts = shots.sinograms.astype(np.float64)
    assert shots.clean.sum() == pytest.approx(counts.sum(), rel=0.05)
    # Neither stands to the left or to the right of the other.
    overlap = [(np.roll(shots.clean, step, axis=2) * counts).sum() for step in (-1, 0, 1)]
    assert int(np.argmax(overlap)) == 1


def test_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    asked = configuration()
    uninterrupted = trainer(whole, asked)
    assert uninterrupted.run()

    steps = iter(range(100))
    stopped = trainer(parts, asked)
    assert not stopped.run(should_stop=lambda: next(steps) == 4)
    assert stopped.steps == (5, 8)

    resumed = trainer(parts, asked)
    resumed.resume()
    seen: list[Progress] = []
    assert resumed.run(seen.append)
    assert seen[-1].all_done == seen[-1].all_steps == 8
    for name, value in weights(uninterrupted).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_a_killed_training_goes_on_from_the_last_state(tmp_path: Path) -> None:
    asked = configuration()

    def die(progress: Progress) -> None:
        if progress.all_done == 7:
            raise RuntimeError("killed")

    killed = trainer(tmp_path, asked, save_every=3, report_every=1)
    with pytest.raises(RuntimeError, match="killed"):
        killed.run(die)
    resumed = trainer(tmp_path, asked)
    resumed.resume()
    assert resumed.steps == (6, 8)
    assert not (tmp_path / (STATE_FILE + ".unfinished")).exists()


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no such file; start the training again"):
        trainer(tmp_path, configuration()).resume()
    trainer(tmp_path, configuration()).save()
    with pytest.raises(AnalysisError, match="seed 0, not 1: give the same options"):
        trainer(tmp_path, configuration(seed=1)).resume()
    with pytest.raises(AnalysisError, match="go on with --resume"):
        trainer(tmp_path, configuration()).check_new()
    whole = (tmp_path / STATE_FILE).read_bytes()
    (tmp_path / STATE_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AnalysisError, match="cut off or no safetensors file"):
        trainer(tmp_path, configuration()).resume()


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    asked = configuration()
    trainer(tmp_path, asked).save()
    path = tmp_path / STATE_FILE
    tensors, about = read_tensors(path, "autosteer pulse training", 1, "")
    for spoiled, words in (
        (
            {**about, "configuration": '{"network": "dciphr-small"}'},
            "its configuration was written",
        ),
        ({**about, "step": "four"}, r"does not fit \(invalid literal"),
    ):
        write_tensors(path, tensors, "autosteer pulse training", 1, spoiled)
        with pytest.raises(AnalysisError, match=words):
            trainer(tmp_path, asked).resume()
    tensors.popitem()
    write_tensors(path, tensors, "autosteer pulse training", 1, about)
    with pytest.raises(AnalysisError, match=r"does not fit \("):
        trainer(tmp_path, asked).resume()


def test_a_training_that_came_to_nothing_ends(tmp_path: Path) -> None:
    lost = trainer(tmp_path, configuration())
    with torch.no_grad():
        next(lost._stages[0].network.parameters()).fill_(torch.nan)
    with pytest.raises(AnalysisError, match="network: the loss is nan at step 0"):
        lost.run()


def test_dciphr_takes_sinograms_of_its_shape_only() -> None:
    asked = configuration(network="dciphr")
    source = SimulatedShots("upstream-main", 0)
    with pytest.raises(AnalysisError, match=r"'upstream-main' has sinograms of the shape"):
        RECIPES["dciphr"].stages(source, asked, CPU)


def test_classes_near_the_truth_share_it() -> None:
    phase = torch.tensor([0.0, 1.0, np.pi])
    pair = phase_labels(phase, 4000, circular=False)
    torch.testing.assert_close(pair.sum(dim=1), torch.ones(3))
    assert pair.argmax(dim=1).tolist() == [0, int(1 / np.pi * 4000), 3999]
    single = phase_labels(torch.tensor([0.0, 6.283]), 2000, circular=True)
    torch.testing.assert_close(single.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(single[0, :5], single[0, -5:].flip(0), rtol=1e-3, atol=1e-6)


def test_the_five_networks_are_trained_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, k in (("single", N_SINGLE_PHASES), ("pair", N_PAIR_PHASES)):
        monkeypatch.setattr(
            f"autosteer.analysis.pulses.dciphr.{name}_phase_classifier",
            lambda k=k: PhaseClassifier((1, 1, 1, 1), k, width=4),
        )
    options = [
        "train", "pulses", "--network", "dciphr", "--out", str(tmp_path / "new"), "--shots", "16",
        "--batch", "8", "--judged-shots", "64", "--precision", "float32",
    ]  # fmt: skip
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    for name in ("zero", "denoiser", "count", "single", "pair"):
        assert f"{name}: step 2 of 2, loss " in done.output
    sinograms = SimulatedShots("paper", 1).shots(0, 5).sinograms
    estimator = load_estimator("dciphr", weights=tmp_path / "new" / "weights.safetensors")
    assert len(estimator.characterize(sinograms)) == 5
    card = (tmp_path / "new" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "# dciphr\n" in card
    assert "| pair: coverage |" in card
    again = CliRunner().invoke(app, options)
    assert again.exit_code == 2
    assert "go on with --resume" in again.output


def test_the_command_resumes_and_records_what_it_was_asked_for(tmp_path: Path) -> None:
    options = [
        "train", "pulses", "--out", str(tmp_path), "--shots", "32", "--batch", "8",
        "--judged-shots", "64", "--precision", "float32", "--preset", "upstream-main",
        "--seed", "5",
    ]  # fmt: skip
    source = SimulatedShots("upstream-main", 5)
    asked = configuration(shots=32, judged_shots=64, seed=5)
    stopped = Trainer(RECIPES["dciphr-small"].stages(source, asked, CPU), asked, tmp_path)
    assert not stopped.run(should_stop=lambda: True)
    done = CliRunner().invoke(app, [*options, "--resume"])
    assert done.exit_code == 0, done.output
    recorded = (tmp_path / "training.json").read_text(encoding="utf-8")
    assert TrainingConfiguration.model_validate_json(recorded) == asked
    weights = Weights.read(tmp_path / "weights.safetensors", "dciphr-small")
    assert weights.shape == (16, 128)
    assert weights.about["configuration"] == asked.model_dump()
    assert weights.about["learning_rates"].keys() == {"network"}


def test_an_interrupt_saves_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, calls = SimulatedShots.shots, iter(range(100))

    def shots(self: SimulatedShots, *given: Any, **rest: Any) -> TrainingShots:
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return make(self, *given, **rest)

    monkeypatch.setattr(SimulatedShots, "shots", shots)
    options = [
        "train", "pulses", "--out", str(tmp_path), "--shots", "32", "--batch", "8",
        "--precision", "float32", "--preset", "upstream-main",
    ]  # fmt: skip
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 130, done.output
    assert f"go on with the same options and --resume --out {tmp_path}" in done.output
    assert (tmp_path / STATE_FILE).exists()
    assert not (tmp_path / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "large"], "no network 'large': there are dciphr-small, dciphr"),
        (["--preset", "none"], "no preset 'none': there are paper, upstream-main"),
        (["--batch", "12"], "--batch 12: Input should be a multiple of 8"),
        (["--precision", "half"], "--precision half: Input should be"),
        (["--device", "nothing"], "device 'nothing' cannot be used"),
        (["--resume"], "training.safetensors: there is no such file; start the training again"),
    ],
)
def test_what_cannot_be_trained_is_said(options: list[str], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "pulses", "--out", str(tmp_path / "new"), *options])
    assert done.exit_code == 2
    assert words in done.output
