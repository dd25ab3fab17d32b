"""Indexing: from scattering vectors of spots to the lattice of a known cell, frame by frame.

The search belongs to the family of TORO: sample directions of a short cell vector, refine the
best, rotate the rest of the cell about them, refine the best lattices. Which lattice is best, and
whether there is one at all, is decided by its evidence (see `autosteer.analysis._mixture`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autosteer.analysis._devices import usable_device
from autosteer.analysis._directions import DirectionSearch, half_sphere
from autosteer.analysis._items import checked_spot_lists
from autosteer.analysis._mixture import LatticeFit, LatticeModel, ray_directions
from autosteer.analysis._rotations import RotationScan
from autosteer.analysis._rows import Rows
from autosteer.analysis._settings import LatticeSettings
from autosteer.analysis.indexing_result import (
    FoundLattices,
    IndexingResult,
    Reason,
    cell_parameter_sigma,
    rotation_sigma_deg,
)
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell, cell_parameters
from autosteer.physics.bravais import point_group_order, smallest_point_group
from autosteer.physics.lattices import reduce_basis, rotation_group

__all__ = ["Indexer", "IndexingResult", "Reason"]

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How much is worked on at a time: numbers of a work array, spots, frames."""

    tile_elements: int
    chunk_spots: int
    chunk_frames: int


# A work array of half a mebibyte stays in a core's own cache; a graphics processor has half a
# gibibyte to spare, and needs many frames to be busy.
_CPU_SIZES = _Sizes(2**17, 2**11, 64)
_GPU_SIZES = _Sizes(2**27, 2**17, 1024)
# Grids of directions and angles are fine enough for spots up to this resolution.
_SEARCH_RESOLUTION_ANGSTROM = 4.0
# What is carried on from stage to stage: directions, cell vectors, lattices, finalists.
_N_KEPT = 256
_N_VECTORS = 24
_N_LATTICES = 24
_N_FINALISTS = 2
_SEARCH_ITERATIONS = 4
_FINAL_ITERATIONS = 6
_REFINE_ITERATIONS = 5
# A fit starts with a third of the spots, but with no fewer than these.
_FEWEST_FIRST = 10
# Spots in one row fit a lattice at any angle about that row: this is no orientation.
_WIDEST_SIGMA_DEG = 3.0
# Spots that scatter over such a share of the spacing of lattice points fit any dense lattice
# somewhat. One that is right explains them better than by this log evidence a spot.
_WIDE_SCATTER = 0.11
_FEWEST_EVIDENCE = 1.2
# The scatter may settle too wide, outliers taken in: it is tried again from narrower ones.
_FINAL_SCATTERS = (1.0, 0.5, 0.25)
# A further lattice is looked for where so many spots are left, and this share of all.
_FEWEST_FURTHER = 8
_FURTHER_SHARE = 0.1
# A further lattice this near an earlier one is the same again, seen in its outermost spots.
_SAME_LATTICE_DEG = 1.0


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
    max_lattices : int, default 4
        Lattices looked for in a frame, one after the other in what spots the others leave.
    point_group : str, optional
        Chiral point group of the crystals, such as ``422``. Where it is lower than the symmetry of
        the lattice, spots can be indexed in several ways, see `IndexingResult.n_indexings`; by
        default the lowest one that the lattice system allows.

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
        max_lattices: int = 4,
        point_group: str | None = None,
    ) -> None:
        for name, value, low, high in (
            ("cell_tolerance", cell_tolerance, 1e-4, 0.1),
            ("false_accept", false_accept, 1e-12, 0.5),
            ("position_sigma", position_sigma, 1e-6, 0.1),
            ("search_spots", search_spots, 5, 10_000),
            ("min_spots", min_spots, 3, 10_000),
            ("min_share", min_share, 0.0, 1.0),
            ("max_lattices", max_lattices, 1, 100),
        ):
            if not low <= value <= high:
                raise AnalysisError(f"{name} is {value}: it must lie within [{low}, {high}]")
        self._device = usable_device(device)
        self._sizes = _CPU_SIZES if self._device.type == "cpu" else _GPU_SIZES
        self.cell = cell
        self.cell_tolerance = cell_tolerance
        self.min_spots = min_spots
        self.min_share = min_share
        self.max_lattices = max_lattices
        self._log_threshold = -math.log(false_accept)
        self._search_spots = search_spots

        basis, transform = reduce_basis(cell.primitive_basis())
        rotations = rotation_group(basis)
        self._settings = LatticeSettings.of_cell(cell, transform, cell_tolerance)
        try:
            least = smallest_point_group(cell) if point_group is None else point_group
            self._n_indexings = len(self._settings.rotations) // point_group_order(least, cell)
        except ValueError as error:
            raise AnalysisError(str(error)) from error
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
            tile_elements=self._sizes.tile_elements,
        )
        self._rotations = RotationScan.of_basis(
            basis,
            rotations,
            row=0,
            phase_step=phase_step / 2,
            n_lattices=_N_LATTICES,
            tile_elements=self._sizes.tile_elements,
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
            The lattices of each frame, best first.

        Raises
        ------
        AnalysisError
            If `q` has another shape.
        """
        spots = checked_spot_lists(q)
        length = np.nan_to_num(np.linalg.norm(spots, axis=2), nan=np.inf)
        n_spots = np.isfinite(length).sum(axis=1)
        frames = np.flatnonzero(n_spots >= self.min_spots)
        reason = np.full(len(spots), Reason.TOO_FEW_SPOTS, dtype=np.uint8)
        log_evidence = np.full(len(spots), -np.inf)
        rounds: list[_Round] = []
        left = length.copy()
        while len(frames) and len(rounds) < self.max_lattices:
            tried = self._index(spots, left, frames)
            if not rounds:
                reason[tried.frame] = tried.reason
                log_evidence[tried.frame] = tried.log_evidence
            accepted = tried.select(tried.reason == Reason.INDEXED)
            for earlier in rounds:
                accepted = accepted.select(~self._repeats(accepted, earlier))
            if not len(accepted.frame):
                break
            rounds.append(accepted)
            # What a lattice explains is taken out, and the rest searched for another one.
            left[accepted.frame] = np.where(accepted.member, np.inf, left[accepted.frame])
            n_left = np.isfinite(left[accepted.frame]).sum(axis=1)
            enough = np.maximum(_FEWEST_FURTHER, _FURTHER_SHARE * n_spots[accepted.frame])
            frames = accepted.frame[n_left >= enough]
        return self._collect(spots, rounds, reason, log_evidence)

    def _index(self, spots: Vectors, length: NDArray[np.float32], frames: Index) -> _Round:
        """Look for one lattice in each frame, among the spots whose length is finite."""
        order = np.argsort(length[frames], axis=1, kind="stable")
        n_spots = np.isfinite(length[frames]).sum(axis=1)
        # Frames of like length go together, so that little of a chunk is padding.
        row = np.argsort(n_spots, kind="stable")
        parts = []
        while len(row):
            size = self._sizes.chunk_spots // min(int(n_spots[row[0]]), self._search_spots)
            size = min(max(size, 1), self._sizes.chunk_frames)
            chunk, row = row[:size], row[size:]
            rank = order[chunk, : int(n_spots[chunk[-1]])]
            packed = np.take_along_axis(spots[frames[chunk]], rank[..., None], axis=1)
            packed[np.arange(rank.shape[1]) >= n_spots[chunk, None]] = 0.0
            with torch.inference_mode():
                fit = self._fit(torch.from_numpy(packed).to(self._device))
            member = np.zeros((len(chunk), spots.shape[1]), dtype=np.bool_)
            explained = (fit.membership[:, 0] > 0.5).cpu().numpy()
            np.put_along_axis(member, rank, explained, axis=1)
            parts.append(self._judge(fit, frames[chunk], member, n_spots[chunk]))
        joined = _Round.join(parts)
        return joined.select(np.argsort(joined.frame))

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
        second = self._model.fit(
            q,
            first.reciprocal.repeat(1, len(_FINAL_SCATTERS), 1, 1),
            sigma=torch.cat([first.sigma * factor for factor in _FINAL_SCATTERS], dim=1),
            n_iterations=_FINAL_ITERATIONS,
            n_spots_first=searched.shape[1],
        ).best(_N_FINALISTS)
        return self._model.refine(q, ray_directions(q), second, _REFINE_ITERATIONS).best(1)

    def _judge(self, fit: LatticeFit, frame: Index, member: Bool, n_spots: Index) -> _Round:
        """Decide on the best fit of each of some frames."""
        reciprocal = fit.reciprocal[:, 0].double()
        primitive = torch.linalg.inv_ex(reciprocal).inverse.cpu().numpy()
        basis = self._settings.canonical(primitive)
        covariance = torch.linalg.inv_ex(fit.information[:, 0]).inverse.cpu().numpy()
        across = fit.sigma[:, 0].double().cpu().numpy()
        along = fit.sigma_along[:, 0].double().cpu().numpy()
        evidence = fit.log_evidence[:, 0].cpu().numpy()
        scatter = np.sqrt((2 * across**2 + along**2) / 3)
        n_explained = member.sum(axis=1)
        reason = np.select(
            [
                evidence < self._log_threshold,
                rotation_sigma_deg(covariance) > _WIDEST_SIGMA_DEG,
                (scatter > _WIDE_SCATTER * self._model.spacing)
                & (evidence < _FEWEST_EVIDENCE * n_explained),
                n_explained < self.min_share * n_spots,
                self._deviation(basis) > self.cell_tolerance,
            ],
            [
                Reason.NO_LATTICE,
                Reason.UNDETERMINED,
                Reason.DIFFUSE,
                Reason.TOO_SMALL_SHARE,
                Reason.OTHER_CELL,
            ],
            Reason.INDEXED,
        )
        return _Round(frame, basis, covariance, across, along, evidence, member, reason)

    def _deviation(self, lattices: Float) -> Float:
        """Largest deviation from the known cell: of lengths relative, of angles in radians."""
        parameters = cell_parameters(lattices)
        lengths = np.abs(parameters[:, :3] / np.array(self.cell.lengths) - 1)
        angles = np.abs(np.radians(parameters[:, 3:] - np.array(self.cell.angles)))
        return np.asarray(np.concatenate([lengths, angles], axis=1).max(axis=1))

    def _repeats(self, found: _Round, earlier: _Round) -> Bool:
        """Say which lattices have the orientation of an earlier one of the same frame."""
        # Frames of a later round are among those of every earlier one, both in order.
        same = earlier.basis[np.searchsorted(earlier.frame, found.frame)]
        angle = self._settings.misorientation_deg(found.basis, same)
        return np.asarray(angle < _SAME_LATTICE_DEG)

    def _collect(
        self,
        spots: Vectors,
        rounds: Sequence[_Round],
        reason: NDArray[np.uint8],
        log_evidence: Float,
    ) -> IndexingResult:
        """Put the lattices of all rounds together, and index the spots by them."""
        n_frames, width = spots.shape[:2]
        spot_lattice = np.full((n_frames, width), -1, dtype=np.int64)
        best = np.full(n_frames, -1, dtype=np.int64)
        hkl = np.zeros((n_frames, width, 3), dtype=np.int32)
        residual = np.full((n_frames, width), np.nan, dtype=np.float32)
        if not rounds:
            found = FoundLattices.none()
            return IndexingResult(
                found, best, reason, log_evidence, spot_lattice, hkl, residual, self._n_indexings
            )
        found = FoundLattices.join([one.lattices() for one in rounds])
        member = np.concatenate([one.member for one in rounds])
        # Rounds stand behind each other: sorted by frame, the earlier round comes first.
        order = np.argsort(found.frame, kind="stable")
        found, member = found.select(order), member[order]
        first = np.flatnonzero(np.diff(found.frame, prepend=-1))
        best[found.frame[first]] = first
        lattice, spot = np.nonzero(member)
        frame = found.frame[lattice]
        spot_lattice[frame, spot] = lattice
        hkl[frame, spot], residual[frame, spot] = self._settings.miller_indices(
            found.basis[lattice], spots[frame, spot]
        )
        return IndexingResult(
            found, best, reason, log_evidence, spot_lattice, hkl, residual, self._n_indexings
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Round(Rows):
    """One lattice for each of k frames."""

    frame: Index
    basis: Float
    covariance: Float
    across_sigma: Float
    along_sigma: Float
    log_evidence: Float
    member: Bool
    reason: Index

    def lattices(self) -> FoundLattices:
        """Return the lattices without what only the search needs."""
        return FoundLattices(
            frame=self.frame.astype(np.int64),
            basis=self.basis,
            n_spots=self.member.sum(axis=1),
            orientation_sigma_deg=rotation_sigma_deg(self.covariance),
            cell_sigma=cell_parameter_sigma(self.basis, self.covariance),
            position_sigma=self.across_sigma,
            excitation_sigma=self.along_sigma,
            log_evidence=self.log_evidence,
        )
