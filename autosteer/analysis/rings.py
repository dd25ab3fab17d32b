"""Rings of ice and powder: spots that crowd at one resolution, and narrow rings of the background.

References
----------
.. [1] A. Thorn et al., Acta Cryst. D73, 729 (2017), "AUSPEX: a graphical tool for X-ray diffraction
       data analysis", which lists the rings of hexagonal ice.
       https://doi.org/10.1107/S205979831700969X
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.stats import poisson

from autosteer.analysis.spots import Spots
from autosteer.physics import Detector

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

ICE_D_ANGSTROM = (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72)
"""Resolutions of the rings of hexagonal ice, [1]_ of the module [angstrom]."""

# Half the width of a shell, and of the wider one that tells what is usual there [1/angstrom].
_SHELL_Q, _USUAL_Q = 0.002, 0.016
_FEWEST_ON_RING = 5
_TIMES_AS_MANY = 3.0
# Chance that as many spots fall into a shell: of a ring anywhere, and where ice is known to be.
_CHANCE, _ICE_CHANCE = 1e-5, 1e-2
_ICE_HALF_WIDTH_Q = 0.003
_BIN_Q = 0.002
_BINS_ABOUT = 8
_FEWEST_PIXELS_IN_BIN = 50
# Values beyond this many deviations of their bin are drawn in: spots are no rings.
_CLIP_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class RingSpots:
    """Which spots lie on rings.

    Parameters
    ----------
    on_ring : ndarray of bool, shape (n,)
        Spots in a narrow shell of resolution that holds far more spots of its frame than the
        shells about it.
    on_ice : ndarray of bool, shape (n,)
        Those of them that lie where hexagonal ice has a ring.
    ring_score : ndarray of float32, shape (n_frames,)
        Share of each frame's spots that lie on rings; NaN without spots.
    """

    on_ring: Bool
    on_ice: Bool
    ring_score: Float


def spots_on_rings(
    spots: Spots, q: NDArray[Any], ice_d_angstrom: tuple[float, ...] = ICE_D_ANGSTROM
) -> RingSpots:
    """Find the spots that crowd in narrow shells of resolution.

    A shell counts the spots within 0.002 1/angstrom of a spot. From those within 0.016 1/angstrom
    follows how many there should be; where there are three times as many, and the chance of that
    is below one in a hundred thousand, it is a ring. Where ice is known to have one, one in a
    hundred is enough.

    Parameters
    ----------
    spots : Spots
        The n spots of some frames.
    q : ndarray of float, shape (n, 3)
        Scattering vector of each [1/angstrom].
    ice_d_angstrom : tuple of float, default that of hexagonal ice
        Resolutions at which rings are expected; empty for none [angstrom].

    Returns
    -------
    RingSpots
        Flags of the spots.
    """
    length = np.linalg.norm(np.asarray(q, dtype=np.float64), axis=1).reshape(-1)
    # One axis for all frames, long enough that no shell reaches into the next frame.
    stride = length.max(initial=0.0) + 2 * _USUAL_Q
    place = spots.frame * stride + length
    ordered = np.sort(place)
    shell, usual = (_within(ordered, place, half) for half in (_SHELL_Q, _USUAL_Q))
    # The shell of the innermost spots reaches below zero, where there are none.
    width = np.minimum(_USUAL_Q, length) + _USUAL_Q
    expected = (usual - shell) * (2 * _SHELL_Q / (width - 2 * _SHELL_Q))
    chance = poisson.sf(shell - 1, np.maximum(expected, 1e-3))
    ice = np.abs(length[:, None] - 1 / np.asarray(ice_d_angstrom or (np.inf,)))
    near_ice = bool(ice_d_angstrom) & (ice.min(axis=1) < _ICE_HALF_WIDTH_Q)
    crowded = (shell >= _FEWEST_ON_RING) & (shell >= _TIMES_AS_MANY * expected)
    on_ring = crowded & (chance < np.where(near_ice, _ICE_CHANCE, _CHANCE))
    count = np.bincount(spots.frame[on_ring], minlength=len(spots.n_spots))
    with np.errstate(invalid="ignore"):
        score = (count / spots.n_spots).astype(np.float32)
    return RingSpots(on_ring, on_ring & near_ice, score)


def _within(ordered: NDArray[np.float64], place: NDArray[np.float64], half: float) -> Any:
    """Count how many lie within half a width of each place."""
    return np.searchsorted(ordered, place + half, side="right") - np.searchsorted(
        ordered, place - half, side="left"
    )


def _smoothed(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running median, which no narrow ring moves."""
    smooth: NDArray[np.float64] = median_filter(profile, size=2 * _BINS_ABOUT + 1, mode="nearest")
    return smooth


@dataclass(frozen=True, slots=True, eq=False)
class PowderRing:
    """The strongest narrow ring of each frame, each of shape (n_frames,).

    Parameters
    ----------
    contrast : ndarray of float32
        Height of the ring over the smooth background about it; 0 where there is no ring.
    sigmas : ndarray of float32
        Height over its standard error.
    d_angstrom : ndarray of float32
        Resolution of the ring; NaN without a ring [angstrom].
    """

    contrast: Float
    sigmas: Float
    d_angstrom: Float


class PowderRings:
    """Looks for narrow rings in the azimuthal mean of frames.

    The mean of the pixels in shells of 0.002 1/angstrom is compared with the median of the shells
    within 0.016 1/angstrom, which follows the wide rings of liquids.

    Parameters
    ----------
    detector : Detector
        Geometry.
    wavelength_angstrom : float
        Wavelength [angstrom].
    mask : ndarray of bool, shape (n_panels, n_slow, n_fast), optional
        True where a pixel is good; all are by default.
    """

    def __init__(
        self, detector: Detector, wavelength_angstrom: float, mask: Bool | None = None
    ) -> None:
        panel, slow, fast = (index.ravel() for index in np.indices(detector.frame_shape))
        length = np.linalg.norm(
            detector.scattering_vectors(panel, slow, fast, wavelength_angstrom), axis=1
        )
        shell = (length / _BIN_Q).astype(np.intp)
        good = np.ones(len(shell), np.bool_) if mask is None else mask.ravel()
        self._pixel = np.flatnonzero(good)
        self._shell = shell[self._pixel]
        self._n_shells = int(self._shell.max(initial=0)) + 1
        full = np.bincount(self._shell, minlength=self._n_shells) >= _FEWEST_PIXELS_IN_BIN
        self._full = np.flatnonzero(full)
        self._q = (np.arange(self._n_shells) + 0.5) * _BIN_Q

    def find(self, frames: NDArray[Any], sigmas: float = 8.0) -> PowderRing:
        """Find the strongest ring of each frame.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames; NaN is no measurement [detector counts].
        sigmas : float, default 8.0
            Least height of a ring over its standard error.

        Returns
        -------
        PowderRing
            The rings.
        """
        found = np.full((3, len(frames)), np.nan, dtype=np.float32)
        for index, frame in enumerate(frames.reshape(len(frames), -1)):
            found[:, index] = self._strongest(frame[self._pixel].astype(np.float64), sigmas)
        return PowderRing(*found)

    def _strongest(self, values: NDArray[np.float64], sigmas: float) -> tuple[float, ...]:
        """Return contrast, sigmas and resolution of the strongest ring."""
        known = np.isfinite(values)
        shell, values = self._shell[known], values[known]
        mean, spread, count = self._moments(shell, values)
        for _ in range(2):
            limit = _CLIP_SIGMAS * spread[shell]
            values = np.clip(values, mean[shell] - limit, mean[shell] + limit)
            mean, spread, count = self._moments(shell, values)
        profile = mean[self._full]
        if len(profile) <= _BINS_ABOUT:
            return 0.0, 0.0, np.nan
        smooth = _smoothed(profile)
        # Twice, since the median of a bend lies off it by a bend of its own.
        smooth += _smoothed(profile - smooth)
        error = spread[self._full] / np.sqrt(np.maximum(count[self._full], 1))
        # Shells of a smooth but uneven background scatter more than their pixels tell.
        rough = np.median(np.abs(np.diff(profile - smooth))) / 0.954
        height = (profile - smooth) / np.hypot(error, rough).clip(min=1e-9)
        best = int(height.argmax())
        if height[best] < sigmas:
            return 0.0, float(height[best]), np.nan
        contrast = (profile[best] - smooth[best]) / max(abs(smooth[best]), 1e-9)
        return float(contrast), float(height[best]), 1 / float(self._q[self._full[best]])

    def _moments(
        self, shell: NDArray[np.intp], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Mean, standard deviation and number of the values of each shell."""
        count = np.bincount(shell, minlength=self._n_shells)
        some = np.maximum(count, 1)
        mean = np.bincount(shell, weights=values, minlength=self._n_shells) / some
        residual = (values - mean[shell]) ** 2
        variance = np.bincount(shell, weights=residual, minlength=self._n_shells) / some
        return mean, np.sqrt(variance), count
