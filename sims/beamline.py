"""A liquid jet that carries crystals through an X-ray beam: what each pulse meets.

Time is given from outside, and every draw belongs to a seed and a pulse id, so that a run is the
same on any clock and in batches of any size. What is returned is the truth: it drives simulated
frames and tables, and scores decisions; it never travels with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts.simulation import SimulatedSfx
from autosteer.sims._checks import checked_position, checked_pulses, checked_times, lognormal
from autosteer.sims._draws import PulseDraws, poisson_quantile, stream_seed
from autosteer.sims._processes import OrnsteinUhlenbeck, RandomTelegraph

Float = NDArray[np.float64]

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
_MAX_MEAN_IN_BEAM = 100.0
_JITTER_NODES = 15


@dataclass(frozen=True, slots=True)
class Shot:
    """What one pulse met; a row of `ShotTruth`.

    Parameters
    ----------
    pulse_id : int
        Number of the machine pulse.
    n_crystals : int
        Crystals in the beam.
    beam_intensity : float
        Pulse energy over its nominal value.
    jet_thickness_in_beam : float
        Liquid in the beam over that of a centred beam, in [0, 1].
    """

    pulse_id: int
    n_crystals: int
    beam_intensity: float
    jet_thickness_in_beam: float


@dataclass(frozen=True, slots=True, eq=False)
class ShotTruth:
    """What many pulses met; all arrays have shape (n,). For frames, tables and scoring only.

    Parameters
    ----------
    pulse_id : ndarray of uint64
        Number of the machine pulse.
    p_hit : ndarray of float64
        Probability of at least one crystal in the beam where the knobs and the jet are,
        as expectation over the pointing jitter.
    p_hit_attainable : ndarray of float64
        The same with the knobs where they are best at that moment. Wander and drift of the jet
        do not lower it, since knobs can follow; a clog makes it 0.
    n_crystals : ndarray of int64
        Crystals that were in the beam.
    overlap : ndarray of float64
        Mean number of crystals over its value at perfect alignment, with the jitter drawn, in
        [0, 1].
    beam_intensity : ndarray of float64
        Pulse energy over its nominal value.
    jet_thickness_in_beam : ndarray of float64
        Liquid in the beam over that of a centred beam, in [0, 1]: it sets the background.
    """

    pulse_id: NDArray[np.uint64]
    p_hit: Float
    p_hit_attainable: Float
    n_crystals: NDArray[np.int64]
    overlap: Float
    beam_intensity: Float
    jet_thickness_in_beam: Float

    def __len__(self) -> int:
        return len(self.pulse_id)

    def shot(self, index: int) -> Shot:
        """Return one row.

        Parameters
        ----------
        index : int
            Row.

        Returns
        -------
        Shot
            The row as plain numbers.
        """
        return Shot(
            int(self.pulse_id[index]),
            int(self.n_crystals[index]),
            float(self.beam_intensity[index]),
            float(self.jet_thickness_in_beam[index]),
        )

    def dark(self) -> ShotTruth:
        """Return the same pulses with the shutter closed.

        Returns
        -------
        ShotTruth
            No beam, so no hits; what was attainable stays.
        """
        nothing = np.zeros(len(self))
        return replace(
            self,
            p_hit=nothing,
            n_crystals=np.zeros(len(self), np.int64),
            overlap=nothing,
            beam_intensity=nothing,
            jet_thickness_in_beam=nothing,
        )

    def select(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> ShotTruth:
        """Return some of the rows.

        Parameters
        ----------
        rows : slice or ndarray
            Slice, mask or indices.

        Returns
        -------
        ShotTruth
            The rows.
        """
        return ShotTruth(*(getattr(self, field.name)[rows] for field in fields(self)))


class JetBeamline:
    """A Gaussian beam on a cylindrical jet that wanders, drifts, thins out and clogs.

    The mean number of crystals in the beam is ``mean_in_beam`` times two factors, each 1 at its
    best. *Across* the jet: the liquid that the beam passes, that is, the Gaussian profile times
    the chord of a circle of the jet's diameter. *Along* the jet: a Gaussian of rms
    ``stable_length_mm`` about the best height, for the jet that has not settled before and breaks
    up after. The number itself is Poisson distributed, whatever the pulse energy, which follows
    a lognormal distribution. Jitter acts across the jet; along it, it is small against the stable
    length and left out.

    Parameters
    ----------
    config : SimulatedSfx
        Jet, beam and crystals.
    seed : int
        The one seed of the simulation, not negative.

    Raises
    ------
    ValueError
        If the mean number of crystals in the beam exceeds 100.
    """

    def __init__(self, config: SimulatedSfx, seed: int) -> None:
        self._jet, self._beam = config.jet, config.beam
        self._mean_in_beam = config.crystals.mean_in_beam
        if self._mean_in_beam > _MAX_MEAN_IN_BEAM:
            raise ValueError(
                f"mean_in_beam is {self._mean_in_beam} crystals: use at most {_MAX_MEAN_IN_BEAM}"
            )
        self._draws = PulseDraws(seed, "pulses")
        self._wander_across, self._wander_along = (
            OrnsteinUhlenbeck(
                self._jet.wander_um,
                self._jet.wander_time_s,
                np.random.default_rng(stream_seed(seed, f"jet wander {direction}")),
            )
            for direction in ("across", "along")
        )
        self._clog = RandomTelegraph(
            self._jet.clogs_per_min / 60,
            self._jet.clog_s,
            np.random.default_rng(stream_seed(seed, "jet clogs")),
        )
        self._offsets_um, self._thickness = _thickness_table(
            self._jet.diameter_um, self._beam.fwhm_um
        )
        self._node_offsets_um, self._node_weights = _jitter_nodes(self._beam.jitter_um)
        self._best_p_hit = float(self._p_hit(np.zeros(1), np.ones(1))[0])

    @property
    def motors(self) -> tuple[str, ...]:
        """Names of the motors whose positions are needed."""
        along = () if self._jet.along is None else (self._jet.along,)
        return (self._jet.across, *along)

    def shots(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        positions: Mapping[str, ArrayLike],
    ) -> ShotTruth:
        """Say what pulses meet.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        times_s : ndarray of float64, shape (n,)
            Time of each pulse since the start [s].
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor at each pulse [mm]; see `motors`.

        Returns
        -------
        ShotTruth
            One row per pulse. A pulse's row depends on seed, pulse id, time and positions, not on
            the other pulses of the call.

        Raises
        ------
        ValueError
            If shapes differ, a motor is missing, a position is not finite, or a time is negative
            or beyond what the simulation keeps (some days).
        """
        times = self._checked_times(times_s)
        pulses = checked_pulses(pulse_ids, times)
        offset_um, stability = self._alignment(positions, times)
        flowing = ~self._clog.is_on(times)
        jitter, energy = self._draws.normal(pulses, slice(0, 2))
        thickness = self._thickness_at(offset_um - self._beam.jitter_um * jitter) * flowing
        overlap = thickness * stability
        return ShotTruth(
            pulse_id=pulses,
            p_hit=self._p_hit(offset_um, stability) * flowing,
            p_hit_attainable=np.where(flowing, self._best_p_hit, 0.0),
            n_crystals=poisson_quantile(
                self._draws.uniform(pulses, 2), self._mean_in_beam * overlap
            ),
            overlap=overlap,
            beam_intensity=lognormal(energy, self._beam.intensity_spread),
            jet_thickness_in_beam=thickness,
        )

    def p_hit_at(self, positions: Mapping[str, ArrayLike], times_s: ArrayLike) -> Float:
        """Return the probability of a hit at given positions, for scoring.

        Parameters
        ----------
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor [mm]; see `motors`.
        times_s : array_like of float, shape (n,) or ()
            Times since the start [s].

        Returns
        -------
        ndarray of float64, shape (n,) or ()
            Probability of at least one crystal in the beam, as expectation over the jitter.

        Raises
        ------
        ValueError
            As `shots` does.
        """
        times = self._checked_times(times_s)
        return self._p_hit(*self._alignment(positions, times)) * ~self._clog.is_on(times)

    def p_hit_attainable(self, times_s: ArrayLike) -> Float:
        """Return the largest probability of a hit that any positions would give, for scoring.

        Parameters
        ----------
        times_s : array_like of float, shape (n,) or ()
            Times since the start [s].

        Returns
        -------
        ndarray of float64, shape (n,) or ()
            The probability at perfect alignment, or 0 while the jet is clogged.

        Raises
        ------
        ValueError
            If a time is negative or too late.
        """
        times = self._checked_times(times_s)
        return np.where(self._clog.is_on(times), 0.0, self._best_p_hit)

    def best_positions(self, times_s: ArrayLike) -> dict[str, Float]:
        """Return where the motors would have to stand, for scoring.

        Parameters
        ----------
        times_s : array_like of float, shape (n,) or ()
            Times since the start [s].

        Returns
        -------
        dict of str to ndarray of float64, shape (n,) or ()
            Position of each motor that hits the jet at its best [mm].

        Raises
        ------
        ValueError
            If a time is negative or too late.
        """
        times = self._checked_times(times_s)
        across_um, along_um = self._jet_displacement_um(times)
        best = {self._jet.across: self._jet.aligned_across_mm - across_um / 1000}
        if self._jet.along is not None:
            best[self._jet.along] = self._jet.aligned_along_mm - along_um / 1000
        return best

    def _checked_times(self, times_s: ArrayLike) -> Float:
        return checked_times(times_s, min(self._wander_across.longest_s, self._clog.longest_s))

    def _jet_displacement_um(self, times: Float) -> tuple[Float, Float]:
        drift = self._jet.drift_um_per_min / 60 * times
        return self._wander_across.at(times) + drift, self._wander_along.at(times)

    def _alignment(self, positions: Mapping[str, ArrayLike], times: Float) -> tuple[Float, Float]:
        """Return the jet's offset from the beam [um] and its stability at the beam."""
        missing = [name for name in self.motors if name not in positions]
        if missing:
            raise ValueError(
                f"no position of motor(s) {missing}: positions hold {sorted(positions)}"
            )
        across_um, along_um = self._jet_displacement_um(times)
        across_mm = checked_position(positions, self._jet.across, times)
        offset_um = across_um + 1000 * (across_mm - self._jet.aligned_across_mm)
        if self._jet.along is None:
            return offset_um, np.ones(times.shape)
        motor_mm = checked_position(positions, self._jet.along, times)
        height_mm = along_um / 1000 + (motor_mm - self._jet.aligned_along_mm)
        return offset_um, np.exp(-0.5 * (height_mm / self._jet.stable_length_mm) ** 2)

    def _thickness_at(self, offset_um: Float) -> Float:
        thickness: Float = np.interp(
            np.abs(offset_um), self._offsets_um, self._thickness, right=0.0
        )
        return thickness

    def _p_hit(self, offset_um: Float, stability: Float) -> Float:
        """Average 1 - exp(-mean) over the pointing jitter by Gauss-Hermite quadrature."""
        offsets_um = np.asarray(offset_um) - self._node_offsets_um.reshape(
            -1, *[1] * offset_um.ndim
        )
        misses = np.expm1(-self._mean_in_beam * stability * self._thickness_at(offsets_um))
        p_hit = np.zeros(misses.shape[1:])
        # A loop rather than a matrix product: rounding must not depend on the size of the batch.
        for miss, weight in zip(misses, self._node_weights, strict=True):
            p_hit -= weight * miss
        return p_hit


def _thickness_table(diameter_um: float, fwhm_um: float) -> tuple[Float, Float]:
    """Tabulate the liquid that a Gaussian beam passes in a cylinder, over that at its centre."""
    radius, sigma = diameter_um / 2, fwhm_um / FWHM_PER_SIGMA
    offsets = np.linspace(0.0, radius + 6 * sigma, 1025)
    # The beam is sampled densely on its own scale and the chord taken at each sample, so that a
    # beam much narrower or much wider than the jet is treated alike.
    n_samples = 2 * max(400, math.ceil(4000 * sigma / radius)) + 1
    beam = np.linspace(-6.0, 6.0, min(n_samples, 4001))
    weights = np.exp(-0.5 * beam**2)
    across = offsets[:, None] + sigma * beam
    chord = np.sqrt(np.clip(1 - (across / radius) ** 2, 0.0, None))
    passed: Float = chord @ weights
    return offsets, passed / passed[0]


def _jitter_nodes(jitter_um: float) -> tuple[Float, Float]:
    """Return nodes [um] and weights of the average over a normal jitter."""
    if jitter_um == 0:
        return np.zeros(1), np.ones(1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_JITTER_NODES)
    return jitter_um * nodes, weights / weights.sum()
