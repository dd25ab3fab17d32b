"""The region that grows and shrinks: by what the posterior says, not by lucky readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.contracts import PolicyError, Problem
from autosteer.policies.trust import TrustRegionPolicy, _Box
from tests.policies.tables import Float

CUBE = {f"k{number}": (0.0, 1.0) for number in range(6)}
HALF = _Box(0.5, np.full(6, 0.5), np.ones(6))


def counted(*chances: float) -> _Box:
    box = HALF
    for chance in chances:
        box = box.counted(chance, 0.5)
    return box


def test_it_grows_with_successes_and_shrinks_with_failures() -> None:
    assert counted(0.9, 0.9).length == 1.0
    assert counted(*[0.1] * 12).length == 0.25
    assert counted(*[0.1] * 11, 0.9, 0.1).length == 0.5


def test_what_noise_leaves_undecided_counts_for_nothing() -> None:
    assert counted(*[0.5, 0.3, 0.7] * 20).length == 0.5
    assert counted(0.9, 0.5, 0.9).length == 1.0


@given(st.lists(st.floats(0, 1), max_size=400))
def test_its_length_stays_within_bounds(chances: list[float]) -> None:
    assert 2.0**-7 <= counted(*chances).length <= 1.0


def test_where_nothing_more_is_to_be_found_it_looks_around_again() -> None:
    lengths = {counted(*[0.0] * 12 * halvings).length for halvings in range(8)}
    assert min(lengths) == 2.0**-7
    assert counted(*[0.0] * 12 * 7).length == 0.5


def ridge(x: Float) -> float:
    """Return a value that depends on the first two of six knobs, along a crooked ridge."""
    across = x[1] - 0.3 - 0.8 * (x[0] - 0.2) ** 2
    return float(np.exp(-((across / 0.3) ** 2) - ((x[0] - 0.7) / 0.5) ** 2))


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_it_climbs_a_ridge_and_noise_makes_it_not_collapse(noise: float) -> None:
    policy, rng = TrustRegionPolicy(Problem.of(CUBE, "y", seed=1)), np.random.default_rng(1)
    for _ in range(45):
        [point] = policy.suggest(1)
        x = np.array([point[name] for name in CUBE])
        reading = ridge(x) + noise * rng.standard_normal()
        policy.ingest([{**point, "y": reading, "y_sem": noise, "y_n": 60}])
        assert noise < 0.1 or policy.length >= 0.25
    best = policy.best()
    assert ridge(np.array([best[name] for name in CUBE])) > (0.9 if noise < 0.1 else 0.6)


def test_the_best_is_in_the_box() -> None:
    # Of two peaks and a slope that rises beyond them, only what is near is still looked at.
    policy = TrustRegionPolicy(Problem.of({"x": (0.0, 1.0)}, "y", seed=2), length=0.25)
    rng = np.random.default_rng(2)
    away = []
    for _ in range(30):
        [point] = policy.suggest(1)
        x = point["x"]
        value = np.exp(-(((x - 0.3) / 0.05) ** 2)) + 0.5 * x
        policy.ingest([{**point, "y": value + 0.2 * rng.standard_normal(), "y_sem": 0.2}])
        measured = [float(place.x[0]) for place in policy._ledger.measured.values()]
        away.append(min(abs(policy.best()["x"] - one) for one in measured) / policy.length)
    # Half a box from the best measured place at most.
    assert max(away) <= 0.5 + 1e-9


def test_a_length_out_of_range_is_refused() -> None:
    with pytest.raises(PolicyError, match="length is 2"):
        TrustRegionPolicy(Problem.of(CUBE, "y"), length=2.0)
