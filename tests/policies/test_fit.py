"""The fit: what is fitted is what is used, and it finds what made the data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import lognorm, multivariate_normal

from autosteer.policies._covariance import Covariance, Hyperparameters
from autosteer.policies._fit import PRIORS, Density, fit


def some_covariance(rng: np.random.Generator, *, with_time: bool) -> Covariance:
    numbers = np.exp(0.5 * rng.standard_normal(9))
    time_length = float(numbers[8]) if with_time else None
    return Covariance(numbers[:3], float(numbers[3]), numbers[4:7], float(numbers[7]), time_length)


@pytest.mark.parametrize("with_time", [False, True])
@pytest.mark.parametrize("noise", [None, 0.1])
def test_the_loss_is_the_negative_posterior_density(with_time: bool, noise: float | None) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((7, 3 + with_time)), rng.standard_normal(7)
    variance = None if noise is not None else np.full(7, 0.3)
    density = Density(x, y, variance, with_time=with_time)
    losses, wanted = [], []
    for _ in range(2):
        found = Hyperparameters(
            some_covariance(rng, with_time=with_time), float(rng.standard_normal()), noise
        )
        density.begin_with(found)
        taken = density.hyperparameters.covariance
        np.testing.assert_allclose(taken(x, x), found.covariance(x, x), rtol=1e-12)
        losses.append(float(density.loss_and_slopes()[0]))
        covariance = found.covariance(x, x) + np.diag(np.full(7, noise or 0.3))
        log_density = multivariate_normal(np.full(7, found.constant), covariance).logpdf(y)
        for name, values in found.as_json().items():
            if name != "constant" and values is not None:
                mean, sd = PRIORS[name]
                log_density += lognorm(sd, scale=np.exp(mean)).logpdf(values).sum()
        wanted.append(-log_density / 7)
    # Densities are known up to a factor.
    assert losses[1] - losses[0] == pytest.approx(wanted[1] - wanted[0], rel=1e-6)


def test_a_later_fit_goes_on_where_the_first_has_ended() -> None:
    rng = np.random.default_rng(4)
    x = rng.random((30, 2))
    y = np.sin(5 * x[:, 0]) + 0.1 * rng.standard_normal(30)
    variance = np.full(30, 0.01)
    first = fit(x, y, variance, with_time=False, begin_with=None)
    again = fit(x, y, variance, with_time=False, begin_with=first)
    np.testing.assert_allclose(again.covariance.lengths, first.covariance.lengths, rtol=0.02)


def test_places_that_are_repeated_without_noise_can_be_fitted() -> None:
    x = np.repeat(np.random.default_rng(5).random((4, 2)), 5, axis=0)
    y = np.repeat([0.0, 1.0, -1.0, 0.5], 5)
    found = fit(x, y, np.zeros(20), with_time=False, begin_with=None)
    assert np.all(np.isfinite(found.covariance.lengths))


def test_a_fit_finds_lengths_noise_and_correlation_time() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 3)) * [1, 1, 4]
    made_by = Covariance(np.array([0.1, 1.0]), 1.0, np.ones(2), 1e-6, 1.5)
    covariance = made_by(x, x) + 0.05 * np.eye(150)
    y = np.linalg.cholesky(covariance) @ rng.standard_normal(150)
    found = fit(x, y, None, with_time=True, begin_with=None)
    assert found.covariance.lengths[0] == pytest.approx(0.1, rel=0.4)
    assert found.covariance.lengths[1] > 0.5
    assert found.covariance.time_length == pytest.approx(1.5, rel=0.7)
    assert found.noise == pytest.approx(0.05, rel=0.6)


def test_hyperparameters_go_through_json_unchanged() -> None:
    covariance = some_covariance(np.random.default_rng(3), with_time=True)
    for noise in (None, 0.1 + 0.2):
        state = Hyperparameters(covariance, 1 / 3, noise).as_json()
        again = Hyperparameters.from_json(json.loads(json.dumps(state)))
        assert again.as_json() == state


def test_a_fit_does_not_depend_on_what_was_drawn_before() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.random((12, 2)), rng.standard_normal(12)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(fit(x, y, None, with_time=False, begin_with=None).as_json())
        drawn = float(torch.rand(1))
        torch.manual_seed(seed)
        assert drawn == float(torch.rand(1))
    assert found[0] == found[1]
