"""Spot lists without pixels: scattering vectors as a finder would have given them.

``python -m autosteer.sims.spot_lists OUT.npz --count 200 --seed 1`` writes an example file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts.simulation import SimulatedJet, SimulatedSfx
from autosteer.physics import UnitCell
from autosteer.sims._draws import PulseDraws
from autosteer.sims._visibility import visible_photons
from autosteer.sims.crystals import LYSOZYME, CrystalSimulator, crystal_brightness

Float = NDArray[np.float64]

_BLANK_SPOTS = 2.0
_LOWEST_Q = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class SpotLists:
    """Spot lists of many shots, as an indexer gets them.

    Parameters
    ----------
    q : ndarray of float32, shape (n, max_spots, 3)
        Scattering vectors, strongest first, padded with NaN [1/angstrom].
    """

    q: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.q)

    @property
    def n_spots(self) -> NDArray[np.int64]:
        """Spots of each list, shape (n,)."""
        counts: NDArray[np.int64] = np.isfinite(self.q[..., 0]).sum(axis=1)
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class SpotListTruth:
    """What the lists were made from, for scoring only.

    Parameters
    ----------
    is_hit : ndarray of bool, shape (n,)
        Whether there was a crystal.
    bases : ndarray of float64, shape (n, 3, 3)
        Cell vectors of the crystal in rows [angstrom], NaN for blanks.
    is_outlier : ndarray of bool, shape (n, max_spots)
        Spots that belong to no crystal; the spots of blanks all do.
    """

    is_hit: NDArray[np.bool_]
    bases: Float
    is_outlier: NDArray[np.bool_]


class SpotListSimulator:
    """Lists of the spots that stand out of the background, with errors and false ones.

    Parameters
    ----------
    config : SimulatedSfx
        Crystals, and the background that decides which spots are seen.
    cell : UnitCell, default lysozyme
        Cell of the crystals.
    seed : int, default 0
        The one seed of the simulation, not negative.
    wavelength_angstrom : float, default 1.3
        Wavelength [angstrom].
    d_min_angstrom : float, default 2.65
        Resolution at the rim of the detector [angstrom].
    hit_fraction : float, default 0.8
        Share of lists with a crystal.
    max_spots : int, default 128
        Longest list; the strongest spots stay.
    position_sigma : float, default 0.00025
        RMS error of a spot's position, each direction on the detector [1/angstrom].
    outlier_fraction : float, default 0.1
        False spots over true ones on the mean.

    Raises
    ------
    ValueError
        If a fraction, an error or the longest list makes no sense.
    """

    def __init__(
        self,
        config: SimulatedSfx,
        cell: UnitCell = LYSOZYME,
        seed: int = 0,
        *,
        wavelength_angstrom: float = 1.3,
        d_min_angstrom: float = 2.65,
        hit_fraction: float = 0.8,
        max_spots: int = 128,
        position_sigma: float = 0.00025,
        outlier_fraction: float = 0.1,
    ) -> None:
        if not 0 <= hit_fraction <= 1:
            raise ValueError(f"hit_fraction is {hit_fraction}: it must lie in [0, 1]")
        if min(outlier_fraction, position_sigma) < 0 or max_spots < 1:
            raise ValueError(
                f"outlier_fraction {outlier_fraction} and position_sigma {position_sigma} must "
                f"not be negative, max_spots {max_spots} at least 1"
            )
        self._crystals = CrystalSimulator(
            cell, config.crystals, wavelength_angstrom, d_min_angstrom, seed
        )
        self._draws = PulseDraws(seed, "spot lists")
        self._visible = visible_photons(config)
        self._wave_number = 1 / wavelength_angstrom
        self._q_max = 1 / d_min_angstrom
        self._hit_fraction = hit_fraction
        self._max_spots = max_spots
        self._position_sigma = position_sigma
        self._outlier_fraction = outlier_fraction

    def spot_lists(self, count: int, first: int = 0) -> tuple[SpotLists, SpotListTruth]:
        """Make lists; each depends on the seed and its number alone.

        Parameters
        ----------
        count : int
            Number of lists.
        first : int, default 0
            Number of the first list.

        Returns
        -------
        lists : SpotLists
            The lists.
        truth : SpotListTruth
            What they were made from.
        """
        q = np.full((count, self._max_spots, 3), np.nan, dtype=np.float32)
        bases = np.full((count, 3, 3), np.nan)
        is_hit = np.zeros(count, dtype=np.bool_)
        is_outlier = np.zeros((count, self._max_spots), dtype=np.bool_)
        for index in range(count):
            rng = self._draws.generator(first + index)
            is_hit[index] = rng.random() < self._hit_fraction
            if is_hit[index]:
                bases[index] = self._crystals.random_bases(rng, 1)[0]
                spots, false = self._hit(rng, bases[index])
            else:
                spots = self._false_spots(rng, int(rng.poisson(_BLANK_SPOTS)))
                false = np.ones(len(spots), dtype=np.bool_)
            kept = min(len(spots), self._max_spots)
            q[index, :kept] = spots[:kept]
            is_outlier[index, :kept] = false[:kept]
        return SpotLists(q), SpotListTruth(is_hit, bases, is_outlier)

    def _hit(self, rng: np.random.Generator, basis: Float) -> tuple[Float, NDArray[np.bool_]]:
        """Return the spots of a crystal and false ones, strongest first."""
        brightness = float(crystal_brightness(rng.random(1))[0])
        reflections = self._crystals.reflections(basis, brightness)
        photons = rng.poisson(reflections.photons)
        seen = photons >= self._visible
        n_false = int(rng.poisson(self._outlier_fraction * np.count_nonzero(seen)))
        # False spots are weak as a rule, but not always.
        strength = np.concatenate([
            photons[seen],
            self._visible * (1 + rng.standard_exponential(n_false)),
        ])
        true = self._measured(rng, reflections.q[seen])
        spots = np.concatenate([true, self._false_spots(rng, n_false)])
        false = np.arange(len(spots)) >= len(true)
        order = np.argsort(-strength, kind="stable")
        return spots[order], false[order]

    def _measured(self, rng: np.random.Generator, q: Float) -> Float:
        """Move spots on the Ewald sphere as errors of position on a detector would."""
        beam = np.array([0.0, 0.0, self._wave_number])
        k_out = q + beam
        moved = k_out + self._position_sigma * rng.standard_normal(q.shape)
        # Back onto the sphere: only the errors across the ray stay.
        moved *= self._wave_number / np.linalg.norm(moved, axis=1, keepdims=True)
        measured: Float = moved - beam
        return measured

    def _false_spots(self, rng: np.random.Generator, count: int) -> Float:
        """Draw spots spread evenly over the part of the Ewald sphere that is seen."""
        # Equal areas of the sphere are equal steps of q squared.
        q2 = rng.uniform(_LOWEST_Q**2, self._q_max**2, count)
        azimuth = rng.uniform(0, 2 * np.pi, count)
        along = -q2 / (2 * self._wave_number)
        across = np.sqrt(q2 - along**2)
        return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), along], axis=1)


def write_spot_lists(
    path: Path | str, lists: SpotLists, cell: UnitCell, wavelength_angstrom: float
) -> None:
    """Write lists as the NPZ file that a source of kind ``spot_lists`` reads.

    Parameters
    ----------
    path : path-like
        File to write.
    lists : SpotLists
        The lists.
    cell : UnitCell
        Cell of the crystals, noted in the file.
    wavelength_angstrom : float
        Wavelength, noted in the file [angstrom].
    """
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file,
            q=lists.q,
            unit_cell=np.array([*cell.lengths, *cell.angles]),
            wavelength_angstrom=np.array(wavelength_angstrom),
        )


def write_spot_list_truth(path: Path | str, truth: SpotListTruth) -> None:
    """Write what lists were made from to an NPZ file of its own.

    Parameters
    ----------
    path : path-like
        File to write.
    truth : SpotListTruth
        The truth.
    """
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file, is_hit=truth.is_hit, bases=truth.bases, is_outlier=truth.is_outlier
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write an example file of lysozyme spot lists.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line, without the program's name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m autosteer.sims.spot_lists",
        description="Write simulated lysozyme spot lists as NPZ.",
    )
    parser.add_argument("out", type=Path, help="NPZ file to write")
    parser.add_argument("--count", type=int, default=200, help="number of lists")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    parser.add_argument("--hit-fraction", type=float, default=0.8, help="share with a crystal")
    parser.add_argument("--truth", type=Path, help="NPZ file for the truth, for scoring only")
    chosen = parser.parse_args(arguments)
    wavelength_angstrom = 1.3
    config = SimulatedSfx(kind="sfx", jet=SimulatedJet(across="x", aligned_across_mm=0.0))
    simulator = SpotListSimulator(
        config,
        LYSOZYME,
        chosen.seed,
        wavelength_angstrom=wavelength_angstrom,
        hit_fraction=chosen.hit_fraction,
    )
    lists, truth = simulator.spot_lists(chosen.count)
    write_spot_lists(chosen.out, lists, LYSOZYME, wavelength_angstrom)
    if chosen.truth is not None:
        write_spot_list_truth(chosen.truth, truth)


if __name__ == "__main__":
    main()
