"""Classical test functions as if they were beamlines: shot noise, and an optimum that may move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.sims._draws import stream_seed
from autosteer.sims.functions import FUNCTIONS
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.tables import FUNCTION
from autosteer.sims.signal_world import WorldFactory, world_of

Float = NDArray[np.float64]


class FunctionScene(Scene):
    """A function of the catalog, of knobs ``x1``, ``x2`` and so on.

    Its places may be carried about by a slow oscillation: where the function was best at the
    start, it is best there again after each period. Beside its value stands its halo: what the
    function would be if it were several times as wide about its optimum, as a diagnostic often is.

    Parameters
    ----------
    seed : int
        Draws the shift.
    name : str
        Name of the function.
    sd : float
        Standard deviation from shot to shot.
    swing : float
        Amplitude by which places move, over the range of each knob.
    period_s : float
        Period [s].
    shift : float
        By up to so much of the range of each knob the function is shifted, either way, in each run
        otherwise.
    halo_width : float
        So many times as wide as the function is its halo.
    """

    kind = FUNCTION

    def __init__(
        self,
        seed: int,
        *,
        name: str,
        sd: float,
        swing: float = 0.0,
        period_s: float = 120.0,
        shift: float = 0.0,
        halo_width: float = 4.0,
    ) -> None:
        super().__init__(seed)
        self._function = FUNCTIONS[name]
        self.knobs = tuple(f"x{number + 1}" for number in range(len(self._function.bounds)))
        self.signals = {"value": Signal("reading", sd=sd), "halo": Signal("reading", sd=sd)}
        self.changes = swing != 0
        self._rate = 2 * np.pi / period_s
        # Neighbors move against each other, so that no single knob can follow.
        sides = (-1.0) ** np.arange(len(self.knobs))
        ranges = np.ptp(self._function.bounds, axis=1)
        self._swing = swing * sides * ranges
        rng = np.random.default_rng(stream_seed(seed, "shift of the function"))
        self._shift = shift * rng.uniform(-1, 1, len(ranges)) * ranges
        self._halo_width = halo_width

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where the function is best at a time."""
        place = np.array(self._function.optima[0]) + self._moved(np.array([time_s]))[0]
        return dict(zip(self.knobs, place.tolist(), strict=True))

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the function's values, and its halo."""
        places = np.stack([knobs[knob] for knob in self.knobs], axis=1)
        places = places - self._moved(times_s)
        best = np.array(self._function.optima[0])
        halo = self._function.value(best + (places - best) / self._halo_width)
        return {"value": self._function.value(places), "halo": halo}

    def _moved(self, times_s: Float) -> Float:
        """Return by how much places have moved, shape (n, d)."""
        moved: Float = self._shift + np.sin(self._rate * times_s)[:, None] * self._swing
        return moved


known_function: WorldFactory = world_of(FunctionScene)
