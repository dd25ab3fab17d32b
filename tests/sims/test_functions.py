"""The catalog of test functions: what is stated of them is so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from autosteer.sims.functions import FUNCTIONS, KnownFunction, hartmann_4

functions = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@functions
def test_the_stated_optima_have_the_stated_value(function: KnownFunction) -> None:
    low, high = np.transpose(function.bounds)
    optima = np.array(function.optima)
    assert ((low <= optima) & (optima <= high)).all()
    np.testing.assert_allclose(function.value(optima), function.best, atol=2e-6)


@functions
def test_no_place_within_the_bounds_is_better(function: KnownFunction) -> None:
    low, high = np.transpose(function.bounds)
    rng = np.random.default_rng(1)
    places = low + rng.random((4096, len(low))) * (high - low)
    values = function.value(places)
    ascents = [
        minimize(lambda place: -function.value(place[None])[0], start, bounds=function.bounds)
        for start in places[np.argsort(-values)[:20]]
    ]
    best = max(-ascent.fun for ascent in ascents)
    assert values.max() <= best <= function.best + 1e-6
    # The optimum is found from outside, too, but for the cone of many side peaks.
    if function.name != "ackley_4":
        assert best == pytest.approx(function.best, abs=1e-5)


@functions
def test_a_row_does_not_depend_on_the_others(function: KnownFunction) -> None:
    low, high = np.transpose(function.bounds)
    places = low + np.random.default_rng(2).random((5, len(low))) * (high - low)
    one_by_one = [function.value(place[None])[0] for place in places]
    np.testing.assert_allclose(function.value(places), one_by_one, rtol=1e-12)


def test_hartmann_is_scaled_to_a_mean_of_0_and_a_variance_of_1() -> None:
    values = hartmann_4(np.random.default_rng(3).random((200_000, 4)))
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.1)
