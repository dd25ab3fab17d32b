"""The unit cell from spot lists alone: cells of single frames, and the one on which they agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autosteer.analysis._devices import usable_device
from autosteer.analysis._free_lattices import lattices_from_vectors
from autosteer.analysis._items import checked_spot_lists
from autosteer.analysis._vector_search import repeating_vectors
from autosteer.analysis.indexing import Indexer
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell, cell_parameters
from autosteer.physics.bravais import bravais_lattice
from autosteer.physics.lattices import niggli_basis, reduce_basis

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_FRAMES_TOGETHER = 8
# Cells are looked for in so many frames, and tried on all.
_SEARCHED_FRAMES = 24
_FEWEST_SPOTS = 10
_N_VECTORS = 24
_LATTICES_A_FRAME = 3
# The search looks at the spots of lowest resolution; the fit of lattices at more of them.
_SEARCH_SPOTS = 80
_FEWEST_SEARCHED = 24
_FIT_SPOTS = 200
_SEARCH_RESOLUTION_ANGSTROM = 4.0
_POSITION_SIGMA = 7e-4
# Cells whose shortest vectors and volumes differ by less are one.
_SAME_CELL = 0.03
_N_CANDIDATES = 8
_TOLERANCES = (0.04, 0.03, 0.02)
_NEARLY = 0.03
# A further form is looked for in so many frames that the others leave.
_FEWEST_FRAMES = 5
_MAX_FORMS = 3
# What fits fewer frames may fit them by chance, unless the odds say otherwise.
_FEWEST_OF_A_FORM = 3
# Natural logarithm of odds that nobody needs to doubt.
_SURE_LOG_ODDS = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class CrystalForm:
    """One kind of crystal among the frames.

    Parameters
    ----------
    cell : UnitCell
        Conventional cell of the highest symmetry that the lattice has.
    system : str
        Lattice system.
    cell_sigma : ndarray of float64, shape (6,)
        Standard deviation of the mean of a, b, c [angstrom], alpha, beta, gamma [deg].
    niggli : UnitCell
        Reduced cell, as measured.
    nearly : UnitCell or None
        Conventional cell of a higher symmetry that is only nearly there: the true one, perhaps,
        where the geometry of the detector is not quite right.
    frames : ndarray of int64, shape (n,)
        Frames with a lattice of this form.
    log_odds : float
        Natural logarithm of the odds against the next best cell: the difference of the summed
        evidence in the frames that were looked at.
    """

    cell: UnitCell
    system: str
    cell_sigma: Float
    niggli: UnitCell
    nearly: UnitCell | None
    frames: NDArray[np.int64]
    log_odds: float


@dataclass(frozen=True, slots=True, eq=False)
class CellSearch:
    """What a search for the cell has found.

    Parameters
    ----------
    forms : tuple of CrystalForm
        Crystal forms, that of most frames first; empty if no cell was found.
    n_frames : int
        Frames that were looked at: those with the most spots.
    """

    forms: tuple[CrystalForm, ...]
    n_frames: int

    @property
    def is_sure(self) -> bool:
        """Whether the first cell explains most frames, and no other one nearly as well."""
        if not self.forms:
            return False
        first = self.forms[0]
        many = len(first.frames) >= max(_FEWEST_FRAMES, self.n_frames / 2)
        return many and first.log_odds >= _SURE_LOG_ODDS


def find_cell(
    q: ArrayLike,
    *,
    max_frames: int = 50,
    shortest_angstrom: float = 20.0,
    longest_angstrom: float = 200.0,
    device: str = "cpu",
    progress: Callable[[float], None] = lambda share: None,
) -> CellSearch:
    """Find the unit cell, and further crystal forms, in spot lists of still images.

    Parameters
    ----------
    q : array_like of float32, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    max_frames : int, default 50
        Frames that are looked at, those with the most spots.
    shortest_angstrom, longest_angstrom : float, default 20 and 200
        Range of the primitive cell's edges [angstrom].
    device : str, default "cpu"
        Torch device that does the work.
    progress : callable, optional
        Told the share of the work that is done.

    Returns
    -------
    CellSearch
        The cells, with frames and odds.

    Raises
    ------
    AnalysisError
        If `q` has another shape, an option is out of range, the device does not exist, or no frame
        has spots enough.

    Notes
    -----
    In each frame vectors are looked for that meet many spots at whole numbers, and cells made of
    three of them are judged by how likely they make the spots. The frames' cells are counted;
    those that several agree on are tried as known cells on all frames, and the one of highest
    evidence stays. A multiple of the cell loses by its volume, a part of it by the spots that it
    misses.
    """
    usable_device(device)
    lists = checked_spot_lists(q)
    if not 5 <= shortest_angstrom < longest_angstrom <= 1000:
        raise AnalysisError(
            f"cell edges from {shortest_angstrom} to {longest_angstrom} angstrom: the range must "
            "lie within 5 and 1000 angstrom"
        )
    n_spots = np.isfinite(lists[..., 0]).sum(axis=1)
    frames = np.argsort(-n_spots, kind="stable")[:max_frames]
    frames = np.sort(frames[n_spots[frames] >= _FEWEST_SPOTS])
    if not len(frames):
        raise AnalysisError(
            f"no frame has {_FEWEST_SPOTS} spots (the most are {n_spots.max(initial=0)}): a cell "
            "cannot be found; take frames with stronger diffraction"
        )
    lists = lists[frames]
    # Frames of different size make much padding: by the number of spots, neighbors are alike.
    searched = np.argsort(-n_spots[frames], kind="stable")[:_SEARCHED_FRAMES]
    shares = _Shares(progress, math.ceil(len(searched) / _FRAMES_TOGETHER))
    basis = np.zeros((len(frames), _LATTICES_A_FRAME, 3, 3))
    score = np.full((len(frames), _LATTICES_A_FRAME), -np.inf)
    for start in range(0, len(searched), _FRAMES_TOGETHER):
        chunk = searched[start : start + _FRAMES_TOGETHER]
        basis[chunk], score[chunk] = cells_of_frames(
            lists[chunk], shortest_angstrom, longest_angstrom, device, shares.report
        )
        shares.next()
    left = np.arange(len(frames))
    forms: list[CrystalForm] = []
    while len(left) >= (_FEWEST_FRAMES if forms else 1) and len(forms) < _MAX_FORMS:
        form = _agreed_form(lists[left], basis[left], score[left], device)
        if form is None:
            break
        left = np.setdiff1d(left, left[form.frames])
        forms.append(form)
    progress(1.0)
    if not forms:
        return CellSearch((), len(frames))
    # Another form may fit a frame by chance: the frame belongs to the one that fits it best.
    evidence = np.stack([_evidence_by_frame(lists, form.niggli.basis(), device) for form in forms])
    owner = np.where((evidence > 0).any(axis=0), evidence.argmax(axis=0), -1)
    forms = [replace(form, frames=frames[owner == which]) for which, form in enumerate(forms)]
    forms = [
        form
        for form in forms
        if len(form.frames) >= _FEWEST_OF_A_FORM
        or (len(form.frames) and form.log_odds >= _SURE_LOG_ODDS)
    ]
    forms.sort(key=lambda form: len(form.frames), reverse=True)
    return CellSearch(tuple(forms), len(frames))


class _Shares:
    """Progress of equal parts, put together."""

    def __init__(self, report: Callable[[float], None], n_parts: int) -> None:
        self._report, self._n_parts, self._done = report, n_parts, 0

    def report(self, share: float) -> None:
        # The last steps, which try the cells on all frames, take about a tenth of the time.
        self._report(0.9 * (self._done + share) / self._n_parts)

    def next(self) -> None:
        self._done += 1


def cells_of_frames(
    lists: NDArray[np.float32],
    shortest_angstrom: float,
    longest_angstrom: float,
    device: str,
    progress: Callable[[float], None],
) -> tuple[Float, Float]:
    """Find the cells that explain each frame best, each frame for itself.

    Parameters
    ----------
    lists : ndarray of float32, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    shortest_angstrom, longest_angstrom : float
        Range of the primitive cell's edges [angstrom].
    device : str
        Torch device that does the work.
    progress : callable
        Told the share of the work that is done.

    Returns
    -------
    basis : ndarray of float64, shape (n_frames, n_cells, 3, 3)
        Primitive vectors in rows [angstrom], best cell first.
    score : ndarray of float64, shape (n_frames, n_cells)
        Logarithm of the likelihood ratio of a lattice over spots anywhere.
    """
    length = np.linalg.norm(lists, axis=2)
    order = np.argsort(length, axis=1, kind="stable")[:, :_FIT_SPOTS]
    spots = np.nan_to_num(np.take_along_axis(lists, order[..., None], axis=1))
    fitted = torch.from_numpy(spots).to(device)
    searched = fitted[:, :_SEARCH_SPOTS].clone()
    # The finer the outermost spots, the more vectors have to be tried. They stand by length, and
    # padding, which is zero, stands last.
    norm = searched.norm(dim=-1)
    n_least = (norm > 0).sum(dim=1, keepdim=True).clamp(1, _FEWEST_SEARCHED)
    least = norm.gather(1, n_least - 1)
    searched[norm > least.clamp(min=1 / _SEARCH_RESOLUTION_ANGSTROM)] = 0
    with torch.inference_mode():
        vectors, _ = repeating_vectors(
            searched,
            shortest_angstrom=shortest_angstrom,
            longest_angstrom=longest_angstrom,
            position_sigma=_POSITION_SIGMA,
            n_vectors=_N_VECTORS,
            progress=progress,
        )
        basis, score = lattices_from_vectors(
            fitted, vectors, position_sigma=_POSITION_SIGMA, n_lattices=_LATTICES_A_FRAME
        )
    return basis.double().cpu().numpy(), score.double().cpu().numpy()


def _agreed_form(
    lists: NDArray[np.float32], basis: Float, score: Float, device: str
) -> CrystalForm | None:
    """Find the cell of highest evidence; frames are numbered within the lists."""
    candidates = [one.basis for one in agreeing_cells(basis, score)]
    evidence = [float(_evidence_by_frame(lists, one, device).sum()) for one in candidates]
    order = np.argsort(evidence)[::-1]
    if not len(order) or evidence[order[0]] <= 0:
        return None
    runner_up = max(evidence[order[1]], 0.0) if len(order) > 1 else 0.0
    log_odds = float(evidence[order[0]] - runner_up)
    return _refined(lists, candidates[order[0]], log_odds, device)


@dataclass(frozen=True, slots=True, eq=False)
class AgreedCell:
    """A cell that several frames have.

    Parameters
    ----------
    basis : ndarray of float64, shape (3, 3)
        Reduced primitive vectors of one of them in rows [angstrom].
    n_frames : int
        Number of frames.
    """

    basis: Float
    n_frames: int


def same_cell(first: Float, second: Float) -> bool:
    """Say whether two lattices have nearly the same cell.

    Parameters
    ----------
    first, second : ndarray of float64, shape (3, 3)
        Any primitive vectors in rows [angstrom].

    Returns
    -------
    bool
        Whether the lengths of the shortest vectors and the volumes agree.
    """
    keys = _key(np.stack([reduce_basis(first)[0], reduce_basis(second)[0]]))
    return bool((np.abs(keys[0] - keys[1]) < _SAME_CELL).all())


def _key(reduced: Float) -> Float:
    """Describe reduced bases (n, 3, 3) by numbers that change steadily with the lattice, (n, 4)."""
    lengths = np.linalg.norm(reduced, axis=2)
    return np.asarray(np.log(np.column_stack([lengths, np.cbrt(np.linalg.det(reduced))])))


def agreeing_cells(basis: Float, score: Float) -> list[AgreedCell]:
    """Group the cells of frames by what their shortest vectors and volumes are.

    Parameters
    ----------
    basis : ndarray of float64, shape (n_frames, n_cells, 3, 3)
        Cells of each frame in rows [angstrom].
    score : ndarray of float64, shape (n_frames, n_cells)
        How well they explain it; -inf for none.

    Returns
    -------
    list of AgreedCell
        Cells of most frames first, some at most.
    """
    frame, which = np.nonzero(np.isfinite(score))
    reduced = np.array([reduce_basis(basis[f, k])[0] for f, k in zip(frame, which, strict=True)])
    if not len(reduced):
        return []
    key = _key(reduced)
    alike: Bool = np.all(np.abs(key[:, None] - key) < _SAME_CELL, axis=2)
    agreed: list[AgreedCell] = []
    free = np.ones(len(key), dtype=np.bool_)
    while free.any() and len(agreed) < _N_CANDIDATES:
        votes = np.array([len(np.unique(frame[row & free])) for row in alike]) * free
        weight = votes + 1e-6 * score[frame, which]
        best = int(np.where(free, weight, -np.inf).argmax())
        members = np.flatnonzero(alike[best] & free)
        # Of those that agree, the one in the middle.
        middle = members[
            np.abs(key[members] - np.median(key[members], axis=0)).sum(axis=1).argmin()
        ]
        agreed.append(AgreedCell(reduced[middle], int(votes[best])))
        free[members] = False
    return agreed


def _indexer(basis: Float, tolerance: float, device: str) -> Indexer:
    """Index by a primitive cell in its reduced setting."""
    cell = UnitCell.from_basis(reduce_basis(basis)[0])
    return Indexer(cell, device, cell_tolerance=tolerance, max_lattices=1)


def _evidence_by_frame(lists: NDArray[np.float32], basis: Float, device: str) -> Float:
    """Evidence for a cell in each frame; 0 where it is not found."""
    result = _indexer(basis, _TOLERANCES[0], device).index(lists)
    return np.where(result.indexed, result.log_evidence, 0.0)


def _refined(
    lists: NDArray[np.float32], basis: Float, log_odds: float, device: str
) -> CrystalForm | None:
    """Bring a cell to the mean of all lattices that it finds, and name its setting."""
    for tolerance in _TOLERANCES:
        result = _indexer(basis, tolerance, device).index(lists)
        if not len(result.found):
            return None
        # All are in one setting, that nearest to the cell given: their metrics can be averaged.
        metric = np.median(result.all_lattices @ result.all_lattices.transpose(0, 2, 1), axis=0)
        basis = np.asarray(np.linalg.cholesky(metric), dtype=np.float64)
    lattice, nearly = bravais_lattice(basis), bravais_lattice(basis, _NEARLY)
    to_conventional = np.rint(lattice.basis @ np.linalg.inv(basis))
    parameters = cell_parameters(to_conventional @ result.all_lattices)
    spread = 1.4826 * np.median(np.abs(parameters - np.median(parameters, axis=0)), axis=0)
    # The median of normal numbers scatters by sqrt(pi / 2) more than their mean.
    sigma = np.sqrt(math.pi / 2 / len(parameters)) * spread
    return CrystalForm(
        lattice.cell,
        lattice.system,
        sigma,
        UnitCell.from_basis(niggli_basis(basis)),
        nearly.cell if nearly.system != lattice.system else None,
        result.frame_index,
        log_odds,
    )
