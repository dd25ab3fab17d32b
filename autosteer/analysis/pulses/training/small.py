"""How ``dciphr-small`` is trained, calibrated and judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from autosteer.analysis.pulses.familiarity import Familiarity, statistics
from autosteer.analysis.pulses.phase_mixture import PhaseMixture
from autosteer.analysis.pulses.small import ARCHITECTURE, SmallEstimator
from autosteer.analysis.pulses.small_network import SmallNetwork, SmallOutputs
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.scores import count_scores, pair_scores, strongest_scores
from autosteer.analysis.pulses.training.shots import (
    CALIBRATION,
    JUDGEMENT,
    VALIDATION,
    Batch,
    Batches,
    Part,
    ShotSource,
)
from autosteer.analysis.pulses.training.trainer import Stage
from autosteer.analysis.pulses.weights import Weights

BATCH, SHOTS = 256, 4_000_000
"""What is recommended: some 50 minutes on one core that multiplies bfloat16."""

_LEARNING_RATE = 6e-3

# Even mixes as they are and with varied electrons; shots of two for the sake of their phase.
_MIXTURE = (
    Part(3), Part(3, varied=True), Part(1, n_spikes=2), Part(1, n_spikes=2, varied=True),
)  # fmt: skip
_EVEN_MIX = (Part(4), Part(4, varied=True))
# All classes weigh the same in the loss of the number, though 2 in 8 shots are extra ones of two.
_CLASS_WEIGHTS = (1.0, 1.0, 0.375, 1.0, 1.0)
_COUNT_LOSS, _PAIR_LOSS, _STRONGEST_LOSS = 2.0, 1.0, 0.3
_VALIDATION_BATCHES = 16
_TEMPERATURES = np.geomspace(0.5, 2.0, 101)


def small_stages(
    source: ShotSource, configuration: TrainingConfiguration, device: torch.device
) -> list[Stage]:
    """Say how the network is trained.

    Parameters
    ----------
    source : ShotSource
        Where shots come from.
    configuration : TrainingConfiguration
        What was asked for.
    device : torch.device
        Where the network is.

    Returns
    -------
    list of Stage
        One stage.
    """
    torch.manual_seed(configuration.seed)
    network = SmallNetwork(*source.shape)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = configuration.batch
    batches = Batches(source, _MIXTURE, size, device=device)
    fresh = Batches(source, _EVEN_MIX, size, device=device, first=VALIDATION)
    low = configuration.precision == "bfloat16"

    def loss(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            outputs = network(batch.counts)
        return small_loss(outputs, batch)

    def validate(average: nn.Module) -> Mapping[str, float]:
        return _validate(average, [fresh(step) for step in range(_VALIDATION_BATCHES)])

    return [
        Stage(
            "network", network, configuration.n_steps, _LEARNING_RATE, configuration.weight_decay,
            configuration.averaging, batches, loss, validate,
        )
    ]  # fmt: skip


def small_loss(outputs: SmallOutputs, batch: Batch) -> Tensor:
    """Return the loss of a batch: logarithms of what the truth was given, with the sign changed.

    Parameters
    ----------
    outputs : SmallOutputs
        What the network says.
    batch : Batch
        The truth.

    Returns
    -------
    Tensor
        The loss.
    """
    weights = torch.tensor(_CLASS_WEIGHTS, device=batch.classes.device)
    total = _COUNT_LOSS * nn.functional.cross_entropy(
        outputs.number.float(), batch.classes, weight=weights
    )
    for share, where, given, truth, circular in (
        (_PAIR_LOSS, batch.classes == 2, outputs.pair, batch.delta_phase, False),
        (_STRONGEST_LOSS, batch.classes > 0, outputs.strongest, batch.phase, True),
    ):
        if bool(where.any()):
            mixture = PhaseMixture.from_outputs(given[where], circular=circular)
            total = total - share * mixture.log_density(truth[where]).mean()
    return total


def finish_small(
    stages: list[Stage], source: ShotSource, configuration: TrainingConfiguration
) -> tuple[Weights, dict[str, Any]]:
    """Calibrate the trained network, and judge it with fresh shots.

    Parameters
    ----------
    stages : list of Stage
        What was trained.
    source : ShotSource
        Where shots come from.
    configuration : TrainingConfiguration
        What was asked for.

    Returns
    -------
    weights : Weights
        The weights.
    figures : dict
        Figures by what they are of.
    """
    network = stages[0].network.float().cpu().eval()
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= _calibration(cast("SmallNetwork", network), source, configuration)
    weights = Weights(ARCHITECTURE, source.shape, tensors, {})
    return weights, judge(SmallEstimator(weights), source, configuration.judged_shots)


def judge(estimator: SmallEstimator, source: ShotSource, n_shots: int) -> dict[str, Any]:
    """Judge an estimator with fresh shots.

    Parameters
    ----------
    estimator : SmallEstimator
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
        first = JUDGEMENT + place * (1 << 48)
        mixed = source.shots(first, n_shots, varied=varied)
        two = source.shots(first + (1 << 47), n_shots, n_spikes=2, varied=varied)
        result = estimator.characterize(mixed.sinograms)
        figures[name] = {
            "count": count_scores(mixed.n_spikes, result),
            "pair": pair_scores(two.delta_phase, estimator.characterize(two.sinograms)),
            "strongest": strongest_scores(mixed.phase, mixed.n_spikes, result),
        }
    return figures


@torch.no_grad()
def _validate(network: nn.Module, batches: list[Batch]) -> Mapping[str, float]:
    """Return short figures for the progress."""
    right, errors, called = [], [], []
    for batch in batches:
        outputs = network(batch.counts)
        found = outputs.number.argmax(dim=1)
        right.append(found == batch.classes)
        two = batch.classes == 2
        phase, _, _ = PhaseMixture.from_outputs(outputs.pair[two], circular=False).peak()
        errors.append((phase - batch.delta_phase[two]).abs())
        called.append(found[two] == 2)
    error = torch.cat(errors)[torch.cat(called)]
    return {
        "counted right": float(torch.cat(right).float().mean()),
        "coverage": float(torch.cat(called).float().mean()),
        "rms [mrad]": 1e3 * float(error.square().mean().sqrt()),
        "median [mrad]": 1e3 * float(error.median()) if len(error) else float("nan"),
    }


@torch.no_grad()
def _calibration(
    network: SmallNetwork, source: ShotSource, configuration: TrainingConfiguration
) -> dict[str, Tensor]:
    """Find temperature, scale of sigma, and what is familiar, with fresh shots."""
    logits, classes, seen, pulls = [], [], [], []
    for batch in _batches(source, configuration):
        outputs = network(batch.counts)
        logits.append(outputs.number.double())
        classes.append(batch.classes)
        seen.append(statistics(batch.counts))
        called = (batch.classes == 2) & (outputs.number.argmax(dim=1) == 2)
        mixture = PhaseMixture.from_outputs(outputs.pair[called], circular=False)
        phase, sigma, _ = mixture.peak()
        pulls.append((phase - batch.delta_phase[called]).abs() / sigma)
    logit, true = torch.cat(logits), torch.cat(classes)
    losses = [float(nn.functional.cross_entropy(logit / t, true)) for t in _TEMPERATURES]
    pull = torch.cat(pulls)
    scale = torch.quantile(pull, 0.6827) if len(pull) else torch.tensor(1.0)
    familiarity = Familiarity.learn(torch.cat(seen), true)
    return {
        "calibration.temperature": torch.tensor(float(_TEMPERATURES[int(np.argmin(losses))])),
        "calibration.sigma_scale": scale.float(),
        **{f"familiarity.{name}": value for name, value in familiarity.tensors().items()},
    }


def _batches(source: ShotSource, configuration: TrainingConfiguration) -> Iterator[Batch]:
    """Give the shots of the calibration."""
    fresh = Batches(source, _EVEN_MIX, BATCH, first=CALIBRATION)
    for step in range(-(-2 * configuration.judged_shots // BATCH)):
        yield fresh(step)
