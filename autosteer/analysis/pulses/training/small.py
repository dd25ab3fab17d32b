"""How ``dciphr-small`` is trained, calibrated and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autosteer.analysis.pulses.phase_mixture import PhaseMixture
from autosteer.analysis.pulses.small import ARCHITECTURE, SmallEstimator
from autosteer.analysis.pulses.small_network import SmallNetwork, SmallOutputs
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.judging import EVEN_MIX, calibrate, judge
from autosteer.analysis.pulses.training.shots import VALIDATION, Batch, Batches, Part, ShotSource
from autosteer.analysis.pulses.training.trainer import Stage
from autosteer.analysis.pulses.weights import Weights

BATCH, SHOTS = 256, 4_000_000
"""What is recommended: some 50 minutes on one core that multiplies bfloat16."""

_LEARNING_RATE = 6e-3

# Even mixes as they are and with varied electrons; shots of two for the sake of their phase.
_MIXTURE = (
    Part(3), Part(3, varied=True), Part(1, n_spikes=2), Part(1, n_spikes=2, varied=True),
)  # fmt: skip
# All classes weigh the same in the loss of the number, though 2 in 8 shots are extra ones of two.
_CLASS_WEIGHTS = (1.0, 1.0, 0.375, 1.0, 1.0)
_COUNT_LOSS, _PAIR_LOSS, _STRONGEST_LOSS = 2.0, 1.0, 0.3
_VALIDATION_BATCHES = 16


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
    fresh = Batches(source, EVEN_MIX, size, device=device, first=VALIDATION)
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
    network = stages[0].network.cpu().eval()

    def look(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs: SmallOutputs = network(counts)
        phase, sigma, _ = PhaseMixture.from_outputs(outputs.pair, circular=False).peak()
        return outputs.number, phase, sigma

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= calibrate(look, source, configuration)
    weights = Weights(ARCHITECTURE, source.shape, tensors, {})
    return weights, judge(SmallEstimator(weights), source, configuration.judged_shots)


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
