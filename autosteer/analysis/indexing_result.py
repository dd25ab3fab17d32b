"""What indexing found: lattices, the spots that they explain, and why a frame has none."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._rows import Rows

Float = NDArray[np.float64]
Integer = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Reason(enum.IntEnum):
    """Why a frame is not indexed."""

    INDEXED = 0
    """It is."""
    TOO_FEW_SPOTS = 1
    """The list has fewer spots than are tried."""
    NO_LATTICE = 2
    """A list without a lattice would do as well."""
    UNDETERMINED = 3
    """The spots stand in a row, or nearly: they fit a lattice at many angles."""
    DIFFUSE = 4
    """The spots scatter widely about the lattice, and each says little for it."""
    TOO_SMALL_SHARE = 5
    """The lattice explains too small a share of the spots."""
    OTHER_CELL = 6
    """The cell that fits best is farther from the known one than the tolerance."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundLattices(Rows):
    """Lattices by frame, the best of a frame first.

    Parameters
    ----------
    frame : ndarray of int64, shape (m,)
        Frame of each lattice.
    basis : ndarray of float64, shape (m, 3, 3)
        Cell vectors in rows [angstrom], conventional setting, determinant positive.
    n_spots : ndarray of int64, shape (m,)
        Spots that the lattice explains.
    orientation_sigma_deg : ndarray of float64, shape (m,)
        Standard deviation of the orientation: root mean square of the angle by which it is off
        [deg].
    cell_sigma : ndarray of float64, shape (m, 6)
        Standard deviations of a, b, c [angstrom] and alpha, beta, gamma [deg].
    position_sigma : ndarray of float64, shape (m,)
        Scatter of the spots about lattice points across their rays, each axis [1/angstrom].
    excitation_sigma : ndarray of float64, shape (m,)
        Scatter along the rays [1/angstrom]: excitation errors from mosaicity, bandwidth and
        domain size.
    log_evidence : ndarray of float64, shape (m,)
        Natural logarithm of how much better the lattice explains the spots than chance does.
    """

    frame: Integer
    basis: Float
    n_spots: Integer
    orientation_sigma_deg: Float
    cell_sigma: Float
    position_sigma: Float
    excitation_sigma: Float
    log_evidence: Float

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def chance_probability(self) -> Float:
        """Bound on the probability that a list without a lattice does as well, shape (m,)."""
        return np.exp(-np.maximum(self.log_evidence, 0.0))

    @classmethod
    def none(cls) -> Self:
        """Return no lattices."""
        one, whole = np.zeros(0), np.zeros(0, dtype=np.int64)
        return cls(whole, np.zeros((0, 3, 3)), whole, one, np.zeros((0, 6)), one, one, one)


@dataclass(frozen=True, slots=True, eq=False)
class IndexingResult:
    """What indexing found, frame by frame.

    Parameters
    ----------
    found : FoundLattices
        All m lattices, by frame, the best of a frame first.
    best : ndarray of int64, shape (n_frames,)
        Which of them is the best of each frame; -1 for none.
    reason : ndarray of uint8, shape (n_frames,)
        Why a frame is not indexed, see `Reason`; 0 where it is.
    log_evidence : ndarray of float64, shape (n_frames,)
        Natural logarithm of how much better the best lattice explains the spots than chance
        does, whether it was accepted or not; -inf where none was tried.
    spot_lattice : ndarray of int64, shape (n_frames, n_spots)
        Which lattice each spot belongs to; -1 for none.
    hkl : ndarray of int32, shape (n_frames, n_spots, 3)
        Miller indices in the conventional setting; 0 where a spot belongs to no lattice.
    residual : ndarray of float32, shape (n_frames, n_spots)
        Distance of each spot from its lattice point [1/angstrom]; NaN where there is none.
    n_indexings : int
        Ways to index a lattice that its points cannot tell apart, only the intensities on them
        can: 1 without merohedral ambiguity.
    """

    found: FoundLattices
    best: Integer
    reason: NDArray[np.uint8]
    log_evidence: Float
    spot_lattice: Integer
    hkl: NDArray[np.int32]
    residual: NDArray[np.float32]
    n_indexings: int

    @property
    def indexed(self) -> Bool:
        """Whether a lattice was found, shape (n_frames,)."""
        return self.best >= 0

    @property
    def lattices(self) -> Float:
        """Cell vectors of the best lattices in rows [angstrom], (n_frames, 3, 3), or NaN."""
        lattices = np.full((len(self.best), 3, 3), np.nan)
        lattices[self.indexed] = self.found.basis[self.best[self.indexed]]
        return lattices

    @property
    def n_lattices(self) -> Integer:
        """Lattices of each frame, shape (n_frames,)."""
        return np.bincount(self.found.frame, minlength=len(self.best))

    @property
    def n_indexed_spots(self) -> Integer:
        """Spots that the best lattice explains, shape (n_frames,)."""
        count = np.zeros(len(self.best), dtype=np.int64)
        count[self.indexed] = self.found.n_spots[self.best[self.indexed]]
        return count

    @property
    def indexed_spots(self) -> Bool:
        """Which spots these are, shape (n_frames, n_spots)."""
        of_best = self.spot_lattice == self.best[:, None]
        return np.asarray(of_best & self.indexed[:, None], dtype=np.bool_)

    @property
    def orientation_sigma_deg(self) -> Float:
        """Standard deviation of the best lattice's orientation, (n_frames,) [deg], or NaN."""
        sigma = np.full(len(self.best), np.nan)
        sigma[self.indexed] = self.found.orientation_sigma_deg[self.best[self.indexed]]
        return sigma

    @property
    def all_lattices(self) -> Float:
        """Cell vectors of all lattices in rows [angstrom], shape (m, 3, 3)."""
        return self.found.basis

    @property
    def frame_index(self) -> Integer:
        """Frame of each of all lattices, shape (m,)."""
        return self.found.frame


def rotation_sigma_deg(covariance: Float) -> Float:
    """Return how far orientations may be off.

    Parameters
    ----------
    covariance : ndarray of float64, shape (m, 9, 9)
        Covariance of the elements of small linear maps of reciprocal space, row by row.

    Returns
    -------
    ndarray of float64, shape (m,)
        Root mean square of the angle of rotation in these maps [deg].
    """
    # The rotation about the third axis is (m_ji - m_ij) / 2, and so on.
    total: Float = np.zeros(len(covariance))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        upper, lower = 3 * i + j, 3 * j + i
        total += (
            covariance[:, upper, upper]
            + covariance[:, lower, lower]
            - 2 * covariance[:, upper, lower]
        ) / 4
    return np.degrees(np.sqrt(total))


def cell_parameter_sigma(basis: Float, covariance: Float) -> Float:
    """Return the standard deviations of cell parameters.

    Parameters
    ----------
    basis : ndarray of float64, shape (m, 3, 3)
        Cell vectors in rows [angstrom].
    covariance : ndarray of float64, shape (m, 9, 9)
        Covariance of the elements of the small linear maps of reciprocal space by which they may
        be off, row by row.

    Returns
    -------
    ndarray of float64, shape (m, 6)
        Of a, b, c [angstrom], alpha, beta, gamma [deg].
    """
    # A map 1 + m of reciprocal space takes the rows of the direct basis to row (1 - m).
    length = np.linalg.norm(basis, axis=2)
    unit = basis / length[..., None]
    slope: Float = np.empty((len(basis), 6, 3, 3))
    slope[:, :3] = -basis[..., :, None] * unit[..., None, :]
    for angle, (first, second) in enumerate(((1, 2), (2, 0), (0, 1))):
        u, v = unit[:, first], unit[:, second]
        cosine = (u * v).sum(axis=1)[:, None]
        change = u[:, :, None] * (v - cosine * u)[:, None, :]
        change += v[:, :, None] * (u - cosine * v)[:, None, :]
        sine = np.sqrt(1 - cosine**2)[..., None]
        slope[:, 3 + angle] = change / sine * (180 / math.pi)
    rows = slope.reshape(len(basis), 6, 9)
    variance: Float = ((rows @ covariance) * rows).sum(axis=2)
    return np.sqrt(np.maximum(variance, 0.0))
