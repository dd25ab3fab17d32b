"""Spot lists of simulated stills with known lattices, and how far lattices found are from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import UnitCell, primitive_transform
from autosteer.physics.lattices import reduce_basis, rotation_group
from autosteer.sims.crystals import CrystalSimulator

Float = NDArray[np.float64]

WAVELENGTH_ANGSTROM = 1.3
# Below this the beam stop hides the spots [1/angstrom].
_LOWEST_Q = 1 / 60


@dataclass(frozen=True, slots=True, eq=False)
class Stills:
    """Lists of spots and the crystals that they come from.

    Parameters
    ----------
    q : ndarray of float32, shape (n_frames, n_spots, 3)
        Scattering vectors in random order, padded with NaN [1/angstrom].
    lattices : ndarray of float64, shape (n_frames, n_crystals, 3, 3)
        Cell vectors of the crystals in rows [angstrom].
    """

    q: NDArray[np.float32]
    lattices: Float


def simulate_stills(
    cell: UnitCell,
    n_frames: int,
    spots_of_crystals: tuple[int, ...],
    *,
    seed: int,
    outlier_share: float = 0.0,
    position_sigma: float = 2.5e-4,
    crystals: SimulatedCrystals | None = None,
    d_min_angstrom: float = 2.2,
) -> Stills:
    """Simulate stills.

    Parameters
    ----------
    cell : UnitCell
        Cell of the crystals.
    n_frames : int
        Number of frames.
    spots_of_crystals : tuple of int
        For each crystal in the beam, how many of its spots are seen: the brightest.
    seed : int
        Seed.
    outlier_share : float, default 0.0
        Part of the lists that belongs to no lattice.
    position_sigma : float, default 2.5e-4
        RMS error of a spot's position on the detector, each direction [1/angstrom].
    crystals : SimulatedCrystals, optional
        How crystals diffract.
    d_min_angstrom : float, default 2.2
        Resolution at the rim of the detector [angstrom].

    Returns
    -------
    Stills
        The stills.
    """
    config = SimulatedCrystals() if crystals is None else crystals
    simulator = CrystalSimulator(cell, config, WAVELENGTH_ANGSTROM, d_min_angstrom, seed)
    rng = np.random.default_rng(seed)
    n_true = sum(spots_of_crystals)
    n_spots = round(n_true / (1 - outlier_share))
    q = np.full((n_frames, n_spots, 3), np.nan, dtype=np.float32)
    lattices = np.empty((n_frames, len(spots_of_crystals), 3, 3))
    for frame in range(n_frames):
        lattices[frame] = simulator.random_bases(rng, len(spots_of_crystals))
        parts = []
        for basis, count in zip(lattices[frame], spots_of_crystals, strict=True):
            seen = simulator.reflections(basis, 100.0)
            photons = np.where(np.linalg.norm(seen.q, axis=1) > _LOWEST_Q, seen.photons, 0.0)
            parts.append(_measured(seen.q[np.argsort(-photons)[:count]], position_sigma, rng))
        true = np.concatenate(parts)
        false = scrambled(true[rng.integers(len(true), size=n_spots - n_true)], rng)
        spots = np.concatenate([true, false])
        q[frame, : len(spots)] = rng.permutation(spots)
    return Stills(q, lattices)


def _measured(q: Float, position_sigma: float, rng: np.random.Generator) -> Float:
    """Move spots on the Ewald sphere, as errors of their place on a detector do."""
    beam = np.array([0.0, 0.0, 1 / WAVELENGTH_ANGSTROM])
    ray = q + beam + position_sigma * rng.standard_normal(q.shape)
    ray /= WAVELENGTH_ANGSTROM * np.linalg.norm(ray, axis=1, keepdims=True)
    return np.asarray(ray - beam)


def scrambled(q: NDArray[np.floating], rng: np.random.Generator) -> Float:
    """Turn each spot about the beam by an angle of its own: no lattice is left.

    Parameters
    ----------
    q : ndarray of float, shape (..., 3)
        Scattering vectors [1/angstrom].
    rng : numpy.random.Generator
        Source of the angles.

    Returns
    -------
    ndarray of float64, shape (..., 3)
        Vectors of the same resolutions.
    """
    angle = rng.uniform(0, 2 * np.pi, q.shape[:-1])
    across = (q[..., 0] + 1j * q[..., 1]) * np.exp(1j * angle)
    return np.stack([across.real, across.imag, q[..., 2]], axis=-1)


def misorientation_deg(lattices: Float, references: Float, cell: UnitCell) -> Float:
    """Measure the angles between lattices, modulo the rotations of the cell.

    Parameters
    ----------
    lattices, references : ndarray of float64, shape (n, 3, 3)
        Conventional cell vectors in rows [angstrom]; NaN where there is no lattice.
    cell : UnitCell
        Their cell.

    Returns
    -------
    ndarray of float64, shape (n,)
        Angles [deg]; NaN where there is no lattice.
    """
    to_primitive = primitive_transform(cell.centering)
    reduced, transform = reduce_basis(cell.primitive_basis())
    to_reduced = transform @ to_primitive
    group = rotation_group(reduced, 1e-6)
    angle = np.full(len(lattices), np.nan)
    known = np.isfinite(lattices).all(axis=(1, 2))
    equivalent = group @ (to_reduced @ lattices[known])[:, None]
    deformation = np.linalg.inv(to_reduced @ references[known])[:, None] @ equivalent
    left, _, right = np.linalg.svd(deformation)
    cosine = (np.trace(left @ right, axis1=-2, axis2=-1).max(axis=1, initial=-1) - 1) / 2
    angle[known] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angle
