"""Errors of measured quantities: few shots are not believed more than they tell."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.policies._errors import filled_errors
from tests.policies.tables import Float, table


def readings(sd: Float, shots: int, seed: int = 0) -> tuple[Float, Float]:
    """Draw means and their standard errors, of shots about 0."""
    drawn = sd[:, None] * np.random.default_rng(seed).standard_normal((len(sd), shots))
    return drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / np.sqrt(shots)


def test_errors_from_a_few_shots_are_moderated_by_all() -> None:
    mean, sem = readings(np.full(400, 0.3), 4)
    filled = filled_errors(table(np.zeros((400, 1)), mean, sem, 4.0))
    assert filled is not None
    # As they were given, a point in fifty would be more than four standard errors off.
    assert np.mean(np.abs(mean / sem) > 4) > 0.01
    assert np.mean(np.abs(mean / filled) > 4) < 0.002
    assert np.std(mean / filled) == pytest.approx(1.0, abs=0.1)


def test_errors_that_truly_differ_stay_different() -> None:
    sd = np.where(np.arange(200) % 2 == 0, 0.1, 1.0)
    mean, sem = readings(sd, 50)
    filled = filled_errors(table(np.zeros((200, 1)), mean, sem, 50.0))
    assert filled is not None
    assert np.median(filled[1::2]) / np.median(filled[::2]) == pytest.approx(10.0, rel=0.2)


def test_equal_errors_stay_what_they_are() -> None:
    filled = filled_errors(table(np.zeros((20, 1)), np.linspace(-1, 1, 20), 0.1, 60.0))
    assert filled is not None
    assert filled.tolist() == pytest.approx([0.1] * 20, rel=0.02)


def test_missing_and_impossible_errors_are_filled_in() -> None:
    sem = np.array([0.1, np.nan, 0.2, 0.0])
    filled = filled_errors(table(np.zeros((4, 1)), np.arange(4.0), sem, 10.0))
    assert filled is not None
    assert filled[1] == pytest.approx(0.1)
    assert filled[3] == pytest.approx(3e-3)
    assert filled_errors(table(np.zeros((2, 1)), np.zeros(2))) is None
