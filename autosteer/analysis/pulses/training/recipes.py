"""The trainings that there are, by the name of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from autosteer.analysis.pulses.training import dciphr, small
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.shots import ShotSource
from autosteer.analysis.pulses.training.trainer import Stage
from autosteer.analysis.pulses.weights import Weights


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    shots, batch : int
        What is recommended.
    stages : callable
        Makes networks and stages for a source of shots, a configuration and a device.
    finish : callable
        Makes weights and figures of what was trained.
    """

    shots: int
    batch: int
    stages: Callable[[ShotSource, TrainingConfiguration, torch.device], list[Stage]]
    finish: Callable[
        [list[Stage], ShotSource, TrainingConfiguration], tuple[Weights, dict[str, Any]]
    ]


RECIPES = {
    "dciphr-small": Recipe(small.SHOTS, small.BATCH, small.small_stages, small.finish_small),
    "dciphr": Recipe(dciphr.SHOTS, dciphr.BATCH, dciphr.dciphr_stages, dciphr.finish_dciphr),
}
"""Recipes by the name of the network."""
