"""Directions in which the spots repeat with the length of one known cell vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Distances from the nearest whole number, in fringes. A spot farther than the cap says nothing
# more against a direction; the fit takes in spots within ever smaller distances.
_COARSE_CAP = 0.25
_FINE_CAP = 0.15
_FIT_DISTANCES = (0.25, 0.2, 0.15)
# Two directions this near each other (cosine) are one.
_SAME_DIRECTION = 0.99955


def half_sphere(n_directions: int) -> NDArray[np.float64]:
    """Spread directions evenly over half a sphere, along a Fibonacci spiral.

    Parameters
    ----------
    n_directions : int
        Number of directions.

    Returns
    -------
    ndarray of float64, shape (n_directions, 3)
        Unit vectors with z > 0.

    References
    ----------
    .. [1] A. Gonzalez, Mathematical Geosciences 42, 49 (2010).
    """
    index = np.arange(n_directions)
    z = (index + 0.5) / n_directions
    azimuth = index * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def planes_misfit(q: Tensor, vectors: Tensor, tile_elements: int) -> Tensor:
    """Sum up how far the spots are from the lattice planes across vectors.

    Parameters
    ----------
    q : Tensor, shape (n_frames, n_spots, 3)
        Scattering vectors [1/angstrom]; padding is zero.
    vectors : Tensor, shape (3, n_vectors)
        Vectors to try, in columns [angstrom].
    tile_elements : int
        Numbers held at once.

    Returns
    -------
    Tensor, shape (n_frames, n_vectors)
        Distances of q.v from whole numbers, each a quarter at most; less is better.
    """
    n_frames, n_spots, _ = q.shape
    misfit = q.new_empty((n_frames, vectors.shape[1]))
    step = max(64, tile_elements // max(1, n_frames * n_spots))
    for start in range(0, vectors.shape[1], step):
        phase = q @ vectors[:, start : start + step]
        phase.sub_(phase.round()).abs_().clamp_(max=_COARSE_CAP)
        torch.sum(phase, dim=1, out=misfit[:, start : start + step])
    return misfit


def take_rows(vectors: Tensor, index: Tensor) -> Tensor:
    """Pick vectors of each frame.

    Parameters
    ----------
    vectors : Tensor, shape (n_frames, n, 3)
        The vectors.
    index : Tensor of int, shape (n_frames, m)
        Which ones.

    Returns
    -------
    Tensor, shape (n_frames, m, 3)
        These.
    """
    return vectors.gather(1, index[..., None].expand(-1, -1, 3))


@dataclass(frozen=True, slots=True, eq=False)
class DirectionSearch:
    """Looks for one cell vector by its length.

    A vector v of the real lattice meets every spot of that lattice at a whole number q.v. Many
    directions are scored by how near the spots come to whole numbers, the best are refined.

    Parameters
    ----------
    grid : Tensor, shape (3, n_directions)
        Vectors to try, all of the wanted length, in columns [angstrom].
    length : float
        That length [angstrom].
    tolerance : float
        Largest relative deviation of the length.
    n_kept : int
        Grid directions that are refined.
    n_vectors : int
        Vectors returned.
    tile_elements : int
        Numbers held at once.

    References
    ----------
    .. [1] P. Gasparotto et al., Journal of Applied Crystallography 57, 931 (2024), the family of
           algorithms to which this search belongs.
    """

    grid: Tensor
    length: float
    tolerance: float
    n_kept: int
    n_vectors: int
    tile_elements: int

    def find(self, q: Tensor) -> Tensor:
        """Find the best vectors of each frame.

        Parameters
        ----------
        q : Tensor, shape (n_frames, n_spots, 3)
            Scattering vectors [1/angstrom]; padding is zero.

        Returns
        -------
        Tensor, shape (n_frames, n_vectors, 3)
            Refined vectors [angstrom], best first.
        """
        misfit = planes_misfit(q, self.grid, self.tile_elements)
        kept = misfit.topk(min(self.n_kept, misfit.shape[1]), dim=1, largest=False).indices
        vectors = self._refine(q, self.grid.T[kept])
        phase = q @ vectors.transpose(1, 2)
        misfit = (phase - phase.round()).abs_().clamp_(max=_FINE_CAP).sum(dim=1)
        order = misfit.argsort(dim=1)
        vectors = take_rows(vectors, order)
        unit = vectors / vectors.norm(dim=-1, keepdim=True)
        # A vector that repeats a better one goes to the end of the list.
        alike = (unit @ unit.transpose(1, 2)).abs_() > _SAME_DIRECTION
        repeats = alike.tril_(-1).any(dim=-1)
        fresh_first = repeats.to(torch.uint8).argsort(dim=1, stable=True)
        return take_rows(vectors, fresh_first[:, : self.n_vectors])

    def _refine(self, q: Tensor, vectors: Tensor) -> Tensor:
        """Fit each vector to the whole numbers nearest to its phases."""
        outer = (q[..., :, None] * q[..., None, :]).flatten(2)
        # Spots near the forward direction leave the component along the beam undetermined:
        # a change by more than the tolerance costs as much as one spot off by 0.1 fringe.
        ridge = torch.eye(3, dtype=q.dtype, device=q.device)
        ridge = ridge * (0.1 / (self.tolerance * self.length)) ** 2
        for distance in _FIT_DISTANCES:
            phase = vectors @ q.transpose(1, 2)
            offset = phase - phase.round()
            near = (offset.abs() < distance).to(q.dtype)
            normal = (near @ outer).reshape(*vectors.shape, 3) + ridge
            gradient = (near * offset) @ q
            vectors = vectors - torch.linalg.solve_ex(normal, gradient).result
            norm = vectors.norm(dim=-1, keepdim=True)
            wanted = norm.clamp(
                self.length * (1 - self.tolerance), self.length * (1 + self.tolerance)
            )
            vectors = vectors * (wanted / norm)
        return vectors
