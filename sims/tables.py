"""Result tables without pixels: what the analysis of a shot would have said, made fast.

Numbers of spots follow the same crystals, background and finding limit that the frames are made
of; the indexer is a curve. Nothing of the truth is in the tables.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from autosteer.contracts.simulation import SimulatedSfx
from autosteer.contracts.table_kinds import INDEXING, MACHINE
from autosteer.contracts.tables import make_batch
from autosteer.physics import UnitCell
from autosteer.sims._draws import PulseDraws, poisson_quantile
from autosteer.sims._monitor import monitor_batch
from autosteer.sims._visibility import visible_spots
from autosteer.sims.beamline import ShotTruth
from autosteer.sims.crystals import LYSOZYME, crystal_brightness

Float = NDArray[np.float64]

_FALSE_SPOTS = 0.6
_RESOLUTION_SPREAD = 0.04
# Half of the frames with this many spots from one lattice are indexed, and nearly all above.
_INDEXER_HALF, _INDEXER_STEP, _INDEXER_BEST = 10.0, 2.0, 0.96
_EXPLAINED = 0.9
# Errors of a refined cell and orientation at 50 spots.
_LENGTH_ERROR, _ANGLE_ERROR_DEG, _ORIENTATION_ERROR_DEG = 0.0015, 0.12, 0.05
# Draw numbers: some belong to the shot, then come _DRAWS_A_CRYSTAL for each crystal.
_FALSE, _MONITOR, _RESOLUTION = 0, 1, 2
_FIT = slice(3, 13)
_FIRST_CRYSTAL, _DRAWS_A_CRYSTAL = 16, 4
_MAX_CRYSTALS = 60


class TableSimulator:
    """Tables of kinds ``indexing`` and ``machine`` for shots; each row by seed and pulse alone.

    Parameters
    ----------
    config : SimulatedSfx
        Crystals, background and analysis latency.
    cell : UnitCell, default lysozyme
        Cell of the crystals.
    min_spots_hit : int, default 8
        Spots that make a frame a hit.
    seed : int, default 0
        The one seed of the simulation, not negative.
    wavelength_angstrom : float, default 1.3
        Wavelength [angstrom].
    d_min_angstrom : float, default 2.65
        Resolution at the rim of the detector, or of a circle of the same area [angstrom].

    Raises
    ------
    ValueError
        If `min_spots_hit` is less than 1.
    """

    def __init__(
        self,
        config: SimulatedSfx,
        cell: UnitCell = LYSOZYME,
        min_spots_hit: int = 8,
        seed: int = 0,
        *,
        wavelength_angstrom: float = 1.3,
        d_min_angstrom: float = 2.65,
    ) -> None:
        if min_spots_hit < 1:
            raise ValueError(f"min_spots_hit is {min_spots_hit}: it must be at least 1")
        self._config = config
        self._min_spots_hit = min_spots_hit
        self._lengths, self._angles = np.array(cell.lengths), np.array(cell.angles)
        _, self._length_group = np.unique(self._lengths, return_inverse=True)
        self._draws = PulseDraws(seed, "tables")
        self._brightness = np.geomspace(0.05, 5.0, 65)
        self._mean_spots, self._outer_q = visible_spots(
            config, cell, wavelength_angstrom, d_min_angstrom, self._brightness
        )

    def tables(self, truth: ShotTruth, timestamps_ns: ArrayLike) -> dict[str, pa.RecordBatch]:
        """Make the tables of shots.

        Parameters
        ----------
        truth : ShotTruth
            What the pulses met, n rows.
        timestamps_ns : array_like of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables of n rows by kind: ``machine`` and ``indexing``.
        """
        keys = {"pulse_id": truth.pulse_id, "timestamp": np.asarray(timestamps_ns, np.int64)}
        errors = self._draws.normal(truth.pulse_id, _MONITOR)
        machine = monitor_batch(truth.pulse_id, timestamps_ns, truth.beam_intensity, errors)
        return {
            MACHINE.name: machine,
            INDEXING.name: make_batch(INDEXING, {**keys, **self._indexing(truth)}),
        }

    def _indexing(self, truth: ShotTruth) -> dict[str, ArrayLike | pa.Array]:
        pulses = truth.pulse_id
        n_shots = len(pulses)
        n_spots = poisson_quantile(self._draws.uniform(pulses, _FALSE), _FALSE_SPOTS)
        best_spots = np.zeros(n_shots)
        brightest = np.full(n_shots, np.nan)
        n_lattices = np.zeros(n_shots, dtype=np.int64)
        n_explained = np.zeros(n_shots, dtype=np.int64)
        crystals = np.minimum(truth.n_crystals, _MAX_CRYSTALS)
        for crystal in range(int(crystals.max(initial=0))):
            rows = np.flatnonzero(crystals > crystal)
            spots, found, explained, lit = self._one_crystal(truth, rows, crystal)
            n_spots[rows] += spots
            n_lattices[rows] += found
            n_explained[rows] = np.maximum(n_explained[rows], explained * found)
            best_spots[rows] = np.maximum(best_spots[rows], spots * found)
            brightest[rows] = np.fmax(brightest[rows], lit)
        hit = n_spots >= self._min_spots_hit
        n_lattices[~hit] = 0
        indexed = n_lattices > 0
        fitted = self._fit(pulses, best_spots, indexed)
        outer_q = np.interp(np.nan_to_num(brightest, nan=1.0), self._brightness, self._outer_q)
        outer_q *= np.exp(_RESOLUTION_SPREAD * self._draws.normal(pulses, _RESOLUTION))
        return {
            "n_spots": n_spots,
            "hit": hit,
            "indexed": indexed,
            "n_lattices": n_lattices,
            "n_indexed_spots": pa.array(n_explained.astype(np.uint32), mask=~indexed),
            "resolution_angstrom": np.where(hit, 1 / outer_q, np.nan),
            **fitted,
            "result_latency_s": np.full(n_shots, self._config.analysis_latency_s),
        }

    def _one_crystal(
        self, truth: ShotTruth, rows: NDArray[np.intp], crystal: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], Float]:
        """Return spots, success of indexing, explained spots and brightness of one crystal."""
        pulses = truth.pulse_id[rows]
        first = _FIRST_CRYSTAL + _DRAWS_A_CRYSTAL * crystal
        uniforms = self._draws.uniform(pulses, slice(first, first + _DRAWS_A_CRYSTAL))
        normals = ndtri(uniforms[2:])
        lit = crystal_brightness(uniforms[0])
        lit *= truth.beam_intensity[rows]
        mean = np.interp(lit, self._brightness, self._mean_spots)
        # Orientations differ in their reflections about as much as chance would have it.
        scatter = np.sqrt(mean) * normals[0]
        spots = np.rint(np.maximum(mean + scatter, 0.0)).astype(np.int64)
        chance = _INDEXER_BEST / (1 + np.exp((_INDEXER_HALF - spots) / _INDEXER_STEP))
        found = uniforms[1] < chance
        missed = np.sqrt(spots * _EXPLAINED * (1 - _EXPLAINED))
        explained = spots * _EXPLAINED + missed * normals[1]
        return spots, found, np.rint(np.clip(explained, 1, spots)).astype(np.int64), lit

    def _fit(
        self, pulses: NDArray[np.uint64], spots: Float, indexed: NDArray[np.bool_]
    ) -> dict[str, Float]:
        """Return the cell of the best lattice and its orientation error, NaN where none."""
        names = ("a", "b", "c", "alpha", "beta", "gamma", "orientation_sigma_deg")
        fitted = {name: np.full(len(pulses), np.nan) for name in names}
        rows = np.flatnonzero(indexed)
        error = np.sqrt(50 / np.maximum(spots[rows], 1.0))
        normals = self._draws.normal(pulses[rows], _FIT)
        for axis, name in enumerate(("a", "b", "c")):
            # Lengths that symmetry keeps equal vary together from crystal to crystal.
            common = self._config.crystals.cell_spread * normals[self._length_group[axis]]
            own = _LENGTH_ERROR * error * normals[3 + axis]
            fitted[name][rows] = self._lengths[axis] * (1 + common + own)
        for axis, name in enumerate(("alpha", "beta", "gamma")):
            own = _ANGLE_ERROR_DEG * error * normals[6 + axis]
            fitted[name][rows] = self._angles[axis] + own
        fitted["orientation_sigma_deg"][rows] = (
            _ORIENTATION_ERROR_DEG * error * np.exp(0.2 * normals[9])
        )
        return fitted
