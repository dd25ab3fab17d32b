"""Spot lists of still images, simulated, and how far a lattice found is from the truth."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosteer.physics import UnitCell, primitive_transform

Float = NDArray[np.float64]

LYSOZYME = UnitCell(79.1, 79.1, 37.9, 90, 90, 90)
THERMOLYSIN = UnitCell(93.4, 93.4, 131.0, 90, 90, 120)
TRICLINIC = UnitCell(45, 55, 68, 82, 75, 68)
MONOCLINIC_C = UnitCell(52, 61, 74, 90, 108, 90, "C")
CUBIC_I = UnitCell(78, 78, 78, 90, 90, 90, "I")
ORTHORHOMBIC_F = UnitCell(90, 95, 110, 90, 90, 90, "F")
RHOMBOHEDRAL = UnitCell(81, 81, 110, 90, 90, 120, "R")

WAVELENGTH = 1.3
RESOLUTION = 2.5
_EXCITATION_SIGMA = 0.0007
_POSITION_SIGMA = 0.0003
_STRAIN = 0.002


@dataclass(frozen=True)
class Stills:
    """Simulated lists with the lattices (rows) that they come from."""

    q: NDArray[np.float32]
    lattices: Float


def on_ewald_sphere(q: Float) -> Float:
    """Move points along the diffracted ray onto the Ewald sphere, as a detector sees them."""
    incident = np.array([0.0, 0.0, 1 / WAVELENGTH])
    diffracted = q + incident
    length = np.linalg.norm(diffracted, axis=1, keepdims=True)
    return np.asarray(diffracted / length / WAVELENGTH - incident)


def random_lattice(cell: UnitCell, rng: np.random.Generator) -> Float:
    """Turn the cell at random, and strain it a little."""
    strain = rng.normal(scale=_STRAIN, size=(3, 3))
    strained = cell.basis() @ (np.eye(3) + (strain + strain.T) / 2)
    return np.asarray(strained @ Rotation.random(rng=rng).as_matrix())


@functools.cache
def _miller_indices(cell: UnitCell) -> Float:
    """All indices that the centring allows, to a little beyond the resolution."""
    limits = np.ceil(1.02 * np.array(cell.lengths) / RESOLUTION).astype(int)
    axes = [np.arange(-limit, limit + 1) for limit in limits]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    primitive = hkl @ primitive_transform(cell.centering).T
    allowed = np.abs(primitive - np.rint(primitive)).max(axis=1) < 1e-6
    near = ((hkl @ cell.reciprocal_basis()) ** 2).sum(axis=1) < (1.02 / RESOLUTION) ** 2
    return np.asarray(hkl[allowed & near], dtype=np.float64)


def reflections(cell: UnitCell, lattice: Float, rng: np.random.Generator) -> Float:
    """Return spots of a still, the strongest first, on the Ewald sphere with noise."""
    q = _miller_indices(cell) @ np.linalg.inv(lattice).T
    # To first order, and only to choose what is worth a closer look.
    squared = np.einsum("ij,ij->i", q, q)
    q = q[np.abs(q[:, 2] + WAVELENGTH * squared / 2) < 0.01]
    length = np.linalg.norm(q, axis=1)
    off_sphere = np.linalg.norm(q + np.array([0, 0, 1 / WAVELENGTH]), axis=1) - 1 / WAVELENGTH
    seen = rng.random(len(q)) < np.exp(-((off_sphere / _EXCITATION_SIGMA) ** 2) / 2)
    seen &= (length > 1 / 60) & (length < 1 / RESOLUTION)
    q = on_ewald_sphere(q[seen] + rng.normal(scale=_POSITION_SIGMA, size=(seen.sum(), 3)))
    intensity = rng.exponential(size=len(q)) * np.exp(-7.8 * (q**2).sum(axis=1))
    return np.asarray(q[np.argsort(-intensity)])


def scramble(q: NDArray[Any], rng: np.random.Generator) -> Float:
    """Turn each spot about the beam by an angle of its own: resolutions stay, the lattice goes."""
    angle = rng.uniform(0, 2 * np.pi, q.shape[:-1])
    x = q[..., 0] * np.cos(angle) - q[..., 1] * np.sin(angle)
    y = q[..., 0] * np.sin(angle) + q[..., 1] * np.cos(angle)
    return np.stack([x, y, q[..., 2]], axis=-1)


def simulate_stills(
    cell: UnitCell, n_frames: int, n_spots: int, *, outliers: float = 0.0, seed: int = 0
) -> Stills:
    """Simulate lists of n spots, of which a share belongs to no lattice."""
    rng = np.random.default_rng(seed)
    q = np.full((n_frames, n_spots, 3), np.nan, dtype=np.float32)
    lattices = np.stack([random_lattice(cell, rng) for _ in range(n_frames)])
    n_true = round(n_spots * (1 - outliers))
    for frame, lattice in enumerate(lattices):
        spots = reflections(cell, lattice, rng)[:n_true]
        if outliers:
            chosen = rng.integers(len(spots), size=n_spots - len(spots))
            spots = np.concatenate([spots, scramble(spots[chosen], rng)])
        q[frame, : len(spots)] = rng.permutation(spots)
    return Stills(q, lattices)


@functools.cache
def rotations_of(cell: UnitCell) -> list[Float]:
    """Return all matrices g for which g @ lattice is the same lattice, turned."""
    basis = cell.basis()
    metric = basis @ basis.T
    primitive = primitive_transform(cell.centering)
    found = []
    for entries in itertools.product((-1, 0, 1), repeat=9):
        g = np.array(entries, dtype=np.float64).reshape(3, 3)
        if round(np.linalg.det(g)) != 1:
            continue
        inner = primitive @ g @ np.linalg.inv(primitive)
        if np.allclose(g @ metric @ g.T, metric, atol=1e-6 * metric.max()) and np.allclose(
            inner, np.rint(inner), atol=1e-6
        ):
            found.append(g)
    return found


def misorientation_deg(lattices: Float, references: Float, cell: UnitCell) -> Float:
    """Return the angle between lattices modulo the cell's rotations; NaN where there is none."""
    best = np.full(len(lattices), np.nan)
    known = np.isfinite(lattices).all(axis=(1, 2))
    for g in rotations_of(cell):
        deformation = np.linalg.inv(references[known]) @ (g @ lattices[known])
        u, _, v = np.linalg.svd(deformation)
        trace = np.trace(u @ v, axis1=1, axis2=2)
        angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
        best[known] = np.fmin(best[known], angle)
    return best
