"""Vectors of an unknown lattice: directions and lengths along which the spots repeat."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from autosteer.analysis._directions import half_sphere, planes_misfit, take_rows

# Neighbouring points of the grid differ by this part of a fringe for the outermost spot.
_STEP_FRINGES = 1 / 3
_KEPT_A_SHELL = 12
_N_REFINED = 256
_REFINE_ITERATIONS = 5
# Vectors closer than this are one [angstrom].
_SAME_VECTOR_ANGSTROM = 2.0
_TILE_ELEMENTS = 2**18
# Share of the spots that are taken to repeat, before anything is known.
_SHARE = 0.7
_WIDTH = math.sqrt(2 * math.pi)


def repeating_vectors(
    q: Tensor,
    *,
    shortest_angstrom: float,
    longest_angstrom: float,
    position_sigma: float,
    n_vectors: int,
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Find the vectors of each frame that meet its spots at whole numbers, of any length.

    Parameters
    ----------
    q : Tensor of float32, shape (n_frames, n_spots, 3)
        Scattering vectors [1/angstrom]; padding is zero.
    shortest_angstrom, longest_angstrom : float
        Lengths that are looked at [angstrom].
    position_sigma : float
        Standard deviation of a spot's position along each axis [1/angstrom].
    n_vectors : int
        Vectors returned.
    progress : callable
        Told the share of the work that is done.

    Returns
    -------
    vectors : Tensor, shape (n_frames, n_vectors, 3)
        Vectors [angstrom], best first.
    score : Tensor, shape (n_frames, n_vectors)
        Logarithm of the likelihood ratio of spots that repeat over spots that do not.

    References
    ----------
    .. [1] I. Steller, R. Bolotovsky and M. G. Rossmann, Journal of Applied Crystallography 30,
           1036 (1997), on real vectors from projections of the spots on all directions.
    """
    step = _STEP_FRINGES / float(q.norm(dim=-1).max())
    lengths = torch.arange(shortest_angstrom, longest_angstrom + step, step)
    work = torch.cumsum(lengths**2, dim=0)
    found, significance = [], []
    for length, done in zip(lengths.tolist(), (work / work[-1]).tolist(), strict=True):
        n_directions = math.ceil(2 * math.pi * (length / step) ** 2)
        grid = torch.tensor(half_sphere(n_directions).T * length, dtype=q.dtype, device=q.device)
        misfit = planes_misfit(q, grid, _TILE_ELEMENTS)
        # How far a direction stands out among those of its length.
        spread = (misfit.mean(dim=1, keepdim=True) - misfit) / misfit.std(dim=1, keepdim=True)
        best = spread.topk(min(_KEPT_A_SHELL, n_directions), dim=1)
        found.append(grid.T[best.indices])
        significance.append(best.values)
        progress(done)
    vectors, significant = torch.cat(found, dim=1), torch.cat(significance, dim=1)
    kept = significant.topk(min(_N_REFINED, significant.shape[1]), dim=1).indices
    vectors = _refine(q, take_rows(vectors, kept), position_sigma)
    score = _score(q, vectors, position_sigma)
    length = vectors.norm(dim=-1)
    within = (length > 0.9 * shortest_angstrom) & (length < 1.1 * longest_angstrom)
    score = score.masked_fill(~within, -math.inf)
    order = score.argsort(dim=1, descending=True)
    vectors, score = take_rows(vectors, order), score.gather(1, order)
    near = torch.cdist(vectors, vectors).minimum(torch.cdist(vectors, -vectors))
    repeats = (near < _SAME_VECTOR_ANGSTROM).tril_(-1).any(dim=-1)
    score = score.masked_fill(repeats, -math.inf)
    best = score.topk(min(n_vectors, score.shape[1]), dim=1)
    return take_rows(vectors, best.indices), best.values


def _refine(q: Tensor, vectors: Tensor, position_sigma: float) -> Tensor:
    """Fit each vector to the whole numbers nearest to its phases, its length left free."""
    outer = (q[..., :, None] * q[..., None, :]).flatten(2)
    ridge = 1e-4 * torch.eye(3, dtype=q.dtype, device=q.device)
    for _ in range(_REFINE_ITERATIONS):
        phase = vectors @ q.transpose(1, 2)
        offset = phase - phase.round()
        reach = (4 * position_sigma * vectors.norm(dim=-1, keepdim=True)).clamp(0.1, 0.25)
        near = (offset.abs() < reach).to(q.dtype)
        normal = (near @ outer).reshape(*vectors.shape, 3) + ridge
        vectors = vectors - torch.linalg.solve_ex(normal, (near * offset) @ q).result
    return vectors


def _score(q: Tensor, vectors: Tensor, position_sigma: float) -> Tensor:
    """Log likelihood ratio of spots on planes across the vectors over spots anywhere."""
    present = (q.square().sum(dim=-1) > 0)[:, None]
    phase = vectors @ q.transpose(1, 2)
    plane = phase.round()
    width = (position_sigma * vectors.norm(dim=-1, keepdim=True)).clamp(min=0.01)
    ratio = (-0.5 * ((phase - plane) / width).square()).exp() / (_WIDTH * width)
    # On the plane through the origin a spot may lie because it is near the origin.
    ratio = torch.where(plane == 0, ratio.clamp(max=1), ratio)
    score: Tensor = ((_SHARE * (ratio - 1)).log1p() * present).sum(dim=-1)
    return score
