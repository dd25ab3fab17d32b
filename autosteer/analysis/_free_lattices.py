"""Lattices of a frame without a known cell: from repeating vectors to cells."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

# Of the vectors of a frame, all triples of so many are tried as a cell.
_N_VECTORS = 16
_N_FITTED = 24
_ITERATIONS = 8
# Cells flatter than this share of a box with the same edges are no cells.
_FLATTEST = 0.1
# Share of the spots that are taken to be on the lattice.
_SHARE = 0.7
_WIDTH = math.sqrt(2 * math.pi)


def lattices_from_vectors(
    q: Tensor, vectors: Tensor, *, position_sigma: float, n_lattices: int
) -> tuple[Tensor, Tensor]:
    """Find the cells that explain the spots of each frame best.

    Parameters
    ----------
    q : Tensor of float32, shape (n_frames, n_spots, 3)
        Scattering vectors [1/angstrom]; padding is zero.
    vectors : Tensor, shape (n_frames, n_vectors, 3)
        Vectors that meet many spots at whole numbers [angstrom], best first.
    position_sigma : float
        Standard deviation of a spot's position along each axis [1/angstrom].
    n_lattices : int
        Cells returned for each frame.

    Returns
    -------
    basis : Tensor, shape (n_frames, n_lattices, 3, 3)
        Cell vectors in rows [angstrom], best first; not reduced.
    score : Tensor, shape (n_frames, n_lattices)
        Logarithm of the likelihood ratio of a lattice over spots anywhere.

    Notes
    -----
    The likelihood of a spot near a lattice point goes with one over the volume of the cell: a
    cell that is too large explains the spots no better, and loses by its volume.
    """
    vectors = vectors[:, :_N_VECTORS]
    triples = torch.tensor(
        list(itertools.combinations(range(vectors.shape[1]), 3)), device=q.device
    )
    basis = vectors[:, triples]
    volume = torch.linalg.det(basis).abs()
    box = basis.norm(dim=-1).prod(dim=-1)
    flat = volume < _FLATTEST * box
    score = _score(q, basis, position_sigma).masked_fill(flat, -math.inf)
    best = score.topk(min(_N_FITTED, score.shape[1]), dim=1).indices
    basis = basis.gather(1, best[..., None, None].expand(-1, -1, 3, 3))
    basis = _refine(q, basis, position_sigma)
    score = _score(q, basis, position_sigma).nan_to_num_(nan=-math.inf)
    chosen = score.topk(min(n_lattices, score.shape[1]), dim=1)
    basis = basis.gather(1, chosen.indices[..., None, None].expand(-1, -1, 3, 3))
    return basis, chosen.values


def _offsets(q: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest lattice points, as indices (..., 3, n_spots), and squared distances from them."""
    reciprocal = torch.linalg.inv_ex(basis).inverse
    phase = basis @ q.transpose(1, 2)[:, None]
    index = phase.round()
    distance = (reciprocal @ (phase - index)).square().sum(dim=2)
    return index, distance


def _ratio(distance: Tensor, basis: Tensor, position_sigma: float) -> Tensor:
    """Likelihood of spots at squared distances from lattice points over spots anywhere."""
    volume = torch.linalg.det(basis).abs()[..., None]
    peak = 1 / ((_WIDTH * position_sigma) ** 3 * volume)
    ratio: Tensor = (distance * (-0.5 / position_sigma**2)).exp() * peak
    return ratio


def _score(q: Tensor, basis: Tensor, position_sigma: float) -> Tensor:
    """Log likelihood ratio of lattices, (n_frames, n_lattices)."""
    present = (q.square().sum(dim=-1) > 0)[:, None]
    index, distance = _offsets(q, basis)
    ratio = _ratio(distance, basis, position_sigma)
    # A spot at the origin of reciprocal space is no reflection.
    ratio = torch.where((index == 0).all(dim=2), ratio.clamp(max=1), ratio)
    score: Tensor = ((_SHARE * (ratio - 1)).log1p() * present).sum(dim=-1)
    return score


def _refine(q: Tensor, basis: Tensor, position_sigma: float) -> Tensor:
    """Fit all nine numbers of each basis to the spots that it explains."""
    present = (q.square().sum(dim=-1) > 0)[:, None]
    outer = (q[..., :, None] * q[..., None, :]).flatten(2)
    ridge = 1e-4 * torch.eye(3, dtype=q.dtype, device=q.device)
    for _ in range(_ITERATIONS):
        index, distance = _offsets(q, basis)
        ratio = _ratio(distance, basis, position_sigma)
        member = (_SHARE * ratio / (1 - _SHARE + _SHARE * ratio)) * present
        normal = (member @ outer).reshape(*basis.shape) + ridge
        phase = basis @ q.transpose(1, 2)[:, None]
        # Each row v of the basis is fitted by itself: q.v is to be its index.
        pull = ((phase - index) * member[:, :, None]) @ q[:, None]
        basis = basis - torch.linalg.solve_ex(normal, pull, left=False).result
    return basis
