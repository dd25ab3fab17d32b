"""Sorting shots into bins: quotas, edges, and what does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from pydantic import ValidationError

from autosteer.contracts.quantities import Condition, SortSection
from autosteer.steering.sorting import ShotSorter
from autosteer.stream import JoinedShots

EDGES = (600.0, 700.0, 800.0)


def section(quota: int = 2) -> SortSection:
    good = Condition(column="pulse.n_spikes", equals=2)
    return SortSection(column="pulse.delay_as", edges=EDGES, quota=quota, where=(good,))


def shots(delay_as: ArrayLike, n_spikes: ArrayLike | None = None, first: int = 1) -> JoinedShots:
    delay = np.asarray(delay_as, np.float64)
    number = np.full(len(delay), 2.0) if n_spikes is None else np.asarray(n_spikes, np.float64)
    ids = np.arange(first, first + len(delay), dtype=np.uint64)
    columns = {"pulse.delay_as": delay, "pulse.n_spikes": number}
    return JoinedShots(ids, ids.astype(np.int64), columns, {})


def test_bins_fill_up_to_their_quota() -> None:
    sorter = ShotSorter(section())
    sorter.take(shots([650, 699, 651, 700, 599, 800, math.nan]))
    assert [(one.sorted, one.offered) for one in sorter.bins] == [(2, 3), (1, 1)]
    full_before = sorter.full
    sorter.take(shots([750], first=20))
    assert (full_before, sorter.full) == (False, True)
    kept = sorter.shots
    assert kept.pulse_id.tolist() == [1, 2, 4, 20]
    assert kept.bin.tolist() == [0, 0, 1, 1]
    assert kept.value.tolist() == [650, 699, 700, 750]


def test_only_shots_that_meet_the_conditions_are_sorted() -> None:
    sorter = ShotSorter(section())
    sorter.take(shots([650, 650, 650], n_spikes=[3, math.nan, 2]))
    assert sorter.shots.pulse_id.tolist() == [3]


def test_edges_that_do_not_ascend_are_an_error() -> None:
    with pytest.raises(ValidationError, match="600, 600: they must ascend"):
        SortSection(column="pulse.delay_as", edges=(600, 600), quota=1)


@given(st.lists(st.lists(st.floats(500, 900), max_size=20), max_size=8), st.integers(1, 6))
def test_it_does_not_matter_how_shots_are_grouped(groups: list[list[float]], quota: int) -> None:
    together, apart = ShotSorter(section(quota)), ShotSorter(section(quota))
    everything = [value for group in groups for value in group]
    together.take(shots(everything))
    first = 1
    for group in groups:
        apart.take(shots(group, first=first))
        first += len(group)
    assert together.bins == apart.bins
    assert sorted(together.shots.pulse_id) == sorted(apart.shots.pulse_id)
    assert all(one.sorted == min(one.offered, quota) for one in apart.bins)
