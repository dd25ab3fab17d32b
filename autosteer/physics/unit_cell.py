"""The unit cell: lengths, angles and centring to basis vectors and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Centering = Literal["P", "A", "B", "C", "I", "F", "R"]

# Rows: primitive vectors in terms of the conventional ones (International Tables A, table 1.5.1.1;
# R in the obverse setting on hexagonal axes).
_PRIMITIVE: dict[str, list[list[float]]] = {
    "P": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "A": [[1, 0, 0], [0, 1 / 2, 1 / 2], [0, -1 / 2, 1 / 2]],
    "B": [[1 / 2, 0, -1 / 2], [0, 1, 0], [1 / 2, 0, 1 / 2]],
    "C": [[1 / 2, 1 / 2, 0], [-1 / 2, 1 / 2, 0], [0, 0, 1]],
    "I": [[-1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [1 / 2, 1 / 2, -1 / 2]],
    "F": [[0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]],
}


@dataclass(frozen=True, slots=True)
class UnitCell:
    """A crystallographic unit cell.

    Parameters
    ----------
    a, b, c : float
        Lengths of the cell vectors [angstrom].
    alpha, beta, gamma : float
        Angles between b and c, c and a, a and b [deg].
    centering : {"P", "A", "B", "C", "I", "F", "R"}, default "P"
        Lattice centring; R is obverse, on hexagonal axes.

    Raises
    ------
    ValueError
        If a length is not positive, the angles span no volume, or the centring is unknown.

    Examples
    --------
    >>> round(UnitCell(79.1, 79.1, 37.9, 90, 90, 90).volume)
    237133
    """

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    centering: Centering = "P"

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            length = getattr(self, name)
            if not (math.isfinite(length) and length > 0):
                raise ValueError(f"cell length {name} is {length} angstrom: it must be positive")
        for name in ("alpha", "beta", "gamma"):
            angle = getattr(self, name)
            if not 0 < angle < 180:
                raise ValueError(f"cell angle {name} is {angle} deg: it must lie in (0, 180)")
        if self.centering not in get_args(Centering):
            raise ValueError(
                f"centring '{self.centering}' is unknown: use one of {get_args(Centering)}"
            )
        if self._volume_factor_squared() <= 1e-12:
            raise ValueError(
                f"cell angles {self.alpha}, {self.beta}, {self.gamma} deg span no volume: "
                "each must be less than the sum of the other two, and their sum less than 360"
            )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read ``a,b,c,alpha,beta,gamma[,centring]``.

        Parameters
        ----------
        text : str
            Six numbers, separated by commas or blanks, and perhaps a centring letter.

        Returns
        -------
        UnitCell
            The cell.

        Raises
        ------
        ValueError
            If there are not six numbers, or they span no cell.
        """
        words = text.replace(",", " ").split()
        centering = words.pop().upper() if len(words) == 7 else "P"
        try:
            lengths_angles = [float(word) for word in words]
        except ValueError:
            lengths_angles = []
        if len(lengths_angles) != 6:
            raise ValueError(
                f"'{text}' is no unit cell: write a,b,c,alpha,beta,gamma "
                "(angstrom and degrees), for example 79.1,79.1,37.9,90,90,90"
            )
        a, b, c, alpha, beta, gamma = lengths_angles
        return cls(a, b, c, alpha, beta, gamma, centering)  # type: ignore[arg-type]

    @classmethod
    def from_basis(cls, basis: ArrayLike, centering: Centering = "P") -> Self:
        """Read lengths and angles off basis vectors.

        Parameters
        ----------
        basis : array_like, shape (3, 3)
            Cell vectors in rows [angstrom].
        centering : str, default "P"
            Centring to note.

        Returns
        -------
        UnitCell
            The cell.
        """
        a, b, c, alpha, beta, gamma = cell_parameters(basis).tolist()
        return cls(a, b, c, alpha, beta, gamma, centering)

    @property
    def lengths(self) -> tuple[float, float, float]:
        """Cell lengths [angstrom]."""
        return (self.a, self.b, self.c)

    @property
    def angles(self) -> tuple[float, float, float]:
        """Cell angles [deg]."""
        return (self.alpha, self.beta, self.gamma)

    @property
    def volume(self) -> float:
        """Volume of the conventional cell [angstrom^3]."""
        return self.a * self.b * self.c * math.sqrt(self._volume_factor_squared())

    def _volume_factor_squared(self) -> float:
        cosines = [math.cos(math.radians(angle)) for angle in self.angles]
        return 1 - sum(cosine**2 for cosine in cosines) + 2 * math.prod(cosines)

    def basis(self) -> NDArray[np.float64]:
        """Return the conventional cell vectors in a fixed orientation.

        Returns
        -------
        ndarray of float64, shape (3, 3)
            Rows a, b, c [angstrom]: a along x, b in the x-y plane, determinant positive.
        """
        cos_alpha, cos_beta, cos_gamma = (math.cos(math.radians(x)) for x in self.angles)
        sin_gamma = math.sin(math.radians(self.gamma))
        c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        c_z = math.sqrt(max(1 - cos_beta**2 - c_y**2, 0.0))
        return np.array([
            [self.a, 0.0, 0.0],
            [self.b * cos_gamma, self.b * sin_gamma, 0.0],
            [self.c * cos_beta, self.c * c_y, self.c * c_z],
        ])

    def primitive_basis(self) -> NDArray[np.float64]:
        """Return primitive cell vectors in the orientation of `basis`.

        Returns
        -------
        ndarray of float64, shape (3, 3)
            Rows are primitive vectors [angstrom], determinant positive.
        """
        return primitive_transform(self.centering) @ self.basis()

    def reciprocal_basis(self) -> NDArray[np.float64]:
        """Return the reciprocal cell vectors in the orientation of `basis`.

        Returns
        -------
        ndarray of float64, shape (3, 3)
            Rows a*, b*, c* [1/angstrom], without 2 pi.
        """
        reciprocal: NDArray[np.float64] = np.asarray(np.linalg.inv(self.basis()).T, np.float64)
        return reciprocal


def primitive_transform(centering: Centering) -> NDArray[np.float64]:
    """Return the matrix from conventional to primitive cell vectors.

    Parameters
    ----------
    centering : {"P", "A", "B", "C", "I", "F", "R"}
        Lattice centring.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        ``primitive = matrix @ conventional``, vectors in rows.

    References
    ----------
    .. [1] International Tables for Crystallography A (2016), table 1.5.1.1.
    """
    return np.array(_PRIMITIVE[centering], dtype=np.float64)


def lattice_type(cell: UnitCell) -> tuple[str, str]:
    """Return the lattice system that a cell's parameters allow, and its unique axis.

    Parameters
    ----------
    cell : UnitCell
        A known cell, whose equal lengths and right angles are written as such.

    Returns
    -------
    system : str
        ``triclinic``, ``monoclinic``, ``orthorhombic``, ``tetragonal``, ``rhombohedral``,
        ``hexagonal`` or ``cubic``; R on hexagonal axes counts as hexagonal.
    axis : str
        ``a``, ``b`` or ``c``; empty where no axis is unique.

    Examples
    --------
    >>> lattice_type(UnitCell(79.1, 79.1, 37.9, 90, 90, 90))
    ('tetragonal', 'c')
    """
    right = [math.isclose(angle, 90.0, abs_tol=1e-3) for angle in cell.angles]
    # Whether the two other lengths are equal: that makes the axis unique.
    a, b, c = cell.lengths
    equal = [math.isclose(one, other, rel_tol=1e-4) for one, other in ((b, c), (c, a), (a, b))]
    if all(right):
        if all(equal):
            return "cubic", ""
        return ("tetragonal", "abc"[equal.index(True)]) if any(equal) else ("orthorhombic", "")
    if sum(right) == 2:
        axis = right.index(False)
        if equal[axis] and math.isclose(cell.angles[axis], 120.0, abs_tol=1e-3):
            return "hexagonal", "abc"[axis]
        return "monoclinic", "abc"[axis]
    if all(equal) and max(cell.angles) - min(cell.angles) < 1e-3:
        return "rhombohedral", ""
    return "triclinic", ""


def cell_parameters(basis: ArrayLike) -> NDArray[np.float64]:
    """Return lengths and angles of many bases at once.

    Parameters
    ----------
    basis : array_like, shape (..., 3, 3)
        Cell vectors in rows [angstrom].

    Returns
    -------
    ndarray of float64, shape (..., 6)
        a, b, c [angstrom], alpha, beta, gamma [deg].
    """
    rows = np.asarray(basis, dtype=np.float64)
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=-1)
    unit = rows / lengths[..., None]
    cosines = np.stack(
        [
            (unit[..., 1, :] * unit[..., 2, :]).sum(-1),
            (unit[..., 2, :] * unit[..., 0, :]).sum(-1),
            (unit[..., 0, :] * unit[..., 1, :]).sum(-1),
        ],
        axis=-1,
    )
    parameters: NDArray[np.float64] = np.concatenate(
        [lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))], axis=-1
    )
    return parameters
