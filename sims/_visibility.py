"""How bright a spot must be to be found, and how many of a crystal's spots are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from autosteer.contracts.simulation import SimulatedSfx
from autosteer.physics import UnitCell, primitive_transform
from autosteer.sims.crystals import excitation_width

Float = NDArray[np.float64]

FINDER_SNR = 6.0
"""Brightest pixel over the local noise at which finders usually accept a spot."""

# Most of a detector lies beside the water ring.
_TYPICAL_BACKGROUND = 0.6
# On the mean a spot's centre is not at a pixel's centre.
_OFF_CENTER = 0.9
_OUTER_SHARE = 0.95


def visible_photons(config: SimulatedSfx, snr: float = FINDER_SNR) -> float:
    """Return the expected photons at which about half of the spots are found.

    Parameters
    ----------
    config : SimulatedSfx
        Spot size, background and readout noise.
    snr : float, default 6.0
        Brightest pixel over the local noise at which a spot is accepted.

    Returns
    -------
    float
        Photons of a whole spot.
    """
    detector = config.detector
    noise = math.hypot(
        math.sqrt(_TYPICAL_BACKGROUND * detector.background_photons),
        detector.readout_noise_adu / detector.adu_per_photon,
    )
    needed = max(snr * noise, 1.0)
    # The brightest of a spot's pixels lies about one deviation above its own expectation:
    # solve expected + sqrt(expected) = needed.
    brightest = needed + 0.5 - math.sqrt(needed + 0.25)
    half_pixel = 0.5 / config.crystals.spot_sigma_px
    line_share = float(ndtr(half_pixel) - ndtr(-half_pixel))
    return brightest / (_OFF_CENTER * line_share**2)


def visible_spots(
    config: SimulatedSfx,
    cell: UnitCell,
    wavelength_angstrom: float,
    d_min_angstrom: float,
    brightness: Float,
) -> tuple[Float, Float]:
    """Return how many spots of a crystal are found, and how far out, on the mean.

    Reflections lie evenly in reciprocal space, one in each primitive reciprocal cell. At a
    given excitation error, those whose exponentially distributed intensity lifts them above the
    visible number of photons are ``exp(-visible / expected)`` of all; the count is the integral
    over the Ewald sphere and the excitation error.

    Parameters
    ----------
    config : SimulatedSfx
        Crystals and background.
    cell : UnitCell
        Cell of the crystals.
    wavelength_angstrom : float
        Wavelength [angstrom].
    d_min_angstrom : float
        Resolution at the rim of the detector, or of a circle of the same area [angstrom].
    brightness : ndarray of float64, shape (n,)
        Illumination over its nominal value, positive.

    Returns
    -------
    n_spots : ndarray of float64, shape (n,)
        Number of visible spots, as mean over orientations.
    outer_q : ndarray of float64, shape (n,)
        Length of the scattering vector that 95 % of them stay below [1/angstrom].
    """
    crystals = config.crystals
    # One conventional cell holds as many lattice points as it has primitive cells.
    volume = cell.volume * abs(np.linalg.det(primitive_transform(cell.centering)))
    q = (np.arange(200) + 0.5) / (200 * d_min_angstrom)
    width = excitation_width(q, crystals, 1 / wavelength_angstrom)
    error = (np.arange(60) + 0.5) / 60 * 4.0
    falloff = np.exp(-2 * (crystals.resolution_angstrom * q) ** 2)
    # Half of the polarised beam's intensity is lost in the plane of polarisation at right angles;
    # on the mean over azimuths the factor is (1 + cos(2 theta)^2) / 2.
    cosine = 1 - (q * wavelength_angstrom) ** 2 / 2
    full = crystals.photons_per_spot * falloff * (1 + cosine**2) / 2
    expected = full[:, None] * np.exp(-0.5 * error**2)
    # Area of the Ewald sphere per step of q is 2 pi q dq; the error counts on both sides of it.
    shell = 2 * np.pi * q * width * (q[1] - q[0]) * 2 * (error[1] - error[0])
    limit = visible_photons(config)
    shown = np.array([
        np.exp(-np.minimum(limit / (one * expected), 700.0)).sum(axis=1) for one in brightness
    ])
    cumulative = volume * np.cumsum(shown * shell, axis=1)
    n_spots = cumulative[:, -1]
    outer_q = np.array([
        np.interp(_OUTER_SHARE * total, inside, q)
        for total, inside in zip(n_spots, cumulative, strict=True)
    ])
    return n_spots, outer_q
