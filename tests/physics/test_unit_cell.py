"""The unit cell: parameters, bases and centrings agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autosteer.physics import UnitCell, cell_parameters, primitive_transform

lengths = st.floats(5.0, 300.0)
angles = st.floats(50.0, 130.0)


@st.composite
def cells(draw: st.DrawFn) -> UnitCell:
    a, b, c = (draw(lengths) for _ in range(3))
    alpha, beta, gamma = (draw(angles) for _ in range(3))
    try:
        return UnitCell(a, b, c, alpha, beta, gamma)
    except ValueError:
        assume(False)
        raise


@given(cells())
def test_the_basis_has_the_cells_parameters_and_volume(cell: UnitCell) -> None:
    basis = cell.basis()
    assert np.allclose(cell_parameters(basis), [*cell.lengths, *cell.angles], rtol=1e-6)
    assert np.isclose(np.linalg.det(basis), cell.volume, rtol=1e-6)
    assert np.allclose(basis @ cell.reciprocal_basis().T, np.eye(3), atol=1e-9)
    back = UnitCell.from_basis(basis)
    assert np.isclose(back.volume, cell.volume, rtol=1e-6)


@pytest.mark.parametrize(
    ("centering", "points"),
    [("P", 1), ("A", 2), ("B", 2), ("C", 2), ("I", 2), ("F", 4), ("R", 3)],
)
def test_the_primitive_cell_holds_one_lattice_point(centering: str, points: int) -> None:
    transform = primitive_transform(centering)  # type: ignore[arg-type]
    assert np.isclose(np.linalg.det(transform), 1 / points)
    # Every conventional vector is a whole combination of primitive ones.
    inverse = np.linalg.inv(transform)
    assert np.allclose(inverse, np.rint(inverse))


def test_systematic_absences_of_a_centred_lattice() -> None:
    # Reflections of an I lattice have h + k + l even: those of its primitive cell are all whole.
    cell = UnitCell(80, 90, 100, 90, 90, 90, "I")
    q = np.array([1, 1, 0]) @ cell.reciprocal_basis()
    absent = np.array([1, 0, 0]) @ cell.reciprocal_basis()
    whole = cell.primitive_basis() @ q
    assert np.allclose(whole, np.rint(whole))
    broken = cell.primitive_basis() @ absent
    assert not np.allclose(broken, np.rint(broken))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("79,79,38,90,90", "is no unit cell"),
        ("a,b,c,90,90,90", "is no unit cell"),
        ("79,79,-38,90,90,90", "cell length c"),
        ("79,79,38,90,90,190", "cell angle gamma"),
        ("79,79,38,120,120,120", "span no volume"),
        ("79,79,38,30,100,30", "span no volume"),
        ("79,79,38,90,90,90,Q", "centring 'Q'"),
    ],
)
def test_impossible_cells_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnitCell.from_text(text)


def test_a_cell_is_read_from_text_with_or_without_centring() -> None:
    assert UnitCell.from_text("79.1, 79.1, 37.9, 90, 90, 90") == UnitCell(
        79.1, 79.1, 37.9, 90, 90, 90
    )
    assert UnitCell.from_text("50 60 70 90 95 90 c").centering == "C"
