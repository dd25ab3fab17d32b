"""What is done with trained networks: calibration, and figures, both on fresh shots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autosteer.analysis.pulses.familiarity import Familiarity, statistics
from autosteer.analysis.pulses.result import N_CLASSES, PulseEstimator
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.scores import count_scores, pair_scores, strongest_scores
from autosteer.analysis.pulses.training.shots import (
    CALIBRATION,
    JUDGEMENT,
    Batches,
    Part,
    ShotSource,
)

EVEN_MIX = (Part(4), Part(4, varied=True))
"""Half of the shots as they are, half with varied electrons, all with an even mix of classes."""

_TEMPERATURES = np.geomspace(0.5, 2.0, 101)
_SHOTS_TOGETHER = 128
_KIND_STRIDE, _SPIKES_STRIDE = 1 << 48, 1 << 47

Look = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Gives logits of the number, phase difference and its standard deviation, of counts."""


@torch.no_grad()
def calibrate(
    look: Look, source: ShotSource, configuration: TrainingConfiguration
) -> dict[str, Tensor]:
    """Find temperature, scale of standard deviations, miscounts, and what is familiar.

    Parameters
    ----------
    look : callable
        What the networks say.
    source : ShotSource
        Where shots come from.
    configuration : TrainingConfiguration
        What was asked for.

    Returns
    -------
    dict of str to Tensor
        Tensors as weights hold them.
    """
    fresh = Batches(source, EVEN_MIX, _SHOTS_TOGETHER, first=CALIBRATION)
    logits, classes, seen, pulls = [], [], [], []
    for step in range(-(-2 * configuration.judged_shots // _SHOTS_TOGETHER)):
        batch = fresh(step)
        logit, phase, sigma = look(batch.counts)
        logits.append(logit.double())
        classes.append(batch.classes)
        seen.append(statistics(batch.counts))
        called = (batch.classes == 2) & (logit.argmax(dim=1) == 2)
        pulls.append(((phase - batch.delta_phase).abs() / sigma)[called])
    logit, true, pull = torch.cat(logits), torch.cat(classes), torch.cat(pulls)
    losses = [float(nn.functional.cross_entropy(logit / t, true)) for t in _TEMPERATURES]
    # Two thirds of the errors shall be smaller than their standard deviation.
    scale = float(torch.quantile(pull, 0.6827)) if len(pull) else 1.0
    familiarity = Familiarity.learn(torch.cat(seen), true)
    return {
        "calibration.confusion": _confusion(true, logit.argmax(dim=1)),
        "calibration.temperature": torch.tensor(float(_TEMPERATURES[int(np.argmin(losses))])),
        "calibration.sigma_scale": torch.tensor(scale),
        **{f"familiarity.{name}": value for name, value in familiarity.tensors().items()},
    }


def _confusion(true: Tensor, called: Tensor) -> Tensor:
    """Return the shares of what is called each number (columns), for each true one (rows)."""
    counts = torch.bincount(N_CLASSES * true + called, minlength=N_CLASSES**2)
    # One shot more that is called right: no row is empty, and the matrix can be inverted.
    counted = counts.reshape(N_CLASSES, N_CLASSES).double() + torch.eye(N_CLASSES)
    return counted / counted.sum(dim=1, keepdim=True)


def judge(estimator: PulseEstimator, source: ShotSource, n_shots: int) -> dict[str, Any]:
    """Judge an estimator.

    Parameters
    ----------
    estimator : PulseEstimator
        What is judged.
    source : ShotSource
        Where shots come from.
    n_shots : int
        Shots of each kind.

    Returns
    -------
    dict
        Figures of numbers, pairs and strongest phases, with electrons as they are and varied.
    """
    figures: dict[str, Any] = {}
    for place, (name, varied) in enumerate((("as_is", False), ("varied", True))):
        first = JUDGEMENT + place * _KIND_STRIDE
        mixed = source.shots(first, n_shots, varied=varied)
        two = source.shots(first + _SPIKES_STRIDE, n_shots, n_spikes=2, varied=varied)
        result = estimator.characterize(mixed.sinograms)
        figures[name] = {
            "count": count_scores(mixed.n_spikes, result),
            "pair": pair_scores(two.delta_phase, estimator.characterize(two.sinograms)),
            "strongest": strongest_scores(mixed.phase, mixed.n_spikes, result),
        }
    return figures
