"""The conventional cell of a lattice: from any basis to the cell of its highest symmetry."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.physics.lattices import niggli_basis, reduce_basis, rotation_group
from autosteer.physics.unit_cell import Centering, UnitCell

Float = NDArray[np.float64]
Integer = NDArray[np.int64]

# Rotations of order 2, 3, 4 and 6 that map a lattice of each system onto itself.
_SYSTEMS = {
    (0, 0, 0, 0): "triclinic",
    (1, 0, 0, 0): "monoclinic",
    (3, 0, 0, 0): "orthorhombic",
    (3, 2, 0, 0): "rhombohedral",
    (5, 0, 2, 0): "tetragonal",
    (7, 2, 0, 2): "hexagonal",
    (9, 8, 6, 0): "cubic",
}
# Orders of the chiral point groups, and of the smallest one of each lattice system.
_POINT_GROUPS = {
    "1": 1,
    "2": 2,
    "222": 4,
    "3": 3,
    "32": 6,
    "321": 6,
    "312": 6,
    "4": 4,
    "422": 8,
    "6": 6,
    "622": 12,
    "23": 12,
    "432": 24,
}
_SMALLEST = {
    "triclinic": "1",
    "monoclinic": "2",
    "orthorhombic": "222",
    "rhombohedral": "3",
    "tetragonal": "4",
    "hexagonal": "3",
    "cubic": "23",
}
# Tolerance within which a cell that somebody wrote down has its symmetry.
_WRITTEN = 1e-4
_COEFFICIENTS = np.array(list(itertools.product(range(-3, 4), repeat=3)), dtype=np.int64)
_COEFFICIENTS = _COEFFICIENTS[(_COEFFICIENTS != 0).any(axis=1)]
# Inner lattice points of centered cells, in halves.
_HALVES: dict[tuple[int, int, int], Centering] = {
    (0, 1, 1): "A",
    (1, 0, 1): "B",
    (1, 1, 0): "C",
    (1, 1, 1): "I",
}


@dataclass(frozen=True, slots=True, eq=False)
class BravaisLattice:
    """A lattice in its conventional setting.

    Parameters
    ----------
    system : str
        Lattice system.
    cell : UnitCell
        Conventional cell with its centering, of exactly this symmetry.
    basis : ndarray of float64, shape (3, 3)
        Its vectors as they were given, not quite symmetric, in rows [angstrom]; determinant
        positive.
    """

    system: str
    cell: UnitCell
    basis: Float


def bravais_lattice(basis: Float, tolerance: float = 0.01) -> BravaisLattice:
    """Find the conventional setting of the highest symmetry that a lattice has.

    Parameters
    ----------
    basis : ndarray of float64, shape (3, 3)
        Primitive vectors in rows [angstrom].
    tolerance : float, default 0.01
        Largest change of a scalar product of two reduced vectors under a rotation of the lattice,
        relative to their lengths.

    Returns
    -------
    BravaisLattice
        The lattice.

    References
    ----------
    .. [1] Y. Le Page, Journal of Applied Crystallography 15, 255 (1982), on the symmetry of
           lattices from their twofold axes.

    Examples
    --------
    >>> face_centered = UnitCell(70, 70, 70, 90, 90, 90, "F")
    >>> found = bravais_lattice(face_centered.primitive_basis())
    >>> found.system, found.cell.centering, round(found.cell.a, 6)
    ('cubic', 'F', 70.0)
    """
    reduced = reduce_basis(basis)[0]
    group = rotation_group(reduced, tolerance)
    # Rotations within a tolerance need not make a group; within a narrower one they do.
    while _orders(group) not in _SYSTEMS:
        tolerance /= 2
        group = rotation_group(reduced, tolerance)
    system = _SYSTEMS[_orders(group)]
    if system == "triclinic":
        conventional = niggli_basis(reduced)
        return BravaisLattice(system, UnitCell.from_basis(conventional), conventional)
    metric = (group @ (reduced @ reduced.T) @ group.transpose(0, 2, 1)).mean(axis=0)
    rows = _conventional_rows(system, group, metric)
    rows = rows if np.linalg.det(rows @ reduced) > 0 else -rows
    centering = _centering(rows)
    # Any basis of the averaged metric has its lengths and angles.
    symmetric = np.linalg.cholesky(rows @ metric @ rows.T)
    return BravaisLattice(system, UnitCell.from_basis(symmetric, centering), rows @ reduced)


def smallest_point_group(cell: UnitCell) -> str:
    """Name the chiral point group of lowest symmetry that crystals of a cell can have.

    Parameters
    ----------
    cell : UnitCell
        The cell, as symmetric as it is meant.

    Returns
    -------
    str
        Its symbol.

    Examples
    --------
    >>> smallest_point_group(UnitCell(79.1, 79.1, 37.9, 90, 90, 90))
    '4'
    """
    return _SMALLEST[bravais_lattice(cell.primitive_basis(), _WRITTEN).system]


def point_group_order(symbol: str, cell: UnitCell) -> int:
    """Count the rotations of a chiral point group.

    Parameters
    ----------
    symbol : str
        Its symbol.
    cell : UnitCell
        Cell of the crystals.

    Returns
    -------
    int
        Number of rotations.

    Raises
    ------
    ValueError
        If there is no such group, or the lattice of the cell does not have its rotations.
    """
    order = _POINT_GROUPS.get(symbol)
    if order is None:
        raise ValueError(
            f"point group '{symbol}' is unknown: proteins have one of {', '.join(_POINT_GROUPS)}"
        )
    group = rotation_group(reduce_basis(cell.primitive_basis())[0], _WRITTEN)
    needed = {2: "2" in symbol, 3: "3" in symbol, 4: "4" in symbol, 6: "6" in symbol}
    has = dict(zip((2, 3, 4, 6), _orders(group), strict=True))
    if len(group) % order or any(wanted and not has[n] for n, wanted in needed.items()):
        raise ValueError(f"point group '{symbol}' does not fit the cell {cell.lengths}")
    return order


def _conventional_rows(system: str, group: Integer, metric: Float) -> Integer:
    """Choose conventional vectors, in rows of coefficients of the reduced ones."""
    axes = {order: _axes_of_order(group, order) for order in (2, 3, 4, 6)}
    if system == "monoclinic":
        return _monoclinic(axes[2][0], metric)
    if system == "orthorhombic":
        return _orthorhombic(np.array(axes[2]), metric)
    if system == "cubic":
        return np.array(axes[4])
    order = {"rhombohedral": 3, "tetragonal": 4, "hexagonal": 6}[system]
    c = axes[order][0]
    a = _across(c, metric)[0]
    turn = next(g for g in group if _order(g) == order and np.array_equal(c @ g, c))
    b = a @ (turn @ turn if system == "hexagonal" else turn)
    rows = np.array([a, b, c])
    if system == "rhombohedral":
        inner = np.rint(3 * np.linalg.inv(rows)).astype(np.int64) % 3
        # Obverse: there is a point at 2/3, 1/3, 1/3.
        if not (inner == [2, 1, 1]).all(axis=1).any():
            rows[:2] = -rows[:2]
    return rows


def _order(rotation: Integer) -> int:
    """Order of a rotation, from its trace."""
    return {3: 1, -1: 2, 0: 3, 1: 4, 2: 6}[int(np.trace(rotation))]


def _orders(group: Integer) -> tuple[int, int, int, int]:
    """Count the rotations of order 2, 3, 4 and 6."""
    orders = [_order(rotation) for rotation in group]
    return orders.count(2), orders.count(3), orders.count(4), orders.count(6)


def _axes_of_order(group: Integer, order: int) -> list[Integer]:
    """Shortest lattice vectors along the axes of rotations of an order, one for each axis."""
    axes: list[Integer] = []
    for rotation in group:
        if _order(rotation) != order:
            continue
        powers = [np.linalg.matrix_power(rotation, k) for k in range(order)]
        invariant = np.sum(powers, axis=0)
        row = invariant[np.flatnonzero((invariant != 0).any(axis=1))[0]]
        axis = row // np.gcd.reduce(row)
        if not any(np.array_equal(axis, s * other) for other in axes for s in (1, -1)):
            axes.append(axis)
    return axes


def _across(axis: Integer, metric: Float) -> Integer:
    """Lattice vectors square to an axis, by length."""
    lengths = np.einsum("ni,ij,nj->n", _COEFFICIENTS, metric, _COEFFICIENTS)
    along = _COEFFICIENTS @ metric @ axis
    square = np.abs(along) < 1e-6 * np.sqrt(lengths * (axis @ metric @ axis))
    across: Integer = _COEFFICIENTS[square]
    return across[np.argsort(lengths[square].round(6), kind="stable")]


def _orthorhombic(axes: Integer, metric: Float) -> Integer:
    """Three axes by length; where one face is centered, it is C."""
    rows = axes[np.argsort(np.einsum("ni,ij,nj->n", axes, metric, axes), kind="stable")]
    centering = _centering(rows)
    if centering in {"A", "B"}:
        rows = rows[{"A": [1, 2, 0], "B": [0, 2, 1]}[centering]]
    return rows


def _monoclinic(axis: Integer, metric: Float) -> Integer:
    """Take b along the axis; a and c make the angle nearest to a right one, P, C or I."""
    across = _across(axis, metric)
    first = across[0]
    second = next(v for v in across if np.abs(np.cross(first, v)).any())
    fitting: list[tuple[float, float, Integer]] = []
    for a, c in itertools.permutations((first, second, first + second, first - second), 2):
        rows = np.array([a if a @ metric @ c <= 0 else -a, axis, c])
        n_points = round(abs(np.linalg.det(rows)))
        if n_points == 1 or (n_points == 2 and _centering(rows) in {"C", "I"}):
            a_square, c_square = a @ metric @ a, c @ metric @ c
            cosine = abs(a @ metric @ c) / np.sqrt(a_square * c_square)
            # At the same angle a is the shorter one.
            fitting.append((round(cosine, 9), a_square, rows))
    return min(fitting, key=lambda one: one[:2])[2]


def _centering(rows: Integer) -> Centering:
    """Name the centering from the lattice points inside the cell."""
    n_points = round(abs(np.linalg.det(rows)))
    if n_points in {1, 3, 4}:
        centerings: dict[int, Centering] = {1: "P", 3: "R", 4: "F"}
        return centerings[n_points]
    inner = np.rint(2 * np.linalg.inv(rows)).astype(np.int64) % 2
    return next(letter for half, letter in _HALVES.items() if (inner == half).all(axis=1).any())
