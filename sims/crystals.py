"""Crystals and how they diffract: random orientations and the reflections near the Ewald sphere.

A reflection is the centre of a small cloud of reciprocal space. What a still image records of it
falls off, as a Gaussian, with the excitation error: the distance of the centre from the Ewald
sphere, along the radius of that sphere. Three effects add up in quadrature to its width, in the
spirit of reference [1]_:

* the size D of the mosaic domains, a width of 0.4/D at every reflection (Scherrer's formula for
  compact domains, brought from full width at half maximum to rms);
* mosaicity, which turns q by a small angle: ``mosaicity * abs(q) * cos(theta)`` of that movement
  is along the radius;
* bandwidth, the Ewald sphere itself being smeared: ``bandwidth * abs(q)^2 / (2 k)``.

References
----------
.. [1] C. Nave, Acta Cryst. D54, 848 (1998), "A description of imperfections in protein crystals".
.. [2] A. J. C. Wilson, Acta Cryst. 2, 318 (1949). https://doi.org/10.1107/S0365110X49000813
.. [3] K. Shoemake, Graphics Gems III, 124 (1992), "Uniform random rotations".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import UnitCell, primitive_transform
from autosteer.sims._draws import mix64, stream_seed, unit_interval

Float = NDArray[np.float64]

LYSOZYME = UnitCell(79.1, 79.1, 37.9, 90.0, 90.0, 90.0)
"""Hen egg-white lysozyme, tetragonal: the cell that most beamlines test with."""

DOMAIN_WIDTH = 0.4
"""RMS width of a reflection, in units of one over the domain size."""

_CUT_WIDTHS = 3.3
_CELL_MARGIN_SPREADS = 5.0
_MIN_PHOTONS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Reflections:
    """Reflections that one crystal sends out in one shot.

    Parameters
    ----------
    hkl : ndarray of int32, shape (n, 3)
        Miller indices.
    q : ndarray of float64, shape (n, 3)
        Where the spot appears: a scattering vector that ends on the Ewald sphere [1/angstrom].
    photons : ndarray of float64, shape (n,)
        Expected photons of the whole spot.
    partiality : ndarray of float64, shape (n,)
        Recorded part of a reflection that stands exactly on the Ewald sphere, in (0, 1].
    """

    hkl: NDArray[np.int32]
    q: Float
    photons: Float
    partiality: Float

    def __len__(self) -> int:
        return len(self.photons)


class CrystalSimulator:
    """Diffraction of randomly oriented crystals of a known cell.

    Each pair of reflections hkl and -h-k-l has one squared structure factor, drawn from the seed
    with the acentric Wilson distribution (exponential, [2]_ of the module) and the same in every
    crystal. On the mean, intensities fall as ``exp(-2 (resolution * q)^2)``.

    Parameters
    ----------
    cell : UnitCell
        The cell; reflections that its centring forbids are absent.
    config : SimulatedCrystals
        How crystals diffract.
    wavelength_angstrom : float
        Wavelength [angstrom].
    d_min_angstrom : float
        Highest resolution that is looked at [angstrom].
    seed : int
        The one seed of the simulation, not negative.

    Raises
    ------
    ValueError
        If no reflection can be reached: `d_min_angstrom` is less than half the wavelength, or
        larger than the cell.
    """

    def __init__(
        self,
        cell: UnitCell,
        config: SimulatedCrystals,
        wavelength_angstrom: float,
        d_min_angstrom: float,
        seed: int,
    ) -> None:
        if not d_min_angstrom > wavelength_angstrom / 2:
            raise ValueError(
                f"d_min_angstrom is {d_min_angstrom}: at a wavelength of {wavelength_angstrom} "
                "angstrom nothing is seen beyond half of that"
            )
        self._config = config
        self._basis = cell.basis()
        self._wave_number = 1 / wavelength_angstrom
        self._hkl = _miller_indices(cell, d_min_angstrom)
        if not len(self._hkl):
            raise ValueError(
                f"no reflection of the cell {cell.lengths} angstrom reaches {d_min_angstrom} "
                "angstrom: choose a smaller d_min_angstrom"
            )
        q = np.linalg.norm(self._hkl @ np.linalg.inv(self._basis).T.astype(np.float32), axis=1)
        falloff = np.exp(-2 * (config.resolution_angstrom * q) ** 2)
        self._full_photons = (
            config.photons_per_spot * structure_factors_squared(self._hkl, seed) * falloff
        ).astype(np.float32)
        # Half q squared over k, and how far from the sphere a reflection may be and still count:
        # what `reflections` compares to throw out nearly all of them in one pass.
        half = q**2 / (2 * self._wave_number)
        self._half_q2_over_k = half.astype(np.float32)
        cell_margin = 4 * _CELL_MARGIN_SPREADS * config.cell_spread * half
        self._margin = (_CUT_WIDTHS * self._width(q) + cell_margin).astype(np.float32)

    @property
    def n_reflections(self) -> int:
        """Reflections within the resolution limit, Friedel mates counted each."""
        return len(self._hkl)

    def random_bases(self, rng: np.random.Generator, count: int) -> Float:
        """Draw crystals: uniform orientations, cells with their spread.

        Lengths that are equal in the cell stay equal, as its symmetry will want them to.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the draws.
        count : int
            Number of crystals.

        Returns
        -------
        ndarray of float64, shape (count, 3, 3)
            Cell vectors in rows, in the laboratory [angstrom], determinant positive.
        """
        lengths = np.linalg.norm(self._basis, axis=1)
        _, group = np.unique(lengths.round(6), return_inverse=True)
        stretch = 1 + self._config.cell_spread * rng.standard_normal((count, 3))
        bases: Float = (stretch[:, group, None] * self._basis) @ random_rotations(rng, count)
        return bases

    def reflections(self, basis: Float, intensity: float = 1.0) -> Reflections:
        """Find the reflections of a crystal that are on or near the Ewald sphere.

        Parameters
        ----------
        basis : ndarray of float64, shape (3, 3)
            Cell vectors in rows, in the laboratory [angstrom].
        intensity : float, default 1.0
            Illumination over its nominal value.

        Returns
        -------
        Reflections
            Those that give at least half a photon, in no particular order.
        """
        wave_number = self._wave_number
        reciprocal = np.linalg.inv(basis).T
        along_beam = self._hkl @ reciprocal[:, 2].astype(np.float32)
        near = np.flatnonzero(np.abs(along_beam + self._half_q2_over_k) < self._margin)
        hkl = self._hkl[near]
        q = hkl.astype(np.float64) @ reciprocal
        k_out = q + np.array([0.0, 0.0, wave_number])
        radius = np.linalg.norm(k_out, axis=1)
        excitation = radius - wave_number
        width = self._width(np.linalg.norm(q, axis=1))
        partiality = np.exp(-0.5 * (excitation / width) ** 2)
        direction = k_out / radius[:, None]
        photons = intensity * self._full_photons[near] * partiality * polarization(direction[:, 0])
        keep = (photons >= _MIN_PHOTONS) & (np.abs(excitation) < _CUT_WIDTHS * width)
        on_sphere = wave_number * (direction[keep] - np.array([0.0, 0.0, 1.0]))
        return Reflections(hkl[keep].astype(np.int32), on_sphere, photons[keep], partiality[keep])

    def _width(self, q: NDArray[np.floating]) -> Float:
        """Return the rms width of reflections along the radius of the Ewald sphere."""
        return excitation_width(q, self._config, self._wave_number)


def excitation_width(
    q: NDArray[np.floating], config: SimulatedCrystals, wave_number: float
) -> Float:
    """Return the rms excitation error at which reflections still diffract.

    Parameters
    ----------
    q : ndarray of float, shape (n,)
        Length of the scattering vectors [1/angstrom].
    config : SimulatedCrystals
        Domain size, mosaicity and bandwidth.
    wave_number : float
        One over the wavelength [1/angstrom].

    Returns
    -------
    ndarray of float64, shape (n,)
        Width [1/angstrom]; see the module for the model.
    """
    sine = np.clip(np.asarray(q, dtype=np.float64) / (2 * wave_number), 0.0, 1.0)
    domain = DOMAIN_WIDTH / config.domain_size_angstrom
    turn = math.radians(config.mosaicity_deg) * q * np.sqrt(1 - sine**2)
    smear = config.bandwidth * q * sine
    width: Float = np.sqrt(domain**2 + turn**2 + smear**2)
    return width


def polarization(direction_x: Float) -> Float:
    """Return the polarisation factor of a beam that is polarised along x, as of most undulators.

    Parameters
    ----------
    direction_x : ndarray of float64, shape (...)
        x component of the scattered ray's unit vector.

    Returns
    -------
    ndarray of float64, shape (...)
        Intensity over that without polarisation, in [0, 1].
    """
    return 1 - direction_x**2


def crystal_brightness(uniform: Float) -> Float:
    """Return how brightly crystals in the beam are lit, over one at its centre.

    A crystal counts as in the beam where a round Gaussian beam has at least half its intensity.
    Crystals are spread evenly over that area, and so the logarithm of the intensity is uniform.

    Parameters
    ----------
    uniform : ndarray of float64, shape (n,)
        Uniform draws in (0, 1).

    Returns
    -------
    ndarray of float64, shape (n,)
        Brightness in (1/2, 1).
    """
    brightness: Float = np.exp2(-uniform)
    return brightness


def random_rotations(rng: np.random.Generator, count: int) -> Float:
    """Draw rotations uniformly, as random unit quaternions ([3]_ of the module).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    count : int
        Number of rotations.

    Returns
    -------
    ndarray of float64, shape (count, 3, 3)
        Rotation matrices, determinant +1.
    """
    quaternions = rng.standard_normal((count, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    scalar, vector = quaternions[:, 0, None, None], quaternions[:, 1:]
    # Matrix of the cross product with the vector part.
    cross = np.cross(vector[:, None, :], np.eye(3)[None])
    outer = vector[:, :, None] * vector[:, None, :]
    dot = (vector**2).sum(axis=1)[:, None, None]
    rotations: Float = (scalar**2 - dot) * np.eye(3) + 2 * outer + 2 * scalar * cross
    return rotations


def structure_factors_squared(hkl: NDArray[np.float32], seed: int) -> Float:
    """Draw squared structure factors with mean 1 that belong to the indices alone.

    Parameters
    ----------
    hkl : ndarray of float32, shape (n, 3)
        Whole-number Miller indices, each below a million.
    seed : int
        The one seed of the simulation.

    Returns
    -------
    ndarray of float64, shape (n,)
        Exponentially distributed numbers; hkl and -h-k-l have the same.
    """
    indices = hkl.astype(np.int64)
    packed = (indices[:, 0] * 2**21 + indices[:, 1]) * 2**21 + indices[:, 2]
    # Negating all three indices negates the packed number: its size is the same for both mates.
    key = stream_seed(seed, "structure factors").generate_state(1, np.uint64)
    mixed = mix64(mix64(np.abs(packed).astype(np.uint64)) ^ key)
    return -np.log(unit_interval(mixed))


def _miller_indices(cell: UnitCell, d_min_angstrom: float) -> NDArray[np.float32]:
    """List the allowed reflections up to a resolution, without 000, shape (n, 3)."""
    reciprocal = cell.reciprocal_basis()
    # h = a . q, so that abs(h) cannot exceed a times the largest q.
    limits = [math.floor(length / d_min_angstrom) for length in cell.lengths]
    ks, ls = np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits[1:]), indexing="ij")
    to_primitive = primitive_transform(cell.centering)
    slabs = []
    for h in range(-limits[0], limits[0] + 1):
        hkl = np.stack([np.full(ks.size, h), ks.ravel(), ls.ravel()], axis=1).astype(np.float64)
        q2 = ((hkl @ reciprocal) ** 2).sum(axis=1)
        hkl = hkl[(q2 > 0) & (q2 <= d_min_angstrom**-2)]
        in_primitive = hkl @ to_primitive.T
        allowed = (np.abs(in_primitive - in_primitive.round()) < 1e-6).all(axis=1)
        slabs.append(hkl[allowed].astype(np.float32))
    return np.ascontiguousarray(np.concatenate(slabs))
