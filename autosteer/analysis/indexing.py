"""Indexing: from scattering vectors of spots to the lattice of a known cell, frame by frame.

The search belongs to the family of TORO: sample directions of a short cell vector, refine the
best, rotate the rest of the cell about them, refine the best lattices. Which lattice is best, and
whether there is one at all, is decided by its evidence (see `autosteer.analysis._mixture`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autosteer.analysis._directions import DirectionSearch, half_sphere
from autosteer.analysis._mixture import LatticeFit, LatticeModel
from autosteer.analysis._reduction import reduce_basis, rotation_group
from autosteer.analysis._rotations import RotationScan
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell, cell_parameters, primitive_transform

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# Numbers in a work array of the search: half a mebibyte, which a core's own cache holds.
_TILE_ELEMENTS = 2**17
# Frames are worked on together up to so many spots, and so many frames.
_CHUNK_SPOTS = 2**11
_CHUNK_FRAMES = 64
# Beyond this there is no diffraction, only a wrong unit [1/angstrom].
_LONGEST_Q = 5.0
# Grids of directions and angles are fine enough for spots up to this resolution.
_SEARCH_RESOLUTION_ANGSTROM = 4.0
# What is carried on from stage to stage: directions, cell vectors, lattices, finalists.
_N_KEPT = 256
_N_VECTORS = 24
_N_LATTICES = 24
_N_FINALISTS = 2
_SEARCH_ITERATIONS = 4
_FINAL_ITERATIONS = 6
# A fit starts with a third of the spots, but with no fewer than these.
_FEWEST_FIRST = 10
# Spots in one row fit a lattice at any angle about that row: this is no orientation.
_WIDEST_SIGMA_DEG = 3.0
# Spots that scatter as far as the model allows belong to a lattice like this one, at best.
_WIDEST_SCATTER = 0.9
# The scatter may settle too wide, outliers taken in: it is tried again from narrower ones.
_FINAL_SCATTERS = (1.0, 0.5, 0.25)


@dataclass(frozen=True, slots=True, eq=False)
class IndexingResult:
    """What indexing found, frame by frame.

    Parameters
    ----------
    indexed : ndarray of bool, shape (n_frames,)
        Whether a lattice was found.
    lattices : ndarray of float64, shape (n_frames, 3, 3)
        Cell vectors of the best lattice in rows [angstrom], conventional setting, determinant
        positive; NaN where none was found.
    n_indexed_spots : ndarray of int64, shape (n_frames,)
        Spots that the lattice explains; 0 where none was found.
    indexed_spots : ndarray of bool, shape (n_frames, n_spots)
        Which spots these are.
    orientation_sigma_deg : ndarray of float64, shape (n_frames,)
        Standard deviation of the orientation: root mean square of the angle by which it is off
        [deg]; NaN where no lattice was found.
    log_evidence : ndarray of float64, shape (n_frames,)
        Natural logarithm of how much better the best lattice explains the spots than chance
        does, whether it was accepted or not; -inf without spots.
    """

    indexed: Bool
    lattices: Float
    n_indexed_spots: NDArray[np.int64]
    indexed_spots: Bool
    orientation_sigma_deg: Float
    log_evidence: Float


class Indexer:
    """Finds the orientation of a known cell in lists of spots.

    Parameters
    ----------
    cell : UnitCell
        The known cell. A centred one is searched by its primitive vectors and reported in the
        conventional setting.
    device : str, default "cpu"
        Torch device that does the work.
    cell_tolerance : float, default 0.02
        Largest deviation of a crystal's cell: of lengths relative, of angles in radians.
    false_accept : float, default 0.01
        Bound on the probability that a list without a lattice is called indexed.
    position_sigma : float, default 5e-4
        Usual standard deviation of a spot's position along each axis [1/angstrom].
    search_spots : int, default 96
        Spots that the search uses, those of lowest resolution; the fit uses all.
    min_spots : int, default 5
        Frames with fewer spots are not tried.
    min_share : float, default 0.1
        Smallest share of a frame's spots that a lattice must explain. It matters where the cell
        given is not that of the crystals: rows of spots may then fit by coincidence.

    Raises
    ------
    AnalysisError
        If an option is out of range or the device does not exist.

    Notes
    -----
    Evidence is an average of likelihood ratios over a prior, so that its mean over lists without
    a lattice is 1. By Markov's inequality it exceeds 1 / `false_accept` with a probability of at
    most `false_accept`, at any number of spots. Two approximations pull in opposite directions:
    only the best of all lattices is counted, and scatter and share of the spots on the lattice
    are fitted rather than averaged over. On scrambled lists of 5 to 200 spots and six cells the
    share called indexed stayed below 0.7 % at the default of 1 %. The premise is that spots
    without a lattice fall independently of each other.

    References
    ----------
    .. [1] P. Gasparotto et al., Journal of Applied Crystallography 57, 931 (2024), on TORO.

    Examples
    --------
    >>> indexer = Indexer(UnitCell(79.1, 79.1, 37.9, 90, 90, 90))
    >>> indexer.index(np.full((1, 10, 3), np.nan)).indexed
    array([False])
    """

    def __init__(
        self,
        cell: UnitCell,
        device: str = "cpu",
        *,
        cell_tolerance: float = 0.02,
        false_accept: float = 0.01,
        position_sigma: float = 5e-4,
        search_spots: int = 96,
        min_spots: int = 5,
        min_share: float = 0.1,
    ) -> None:
        for name, value, low, high in (
            ("cell_tolerance", cell_tolerance, 1e-4, 0.1),
            ("false_accept", false_accept, 1e-12, 0.5),
            ("position_sigma", position_sigma, 1e-6, 0.1),
            ("search_spots", search_spots, 5, 10_000),
            ("min_spots", min_spots, 3, 10_000),
            ("min_share", min_share, 0.0, 1.0),
        ):
            if not low <= value <= high:
                raise AnalysisError(f"{name} is {value}: it must lie within [{low}, {high}]")
        try:
            self._device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise AnalysisError(
                f"device '{device}' cannot be used ({error}): 'cpu' always can"
            ) from error
        self.cell = cell
        self.cell_tolerance = cell_tolerance
        self.min_spots = min_spots
        self.min_share = min_share
        self._log_threshold = -math.log(false_accept)
        self._search_spots = search_spots

        primitive = cell.primitive_basis()
        basis, transform = reduce_basis(primitive)
        # conventional = to_conventional @ reduced
        self._to_conventional = np.linalg.inv(transform @ primitive_transform(cell.centering))
        rotations = rotation_group(basis)
        length = float(np.linalg.norm(basis[0]))
        # At the search resolution neighbouring grid points differ by a third of a fringe.
        phase_step = _SEARCH_RESOLUTION_ANGSTROM / 3
        n_directions = math.ceil(2 * math.pi * (length / phase_step) ** 2)
        grid = torch.tensor(half_sphere(n_directions).T * length, dtype=torch.float32)
        self._directions = DirectionSearch(
            grid=grid.contiguous().to(self._device),
            length=length,
            tolerance=cell_tolerance,
            n_kept=_N_KEPT,
            n_vectors=_N_VECTORS,
            tile_elements=_TILE_ELEMENTS,
        )
        self._rotations = RotationScan.of_basis(
            basis,
            rotations,
            row=0,
            phase_step=phase_step / 2,
            n_lattices=_N_LATTICES,
            tile_elements=_TILE_ELEMENTS,
            device=self._device,
        )
        self._model = LatticeModel(
            torch.tensor(basis, dtype=torch.float32, device=self._device),
            n_rotations=len(rotations),
            strain_sigma=cell_tolerance / 3,
            position_sigma=position_sigma,
        )

    def index(self, q: ArrayLike) -> IndexingResult:
        """Index frames.

        Parameters
        ----------
        q : array_like of float32, shape (n_frames, n_spots, 3)
            Scattering vectors, abs(q) = 1/d [1/angstrom]; a spot with a NaN is padding, and one
            beyond 0.2 angstrom resolution is none.

        Returns
        -------
        IndexingResult
            The best lattice of each frame.

        Raises
        ------
        AnalysisError
            If `q` has another shape.
        """
        spots = np.asarray(q, dtype=np.float32)
        if spots.ndim != 3 or spots.shape[2] != 3:
            raise AnalysisError(
                f"q has shape {spots.shape}: spot lists must have the shape "
                "(n_frames, n_spots, 3), padded with NaN"
            )
        n_frames, width, _ = spots.shape
        result = _empty_result(n_frames, width)
        if width == 0:
            return result
        length = np.linalg.norm(spots, axis=2)
        length[~(length < _LONGEST_Q) | (length == 0)] = np.inf
        order = np.argsort(length, axis=1, kind="stable")
        n_spots = np.isfinite(length).sum(axis=1)
        # Frames of like length go together, so that little of a chunk is padding.
        frames = np.argsort(n_spots, kind="stable")
        frames = frames[n_spots[frames] >= self.min_spots]
        while len(frames):
            size = _CHUNK_SPOTS // min(int(n_spots[frames[0]]), self._search_spots)
            size = min(max(size, 1), _CHUNK_FRAMES)
            chunk, frames = frames[:size], frames[size:]
            rank = order[chunk, : int(n_spots[chunk[-1]])]
            packed = np.take_along_axis(spots[chunk], rank[..., None], axis=1)
            packed[np.arange(rank.shape[1]) >= n_spots[chunk, None]] = 0.0
            with torch.inference_mode():
                fit = self._fit(torch.from_numpy(packed).to(self._device))
                self._store(result, fit, chunk, rank, n_spots[chunk])
        return result

    def _fit(self, q: Tensor) -> LatticeFit:
        """Find the best lattice of each frame; spots by length, padding zero."""
        searched = q[:, : self._search_spots].contiguous()
        vectors = self._directions.find(searched)
        lattices = self._rotations.find(searched, vectors)
        first = self._model.fit(
            searched,
            torch.linalg.inv_ex(lattices).inverse,
            n_iterations=_SEARCH_ITERATIONS,
            n_spots_first=max(_FEWEST_FIRST, searched.shape[1] // 3),
        ).best(_N_FINALISTS)
        return self._model.fit(
            q,
            first.reciprocal.repeat(1, len(_FINAL_SCATTERS), 1, 1),
            sigma=torch.cat([first.sigma * factor for factor in _FINAL_SCATTERS], dim=1),
            n_iterations=_FINAL_ITERATIONS,
            n_spots_first=searched.shape[1],
        ).best(1)

    def _store(
        self,
        result: IndexingResult,
        fit: LatticeFit,
        chunk: NDArray[np.intp],
        rank: NDArray[np.intp],
        n_spots: NDArray[np.intp],
    ) -> None:
        """Decide on the fits of some frames and write them into the result."""
        reciprocal = fit.reciprocal[:, 0].double()
        lattices = self._to_conventional @ torch.linalg.inv_ex(reciprocal).inverse.cpu().numpy()
        evidence = fit.log_evidence[:, 0].cpu().numpy()
        member = (fit.membership[:, 0] > 0.5).cpu().numpy()
        covariance = torch.linalg.inv_ex(fit.information[:, 0]).inverse.cpu().numpy()
        sigma = np.degrees(np.sqrt(_rotation_variance(covariance)))
        accepted = (
            (evidence >= self._log_threshold)
            & (sigma <= _WIDEST_SIGMA_DEG)
            & (fit.sigma[:, 0].cpu().numpy() < _WIDEST_SCATTER * self._model.widest_sigma)
            & (member.sum(axis=1) >= self.min_share * n_spots)
            & self._within_tolerance(lattices)
        )
        member &= accepted[:, None]

        result.indexed[chunk] = accepted
        result.lattices[chunk] = np.where(accepted[:, None, None], lattices, np.nan)
        result.n_indexed_spots[chunk] = member.sum(axis=1)
        result.indexed_spots[chunk[:, None], rank] = member
        result.orientation_sigma_deg[chunk] = np.where(accepted, sigma, np.nan)
        result.log_evidence[chunk] = evidence

    def _within_tolerance(self, lattices: Float) -> Bool:
        """Whether cells agree with the known one."""
        parameters = cell_parameters(lattices)
        lengths = np.abs(parameters[:, :3] / np.array(self.cell.lengths) - 1)
        angles = np.abs(np.radians(parameters[:, 3:] - np.array(self.cell.angles)))
        deviation = np.concatenate([lengths, angles], axis=1).max(axis=1)
        return np.asarray(deviation <= self.cell_tolerance, dtype=np.bool_)


def _empty_result(n_frames: int, n_spots: int) -> IndexingResult:
    """Return the result of frames in which nothing was found."""
    return IndexingResult(
        indexed=np.zeros(n_frames, dtype=np.bool_),
        lattices=np.full((n_frames, 3, 3), np.nan),
        n_indexed_spots=np.zeros(n_frames, dtype=np.int64),
        indexed_spots=np.zeros((n_frames, n_spots), dtype=np.bool_),
        orientation_sigma_deg=np.full(n_frames, np.nan),
        log_evidence=np.full(n_frames, -np.inf),
    )


def _rotation_variance(covariance: Float) -> Float:
    """Sum of the variances of the rotations (m_ji - m_ij) / 2 in linear maps m, row by row."""
    total: Float = np.zeros(len(covariance))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        upper, lower = 3 * i + j, 3 * j + i
        total += (
            covariance[:, upper, upper]
            + covariance[:, lower, lower]
            - 2 * covariance[:, upper, lower]
        ) / 4
    return total
