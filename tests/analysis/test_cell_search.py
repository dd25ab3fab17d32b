"""The unit cell from spot lists alone."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.analysis.cell_search import find_cell
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell
from tests.analysis.simulated_spots import (
    CUBIC_I,
    LYSOZYME,
    MONOCLINIC_C,
    ORTHORHOMBIC_F,
    RHOMBOHEDRAL,
    THERMOLYSIN,
    TRICLINIC,
    scramble,
    simulate_stills,
)

MONOCLINIC = UnitCell(52, 61, 74, 90, 108, 90)
SMALL = UnitCell(28, 33, 41, 90, 98, 90)
OTHER_SMALL = UnitCell(30, 36, 45, 90, 90, 90)


def assert_cell(found: UnitCell, wanted: UnitCell) -> None:
    assert found.centering == wanted.centering
    np.testing.assert_allclose(found.lengths, wanted.lengths, rtol=5e-3)
    np.testing.assert_allclose(found.angles, wanted.angles, atol=0.3)


def test_a_small_cell_is_found() -> None:
    stills = simulate_stills(SMALL, 12, 40, outliers=0.2, seed=1)
    told: list[float] = []
    search = find_cell(stills.q, longest_angstrom=60, progress=told.append)
    assert search.is_sure
    form = search.forms[0]
    assert form.system == "monoclinic"
    assert_cell(form.cell, SMALL)
    assert search.n_frames == 12
    assert len(form.frames) >= 11
    assert (form.cell_sigma < 0.2).all()
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_two_forms_are_told_apart() -> None:
    first = simulate_stills(SMALL, 14, 40, seed=2).q
    second = simulate_stills(OTHER_SMALL, 8, 40, seed=3).q
    search = find_cell(np.concatenate([first, second]), longest_angstrom=60)
    assert len(search.forms) == 2
    assert_cell(search.forms[0].cell, SMALL)
    assert_cell(search.forms[1].cell, OTHER_SMALL)
    assert set(search.forms[0].frames) <= set(range(14))
    assert set(search.forms[1].frames) <= set(range(14, 22))


def test_lists_without_a_lattice_have_no_cell() -> None:
    q = scramble(simulate_stills(SMALL, 12, 40, seed=4).q, np.random.default_rng(4))
    search = find_cell(q, longest_angstrom=60)
    assert not search.is_sure
    assert sum(len(form.frames) for form in search.forms) <= 3


def test_frames_with_few_spots_are_named() -> None:
    q = simulate_stills(SMALL, 5, 8, seed=5).q
    with pytest.raises(AnalysisError, match=r"no frame has 10 spots \(the most are 8\)"):
        find_cell(q)


@pytest.mark.parametrize(("shortest", "longest"), [(2, 100), (50, 40), (20, 2000)])
def test_a_range_without_sense_is_named(shortest: float, longest: float) -> None:
    q = simulate_stills(SMALL, 5, 20, seed=6).q
    with pytest.raises(AnalysisError, match="the range must lie within 5 and 1000"):
        find_cell(q, shortest_angstrom=shortest, longest_angstrom=longest)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "cell",
    [
        LYSOZYME,
        MONOCLINIC,
        TRICLINIC,
        THERMOLYSIN,
        MONOCLINIC_C,
        CUBIC_I,
        ORTHORHOMBIC_F,
        RHOMBOHEDRAL,
    ],
    ids=lambda cell: f"{cell.a:.0f}-{cell.c:.0f}-{cell.centering}",
)
def test_cells_of_all_kinds_are_found(cell: UnitCell) -> None:
    stills = simulate_stills(cell, 30, 40, outliers=0.2, seed=7)
    search = find_cell(stills.q)
    assert search.is_sure
    assert_cell(search.forms[0].cell, cell)
