"""A liquid jet with crystals and four knobs, and merged data that need many shots."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.sims._draws import stream_seed
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.tables import JET, MERGING
from autosteer.sims.signal_world import world_of

Float = NDArray[np.float64]

_STRAY_SPOTS = 0.6


class JetScene(Scene):
    r"""Crystals in a jet that is moved across and along itself, in a beam that a lens focuses.

    A hit is at least one crystal that diffracts enough. The mean number of those is

    .. math:: m = m_0 \, e^{-\Delta x^2 / 2 \sigma_x^2} \, e^{-\Delta y^2 / 2 \sigma_y^2} \,
       \tfrac{w^2}{w_*^2} e^{1 - w^2 / w_*^2} \, e^{-\ln^2(p / p_*) / 2 \sigma_p^2}

    Across the jet, :math:`\sigma_x` is made of jet and beam. Along it, the jet is stable about a
    height that moves with the pressure, :math:`\Delta y = y - y_* - c (p - p_*)`. The beam has the
    size :math:`w(z)` of a Gaussian beam whose waist lies beyond the lens's range: a larger one
    lights more crystals, each of them more weakly. Liquid scatters in proportion to what the wings
    of the beam meet, about three times as far from the jet as crystals are hit.

    Parameters
    ----------
    seed : int
        Seed of the optimum, which lies somewhere in the middle half of the ranges.
    """

    knobs = ("x", "y", "z", "pressure")
    kind = JET
    signals: Mapping[str, Signal] = {
        "hit": Signal("fraction"),
        "n_spots": Signal("count", only_with="hit", otherwise=_STRAY_SPOTS),
        "jet_signal": Signal("count", per_energy=True),
    }

    _CRYSTALS = 0.693
    _JET_MM, _STABLE_MM, _LIQUID_MM, _WET_MM = 0.006, 0.09, 0.022, 0.25
    _MM_PER_BAR, _PRESSURE_WIDTH = 0.003, 0.3
    _WAIST_MM, _RAYLEIGH_MM, _WAIST_UM = -0.1, 0.3, 1.4

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        rng = np.random.default_rng(stream_seed(seed, "optimum of the jet"))
        self._best_um = float(rng.uniform(4.5, 7.5))
        self._best = {
            "x": float(rng.uniform(-0.05, 0.05)),
            "y": float(rng.uniform(-0.2, 0.2)),
            "z": self._WAIST_MM
            + self._RAYLEIGH_MM * np.sqrt((self._best_um / self._WAIST_UM) ** 2 - 1),
            "pressure": float(rng.uniform(65.0, 110.0)),
        }

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return the optimum."""
        return self._best

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of hits, spots and liquid scattering."""
        best, pressure = self._best, knobs["pressure"]
        across = knobs["x"] - best["x"]
        along = knobs["y"] - best["y"] - self._MM_PER_BAR * (pressure - best["pressure"])
        beam_um = self._WAIST_UM * np.sqrt(
            1 + ((knobs["z"] - self._WAIST_MM) / self._RAYLEIGH_MM) ** 2
        )
        size = (beam_um / self._best_um) ** 2
        flow = np.exp(-0.5 * (np.log(pressure / best["pressure"]) / self._PRESSURE_WIDTH) ** 2)
        width_mm = np.hypot(self._JET_MM, 1e-3 * beam_um / 2)
        overlap = np.exp(-0.5 * (across / width_mm) ** 2 - 0.5 * (along / self._STABLE_MM) ** 2)
        diffracting = self._CRYSTALS * overlap * size * np.exp(1 - size) * flow
        liquid = np.exp(-0.5 * (across / self._LIQUID_MM) ** 2 - 0.5 * (along / self._WET_MM) ** 2)
        return {
            "hit": -np.expm1(-diffracting),
            "n_spots": 10 + 32 / (1 + size),
            "jet_signal": 4 + 160 * liquid * np.sqrt(flow),
        }


class MergingScene(Scene):
    """A jet whose spots are counted at once, and whose data are good somewhere else.

    Both are Gaussians of x and y; spots are most frequent on the jet, while the merged data are
    best a little beside it, where crystals hit each other less and backgrounds are low. What one
    shot adds to the merged data scatters more than it differs from place to place.

    Parameters
    ----------
    seed : int
        Not used: all runs have the same optimum.
    """

    knobs = ("x", "y")
    kind = MERGING
    signals: Mapping[str, Signal] = {
        "n_spots": Signal("count", per_energy=True),
        "quality": Signal("reading", sd=1.2),
    }

    _BEST = (0.03, -0.10)
    _SPOTS_AT = (0.024, -0.06)
    _WIDTH_MM = (0.02, 0.10)

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where merged data are best."""
        return dict(zip(self.knobs, self._BEST, strict=True))

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the expectations of spots and quality."""
        spots, quality = (
            np.exp(
                -0.5
                * sum(
                    ((knobs[knob] - center) / width) ** 2
                    for knob, center, width in zip(self.knobs, at, self._WIDTH_MM, strict=True)
                )
            )
            for at in (self._SPOTS_AT, self._BEST)
        )
        return {"n_spots": _STRAY_SPOTS + 14 * spots, "quality": quality}


four_knob_jet = world_of(JetScene)
merging_jet = world_of(MergingScene)
