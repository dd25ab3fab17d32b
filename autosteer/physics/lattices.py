"""Short bases of a lattice, the rotations that map it onto itself, and its conventional cell."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Integer = NDArray[np.int64]

_SIGNS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.int64)
_MATRICES = np.array(list(itertools.product(_SIGNS, repeat=3)), dtype=np.int64)
_UNIMODULAR = _MATRICES[np.rint(np.linalg.det(_MATRICES)) == 1]


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
    metric = reduced @ reduced.T
    lengths = np.sqrt(np.diag(metric))
    change = np.abs(_UNIMODULAR @ metric @ _UNIMODULAR.transpose(0, 2, 1) - metric)
    rotations: Integer = _UNIMODULAR[
        (change <= tolerance * np.outer(lengths, lengths)).all(axis=(1, 2))
    ]
    return rotations


def niggli_basis(basis: Float, tolerance: float = 1e-5) -> Float:
    """Find the Niggli-reduced basis of a lattice, one and the same for all its descriptions.

    Parameters
    ----------
    basis : ndarray of float64, shape (3, 3)
        Any vectors that span the lattice, in rows [angstrom].
    tolerance : float, default 1e-5
        Relative to the length of the cell: what differs by less is equal.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        The basis in rows, shortest first, determinant positive [angstrom]; its angles are all
        acute, or none is.

    References
    ----------
    .. [1] I. Krivy and B. Gruber, Acta Crystallographica A32, 297 (1976).
    .. [2] R. W. Grosse-Kunstleve, N. K. Sauter and P. D. Adams, Acta Crystallographica A60, 1
           (2004), on doing it with numbers of finite precision.

    Examples
    --------
    >>> skewed = np.array([[1, 0, 0], [2, 1, 0], [0, -3, 1]]) @ np.diag([30.0, 40, 50])
    >>> np.linalg.norm(niggli_basis(skewed), axis=1).round(6)
    array([30., 40., 50.])
    """
    reduced = reduce_basis(basis)[0]
    # All bases of vectors as short as these have coefficients -1, 0 and 1 in them.
    metric = _UNIMODULAR @ (reduced @ reduced.T) @ _UNIMODULAR.transpose(0, 2, 1)
    epsilon = tolerance * abs(np.linalg.det(reduced)) ** (2 / 3)
    niggli: Float = _UNIMODULAR[np.flatnonzero(_is_niggli(metric, epsilon))[0]] @ reduced
    return niggli


def _is_niggli(metric: Float, epsilon: float) -> NDArray[np.bool_]:
    """Say which metrics (n, 3, 3) are of the reduced form; differences below epsilon are none."""
    a, b, c = (metric[:, i, i] for i in range(3))
    xi, eta, zeta = 2 * metric[:, 1, 2], 2 * metric[:, 0, 2], 2 * metric[:, 0, 1]

    def at_most(first: Float, second: Float) -> NDArray[np.bool_]:
        return first <= second + epsilon

    def where(first: Float, second: Float, then: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return (np.abs(first - second) > epsilon) | then

    ordered = at_most(a, b) & at_most(b, c)
    ordered &= at_most(abs(xi), b) & at_most(abs(eta), a) & at_most(abs(zeta), a)
    ordered &= where(a, b, at_most(abs(xi), abs(eta)))
    ordered &= where(b, c, at_most(abs(eta), abs(zeta)))
    acute = (xi > epsilon) & (eta > epsilon) & (zeta > epsilon)
    acute &= where(xi, b, at_most(zeta, 2 * eta))
    acute &= where(eta, a, at_most(zeta, 2 * xi))
    acute &= where(zeta, a, at_most(eta, 2 * xi))
    total = a + b + xi + eta + zeta
    obtuse = at_most(xi, 0 * a) & at_most(eta, 0 * a) & at_most(zeta, 0 * a)
    obtuse &= at_most(0 * a, total)
    obtuse &= where(xi, -b, abs(zeta) <= epsilon)
    obtuse &= where(eta, -a, abs(zeta) <= epsilon)
    obtuse &= where(zeta, -a, abs(eta) <= epsilon)
    obtuse &= where(total, 0 * a, at_most(2 * (a + eta) + zeta, 0 * a))
    return ordered & (acute | obtuse)
