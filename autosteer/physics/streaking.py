"""Angular streaking: from phases to times, and what a phase leaves open.

A circularly polarised laser pushes photoelectrons sideways in the direction that its field has when
they are born. A sub-spike of an X-ray pulse therefore shows its time of arrival as an angle, the
streaking phase, which goes round once in each optical period of the laser [1]_.

The phase difference of two sub-spikes is what can be measured well, and it leaves two things open:
which of the two came first (its sign), and how many whole periods lie between them. Differences
are therefore folded to [0, pi], and delays are between zero and half a period.

References
----------
.. [1] N. Hartmann et al., Nature Photonics 12, 215 (2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

SPEED_OF_LIGHT_UM_PER_AS = 2.99792458e-4
"""Speed of light in vacuum [um/as]."""

SHORTEST_WAVELENGTH_UM, LONGEST_WAVELENGTH_UM = 0.2, 30.0
"""Wavelengths that a streaking laser can have [um]."""


def optical_period_as(wavelength_um: float) -> float:
    """Return the optical period of the streaking laser.

    Parameters
    ----------
    wavelength_um : float
        Its wavelength [um].

    Returns
    -------
    float
        The period [as].

    Raises
    ------
    ValueError
        If no streaking laser has this wavelength: it is outside 0.2 to 30 um.

    Examples
    --------
    >>> round(optical_period_as(1.2))
    4003
    """
    if not SHORTEST_WAVELENGTH_UM <= wavelength_um <= LONGEST_WAVELENGTH_UM:
        raise ValueError(
            f"wavelength_um is {wavelength_um:g}: a streaking laser has "
            f"{SHORTEST_WAVELENGTH_UM:g} to {LONGEST_WAVELENGTH_UM:g} um"
        )
    return wavelength_um / SPEED_OF_LIGHT_UM_PER_AS


def fold_phase(difference_rad: ArrayLike) -> Float:
    """Bring phase differences to [0, pi], where neither sign nor whole turns are left.

    Parameters
    ----------
    difference_rad : array_like, shape (...)
        Differences of two phases [rad].

    Returns
    -------
    ndarray of float64, shape (...)
        Folded differences [rad].

    Examples
    --------
    >>> fold_phase([-0.5, 0.5, 6.0, 7.0]).round(3)
    array([0.5  , 0.5  , 0.283, 0.717])
    """
    turn = 2 * np.pi
    difference = np.asarray(difference_rad, dtype=np.float64)
    folded: Float = np.abs(difference - turn * np.round(difference / turn))
    return folded


def delay_as(delta_phase_rad: ArrayLike, wavelength_um: float) -> Float:
    """Turn phase differences into delays.

    Parameters
    ----------
    delta_phase_rad : array_like, shape (...)
        Phase differences; sign and whole turns are lost [rad].
    wavelength_um : float
        Wavelength of the streaking laser [um].

    Returns
    -------
    ndarray of float64, shape (...)
        Delays from zero to half a period: the true delay is one of these, its negative, or either
        of them and whole periods more [as].

    Raises
    ------
    ValueError
        If no streaking laser has this wavelength.

    Examples
    --------
    >>> delay_as([0.0465, 3.1416, 6.2], 1.2).round(1)
    array([  29.6, 2001.4,   53. ])
    """
    return fold_phase(delta_phase_rad) * (optical_period_as(wavelength_um) / (2 * np.pi))


def phase_rad(delay_as: ArrayLike, wavelength_um: float) -> Float:
    """Turn delays into folded phase differences.

    Parameters
    ----------
    delay_as : array_like, shape (...)
        Delays of any sign and length [as].
    wavelength_um : float
        Wavelength of the streaking laser [um].

    Returns
    -------
    ndarray of float64, shape (...)
        Phase differences in [0, pi] [rad].

    Raises
    ------
    ValueError
        If no streaking laser has this wavelength.

    Examples
    --------
    >>> phase_rad([1000.7, -1000.7, 3002.1], 1.2).round(3)
    array([1.571, 1.571, 1.571])
    """
    return fold_phase(np.asarray(delay_as) * (2 * np.pi / optical_period_as(wavelength_um)))
