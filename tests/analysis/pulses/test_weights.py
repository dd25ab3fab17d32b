"""Files of weights: round trip, and the errors of files that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from autosteer.analysis.pulses import load_estimator
from autosteer.analysis.pulses.weights import Weights
from autosteer.contracts import AnalysisError


def weights(architecture: str = "dciphr-small") -> Weights:
    network = nn.Linear(3, 2)
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    return Weights(architecture, (16, 512), tensors, {"seed": 3})


def test_weights_come_back(tmp_path: Path) -> None:
    written = weights()
    written.write(tmp_path / "w.safetensors")
    read = Weights.read(tmp_path / "w.safetensors", "dciphr-small")
    assert (read.architecture, read.shape, read.about) == ("dciphr-small", (16, 512), {"seed": 3})
    network = nn.Linear(3, 2)
    read.load("network", network)
    assert torch.equal(network.weight, written.tensors["network.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_what_holds_no_such_weights_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"

    def reads(words: str) -> None:
        with pytest.raises(AnalysisError, match=words) as caught:
            load_estimator("dciphr-small", weights=path)
        assert str(path) in str(caught.value)
        assert "autosteer train pulses --network dciphr-small" in str(caught.value)

    reads("there is no such file")
    path.write_bytes(b"not at all")
    reads("cut off or no safetensors file")
    weights().write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 4])
    reads("cut off or no safetensors file")
    save_file({"a": torch.zeros(2)}, path)
    reads("holds something else, not autosteer pulse weights")
    words = {"kind": "autosteer pulse weights", "version": "99", "about": "{}"}
    save_file({"a": torch.zeros(2)}, path, metadata=words)
    reads("has version 99 of autosteer pulse weights, and 1 is understood")
    weights("dciphr").write(path)
    reads("holds weights of 'dciphr', not of 'dciphr-small': use estimator 'dciphr', or")
    weights().write(path)
    reads(r"weights of 'network' do not fit \(")


def test_weights_that_have_nowhere_to_go_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="cannot be written"):
        weights().write(tmp_path / "no" / "w.safetensors")


def test_what_an_estimator_cannot_use_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="'dciphr-small' takes no calibration"):
        load_estimator("dciphr-small", tmp_path / "c.json")
    with pytest.raises(AnalysisError, match="'matched' takes no weights: give a calibration"):
        load_estimator("matched", weights=tmp_path / "w.safetensors")
    with pytest.raises(AnalysisError, match="train pulses --network dciphr'"):
        load_estimator("dciphr")
