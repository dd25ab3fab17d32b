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

A still sees a reflection where the Ewald sphere cuts it, not where its lattice point is. Along the
diffracted ray a spot is off by the excitation error, which has nothing to do with how well its
place on the detector is known: the last fit has one scatter along the ray and one across.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

# Few spots say little about their own scatter: its usual size counts as this many coordinates.
_SEARCH_PRIOR_COORDINATES = 4.0
_PRIOR_COORDINATES = 2.0
# Across the ray a spot is off by less than along it: there is no excitation error.
_ACROSS_SHARE = 0.4
# Coordinates that a fit of rotation and strain uses up; the others measure the scatter.
_FITTED_COORDINATES = 6.0
_FEWEST_COORDINATES = 3.0
# Spots that are farther than this from one sphere are not those of one still [1/angstrom].
_OFF_SPHERE = 3e-3
# Beyond this share of the spacing of lattice points, spots are spread evenly (that is 0.29).
_WIDEST_SHARE = 0.25
_WIDTH = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True)
class ScatterPrior:
    """What is known of a scatter before: a scaled inverse chi-square prior of its square.

    Parameters
    ----------
    sigma : float
        Usual scatter [1/angstrom].
    coordinates : float
        Coordinates as which that counts.
    """

    sigma: float
    coordinates: float

    def log_density(self, sigma: Tensor) -> Tensor:
        """Return the logarithm of the prior's density, relative to its top.

        Parameters
        ----------
        sigma : Tensor
            Scatters [1/angstrom].

        Returns
        -------
        Tensor
            At most 0.
        """
        precision = (self.sigma / sigma).square()
        density: Tensor = self.coordinates / 2 * (precision.log() - precision + 1)
        return density


@dataclass(frozen=True, slots=True, eq=False)
class LatticeFit:
    """Fitted lattices, each of shape (n_frames, n_lattices, ...).

    Parameters
    ----------
    reciprocal : Tensor, shape (n_frames, n_lattices, 3, 3)
        Reciprocal vectors in columns [1/angstrom].
    sigma : Tensor, shape (n_frames, n_lattices)
        Standard deviation of a spot's position across its ray [1/angstrom].
    sigma_along : Tensor, shape (n_frames, n_lattices)
        The same along its ray; where rays are not looked at, they are equal [1/angstrom].
    share : Tensor, shape (n_frames, n_lattices)
        Share of the spots on the lattice.
    membership : Tensor, shape (n_frames, n_lattices, n_spots)
        Probability that a spot belongs to the lattice.
    log_evidence : Tensor, shape (n_frames, n_lattices)
        Natural logarithm of the evidence for the lattice against no lattice.
    information : Tensor, shape (n_frames, n_lattices, 9, 9)
        Inverse covariance of the small linear map by which the lattice may still move.
    """

    reciprocal: Tensor
    sigma: Tensor
    sigma_along: Tensor
    share: Tensor
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
        self.spacing = float(reciprocal.norm(dim=0).min())
        """Of neighboring lattice points, the shortest [1/angstrom]."""
        self._widest_sigma = _WIDEST_SHARE * self.spacing
        self._strain_sigma = strain_sigma
        self._search_prior = ScatterPrior(position_sigma, _SEARCH_PRIOR_COORDINATES)
        self._across_prior = ScatterPrior(_ACROSS_SHARE * position_sigma, _PRIOR_COORDINATES)
        self._along_prior = ScatterPrior(position_sigma, _PRIOR_COORDINATES)
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
        unit = torch.eye(3, dtype=basis.dtype, device=basis.device)
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
            sigma = q.new_full(reciprocal.shape[:2], self._widest_sigma)
        share = torch.full_like(sigma, 0.5)
        growth = (q.shape[1] / n_spots_first) ** (1 / max(1, n_iterations - 2))
        for iteration in range(n_iterations):
            used = min(q.shape[1], math.ceil(n_spots_first * growth**iteration))
            nodes, offset, possible = _index(q[:, :used], present[..., :used], reciprocal)
            squares = offset.square().sum(dim=-1)
            ratio = self._ratio(squares / sigma.square()[..., None], sigma**3, possible)
            member = _membership(ratio, share)
            weighted = nodes * member[..., None]
            normal = weighted.transpose(-1, -2) @ nodes
            pull = offset.transpose(-1, -2) @ weighted
            variance = sigma.square()[..., None, None]
            information = self._information((normal / variance).flatten(2) @ self._spread)
            step = self._step(information, pull / variance, reciprocal)
            reciprocal = reciprocal + step @ reciprocal
            # Sum of squares after the step, from the sums at hand.
            total_square = (member * squares).sum(dim=-1)
            total_square = total_square + (step * (step @ normal - 2 * pull)).sum(dim=(-1, -2))
            total = member.sum(dim=-1)
            sigma = self._scatter(
                total_square, 3 * total - _FITTED_COORDINATES, sigma, self._search_prior
            )
            share = _share(total, n_spots.clamp(max=used))
        nodes, offset, possible = _index(q, present, reciprocal)
        squares = offset.square().sum(dim=-1)
        ratio = self._ratio(squares / sigma.square()[..., None], sigma**3, possible)
        member = _membership(ratio, share)
        normal = (nodes * member[..., None]).transpose(-1, -2) @ nodes
        normal = normal / sigma.square()[..., None, None]
        information = self._information(normal.flatten(2) @ self._spread)
        evidence = self._log_evidence(ratio, share, present, reciprocal, information)
        evidence = evidence + self._search_prior.log_density(sigma)
        return LatticeFit(reciprocal, sigma, sigma, share, member, evidence, information)

    def refine(self, q: Tensor, rays: Tensor, start: LatticeFit, n_iterations: int) -> LatticeFit:
        """Fit lattices that are nearly right, with one scatter along the rays and one across.

        Parameters
        ----------
        q : Tensor of float32, shape (n_frames, n_spots, 3)
            Scattering vectors [1/angstrom]; padding is zero.
        rays : Tensor of float32, shape (n_frames, n_spots, 3)
            Directions of the diffracted rays, unit vectors; zero in frames where they are not
            known, which keep one scatter.
        start : LatticeFit
            Where to start from.
        n_iterations : int
            Number of iterations.

        Returns
        -------
        LatticeFit
            The fit.

        References
        ----------
        .. [1] D. J. C. MacKay, Neural Computation 4, 415 (1992), on how many parameters the data
               determine, and the scatter that is left to estimate from the others.
        """
        present = (q.square().sum(dim=-1) > 0)[:, None]
        n_spots = present.sum(dim=-1)
        known = (rays.square().sum(dim=(1, 2)) > 0)[:, None]
        along_feature, across_feature = _features(q.double(), rays.double())
        reciprocal, share = start.reciprocal, start.share
        across_sigma, along_sigma = start.sigma, start.sigma_along
        for iteration in range(n_iterations + 1):
            nodes, offset, possible = _index(q, present, reciprocal)
            along = (offset * rays[:, None]).sum(dim=-1)
            across_square = offset.square().sum(dim=-1) - along.square()
            scaled = across_square / across_sigma.square()[..., None]
            scaled = scaled + (along / along_sigma[..., None]).square()
            ratio = self._ratio(scaled, across_sigma.square() * along_sigma, possible)
            member = _membership(ratio, share)
            weight = member.double()
            across_information = (weight @ across_feature) / across_sigma.square()[..., None]
            along_information = (weight @ along_feature) / along_sigma.square()[..., None]
            information = self._information(across_information + along_information)
            if iteration == n_iterations:
                break
            parallel = along[..., None] * rays[:, None]
            weighted = (offset - parallel) / across_sigma.square()[..., None, None]
            weighted = weighted + parallel / along_sigma.square()[..., None, None]
            pull = (weighted * member[..., None]).transpose(-1, -2) @ nodes
            step = self._step(information, pull, reciprocal)
            reciprocal = reciprocal + step @ reciprocal
            total = member.sum(dim=-1)
            covariance = torch.linalg.inv_ex(information).inverse.flatten(2)
            spent = (across_information * covariance).sum(dim=-1).to(q.dtype)
            coordinates = torch.where(known, 2 * total, 3 * total) - spent
            squares = (member * across_square).sum(dim=-1)
            across_sigma = self._scatter(squares, coordinates, across_sigma, self._across_prior)
            spent = (along_information * covariance).sum(dim=-1).to(q.dtype)
            squares = (member * along.square()).sum(dim=-1)
            along_sigma = self._scatter(squares, total - spent, along_sigma, self._along_prior)
            along_sigma = torch.where(known, along_sigma, across_sigma)
            share = _share(total, n_spots)
        evidence = self._log_evidence(ratio, share, present, reciprocal, information)
        evidence = evidence + self._across_prior.log_density(across_sigma)
        evidence = evidence + known * self._along_prior.log_density(along_sigma)
        return LatticeFit(
            reciprocal, across_sigma, along_sigma, share, member, evidence, information
        )

    def _ratio(self, scaled: Tensor, volume: Tensor, possible: Tensor) -> Tensor:
        """Likelihood ratios g of spots, from their squared distances in units of the scatter."""
        peak = 1 / (self._volume * _WIDTH**3 * volume)
        return (scaled * -0.5).exp_().mul_(peak[..., None]).mul_(possible)

    def _information(self, data: Tensor) -> Tensor:
        """Inverse covariance of the nine elements of a small linear map, row by row."""
        # Sums are as good as this; it keeps the matrix positive definite.
        precision = 8 * torch.finfo(data.dtype).eps
        scaled = data.double().reshape(*data.shape[:2], 9, 9)
        rounding = precision * scaled.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
        return scaled + self._prior_information + rounding * self._identity

    def _strain(self, reciprocal: Tensor) -> Tensor:
        """Strain from the known cell, symmetric; the rotation drops out."""
        deformation = reciprocal @ self._basis
        identity = torch.eye(3, dtype=deformation.dtype, device=deformation.device)
        return (deformation @ deformation.transpose(-1, -2) - identity) / 2

    def _step(self, information: Tensor, pull: Tensor, reciprocal: Tensor) -> Tensor:
        """Solve for the linear map that brings lattice points nearest to their spots."""
        pull = pull - self._strain(reciprocal) / self._strain_sigma**2
        factor, _ = torch.linalg.cholesky_ex(information)
        step = torch.cholesky_solve(pull.flatten(2)[..., None].double(), factor)
        return step.reshape(pull.shape).to(pull.dtype)

    def _scatter(
        self, squares: Tensor, coordinates: Tensor, sigma: Tensor, prior: ScatterPrior
    ) -> Tensor:
        """Estimate a scatter from sums of squared residuals and its prior."""
        coordinates = coordinates.clamp(min=_FEWEST_COORDINATES) + prior.coordinates
        estimate = ((squares + prior.coordinates * prior.sigma**2) / coordinates).sqrt()
        # It narrows in steps, lest the first few spots that fit well shut out the others.
        return torch.maximum(estimate, 0.4 * sigma).clamp(prior.sigma / 5, self._widest_sigma)

    def _log_evidence(
        self,
        ratio: Tensor,
        share: Tensor,
        present: Tensor,
        reciprocal: Tensor,
        information: Tensor,
    ) -> Tensor:
        """Average the likelihood ratio over rotation and strain, by Laplace's approximation."""
        factor, _ = torch.linalg.cholesky_ex(information)
        half_log_determinant: Tensor = factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        log_volume = 9 * math.log(_WIDTH) - half_log_determinant
        log_ratio = (share[..., None] * (ratio - 1)).log1p() * present
        strain = self._strain(reciprocal).square().sum(dim=(-1, -2)) / self._strain_sigma**2
        return log_ratio.sum(dim=-1) + self._log_prior + log_volume - strain / 2


def ray_directions(q: Tensor) -> Tensor:
    """Find the directions of the diffracted rays, where the spots of a frame lie on a sphere.

    The sphere through the origin with its center on the beam is that of Ewald, and the wavelength
    comes from the spots themselves.

    Parameters
    ----------
    q : Tensor of float32, shape (n_frames, n_spots, 3)
        Scattering vectors [1/angstrom]; padding is zero.

    Returns
    -------
    Tensor, shape (n_frames, n_spots, 3)
        Unit vectors; zero for padding, and in frames whose spots are on no such sphere.
    """
    squared = q.square().sum(dim=-1)
    forward = q[..., 2]
    # q^2 + 2 k q_z = 0, solved for k by least squares
    wave_number = -(squared * forward).sum(dim=1) / (2 * forward.square().sum(dim=1))
    ray = q.clone()
    ray[..., 2] += wave_number[:, None]
    length = ray.norm(dim=-1)
    present = squared > 0
    off = (length - wave_number.abs()[:, None]).square() * present
    on_sphere = off.sum(dim=1) < _OFF_SPHERE**2 * present.sum(dim=1)
    known = present & on_sphere[:, None]
    rays: Tensor = (ray / length[..., None]).masked_fill(~known[..., None], 0)
    return rays


def _features(q: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Contributions of spots to the information along the ray and across, (..., n_spots, 81)."""
    outer = q[..., :, None] * q[..., None, :]
    along = rays[..., :, None] * rays[..., None, :]
    across = torch.eye(3, dtype=q.dtype, device=q.device) - along
    return (
        torch.einsum("fsac,fsbd->fsabcd", along, outer).flatten(2),
        torch.einsum("fsac,fsbd->fsabcd", across, outer).flatten(2),
    )


def _membership(ratio: Tensor, share: Tensor) -> Tensor:
    """Probability that spots belong to the lattice."""
    odds = ratio * (share / (1 - share))[..., None]
    member: Tensor = odds / (1 + odds)
    return member


def _share(total: Tensor, n_spots: Tensor) -> Tensor:
    """Share of the spots on the lattice; never all and never none."""
    return ((total + 0.5) / (n_spots + 1)).clamp_(0.02, 0.98)


def _index(q: Tensor, present: Tensor, reciprocal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Assign spots to lattice points: nearest points, offsets from them, whether it may be."""
    rows = torch.linalg.inv_ex(reciprocal).inverse.flatten(1, 2)
    # All lattices of a frame in one product: (n_frames, n_lattices, 3, n_spots)
    indices = (rows @ q.transpose(1, 2)).round_().reshape(*reciprocal.shape[:3], -1)
    nodes = (reciprocal @ indices).transpose(-1, -2)
    # The origin is no reflection: a spot next to it tells nothing.
    possible = present & (indices.abs_().sum(dim=2) > 0)
    return nodes, q[:, None] - nodes, possible
