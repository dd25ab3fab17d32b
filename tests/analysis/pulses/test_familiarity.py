"""What tells shots of a training from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autosteer.analysis.pulses.familiarity import Familiarity, statistics
from autosteer.cli._training_shots import SimulatedShots
from autosteer.contracts.pulse_simulation import SimulatedMrco
from autosteer.sims.mrco import MrcoSimulator


def seen(sinograms: NDArray[np.uint16]) -> torch.Tensor:
    return statistics(torch.from_numpy(sinograms.astype(np.float32)))


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    source = SimulatedShots("paper", 0)
    shots = [source.shots(0, 2500, varied=varied) for varied in (False, True)]
    classes = np.concatenate([np.minimum(one.n_spikes, 4) for one in shots])
    return Familiarity.learn(
        torch.cat([seen(one.sinograms) for one in shots]), torch.from_numpy(classes)
    )


def judged(familiarity: Familiarity, **changes: object) -> tuple[float, float, float]:
    shots = MrcoSimulator(SimulatedMrco.model_validate(changes), 5).shots(
        np.arange(200, dtype=np.uint64), 2
    )
    goodness, doubtful, strange = familiarity.judge(seen(shots.sinograms), torch.full((200,), 2))
    return (
        float(goodness.median()), float(doubtful.float().mean()), float(strange.float().mean())
    )  # fmt: skip


def test_shots_of_the_training_are_familiar(familiarity: Familiarity) -> None:
    for changes in ({}, {"draw_scale_range": (0.25, 4.0), "poisson_counts": True}):
        goodness, doubtful, strange = judged(familiarity, **changes)
        assert abs(goodness) < 0.6
        assert doubtful < 0.03
        assert strange == 0


def test_other_shots_are_not(familiarity: Familiarity) -> None:
    assert judged(familiarity, line_half_width_bins=6.0)[1] > 0.3
    assert judged(familiarity, dark_scale=0.005)[1] > 0.5
    assert judged(familiarity, draw_scale=256.0)[2] == 1
    hot = MrcoSimulator("paper", 5).shots(np.arange(50, dtype=np.uint64), 2).sinograms
    hot[:, 3] += 5
    assert familiarity.judge(seen(hot), torch.full((50,), 2))[2].all()
