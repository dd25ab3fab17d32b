"""Lattices from one cell vector: the rest of the cell is rotated about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A spot farther than this from a lattice point (in fringes) says nothing more against an angle.
_CAP = 0.25
# Angles are taken in groups, of which only the best stays: neighbours are one solution.
_GROUP = 8


@dataclass(frozen=True, slots=True, eq=False)
class RotationScan:
    """Completes cell vectors to lattices.

    Parameters
    ----------
    axis : Tensor, shape (3,)
        The cell vector itself in its own frame, whose first axis runs along it [angstrom].
    turned : Tensor, shape (2, 3, n_angles)
        The two other cell vectors in that frame, for all angles of rotation [angstrom].
    row : int
        Row of the basis at which the vector stands.
    both_signs : bool
        Whether -v gives other lattices than v.
    n_lattices : int
        Lattices returned.
    tile_elements : int
        Numbers held at once.
    """

    axis: Tensor
    turned: Tensor
    row: int
    both_signs: bool
    n_lattices: int
    tile_elements: int

    @classmethod
    def of_basis(
        cls,
        basis: NDArray[np.float64],
        rotations: NDArray[np.int64],
        *,
        row: int,
        phase_step: float,
        n_lattices: int,
        tile_elements: int,
        device: torch.device,
    ) -> Self:
        """Prepare the scan for a basis.

        Parameters
        ----------
        basis : ndarray of float64, shape (3, 3)
            Reduced basis in rows [angstrom].
        rotations : ndarray of int64, shape (n_rotations, 3, 3)
            Rotations of the lattice in that basis; they shorten the scan.
        row : int
            Which vector the rest is rotated about.
        phase_step : float
            Step along the circle of the vector farthest from the axis [angstrom].
        n_lattices : int
            Lattices returned.
        tile_elements : int
            Numbers held at once.
        device : torch.device
            Where the tensors live.

        Returns
        -------
        RotationScan
            The scan.
        """
        others = [index for index in range(3) if index != row]
        first = basis[row] / np.linalg.norm(basis[row])
        second = basis[others[0]] - (basis[others[0]] @ first) * first
        second /= np.linalg.norm(second)
        frame = np.stack([first, second, np.cross(first, second)])
        axis, local = frame @ basis[row], basis[others] @ frame.T

        unit = np.eye(3, dtype=np.int64)[row]
        n_fold = int((rotations[:, row] == unit).all(axis=1).sum())
        flips = bool((rotations[:, row] == -unit).all(axis=1).any())
        radius = float(np.linalg.norm(local[:, 1:], axis=1).max())
        groups = math.ceil(2 * math.pi * radius / n_fold / phase_step / _GROUP)
        angles = np.arange(groups * _GROUP) * (2 * math.pi / n_fold / (groups * _GROUP))
        cosine, sine = np.cos(angles), np.sin(angles)
        turned = np.stack(
            [
                np.broadcast_to(local[:, :1], (2, len(angles))),
                local[:, 1:2] * cosine - local[:, 2:3] * sine,
                local[:, 1:2] * sine + local[:, 2:3] * cosine,
            ],
            axis=1,
        )
        return cls(
            axis=torch.tensor(axis, dtype=torch.float32, device=device),
            turned=torch.tensor(turned, dtype=torch.float32, device=device),
            row=row,
            both_signs=not flips,
            n_lattices=n_lattices,
            tile_elements=tile_elements,
        )

    def find(self, q: Tensor, vectors: Tensor) -> Tensor:
        """Find the best lattices of each frame.

        Parameters
        ----------
        q : Tensor, shape (n_frames, n_spots, 3)
            Scattering vectors [1/angstrom]; padding is zero.
        vectors : Tensor, shape (n_frames, n_vectors, 3)
            Cell vectors [angstrom].

        Returns
        -------
        Tensor, shape (n_frames, n_lattices, 3, 3)
            Rotated copies of the basis, vectors in rows [angstrom], best first.
        """
        if self.both_signs:
            vectors = torch.cat([vectors, -vectors], dim=1)
        frames = _frames_about(vectors)
        misfit = self._misfit(q, vectors, frames)
        n_frames, n_vectors = misfit.shape[:2]
        group_misfit, member = misfit.reshape(n_frames, n_vectors, -1, _GROUP).min(dim=-1)
        n_groups = group_misfit.shape[-1]
        n_kept = min(self.n_lattices, n_vectors * n_groups)
        best = group_misfit.flatten(1).topk(n_kept, dim=1, largest=False).indices
        angle = best % n_groups * _GROUP + member.flatten(1).gather(1, best)
        chosen = (best // n_groups)[..., None, None].expand(-1, -1, 3, 3)
        # (2, 3, n_frames, n_lattices) to (n_frames, n_lattices, 2, 3)
        others = self.turned[:, :, angle].permute(2, 3, 0, 1)
        axis = self.axis.expand(n_frames, n_kept, 1, 3)
        local = torch.cat([others[:, :, : self.row], axis, others[:, :, self.row :]], dim=2)
        return local @ frames.gather(1, chosen)

    def _misfit(self, q: Tensor, vectors: Tensor, frames: Tensor) -> Tensor:
        """Score all angles about all vectors: (n_frames, n_vectors, n_angles)."""
        n_frames, n_spots, _ = q.shape
        n_vectors, n_angles = vectors.shape[1], self.turned.shape[-1]
        both = torch.cat([self.turned[0], self.turned[1]], dim=-1)
        local = (q[:, None] @ frames.transpose(2, 3)).flatten(0, 1)
        along = (vectors @ q.transpose(1, 2)).flatten(0, 1)[..., None]
        along = (along - along.round()).square_()
        misfit = q.new_empty((n_frames * n_vectors, n_angles))
        step = max(1, self.tile_elements // max(1, 2 * n_angles * n_spots))
        for start in range(0, n_frames * n_vectors, step):
            phase = local[start : start + step] @ both
            phase.sub_(phase.round()).square_()
            total = phase[..., :n_angles]
            total.add_(phase[..., n_angles:]).add_(along[start : start + step])
            torch.sum(total.clamp_(max=_CAP**2), dim=1, out=misfit[start : start + step])
        return misfit.reshape(n_frames, n_vectors, n_angles)


def _frames_about(vectors: Tensor) -> Tensor:
    """Orthonormal right-handed frames (..., 3, 3), rows, the first along each vector."""
    first = vectors / vectors.norm(dim=-1, keepdim=True)
    least = torch.nn.functional.one_hot(first.abs().argmin(dim=-1), 3).to(vectors.dtype)
    second = torch.linalg.cross(first, least)
    second = second / second.norm(dim=-1, keepdim=True)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)
