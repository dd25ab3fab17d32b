"""The small network: what turning the ring does, and that preparing changes nothing."""

from __future__ import annotations

import pytest
import torch

from autosteer.analysis.pulses.networks import n_parameters
from autosteer.analysis.pulses.small_network import RingLinear, SmallNetwork


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_a_map_of_the_ring_is_a_circular_convolution() -> None:
    linear = RingLinear(6, 3, 2)
    features = torch.randn(4, 6, 3)
    turned = torch.stack([features.roll(step, dims=1) for step in range(6)])
    expected = torch.einsum("snci,sio->nco", turned, linear.weight)
    torch.testing.assert_close(linear(features), expected + linear.bias, rtol=1e-4, atol=1e-5)


def test_what_is_prepared_says_the_same() -> None:
    network = SmallNetwork(16, 128)
    counts = torch.poisson(torch.full((3, 16, 128), 0.3))
    with torch.inference_mode():
        before = network.eval()(counts)
        network.prepare()
        for one, other in zip(before, network(counts), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_turning_a_sinogram_turns_what_is_said() -> None:
    network = SmallNetwork(16, 128)
    counts = torch.poisson(torch.full((5, 16, 128), 0.3))
    with torch.inference_mode():
        straight, turned = network(counts), network(counts.roll(1, dims=1))
    torch.testing.assert_close(straight.number, turned.number, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(straight.pair, turned.pair, rtol=1e-4, atol=1e-5)
    # One channel further, a line that looks the same has a phase that is a channel less.
    torch.testing.assert_close(
        straight.strongest.roll(-4, dims=2), turned.strongest, rtol=1e-4, atol=1e-5
    )


def test_it_is_small_and_takes_other_spectrometers() -> None:
    assert n_parameters(SmallNetwork()) == 787_689
    outputs = SmallNetwork(8, 64)(torch.ones(2, 8, 64))
    assert [tuple(one.shape) for one in outputs] == [(2, 5), (2, 3, 64), (2, 3, 32)]
    with pytest.raises(ValueError, match="n_bins is 100: it must be a multiple of 32"):
        SmallNetwork(16, 100)


def test_every_parameter_is_used() -> None:
    network = SmallNetwork(16, 128)
    sum(one.square().sum() for one in network(torch.rand(3, 16, 128))).backward()
    unused = [name for name, value in network.named_parameters() if value.grad is None]
    assert not unused
