"""The fit: what is fitted is what is used, and it finds what made the data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from autosteer.policies._covariance import Covariance, Hyperparameters
from autosteer.policies._fit import _Kernel, fit


def some_covariance(rng: np.random.Generator, *, with_time: bool) -> Covariance:
    numbers = np.exp(0.5 * rng.standard_normal(9))
    time_length = float(numbers[8]) if with_time else None
    return Covariance(numbers[:3], float(numbers[3]), numbers[4:7], float(numbers[7]), time_length)


@pytest.mark.parametrize("with_time", [False, True])
def test_the_covariance_is_that_of_the_kernel(with_time: bool) -> None:
    rng = np.random.default_rng(1)
    kernel, covariance = _Kernel(3, with_time), some_covariance(rng, with_time=with_time)
    kernel.set(covariance)
    a, b = rng.random((7, 3 + with_time)), rng.random((5, 3 + with_time))
    wanted = kernel.whole(torch.from_numpy(a), torch.from_numpy(b)).to_dense().detach().numpy()
    np.testing.assert_allclose(covariance(a, b), wanted, rtol=1e-10)
    np.testing.assert_allclose(covariance.at(a), np.diag(covariance(a, a)), rtol=1e-12)
    np.testing.assert_allclose(kernel.covariance(a, b), wanted, rtol=1e-10)


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
