"""Short bases of a lattice, and the rotations that map it onto itself."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Integer = NDArray[np.int64]

_SIGNS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.int64)


def reduce_basis(basis: Float) -> tuple[Float, Integer]:
    """Find the three shortest vectors that span a lattice.

    Parameters
    ----------
    basis : ndarray of float64, shape (3, 3)
        Any vectors that span the lattice, in rows [angstrom].

    Returns
    -------
    reduced : ndarray of float64, shape (3, 3)
        Minkowski-reduced vectors in rows, shortest first, determinant positive [angstrom].
    transform : ndarray of int64, shape (3, 3)
        ``reduced = transform @ basis``.

    References
    ----------
    .. [1] P. Q. Nguyen and D. Stehle, ACM Transactions on Algorithms 5, 46 (2009).
    """
    reduced = np.array(basis, dtype=np.float64)
    transform = np.eye(3, dtype=np.int64)
    shortened = True
    while shortened:
        order = np.argsort((reduced**2).sum(axis=1), kind="stable")
        reduced, transform = reduced[order], transform[order]
        shortened = False
        # In three dimensions a basis is reduced once no sum or difference of the shorter
        # vectors makes a longer one shorter. The margin keeps equal lengths from cycling.
        for row in (1, 2):
            steps = _SIGNS[(_SIGNS[:, row:] == 0).all(axis=1)].copy()
            steps[:, row] = 1
            lengths = ((steps @ reduced) ** 2).sum(axis=1)
            best = int(lengths.argmin())
            if lengths[best] < (reduced[row] ** 2).sum() * (1 - 1e-9):
                transform[row] = steps[best] @ transform
                reduced[row] = steps[best] @ reduced
                shortened = True
                break
    if np.linalg.det(reduced) < 0:
        reduced, transform = -reduced, -transform
    return reduced, transform


def rotation_group(reduced: Float, tolerance: float = 5e-3) -> Integer:
    """Find the proper rotations that map a lattice onto itself.

    Parameters
    ----------
    reduced : ndarray of float64, shape (3, 3)
        Reduced basis in rows [angstrom], as `reduce_basis` gives it.
    tolerance : float, default 5e-3
        Largest change of a scalar product of two basis vectors, relative to their lengths.

    Returns
    -------
    ndarray of int64, shape (n_rotations, 3, 3)
        Matrices ``g`` such that ``g @ reduced`` is a rotated copy of ``reduced``; the identity
        is among them.

    Notes
    -----
    All lattice vectors as short as a vector of a reduced basis have coefficients -1, 0 and 1 in
    it, so that only these need be tried.
    """
    candidates = np.array(list(itertools.product(_SIGNS, repeat=3)), dtype=np.int64)
    candidates = candidates[np.rint(np.linalg.det(candidates)) == 1]
    metric = reduced @ reduced.T
    lengths = np.sqrt(np.diag(metric))
    change = np.abs(candidates @ metric @ candidates.transpose(0, 2, 1) - metric)
    rotations: Integer = candidates[
        (change <= tolerance * np.outer(lengths, lengths)).all(axis=(1, 2))
    ]
    return rotations
