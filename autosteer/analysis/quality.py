"""How good a frame is: numbers per frame that steering and veto live on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.indexing_result import IndexingResult

Float = NDArray[np.float64]

# The outermost spots of a frame are left out where they are this share, and at least two.
_OUTERMOST_SHARE = 50
_ROBUST_QUANTILE = 0.9
_FEWEST_FOR_FALLOFF = 10


@dataclass(frozen=True, slots=True, eq=False)
class FrameQuality:
    """Quality of n frames; every array has the shape (n,), and NaN where a number has no base.

    Parameters
    ----------
    n_spots : ndarray of int64
        Spots found.
    indexed_fraction : ndarray of float64
        Spots on any of the lattices over all spots.
    resolution_angstrom : ndarray of float64
        d of the outermost spots, see `resolution_limit` [angstrom].
    resolution_robust_angstrom : ndarray of float64
        d beyond which a tenth of the spots lies; of those on lattices where there are any: a few
        false spots far out do not move it [angstrom].
    rmsd : ndarray of float64
        Root mean square distance of indexed spots from their lattice points [1/angstrom].
    mosaicity_deg : ndarray of float64
        Scatter along the rays over the root mean square length of the scattering vectors, as an
        angle: what mosaicity would have to be if it alone made the best lattice's excitation
        errors [deg]. Domain size, bandwidth and divergence make it larger than it is.
    falloff_b_angstrom2 : ndarray of float64
        Apparent B factor: -1/2 of the slope of ln(intensity) against (sin(theta) / wavelength)^2
        [angstrom^2]. Spots too weak to be found are missing, so that it is smaller than Wilson's.
    asymmetry : ndarray of float64
        How one-sided the spots stand about the beam: 0 all around, 1 all in one direction.

    References
    ----------
    .. [1] A. J. C. Wilson, Nature 150, 152 (1942), on intensity against resolution.
    .. [2] C. Nave, Acta Crystallographica D54, 848 (1998), on what widens reflections.
    .. [3] K. V. Mardia and P. E. Jupp, Directional Statistics (2000), section 4.8, on mean
           resultant lengths and their bias in small samples.
    """

    n_spots: NDArray[np.int64]
    indexed_fraction: Float
    resolution_angstrom: Float
    resolution_robust_angstrom: Float
    rmsd: Float
    mosaicity_deg: Float
    falloff_b_angstrom2: Float
    asymmetry: Float


def frame_quality(
    q: NDArray[Any], result: IndexingResult, intensity: NDArray[Any] | None = None
) -> FrameQuality:
    """Measure the quality of frames.

    Parameters
    ----------
    q : ndarray of float, shape (n, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].
    result : IndexingResult
        What indexing found in the same lists.
    intensity : ndarray of float, shape (n, n_spots), optional
        Intensity of each spot, any unit; without it there is no falloff.

    Returns
    -------
    FrameQuality
        The numbers.
    """
    vectors = np.asarray(q, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=2)
    present = np.isfinite(length)
    own = result.spot_lattice >= 0
    n_spots = present.sum(axis=1)
    n_own = own.sum(axis=1)
    some_own = n_own > 0
    robust = np.where(np.where(some_own[:, None], own, present), length, np.nan)
    return FrameQuality(
        n_spots=n_spots,
        indexed_fraction=_ratio(n_own, n_spots),
        resolution_angstrom=resolution_limit(vectors),
        resolution_robust_angstrom=1 / _quantile(robust, _ROBUST_QUANTILE),
        rmsd=np.sqrt(_mean(result.residual.astype(np.float64) ** 2, own)),
        mosaicity_deg=_mosaicity_deg(length, result),
        falloff_b_angstrom2=(
            np.full(len(vectors), np.nan)
            if intensity is None
            else _falloff(length, np.asarray(intensity, dtype=np.float64), present)
        ),
        asymmetry=_asymmetry(vectors, present),
    )


def resolution_limit(q: NDArray[Any]) -> Float:
    """Return the resolution to which the spots of each frame reach.

    Parameters
    ----------
    q : ndarray of float, shape (n_frames, n_spots, 3)
        Scattering vectors, padded with NaN [1/angstrom].

    Returns
    -------
    ndarray of float64, shape (n_frames,)
        d of the outermost spot but for the outer 2 %, where these are at least two spots
        [angstrom]; NaN without spots.

    References
    ----------
    .. [1] T. A. White et al., Journal of Applied Crystallography 45, 335 (2012); the definition
           is that of CrystFEL's peak resolution.

    Examples
    --------
    >>> resolution_limit(np.array([[[0.0, 0.3, 0.0], [0.4, 0.0, -0.3], [np.nan] * 3]]))
    array([2.])
    """
    length = np.linalg.norm(np.asarray(q, dtype=np.float64), axis=2)
    count = np.isfinite(length).sum(axis=1)
    left_out = count // _OUTERMOST_SHARE
    left_out[left_out < 2] = 0
    return 1 / _ordered(length, count - 1 - left_out)


def _ordered(values: Float, rank: NDArray[np.int64]) -> Float:
    """Pick the value of a rank in each row; NaN where the rank is negative."""
    picked = np.full(len(values), np.nan)
    some = np.flatnonzero(rank >= 0)
    if len(some):
        # NaN sorts to the end.
        picked[some] = np.sort(values[some], axis=1)[np.arange(len(some)), rank[some]]
    return picked


def _quantile(values: Float, share: float) -> Float:
    """Lower empirical quantile of each row, NaN left aside."""
    count = np.isfinite(values).sum(axis=1)
    return _ordered(values, np.ceil(share * count).astype(np.int64) - 1)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Float:
    """Divide; NaN by zero."""
    quotient: Float = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def _mean(values: Float, used: NDArray[np.bool_]) -> Float:
    """Mean of the values in use of each row; NaN where there are none."""
    return _ratio(np.where(used, values, 0.0).sum(axis=1), used.sum(axis=1))


def _mosaicity_deg(length: Float, result: IndexingResult) -> Float:
    """Excitation errors of the best lattices as angles."""
    of_best = result.indexed_spots
    typical = np.sqrt(_mean(length**2, of_best))
    scatter = np.full(len(length), np.nan)
    scatter[result.indexed] = result.found.excitation_sigma[result.best[result.indexed]]
    return np.asarray(np.degrees(scatter / typical))


def _falloff(length: Float, intensity: Float, present: NDArray[np.bool_]) -> Float:
    """Fit straight lines to ln(intensity) against (sin(theta) / wavelength)^2 = q^2 / 4."""
    used = present & (intensity > 0)
    x = np.where(used, length**2 / 4, 0.0)
    y = np.log(np.where(used, intensity, 1.0))
    x = np.where(used, x - _mean(x, used)[:, None], 0.0)
    slope = _ratio((x * y).sum(axis=1), (x**2).sum(axis=1))
    return np.where(used.sum(axis=1) >= _FEWEST_FOR_FALLOFF, -slope / 2, np.nan)


def _asymmetry(q: Float, present: NDArray[np.bool_]) -> Float:
    """Mean resultant length of the directions about the beam, freed of its bias."""
    across = np.hypot(q[..., 0], q[..., 1])
    used = present & (across > 0)
    direction = np.where(used, q[..., 0] + 1j * q[..., 1], 0) / np.where(used, across, 1)
    n = used.sum(axis=1)
    squared = np.abs(direction.sum(axis=1)) ** 2
    # n unit vectors of random directions have a squared sum of n on the mean.
    return np.sqrt(np.maximum(_ratio(squared - n, n * (n - 1.0)), 0.0))
