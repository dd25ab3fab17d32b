"""Reduced bases and rotation groups of lattices."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.physics import UnitCell
from autosteer.physics.lattices import reduce_basis, rotation_group
from tests.analysis.simulated_spots import (
    CUBIC_I,
    LYSOZYME,
    MONOCLINIC_C,
    ORTHORHOMBIC_F,
    RHOMBOHEDRAL,
    THERMOLYSIN,
    TRICLINIC,
)


@pytest.mark.parametrize("seed", range(20))
def test_reduction_finds_the_shortest_vectors_of_a_skewed_basis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(3, 3)) * 50
    skew = np.eye(3, dtype=int)
    for _ in range(6):
        row, other = rng.permutation(3)[:2]
        skew[row] += rng.integers(-3, 4) * skew[other]
    reduced, transform = reduce_basis(skew @ basis)
    np.testing.assert_allclose(transform @ skew @ basis, reduced, atol=1e-6)
    assert abs(round(np.linalg.det(transform))) == 1
    assert np.linalg.det(reduced) > 0
    coefficients = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = coefficients[(coefficients != 0).any(axis=1)] @ reduced
    lengths = np.linalg.norm(reduced, axis=1)
    assert np.linalg.norm(vectors, axis=1).min() == pytest.approx(lengths[0])
    assert (np.diff(lengths) >= 0).all()
    # No combination with the longest vector is shorter than it.
    with_last = coefficients[coefficients[:, 2] != 0] @ reduced
    assert np.linalg.norm(with_last, axis=1).min() == pytest.approx(lengths[2])


@pytest.mark.parametrize(
    ("cell", "order"),
    [
        (TRICLINIC, 1),
        (MONOCLINIC_C, 2),
        (ORTHORHOMBIC_F, 4),
        (RHOMBOHEDRAL, 6),
        (LYSOZYME, 8),
        (THERMOLYSIN, 12),
        (CUBIC_I, 24),
        (UnitCell(60, 60, 60, 90, 90, 90, "F"), 24),
    ],
)
def test_rotation_group_has_the_order_of_the_lattice_system(cell: UnitCell, order: int) -> None:
    reduced, _ = reduce_basis(cell.primitive_basis())
    group = rotation_group(reduced)
    assert len(group) == order
    metric = reduced @ reduced.T
    for matrix in group:
        np.testing.assert_allclose(matrix @ metric @ matrix.T, metric, atol=1e-6 * metric.max())
