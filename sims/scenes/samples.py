"""What light does to samples and detectors: saturation, dose, and wells that are used up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.sims._draws import stream_seed
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.tables import DIFFUSE, PIXELS, WELL
from autosteer.sims.signal_world import world_of

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


class DetectorScene(Scene):
    r"""A detector on a rail behind an attenuator: as much light as the pixels bear.

    With the transmission :math:`T = 10^{-OD}`, spots become visible like :math:`1 - e^{-T / 0.1}`.
    A near detector catches more of them and tells neighbors apart less well, so that most are
    resolved at some distance d. Light per pixel goes with :math:`T / d^2`: the chance that a spot
    saturates is a steep function of it. More light is better up to the limit on that chance, and
    the best distance is beyond the one that would be best without.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same optimum.
    """

    knobs = ("distance", "attenuation")
    kind = PIXELS
    signals: Mapping[str, Signal] = {
        "n_resolved": Signal("count", per_energy=True),
        "saturated": Signal("fraction"),
    }

    _BEST_MM, _WIDTH = 130.0, 0.45

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of resolved spots and of saturated frames."""
        transmission = 10 ** -knobs["attenuation"]
        away = np.log(knobs["distance"] / self._BEST_MM)
        bright = transmission * np.exp(-2 * away) / 0.12
        return {
            "n_resolved": 60
            * -np.expm1(-transmission / 0.1)
            * np.exp(-0.5 * (away / self._WIDTH) ** 2),
            "saturated": bright**3 / (1 + bright**3),
        }


class DiffuseScene(Scene):
    r"""Diffuse scattering of a crystal that bears only so much dose.

    Signal goes with exposure, with the flux of a Gaussian beam through the aperture, as far as it
    meets the crystal, and with the wavelength, until the crystal absorbs it again; in long
    exposures the crystal does not keep still, and the pattern smears. Background goes with exposure
    and the aperture's area. Dose goes with exposure, about the cube of the wavelength, and
    with how much of the aperture the beam's center fills.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same optimum.
    """

    knobs = ("exposure", "wavelength", "aperture")
    kind = DIFFUSE
    signals: Mapping[str, Signal] = {
        "signal_to_noise": Signal("reading", sd=1.5),
        "dose_mgy": Signal("reading", sd=0.4),
    }

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of the signal over its noise, and of the dose."""
        exposure, wavelength = knobs["exposure"], knobs["wavelength"]
        aperture = knobs["aperture"] / 20
        flux = -np.expm1(-0.5 * aperture**2)
        met = np.sqrt(flux * -np.expm1(-1 / aperture**2))
        absorbed = np.exp(-0.15 * wavelength**3)
        still = np.exp(-((exposure / 0.8) ** 2))
        signal = 100 * exposure * still * wavelength**2 * met * absorbed
        background = 20 * exposure * aperture**2 + 1
        dose_mgy = 16 * exposure * wavelength**2.7 * flux / (0.25 + 0.5 * aperture**2)
        return {
            "signal_to_noise": signal / np.sqrt(signal + background),
            "dose_mgy": dose_mgy,
        }


class WellScene(Scene):
    """A plate of wells: many are empty, most are poor, some are good, and all are used up.

    Which is which is drawn from the seed. A well's hit fraction falls exponentially with the shots
    it has taken; between wells there is nothing.

    Parameters
    ----------
    seed : int
        Seed of the qualities.
    wells : int
        Number of wells.
    good : int
        Number of good ones, with hit fractions from 0.35 to 0.6.
    empty : int
        Number of empty ones.
    lasts_shots : float
        Shots after which a well's hit fraction has fallen to 1/e.
    """

    knobs = ("well",)
    kind = WELL
    signals: Mapping[str, Signal] = {
        "hit": Signal("fraction"),
        "n_spots": Signal("count", only_with="hit", otherwise=0.6),
    }
    changes = True

    _HALF_WIDTH = 0.3

    def __init__(
        self,
        seed: int,
        *,
        wells: int = 44,
        good: int = 4,
        empty: int = 12,
        lasts_shots: float = 4000.0,
    ) -> None:
        super().__init__(seed)
        rng = np.random.default_rng(stream_seed(seed, "wells"))
        poor = wells - good - empty
        qualities = np.concatenate([
            rng.uniform(0.35, 0.6, good),
            rng.uniform(0.01, 0.15, poor),
            np.zeros(empty),
        ])
        self._qualities = rng.permutation(qualities)
        self._lasts_shots = lasts_shots
        self._taken = np.zeros(wells)

    @property
    def qualities(self) -> Float:
        """Hit fraction of each fresh well, shape (wells,)."""
        return self._qualities

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return the well that is best as things stand."""
        left = self._qualities * np.exp(-self._taken / self._lasts_shots)
        return {"well": float(np.argmax(left) + 1)}

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of hits and spots, with the shots that were taken so far."""
        wells, inside = self._meet(knobs["well"])
        return self._signals_after(self._taken[wells], wells, inside)

    def expose(self, knobs: Mapping[str, Float], times_s: Float, lit: Bool) -> Mapping[str, Float]:
        """Return the expectations for shots that are taken, and count them."""
        wells, inside = self._meet(knobs["well"])
        used = np.zeros((len(wells), len(self._taken)))
        used[np.arange(len(wells)), wells] = inside & lit
        so_far = self._taken + np.cumsum(used, axis=0) - used
        self._taken = self._taken + used.sum(axis=0)
        return self._signals_after(so_far[np.arange(len(wells)), wells], wells, inside)

    def _meet(self, positions: Float) -> tuple[NDArray[np.int64], Bool]:
        """Return the nearest well, from 0, and whether the beam meets it."""
        nearest = np.clip(np.rint(positions), 1, len(self._taken))
        inside: Bool = np.abs(positions - nearest) <= self._HALF_WIDTH
        return nearest.astype(np.int64) - 1, inside

    def _signals_after(
        self, taken: Float, wells: NDArray[np.int64], inside: Bool
    ) -> Mapping[str, Float]:
        left = np.exp(-taken / self._lasts_shots)
        return {
            "hit": self._qualities[wells] * left * inside,
            "n_spots": np.full(len(wells), 25.0),
        }


detector_on_a_rail = world_of(DetectorScene)
diffuse_scattering = world_of(DiffuseScene)
plate_of_wells = world_of(WellScene)
