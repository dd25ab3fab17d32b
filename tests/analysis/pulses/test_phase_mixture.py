"""Distributions of phases: densities, and the peaks that are read from them."""

from __future__ import annotations

import math

import pytest
import torch

from autosteer.analysis.pulses.phase_mixture import PhaseMixture

K = 64


def mixture(weights: list[tuple[int, float, float]], *, circular: bool) -> PhaseMixture:
    """Make one of components: their place, weight, and shift in spacings."""
    outputs = torch.zeros(1, 3, K)
    outputs[:, 0] = -50.0
    for place, weight, shift in weights:
        outputs[0, 0, place] = math.log(weight)
        outputs[0, 1, place] = math.atanh(shift)
    return PhaseMixture.from_outputs(outputs, circular=circular)


@pytest.mark.parametrize("circular", [True, False])
def test_densities_add_up_to_one(circular: bool) -> None:
    torch.manual_seed(1)
    outputs = torch.randn(1, 3, K)
    if not circular:
        outputs[:, 0, :3] = outputs[:, 0, -3:] = -50.0  # nothing reaches beyond the ends
    found = PhaseMixture.from_outputs(outputs, circular=circular)
    turn = 2 * math.pi if circular else math.pi
    phase = (torch.arange(20_000) + 0.5) * (turn / 20_000)
    of_component = (found.log_weights, found.means, found.sigmas)
    log_weights, means, sigmas = (values.expand(20_000, -1) for values in of_component)
    wide = PhaseMixture(log_weights, means, sigmas, circular)
    assert float(wide.log_density(phase).exp().mean() * turn) == pytest.approx(1, abs=1e-3)


def test_a_peak_is_finer_than_the_spacing() -> None:
    phase, sigma, share = mixture([(20, 1.0, 0.3)], circular=False).peak()
    spacing = math.pi / K
    assert float(phase) == pytest.approx(20.8 * spacing, abs=1e-5)
    assert float(sigma) == pytest.approx(0.5 * spacing, rel=1e-4)
    assert float(share) == pytest.approx(1, abs=1e-6)


def test_neighbours_belong_to_a_peak_and_others_do_not() -> None:
    phase, sigma, share = mixture([(20, 0.4, 0.0), (21, 0.3, 0.0), (40, 0.3, 0.0)],
                                  circular=False).peak()  # fmt: skip
    spacing = math.pi / K
    assert float(phase) == pytest.approx((20.5 + 3 / 7) * spacing, abs=1e-5)
    assert float(sigma) > 0.5 * spacing
    assert float(share) == pytest.approx(0.7, abs=1e-5)


def test_the_whole_distribution_spreads_as_far_as_its_peaks_are_apart() -> None:
    spacing = math.pi / K
    found = mixture([(10, 0.5, 0.0), (50, 0.5, 0.0)], circular=False)
    phase, sigma, share = found.peak()
    assert float(share) == pytest.approx(0.5, abs=1e-5)
    spread = math.sqrt(0.5 * (40 * spacing) ** 2 + float(sigma) ** 2)
    assert float(found.spread(phase)) == pytest.approx(spread, rel=1e-4)


def test_a_peak_goes_round_the_circle_and_ends_at_the_ends() -> None:
    spacing = 2 * math.pi / K
    phase, _, share = mixture([(0, 0.5, 0.0), (K - 1, 0.5, 0.0)], circular=True).peak()
    assert math.remainder(float(phase), 2 * math.pi) == pytest.approx(0, abs=1e-5)
    assert float(share) == pytest.approx(1, abs=1e-5)
    phase, _, share = mixture([(0, 0.6, 0.0), (K - 1, 0.4, 0.0)], circular=False).peak()
    assert float(phase) == pytest.approx(spacing / 4, abs=1e-5)
    assert float(share) == pytest.approx(0.6, abs=1e-5)
    at_the_end, _, _ = mixture([(K - 1, 1.0, 0.4)], circular=False).peak()
    assert float(at_the_end) == pytest.approx(math.pi - 0.1 * spacing / 2, abs=1e-5)


def test_truth_on_the_other_side_of_zero_is_near() -> None:
    found = mixture([(0, 1.0, 0.0)], circular=True)
    beside, opposite = (float(found.log_density(torch.tensor([x]))) for x in (6.25, 3.0))
    assert beside > 0 > opposite
