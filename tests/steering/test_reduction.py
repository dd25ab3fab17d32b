"""Estimates and their errors: against the statistics that they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from autosteer.contracts import Estimate, Quantity
from autosteer.contracts.quantities import Condition
from autosteer.steering.reduction import Reduction
from autosteer.stream import JoinedShots

FRACTION = Quantity(name="hits", column="indexing.hit", reduce="fraction")
MEAN = Quantity(name="spots", column="indexing.hit", reduce="mean")


def shots(values: ArrayLike, intensity: ArrayLike | None = None) -> JoinedShots:
    y = np.asarray(values, np.float64)
    n = len(y)
    columns = {"indexing.hit": y}
    if intensity is not None:
        columns["machine.beam_intensity"] = np.asarray(intensity, np.float64)
    return JoinedShots(np.arange(n, dtype=np.uint64), np.arange(n), columns, {})


def reduce(quantity: Quantity, values: ArrayLike, intensity: ArrayLike | None = None) -> Estimate:
    reduction = Reduction(quantity)
    reduction.add(shots(values, intensity))
    estimate = reduction.estimate
    assert estimate is not None
    return estimate


def test_nothing_seen_in_sixty_is_not_known_exactly() -> None:
    estimate = reduce(FRACTION, np.zeros(60))
    assert estimate.mean == 0
    assert estimate.n_success == 0
    # Beta(1/2, 60 + 1/2): sd = sqrt(ab / (a + b + 1)) / (a + b).
    assert math.isclose(estimate.sem, math.sqrt(0.5 * 60.5 / 62) / 61)


def test_missing_values_do_not_count() -> None:
    estimate = reduce(FRACTION, [1, math.nan, 0, 1, math.nan])
    assert (estimate.n, estimate.n_success) == (3, 2)


def test_too_few_shots_give_no_estimate() -> None:
    reduction = Reduction(MEAN)
    assert reduction.estimate is None
    reduction.add(shots([3.0]))
    assert reduction.estimate is None


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=15),
    st.lists(st.integers(1, 5), min_size=1, max_size=15),
)
def test_a_mean_has_the_textbook_error_however_the_shots_come(
    values: list[float], sizes: list[int]
) -> None:
    reduction = Reduction(MEAN)
    rest = list(values)
    for size in [*sizes, len(values)]:
        if rest:
            reduction.add(shots(rest[:size]))
            rest = rest[size:]
    estimate = reduction.estimate
    assert estimate is not None
    assert np.isclose(estimate.mean, np.mean(values), atol=1e-6)
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert np.isclose(estimate.sem, expected, atol=1e-5)


def pulls(make: object, repeats: int, size: int, truth: float) -> float:
    """Spread of the errors in units of the stated error: 1 if it is honest."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(repeats):
        reduction = Reduction(MEAN)
        for part in np.array_split(make(rng, size), rng.integers(1, 30)):  # type: ignore[operator]
            reduction.add(shots(part))
        estimate = reduction.estimate
        assert estimate is not None
        found.append((estimate.mean - truth) / estimate.sem)
    return float(np.std(found))


def test_the_error_of_independent_shots_is_honest() -> None:
    spread = pulls(lambda rng, n: (rng.random(n) < 0.3).astype(float), 400, 300, 0.3)
    assert 0.9 < spread < 1.1


def test_the_error_of_correlated_shots_is_nearly_so() -> None:
    def correlated(
        rng: np.random.Generator, n: int
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        noise = rng.normal(size=n)
        values = np.zeros(n)
        for i in range(1, n):
            values[i] = 0.9 * values[i - 1] + noise[i]
        return values

    # Taken for independent, these shots would give a spread of sqrt(19) = 4.4.
    assert 0.9 < pulls(correlated, 300, 1000, 0.0) < 1.5


def test_a_ratio_divides_sums_and_knows_its_error() -> None:
    quantity = Quantity(
        name="yield", column="indexing.hit", reduce="mean", normalize_by="machine.beam_intensity"
    )
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        intensity = rng.uniform(0.5, 1.5, 200)
        estimate = reduce(quantity, 3 * intensity + rng.normal(0, 0.4, 200), intensity)
        found.append((estimate.mean - 3) / estimate.sem)
    assert 0.9 < np.std(found) < 1.1
    assert abs(np.mean(found)) < 0.2


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"above": 0.5}, 2),
        ({"below": 0.5}, 1),
        ({"above": 0.1, "below": 0.9}, 2),
        ({"equals": 1.0}, 1),
    ],
)
def test_conditions_choose_the_shots_and_a_missing_value_fails_them(
    condition: dict[str, float], kept: int
) -> None:
    quantity = Quantity.model_validate({
        "name": "hits",
        "column": "indexing.hit",
        "reduce": "fraction",
        "where": [{"column": "machine.beam_intensity", **condition}],
    })
    estimate = reduce(quantity, [1, 1, 1, 1], [0.2, 0.8, 1.0, math.nan])
    assert estimate.n == kept


def test_shots_that_fail_a_condition_enter_as_zero() -> None:
    inside = Condition(column="machine.beam_intensity", above=1, below=2)
    quantity = Quantity(
        name="pairs", column="indexing.hit", reduce="fraction", zero_unless=(inside,)
    )
    estimate = reduce(quantity, [1, 1, 0, math.nan, 1], intensity=[1.5, 2.5, 1.5, 1.5, math.nan])
    assert (estimate.n, estimate.n_success) == (4, 1)


def test_corrected_fractions_have_the_spread_of_their_values() -> None:
    # Of 1000 shots 400 are called right: each stands for 1.25 of the true ones.
    values = np.random.default_rng(1).permutation(np.repeat([1.25, 0.0], [400, 600]))
    estimate = reduce(FRACTION, values)
    assert estimate.mean == pytest.approx(0.5)
    assert estimate.sem == pytest.approx(1.25 * math.sqrt(0.4 * 0.6 / 1000), rel=0.01)


def test_a_corrected_fraction_stays_one() -> None:
    assert reduce(FRACTION, [-0.02] * 50).mean == 0
    assert reduce(FRACTION, [1.03] * 50).mean == 1
    # Even then it is not known exactly.
    assert reduce(FRACTION, [-0.02] * 50).sem > 0.005
