"""The networks of DCIPHR: published numbers of parameters, shapes, and that they can learn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from autosteer.analysis.pulses.networks import (
    CountClassifier,
    Denoiser,
    PhaseClassifier,
    ZeroClassifier,
    n_parameters,
    pair_phase_classifier,
    single_phase_classifier,
)

PUBLISHED: list[tuple[Callable[[], nn.Module], int, tuple[int, ...]]] = [
    (ZeroClassifier, 70_345, ()),
    (Denoiser, 46_529, (1, 16, 512)),
    (CountClassifier, 1_458_597, (5,)),
    (single_phase_classifier, 12_196_240, (2000,)),
    (pair_phase_classifier, 23_330_400, (4000,)),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("make", "count", "shape"), PUBLISHED)
def test_parameters_and_shapes_are_those_published(
    make: Callable[[], nn.Module], count: int, shape: tuple[int, ...]
) -> None:
    network = make().eval()
    assert n_parameters(network) == count
    with torch.inference_mode():
        assert network(torch.rand(2, 1, 16, 512)).shape == (2, *shape)


def test_all_together_have_the_published_number() -> None:
    assert sum(n_parameters(make()) for make, *_ in PUBLISHED) == 37_102_111


def test_the_inner_layers_of_the_denoiser_are_18_by_514() -> None:
    network = Denoiser()
    shapes = []
    with torch.inference_mode():
        values = torch.rand(1, 1, 16, 512)
        for layer in (*network.encoder, *network.decoder):
            values = layer(values)
            shapes.append(tuple(values.shape[2:]))
    assert set(shapes[:-2]) == {(18, 514)}
    assert shapes[-1] == (16, 512)


def test_networks_with_narrower_stages_are_small() -> None:
    assert n_parameters(PhaseClassifier((2, 2, 2, 2), 2000, width=16)) == 958_528
    assert n_parameters(PhaseClassifier((3, 4, 6, 3), 4000, width=16)) == 1_849_680


@pytest.mark.parametrize("make", [make for make, *_ in PUBLISHED[:3]])
def test_every_parameter_is_used(make: Callable[[], nn.Module]) -> None:
    network = make()
    network(torch.rand(3, 1, 16, 512)).sum().backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        for name, parameter in network.named_parameters()
        # A ReLU before the last layer may be closed for all of so few shots.
        if not name.startswith("head.0")
    )
