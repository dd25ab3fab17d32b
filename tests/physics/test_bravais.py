"""Conventional settings of lattices, from any basis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.physics import UnitCell, cell_parameters
from autosteer.physics.bravais import bravais_lattice
from autosteer.physics.lattices import niggli_basis

CELLS = [
    ("triclinic", UnitCell(45, 55, 68, 82, 75, 68)),
    ("triclinic", UnitCell(50, 60, 70, 95, 100, 110)),
    ("monoclinic", UnitCell(50, 65, 80, 90, 91.5, 90)),
    ("monoclinic", UnitCell(52, 61, 74, 90, 108, 90, "C")),
    ("monoclinic", UnitCell(40, 90, 60, 90, 95, 90, "I")),
    ("orthorhombic", UnitCell(50, 65, 80, 90, 90, 90)),
    ("orthorhombic", UnitCell(50, 60, 70, 90, 90, 90, "C")),
    ("orthorhombic", UnitCell(60, 70, 80, 90, 90, 90, "I")),
    ("orthorhombic", UnitCell(90, 95, 110, 90, 90, 90, "F")),
    ("tetragonal", UnitCell(79.1, 79.1, 37.9, 90, 90, 90)),
    ("tetragonal", UnitCell(50, 50, 90, 90, 90, 90, "I")),
    ("rhombohedral", UnitCell(81, 81, 110, 90, 90, 120, "R")),
    ("rhombohedral", UnitCell(81, 81, 30, 90, 90, 120, "R")),
    ("hexagonal", UnitCell(93.4, 93.4, 131, 90, 90, 120)),
    ("cubic", UnitCell(50, 50, 50, 90, 90, 90)),
    ("cubic", UnitCell(78, 78, 78, 90, 90, 90, "I")),
    ("cubic", UnitCell(70, 70, 70, 90, 90, 90, "F")),
]


def skewed(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return a whole matrix of determinant 1 with large elements."""
    rng = np.random.default_rng(seed)
    skew = np.eye(3, dtype=np.int64)
    for _ in range(6):
        row, other = rng.permutation(3)[:2]
        skew[row] += rng.integers(-3, 4) * skew[other]
    return skew


@pytest.mark.parametrize(("system", "cell"), CELLS)
@pytest.mark.parametrize("seed", range(3))
def test_the_conventional_cell_comes_back(system: str, cell: UnitCell, seed: int) -> None:
    strain = np.eye(3) + np.random.default_rng(seed).normal(0, 5e-4, (3, 3))
    basis = skewed(seed) @ cell.primitive_basis() @ strain
    found = bravais_lattice(basis)
    assert (found.system, found.cell.centering) == (system, cell.centering)
    np.testing.assert_allclose(found.cell.lengths, cell.lengths, rtol=4e-3)
    np.testing.assert_allclose(found.cell.angles, cell.angles, atol=0.2)
    assert np.linalg.det(found.basis) > 0
    np.testing.assert_allclose(cell_parameters(found.basis)[:3], cell.lengths, rtol=4e-3)
    # Centering and vectors describe the same lattice, no coarser and no finer one.
    inside = UnitCell.from_basis(found.basis, found.cell.centering).primitive_basis()
    assert abs(np.linalg.det(inside)) == pytest.approx(abs(np.linalg.det(basis)))


def test_symmetry_is_exact_in_the_cell() -> None:
    strained = UnitCell(79.3, 79.0, 37.9, 90.1, 89.9, 90.1)
    found = bravais_lattice(strained.basis())
    assert found.system == "tetragonal"
    assert found.cell.a == pytest.approx(found.cell.b, abs=1e-9)
    assert found.cell.angles == pytest.approx((90, 90, 90), abs=1e-9)
    assert bravais_lattice(strained.basis(), tolerance=1e-4).system == "triclinic"


@given(seed=st.integers(0, 10_000), which=st.integers(0, len(CELLS) - 1))
def test_every_basis_of_a_lattice_has_the_same_niggli_cell(seed: int, which: int) -> None:
    primitive = CELLS[which][1].primitive_basis()
    reference = cell_parameters(niggli_basis(primitive))
    found = niggli_basis(skewed(seed) @ primitive)
    np.testing.assert_allclose(cell_parameters(found), reference, atol=1e-4)
    assert np.linalg.det(found) == pytest.approx(np.linalg.det(primitive))
    angles = cell_parameters(found)[3:]
    assert (angles < 90 + 1e-6).all() or (angles > 90 - 1e-6).all()
