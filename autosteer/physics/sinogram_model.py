"""The law of a streaking sinogram, and what a shot tells of its sub-spikes at best.

Each sub-spike is a line of electron energies in every channel of the spectrometer. The laser moves
the line of the channel at angle theta by ``kick * cos(theta + phase)``, so that it makes a sine
wave round the channels; all sub-spikes of a shot share the kick.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

# Numbers that are estimated for each sub-spike: phase, center, amplitude, and polarisation twice.
_PER_SPIKE = 5
_CHUNK_SHOTS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SinogramLaw:
    """What the lines of a spectrometer look like.

    Parameters
    ----------
    n_channels : int, default 16
        Channels, evenly round the beam; the first is at angle 0.
    n_bins : int, default 512
        Energy bins.
    line_half_width_bins : float, default 3
        A line is a raised cosine that ends this far from its middle [bins].
    efficiencies : tuple of float, default ()
        Share of the electrons that each channel counts; empty: all of them.
    """

    n_channels: int = 16
    n_bins: int = 512
    line_half_width_bins: float = 3.0
    efficiencies: tuple[float, ...] = ()

    @property
    def angles_rad(self) -> Float:
        """Angle of each channel, shape (n_channels,) [rad]."""
        return np.linspace(0, 2 * np.pi, self.n_channels, endpoint=False)

    @property
    def efficiency(self) -> Float:
        """Share of the electrons that each channel counts, shape (n_channels,)."""
        return np.array(self.efficiencies or (1.0,) * self.n_channels)

    @property
    def n_window(self) -> int:
        """Bins that a line can reach into."""
        return int(np.ceil(2 * self.line_half_width_bins))


@dataclass(frozen=True, slots=True, eq=False)
class SubSpikes:
    """Sub-spikes of n shots, at most m of each; rows beyond a shot's number hold NaN.

    Parameters
    ----------
    center_bins : ndarray of float64, shape (n, m)
        Energy without the laser [bins].
    phase_rad : ndarray of float64, shape (n, m)
        Streaking phases [rad].
    amplitude : ndarray of float64, shape (n, m)
        Strengths, not negative.
    polarization : ndarray of float64, shape (n, m)
        Degrees of linear polarisation, 0 to 1.
    polarization_angle_rad : ndarray of float64, shape (n, m)
        Their directions, as in ``1 + polarization * cos(2 * theta + angle)`` [rad].
    kick_bins : ndarray of float64, shape (n,)
        How far the laser moves a line at most [bins].
    background : ndarray of float64, shape (n,)
        Rate in each bin besides the lines.
    electrons : ndarray of float64, shape (n,)
        Electrons for a unit of rate.
    """

    center_bins: Float
    phase_rad: Float
    amplitude: Float
    polarization: Float
    polarization_angle_rad: Float
    kick_bins: Float
    background: Float
    electrons: Float

    def __len__(self) -> int:
        return len(self.kick_bins)

    @property
    def n_spikes(self) -> NDArray[np.int64]:
        """Sub-spikes of each shot, shape (n,)."""
        return np.asarray(np.isfinite(self.center_bins).sum(axis=1))

    def select(self, shots: NDArray[np.intp] | NDArray[np.bool_] | slice) -> SubSpikes:
        """Keep some shots.

        Parameters
        ----------
        shots : ndarray of int or bool, or slice
            Which ones.

        Returns
        -------
        SubSpikes
            These, in the order given.
        """
        return SubSpikes(*(getattr(self, field.name)[shots] for field in fields(self)))

    def of_number(self, m: int) -> SubSpikes:
        """Leave out the columns of sub-spikes that none of the shots has.

        Parameters
        ----------
        m : int
            Sub-spikes of each shot.

        Returns
        -------
        SubSpikes
            The shots, with arrays of shape (n, m).
        """
        columns = (getattr(self, field.name) for field in fields(self))
        return SubSpikes(*(values[:, :m] if values.ndim == 2 else values for values in columns))


def line_positions(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return where the lines stand in each channel.

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n, m, n_channels)
        Middles of the lines; NaN for spikes that a shot does not have [bins].
    """
    angle = law.angles_rad + spikes.phase_rad[..., None]
    return spikes.center_bins[..., None] + spikes.kick_bins[:, None, None] * np.cos(angle)


def line_weights(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return how strong the lines are in each channel.

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n, m, n_channels)
        Factors of the lines; 0 for spikes that a shot does not have.
    """
    angle = 2 * law.angles_rad + spikes.polarization_angle_rad[..., None]
    turned = 1 + spikes.polarization[..., None] * np.cos(angle)
    return np.nan_to_num(0.5 * spikes.amplitude[..., None] * turned)


def line_shape(distance_bins: ArrayLike, half_width_bins: float) -> Float:
    """Return the height of a line, 1 in its middle.

    Parameters
    ----------
    distance_bins : array_like, shape (...)
        Distances from its middle [bins].
    half_width_bins : float
        Where it ends [bins].

    Returns
    -------
    ndarray of float64, shape (...)
        A raised cosine; 0 beyond its ends and where the distance is NaN.

    Examples
    --------
    >>> line_shape([-3.0, 0.0, 1.5, 4.0], 3.0).round(2)
    array([0. , 1. , 0.5, 0. ])
    """
    distance = np.asarray(distance_bins, dtype=np.float64)
    inside = np.abs(distance) < half_width_bins
    angle = np.where(inside, distance, half_width_bins) * (np.pi / half_width_bins)
    shape: Float = np.where(inside, 0.5 * (1 + np.cos(angle)), 0.0)
    return shape


def expected_rates(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return the noiseless sinograms, without the offset of the counts.

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n, n_channels, n_bins)
        Rates; times the efficiency of the channel and the shot's `electrons`, what is expected to
        be counted in a bin.
    """
    n = len(spikes)
    shape = (n, law.n_channels, law.n_bins)
    rates = np.broadcast_to(spikes.background[:, None, None], shape).copy()
    bins, height = line_windows(line_positions(spikes, law), law)
    height = height * line_weights(spikes, law)[..., None]
    shot = np.arange(n)[:, None, None, None]
    channel = np.arange(law.n_channels)[:, None]
    inside = (bins >= 0) & (bins < law.n_bins)
    place = (shot * law.n_channels + channel) * law.n_bins + np.clip(bins, 0, law.n_bins - 1)
    np.add.at(rates.reshape(-1), place[inside], height[inside])
    return rates


def line_windows(position: Float, law: SinogramLaw) -> tuple[NDArray[np.int64], Float]:
    """Return the bins that lines reach into, and how high they are there.

    Parameters
    ----------
    position : ndarray of float64, shape (...)
        Middles of the lines; NaN where there is none [bins].
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    bins : ndarray of int64, shape (..., n_window)
        The bins; some may lie outside of the spectrometer.
    height : ndarray of float64, shape (..., n_window)
        Height of the line, 1 in its middle; 0 where there is none.
    """
    known = np.isfinite(position)
    first = np.floor(np.where(known, position, 0) - law.line_half_width_bins).astype(np.int64) + 1
    bins = first[..., None] + np.arange(law.n_window)
    height = line_shape(bins - position[..., None], law.line_half_width_bins)
    return bins, height


def fisher_information(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return the Fisher information of shots whose bins count Poisson numbers of electrons.

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots, the same number m in each.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n, 5 * m + 2, 5 * m + 2)
        Information on phases, centers, amplitudes, and polarisations as ``amplitude *
        polarization`` times cosine and sine of the angle, each for all spikes together; then on the
        kick and on the background.

    Raises
    ------
    ValueError
        If shots differ in their number of sub-spikes.

    References
    ----------
    .. [1] H. Cramer, Mathematical Methods of Statistics (1946), chapter 32.
    """
    m = spikes.center_bins.shape[1]
    if (spikes.n_spikes != m).any():
        raise ValueError("shots differ in their number of sub-spikes: select those with as many")
    parts = [
        _information(spikes.select(slice(start, start + _CHUNK_SHOTS)), law)
        for start in range(0, len(spikes), _CHUNK_SHOTS)
    ]
    size = _PER_SPIKE * m + 2
    return np.concatenate(parts) if parts else np.empty((0, size, size))


def _information(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Fisher information of some shots."""
    position, weight = line_positions(spikes, law), line_weights(spikes, law)
    half_width = law.line_half_width_bins
    bins, _ = line_windows(position, law)
    # Axes: shot, spike whose window it is, channel, bin, spike that contributes.
    distance = bins[..., None] - position.transpose(0, 2, 1)[:, None, :, None, :]
    inside = np.abs(distance) < half_width
    shape = line_shape(distance, half_width)
    slope = np.where(inside, -0.5 * np.pi / half_width * np.sin(np.pi / half_width * distance), 0.0)
    of_channel = weight.transpose(0, 2, 1)[:, None, :, None, :]
    rate = (shape * of_channel).sum(axis=-1) + spikes.background[:, None, None, None]
    counted = (bins >= 0) & (bins < law.n_bins)
    # The last bin of a window may lie just beyond the line's end.
    counted &= np.abs(bins - position[..., None]) < half_width
    # A bin in the windows of several spikes counts once.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(counted, 1 / inside.sum(axis=-1), 0.0)
        counted_share = law.efficiency[:, None] * spikes.electrons[:, None, None, None] * share
        scale = np.where(rate > 0, np.sqrt(counted_share / rate), 0.0)
    angle = law.angles_rad[None, :, None] + spikes.phase_rad[:, None, :]
    kick = spikes.kick_bins[:, None, None]
    by_phase = (kick * np.sin(angle))[:, None, :, None, :]
    by_kick = -np.cos(angle)[:, None, :, None, :]
    double = 2 * law.angles_rad[:, None]
    moved = slope * of_channel
    columns = np.concatenate(
        [
            moved * by_phase,
            -moved,
            0.5 * shape,
            0.5 * shape * np.cos(double)[:, None, :],
            -0.5 * shape * np.sin(double)[:, None, :],
            (moved * by_kick).sum(axis=-1, keepdims=True),
            np.ones_like(shape[..., :1]),
        ],
        axis=-1,
    )
    columns *= scale[..., None]
    flat = columns.reshape(len(spikes), -1, columns.shape[-1])
    information: Float = flat.transpose(0, 2, 1) @ flat
    # Bins without any line tell of the background alone.
    n_with_lines = share.sum(axis=(1, 3))
    without = (law.n_bins - n_with_lines) @ law.efficiency
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = spikes.electrons * without / spikes.background
    information[:, -1, -1] += np.where(spikes.background > 0, alone, 0.0)
    return information


def phase_covariance(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return the least covariance with which phases can be estimated without bias.

    Nothing else is taken to be known: centers, amplitudes, polarisations, kick and background are
    estimated, too (the Cramer-Rao bound).

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots, the same number m in each.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n, m, m)
        Covariances [rad^2]; infinite where a shot tells nothing of a phase.

    Raises
    ------
    ValueError
        If shots differ in their number of sub-spikes.
    """
    information = fisher_information(spikes, law)
    m = spikes.center_bins.shape[1]
    scale = np.sqrt(np.einsum("nii->ni", information))
    scale[scale == 0] = 1
    even = information / (scale[:, :, None] * scale[:, None, :])
    # Without amplitude there is no phase, and two lines in one place are one.
    tells = np.linalg.cond(even) < 1 / np.finfo(np.float64).eps
    covariance = np.full((len(spikes), m, m), np.inf)
    inverse = np.linalg.inv(even[tells])[:, :m, :m]
    covariance[tells] = inverse / (scale[tells, :m, None] * scale[tells, None, :m])
    return covariance


def delta_phase_sigma(spikes: SubSpikes, law: SinogramLaw) -> Float:
    """Return the Cramer-Rao bound of the phase difference of two sub-spikes.

    Parameters
    ----------
    spikes : SubSpikes
        Sub-spikes of n shots with two each.
    law : SinogramLaw
        The spectrometer.

    Returns
    -------
    ndarray of float64, shape (n,)
        Least standard deviations [rad].

    Raises
    ------
    ValueError
        If a shot has another number of sub-spikes.
    """
    if spikes.center_bins.shape[1] != 2:
        raise ValueError(f"shots have {spikes.center_bins.shape[1]} sub-spikes, not 2")
    covariance = phase_covariance(spikes, law)
    known = np.isfinite(covariance[:, 0, 1])
    sigma: Float = np.full(len(spikes), np.inf)
    both = covariance[known, 0, 0] + covariance[known, 1, 1] - 2 * covariance[known, 0, 1]
    sigma[known] = np.sqrt(both)
    return sigma
