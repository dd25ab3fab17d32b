"""How the five networks of DCIPHR are trained: one after the other, on shots of the simulator.

The denoiser learns the expected counts, scaled as the counts are. Phases are learned as classes
whose neighbours share a little of the truth, round the circle for one sub-spike and reflected at
the ends for two; the published training of the first had no notion of the circle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autosteer.analysis.pulses.dciphr import ARCHITECTURE, DciphrEstimator, Networks, decode
from autosteer.analysis.pulses.networks import N_BINS, N_CHANNELS, N_PAIR_PHASES, N_SINGLE_PHASES
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.judging import EVEN_MIX, calibrate, judge
from autosteer.analysis.pulses.training.shots import VALIDATION, Batch, Batches, Part, ShotSource
from autosteer.analysis.pulses.training.trainer import Stage
from autosteer.analysis.pulses.weights import Weights
from autosteer.contracts import AnalysisError

BATCH, SHOTS = 256, 8_000_000
"""What is recommended: for a GPU."""

# Half of the shots without sub-spikes, so that both answers weigh about the same.
_ZEROS = (Part(2), Part(2, varied=True), Part(2, n_spikes=0), Part(2, n_spikes=0, varied=True))
_ONES = (Part(4, n_spikes=1), Part(4, n_spikes=1, varied=True))
_TWOS = (Part(4, n_spikes=2), Part(4, n_spikes=2, varied=True))
_LEARNING_RATES = {"zero": 1e-3, "denoiser": 5e-4, "count": 1e-4, "single": 1e-3, "pair": 1e-3}
_LABEL_SD_CLASSES = 3.0
_VALIDATION_BATCHES = 4
_SCALE_SHOTS = 2048


def dciphr_stages(
    source: ShotSource, configuration: TrainingConfiguration, device: torch.device
) -> list[Stage]:
    """Say how the networks are trained.

    Parameters
    ----------
    source : ShotSource
        Where shots come from.
    configuration : TrainingConfiguration
        What was asked for.
    device : torch.device
        Where the networks are.

    Returns
    -------
    list of Stage
        A stage for each network.

    Raises
    ------
    AnalysisError
        If the sinograms have another shape than those of the networks.
    """
    if source.shape != (N_CHANNELS, N_BINS):
        raise AnalysisError(
            f"preset '{configuration.preset}' has sinograms of the shape {source.shape}, dciphr "
            f"takes {(N_CHANNELS, N_BINS)}: train dciphr-small, or take another preset"
        )
    torch.manual_seed(configuration.seed)
    networks = Networks(_top(source))
    networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    low = configuration.precision == "bfloat16"

    def stage(
        name: str, mixture: tuple[Part, ...], loss: _Loss, score: _Score, *, clean: bool = False
    ) -> Stage:
        size = configuration.batch
        network: nn.Module = getattr(networks, name)
        batches = Batches(source, mixture, size, clean=clean, device=device)
        fresh = Batches(source, mixture, size, clean=clean, device=device, first=VALIDATION)

        def of_batch(batch: Batch) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                return loss(networks, network, batch)

        def validate(average: nn.Module) -> Mapping[str, float]:
            parts = [score(networks, average, fresh(step)) for step in range(_VALIDATION_BATCHES)]
            return {key: sum(part[key] for part in parts) / len(parts) for key in parts[0]}

        return Stage(
            name, network, configuration.n_steps, _LEARNING_RATES[name],
            configuration.weight_decay, configuration.averaging, batches, of_batch, validate,
        )  # fmt: skip

    return [
        stage("zero", _ZEROS, _zero_loss, _zero_score),
        stage("denoiser", EVEN_MIX, _denoiser_loss, _denoiser_score, clean=True),
        stage("count", EVEN_MIX, _count_loss, _count_score),
        stage("single", _ONES, _single_loss, _single_score),
        stage("pair", _TWOS, _pair_loss, _pair_score),
    ]


def finish_dciphr(
    stages: list[Stage], source: ShotSource, configuration: TrainingConfiguration
) -> tuple[Weights, dict[str, Any]]:
    """Calibrate the trained networks, and judge them with fresh shots.

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
    device = next(stages[0].network.parameters()).device
    networks = Networks(_top(source))
    for stage in stages:
        getattr(networks, stage.name).load_state_dict(stage.network.state_dict())
    networks.eval().to(device)

    def look(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        clean, logits = networks.counted(counts.to(device))
        phase, sigma, _ = decode(networks.pair(clean), circular=False)
        return logits.cpu(), phase.cpu(), sigma.cpu()

    tensors = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    tensors |= calibrate(look, source, configuration)
    weights = Weights(ARCHITECTURE, source.shape, tensors, {})
    estimator = DciphrEstimator(weights, device=str(device))
    return weights, judge(estimator, source, configuration.judged_shots)


_Loss = Callable[[Networks, nn.Module, Batch], Tensor]
_Score = Callable[[Networks, nn.Module, Batch], dict[str, float]]


def _top(source: ShotSource) -> float:
    """Return the largest count of some shots of the training."""
    return max(
        float(source.shots(VALIDATION, _SCALE_SHOTS, varied=varied).sinograms.max())
        for varied in (False, True)
    )


def _zero_loss(networks: Networks, network: nn.Module, batch: Batch) -> Tensor:
    logits = network(networks.scaled(batch.counts)).float()
    return functional.binary_cross_entropy_with_logits(logits, (batch.classes > 0).float())


def _zero_score(networks: Networks, network: nn.Module, batch: Batch) -> dict[str, float]:
    right = (network(networks.scaled(batch.counts)) > 0) == (batch.classes > 0)
    return {"right": float(right.float().mean())}


def _denoiser_loss(networks: Networks, network: nn.Module, batch: Batch) -> Tensor:
    if batch.clean is None:
        raise ValueError("the denoiser needs expected counts")
    clean = network(networks.scaled(batch.counts)).float()
    return functional.mse_loss(clean, networks.scaled(batch.clean))


def _denoiser_score(networks: Networks, network: nn.Module, batch: Batch) -> dict[str, float]:
    return {"mean square error": float(_denoiser_loss(networks, network, batch))}


def _count_loss(networks: Networks, network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(_cleaned(networks, batch)).float(), batch.classes)


def _count_score(networks: Networks, network: nn.Module, batch: Batch) -> dict[str, float]:
    right = network(_cleaned(networks, batch)).argmax(dim=1) == batch.classes
    return {"right": float(right.float().mean())}


def _single_loss(networks: Networks, network: nn.Module, batch: Batch) -> Tensor:
    logits = network(_cleaned(networks, batch)).float()
    labels = phase_labels(batch.phase, N_SINGLE_PHASES, circular=True)
    return functional.cross_entropy(logits, labels)


def _single_score(networks: Networks, network: nn.Module, batch: Batch) -> dict[str, float]:
    phase, _, _ = decode(network(_cleaned(networks, batch)), circular=True)
    off = torch.remainder(phase - batch.phase + math.pi, 2 * math.pi) - math.pi
    return {"rms [mrad]": 1e3 * float(off.square().mean().sqrt())}


def _pair_loss(networks: Networks, network: nn.Module, batch: Batch) -> Tensor:
    logits = network(_cleaned(networks, batch)).float()
    labels = phase_labels(batch.delta_phase, N_PAIR_PHASES, circular=False)
    return functional.cross_entropy(logits, labels)


def _pair_score(networks: Networks, network: nn.Module, batch: Batch) -> dict[str, float]:
    phase, _, _ = decode(network(_cleaned(networks, batch)), circular=False)
    return {"rms [mrad]": 1e3 * float((phase - batch.delta_phase).square().mean().sqrt())}


@torch.no_grad()
def _cleaned(networks: Networks, batch: Batch) -> Tensor:
    """Return what the networks that are trained already make of the counts."""
    return networks.cleaned(batch.counts)


def phase_labels(phase: Tensor, n_classes: int, *, circular: bool) -> Tensor:
    """Return the share of the truth that each class of phase has.

    Parameters
    ----------
    phase : Tensor, shape (n,)
        True phases [rad].
    n_classes : int
        Classes.
    circular : bool
        Whether they are over [0, 2 pi), whose ends meet; otherwise over [0, pi], where what lies
        beyond the ends is reflected.

    Returns
    -------
    Tensor, shape (n, n_classes)
        Shares, which add up to one.
    """
    turn = 2 * math.pi if circular else math.pi
    place = phase[:, None] * (n_classes / turn)
    middles = torch.arange(n_classes, device=phase.device) + 0.5

    def share(off: Tensor) -> Tensor:
        return torch.exp(-0.5 * (off / _LABEL_SD_CLASSES) ** 2)

    if circular:
        half = n_classes / 2
        shares = share(torch.remainder(middles - place + half, n_classes) - half)
    else:
        shares = share(middles - place) + share(middles + place)
        shares = shares + share(2 * n_classes - middles - place)
    return shares / shares.sum(dim=1, keepdim=True)
