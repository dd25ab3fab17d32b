"""What a lattice predicts about a list of spots: its fit, and the evidence for it.

Each spot either belongs to the lattice, and then lies about a lattice point with a normal
distribution, or to nothing, and then it lies anywhere in the reciprocal cell. Relative to a list
without a lattice, a spot at distance r from its lattice point has the likelihood ratio

    1 - w + w g(r),   g(r) = exp(-r^2 / 2 s^2) / ((2 pi s^2)^(3/2) V),

where w is the share of spots on the lattice, s the standard deviation of a position along each
axis, and V the volume of the direct cell, that is, one over that of the reciprocal cell. The
lattice is the known cell, strained a little and rotated at will. Its evidence is the product of
these ratios, averaged over the prior of rotation and strain by Laplace's approximation, at the
best s and w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

# Few spots say little about their own scatter: its usual size counts as this many coordinates.
_SIGMA_PRIOR_COORDINATES = 4.0
# Coordinates that a fit of rotation and strain uses up; the others measure the scatter.
_FITTED_COORDINATES = 6.0
_WIDTH = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class LatticeFit:
    """Fitted lattices, each of shape (n_frames, n_lattices, ...).

    Parameters
    ----------
    reciprocal : Tensor, shape (n_frames, n_lattices, 3, 3)
        Reciprocal vectors in columns [1/angstrom].
    sigma : Tensor, shape (n_frames, n_lattices)
        Standard deviation of a spot's position along each axis [1/angstrom].
    membership : Tensor, shape (n_frames, n_lattices, n_spots)
        Probability that a spot belongs to the lattice.
    log_evidence : Tensor, shape (n_frames, n_lattices)
        Natural logarithm of the evidence for the lattice against no lattice.
    information : Tensor, shape (n_frames, n_lattices, 9, 9)
        Inverse covariance of the small linear map by which the lattice may still move.
    """

    reciprocal: Tensor
    sigma: Tensor
    membership: Tensor
    log_evidence: Tensor
    information: Tensor

    def best(self, n_lattices: int) -> Self:
        """Keep the lattices of highest evidence, best first.

        Parameters
        ----------
        n_lattices : int
            How many.

        Returns
        -------
        LatticeFit
            Fit of shape (n_frames, n_lattices, ...).
        """
        kept = min(n_lattices, self.log_evidence.shape[1])
        index = self.log_evidence.topk(kept, dim=1).indices
        frame = torch.arange(len(index), device=index.device)[:, None]
        return type(self)(*(getattr(self, field.name)[frame, index] for field in fields(self)))


class LatticeModel:
    """The mixture of lattice and background for one known cell.

    Parameters
    ----------
    basis : Tensor of float32, shape (3, 3)
        Primitive cell vectors in rows [angstrom].
    n_rotations : int
        Rotations that map the lattice onto itself.
    strain_sigma : float
        Standard deviation of the strain by which crystals differ from the known cell.
    position_sigma : float
        Usual standard deviation of a spot's position along each axis [1/angstrom].

    References
    ----------
    .. [1] D. J. C. MacKay, Neural Computation 4, 415 (1992), on evidence by Laplace's method.
    .. [2] A. P. Dempster, N. M. Laird and D. B. Rubin, Journal of the Royal Statistical Society B
           39, 1 (1977), on fitting mixtures.
    """

    def __init__(
        self, basis: Tensor, *, n_rotations: int, strain_sigma: float, position_sigma: float
    ) -> None:
        self._basis = basis
        reciprocal = torch.linalg.inv(basis)
        self._volume = float(torch.linalg.det(basis))
        self.widest_sigma = 0.12 * float(reciprocal.norm(dim=0).min())
        self._narrowest_sigma = 0.2 * position_sigma
        self._strain_sigma = strain_sigma
        self._position_sigma = position_sigma
        orientations = 8 * math.pi**2 / n_rotations
        # A normal distribution about as wide as the space of orientations keeps the evidence
        # finite where no spot holds the lattice.
        rotation_sigma = orientations ** (1 / 3) / _WIDTH
        swap = torch.eye(9, dtype=torch.float64, device=basis.device)
        swap = swap.reshape(3, 3, 3, 3).transpose(0, 1).reshape(9, 9)
        identity = torch.eye(9, dtype=torch.float64, device=basis.device)
        self._identity = identity
        self._prior_information: Tensor = (identity + swap) / (2 * strain_sigma**2) + (
            identity - swap
        ) / (4 * rotation_sigma**2)
        # Normal equations of one row of the map, (3, 3), to those of all nine elements.
        unit = torch.eye(3, dtype=torch.float64, device=basis.device)
        self._spread: Tensor = torch.einsum("ab,jk,lm->jlakbm", unit, unit, unit).reshape(9, 81)
        # Density of the linear map's nine elements at no strain: uniform over orientations,
        # normal over strains. Each pair of off-diagonal elements holds one rotation and one
        # strain component of twice the area; that component's sigma is smaller by sqrt(2).
        self._log_prior = (
            -math.log(orientations)
            - 6 * math.log(_WIDTH * strain_sigma)
            + 1.5 * math.log(2)
            - 3 * math.log(2)
        )

    def fit(
        self,
        q: Tensor,
        reciprocal: Tensor,
        *,
        sigma: Tensor | None = None,
        n_iterations: int,
        n_spots_first: int,
    ) -> LatticeFit:
        """Fit lattices to spots by expectation maximisation, re-indexing in each iteration.

        Parameters
        ----------
        q : Tensor of float32, shape (n_frames, n_spots, 3)
            Scattering vectors by increasing length [1/angstrom]; padding is zero.
        reciprocal : Tensor of float32, shape (n_frames, n_lattices, 3, 3)
            Reciprocal vectors to start from, in columns [1/angstrom].
        sigma : Tensor of float32, shape (n_frames, n_lattices), optional
            Position scatter to start from [1/angstrom]; wide by default.
        n_iterations : int
            Number of iterations.
        n_spots_first : int
            Spots used in the first iteration, the shortest; all are used in the last ones. Long
            scattering vectors are indexed rightly only by a lattice that is good already.

        Returns
        -------
        LatticeFit
            The fit.
        """
        present = (q.square().sum(dim=-1) > 0)[:, None]
        n_spots = present.sum(dim=-1)
        if sigma is None:
            sigma = q.new_full(reciprocal.shape[:2], self.widest_sigma)
        share = torch.full_like(sigma, 0.5)
        growth = (q.shape[1] / n_spots_first) ** (1 / max(1, n_iterations - 2))
        for iteration in range(n_iterations):
            used = min(q.shape[1], math.ceil(n_spots_first * growth**iteration))
            nodes, offset, possible = _index(q[:, :used], present[..., :used], reciprocal)
            member = self._membership(offset, possible, sigma, share)[0]
            weighted = nodes * member[..., None]
            normal = weighted.transpose(-1, -2) @ nodes
            pull = offset.transpose(-1, -2) @ weighted
            step = self._step(normal, pull, sigma, reciprocal)
            reciprocal = reciprocal + step @ reciprocal
            # Sum of squares after the step, from the sums at hand.
            squares = (member * offset.square().sum(dim=-1)).sum(dim=-1)
            squares = squares + (step * (step @ normal - 2 * pull)).sum(dim=(-1, -2))
            total = member.sum(dim=-1)
            sigma = self._scatter(squares, total, sigma)
            share = ((total + 0.5) / (n_spots.clamp(max=used) + 1)).clamp_(0.02, 0.98)
        return self._judge(q, present, reciprocal, sigma, share)

    def _membership(
        self, offset: Tensor, possible: Tensor, sigma: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Probability that spots belong to the lattice, and their likelihood ratios g."""
        exponent = offset.square().sum(dim=-1).mul_((-0.5 / sigma.square())[..., None])
        peak = 1 / (self._volume * (_WIDTH * sigma) ** 3)
        ratio = exponent.exp_().mul_(peak[..., None]).mul_(possible)
        odds = ratio * (share / (1 - share))[..., None]
        return odds / (1 + odds), ratio

    def _information(self, normal: Tensor, sigma: Tensor) -> Tensor:
        """Inverse covariance of the nine elements of a small linear map, row by row."""
        scaled = (normal / sigma.square()[..., None, None]).flatten(2).double()
        # Sums of 32-bit numbers are as good as this; it keeps the matrix positive definite.
        rounding = 1e-6 * scaled[..., ::4].sum(dim=-1)[..., None, None]
        information = (scaled @ self._spread).reshape(*scaled.shape[:2], 9, 9)
        return information + self._prior_information + rounding * self._identity

    def _strain(self, reciprocal: Tensor) -> Tensor:
        """Strain from the known cell, symmetric; the rotation drops out."""
        deformation = reciprocal @ self._basis
        identity = torch.eye(3, dtype=deformation.dtype, device=deformation.device)
        return (deformation @ deformation.transpose(-1, -2) - identity) / 2

    def _step(self, normal: Tensor, pull: Tensor, sigma: Tensor, reciprocal: Tensor) -> Tensor:
        """Solve for the linear map that brings lattice points nearest to their spots."""
        pull = pull / sigma.square()[..., None, None]
        pull = pull - self._strain(reciprocal) / self._strain_sigma**2
        factor, _ = torch.linalg.cholesky_ex(self._information(normal, sigma))
        step = torch.cholesky_solve(pull.flatten(2)[..., None].double(), factor)
        return step.reshape(pull.shape).to(pull.dtype)

    def _scatter(self, squares: Tensor, total: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the position scatter from residuals and its prior."""
        coordinates = (3 * total - _FITTED_COORDINATES).clamp(min=3.0) + _SIGMA_PRIOR_COORDINATES
        prior = _SIGMA_PRIOR_COORDINATES * self._position_sigma**2
        estimate = ((squares + prior) / coordinates).sqrt()
        # It narrows in steps, lest the first few spots that fit well shut out the others.
        return torch.maximum(estimate, 0.4 * sigma).clamp(self._narrowest_sigma, self.widest_sigma)

    def _judge(
        self, q: Tensor, present: Tensor, reciprocal: Tensor, sigma: Tensor, share: Tensor
    ) -> LatticeFit:
        """Compute memberships and evidence of lattices that move no more."""
        nodes, offset, possible = _index(q, present, reciprocal)
        member, ratio = self._membership(offset, possible, sigma, share)
        normal = (nodes * member[..., None]).transpose(-1, -2) @ nodes
        information = self._information(normal, sigma)
        factor, _ = torch.linalg.cholesky_ex(information)
        log_volume = 9 * math.log(_WIDTH) - factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        log_ratio = (share[..., None] * (ratio - 1)).log1p() * present
        strain = self._strain(reciprocal).square().sum(dim=(-1, -2)) / self._strain_sigma**2
        # Scaled inverse chi-square prior of sigma^2, relative to its top.
        precision = (self._position_sigma / sigma).square()
        log_sigma = _SIGMA_PRIOR_COORDINATES / 2 * (precision.log() - precision + 1)
        log_evidence = log_ratio.sum(dim=-1) + self._log_prior + log_volume - strain / 2 + log_sigma
        return LatticeFit(reciprocal, sigma, member, log_evidence, information)


def _index(q: Tensor, present: Tensor, reciprocal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Assign spots to lattice points: nearest points, offsets from them, whether it may be."""
    rows = torch.linalg.inv_ex(reciprocal).inverse.flatten(1, 2)
    # All lattices of a frame in one product: (n_frames, n_lattices, 3, n_spots)
    indices = (rows @ q.transpose(1, 2)).round_().reshape(*reciprocal.shape[:3], -1)
    nodes = (reciprocal @ indices).transpose(-1, -2)
    # The origin is no reflection: a spot next to it tells nothing.
    possible = present & (indices.abs_().sum(dim=2) > 0)
    return nodes, q[:, None] - nodes, possible
