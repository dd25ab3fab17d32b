"""One setting for each lattice: of all equivalent descriptions the same one is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autosteer.physics import UnitCell, primitive_transform
from autosteer.physics.lattices import rotation_group

Float = NDArray[np.float64]

# Strains that differ by less than this are equal: settings of an exact symmetry.
_SAME_STRAIN = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LatticeSettings:
    """Equivalent settings of the lattices of one cell.

    Parameters
    ----------
    to_conventional : ndarray of float64, shape (3, 3)
        ``conventional = to_conventional @ reduced``, vectors in rows.
    to_primitive : ndarray of float64, shape (3, 3)
        ``primitive = to_primitive @ conventional``.
    rotations : ndarray of float64, shape (n, 3, 3)
        Matrices that take a conventional basis to another of the same lattice and nearly the
        same cell.
    reference : ndarray of float64, shape (3, 3)
        Conventional basis of the known cell in its standard orientation, in rows [angstrom].
    """

    to_conventional: Float
    to_primitive: Float
    rotations: Float
    reference: Float

    @classmethod
    def of_cell(cls, cell: UnitCell, transform: NDArray[np.int64], tolerance: float) -> Self:
        """Prepare the settings of a cell.

        Parameters
        ----------
        cell : UnitCell
            The cell.
        transform : ndarray of int64, shape (3, 3)
            From its primitive vectors to the reduced ones.
        tolerance : float
            Settings whose cells differ by less than this are told apart by the spots alone.

        Returns
        -------
        LatticeSettings
            The settings.
        """
        to_primitive = primitive_transform(cell.centering)
        to_reduced = transform @ to_primitive
        to_conventional: Float = np.asarray(np.linalg.inv(to_reduced), np.float64)
        group = rotation_group(to_reduced @ cell.basis(), tolerance)
        return cls(
            to_conventional, to_primitive, to_conventional @ group @ to_reduced, cell.basis()
        )

    def canonical(self, reduced: Float) -> Float:
        """Describe lattices in the conventional setting that is nearest to the known cell.

        Parameters
        ----------
        reduced : ndarray of float64, shape (m, 3, 3)
            Reduced bases in rows [angstrom].

        Returns
        -------
        ndarray of float64, shape (m, 3, 3)
            Conventional bases: of the settings whose cell is nearest to the known one, that which
            is turned least from the standard orientation.
        """
        settings = self.rotations @ (self.to_conventional @ reduced)[:, None]
        deformation = np.linalg.inv(self.reference) @ settings
        strain = deformation @ deformation.swapaxes(-1, -2) - np.eye(3)
        strain = np.sqrt((strain**2).sum(axis=(-1, -2)))
        turned_least = np.trace(deformation, axis1=-2, axis2=-1)
        turned_least[strain > strain.min(axis=1, keepdims=True) + _SAME_STRAIN] = -np.inf
        chosen: Float = settings[np.arange(len(settings)), turned_least.argmax(axis=1)]
        return chosen

    def misorientation_deg(self, first: Float, second: Float) -> Float:
        """Return the angles between lattices, of all equivalent settings the smallest.

        Parameters
        ----------
        first, second : ndarray of float64, shape (m, 3, 3)
            Conventional bases in rows [angstrom].

        Returns
        -------
        ndarray of float64, shape (m,)
            Angles [deg]; small strains are left aside.
        """
        deformation = np.linalg.inv(second)[:, None] @ (self.rotations @ first[:, None])
        cosine = (np.trace(deformation, axis1=-2, axis2=-1).max(axis=1) - 1) / 2
        angle: Float = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return angle

    def miller_indices(self, basis: Float, q: NDArray[np.float32]) -> tuple[Float, Float]:
        """Index spots by their lattices.

        Parameters
        ----------
        basis : ndarray of float64, shape (n, 3, 3)
            Conventional basis of each spot's lattice, in rows [angstrom].
        q : ndarray of float32, shape (n, 3)
            Scattering vectors [1/angstrom].

        Returns
        -------
        hkl : ndarray of float64, shape (n, 3)
            Whole Miller indices in the conventional setting that the centering allows.
        residual : ndarray of float64, shape (n,)
            Distance from the lattice point [1/angstrom].
        """
        primitive = self.to_primitive @ basis
        indices = np.rint(np.einsum("nij,nj->ni", primitive, q.astype(np.float64)))
        nodes = np.linalg.solve(primitive, indices[..., None])[..., 0]
        hkl = np.rint(indices @ np.linalg.inv(self.to_primitive).T)
        return hkl, np.linalg.norm(q - nodes, axis=1)
