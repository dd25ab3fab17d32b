"""Classical test functions as if they were beamlines: shot noise, and an optimum that may move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.sims.functions import FUNCTIONS
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.tables import FUNCTION
from autosteer.sims.signal_world import WorldFactory, world_of

Float = NDArray[np.float64]


class FunctionScene(Scene):
    """A function of the catalog, of knobs ``x1``, ``x2`` and so on.

    Its places may be carried about by a slow oscillation: where the function was best at the
    start, it is best there again after each period.

    Parameters
    ----------
    seed : int
        Not used: the function is the same in all runs.
    name : str
        Name of the function.
    sd : float
        Standard deviation from shot to shot.
    swing : float
        Amplitude by which places move, over the range of each knob.
    period_s : float
        Period [s].
    """

    kind = FUNCTION

    def __init__(
        self, seed: int, *, name: str, sd: float, swing: float = 0.0, period_s: float = 120.0
    ) -> None:
        super().__init__(seed)
        self._function = FUNCTIONS[name]
        self.knobs = tuple(f"x{number + 1}" for number in range(len(self._function.bounds)))
        self.signals = {"value": Signal("reading", sd=sd)}
        self.changes = swing != 0
        self._rate = 2 * np.pi / period_s
        # Neighbors move against each other, so that no single knob can follow.
        sides = (-1.0) ** np.arange(len(self.knobs))
        self._swing = swing * sides * np.ptp(self._function.bounds, axis=1)

    def best(self, time_s: float) -> Mapping[str, float]:
        """Return where the function is best at a time."""
        place = np.array(self._function.optima[0]) + self._moved(np.array([time_s]))[0]
        return dict(zip(self.knobs, place.tolist(), strict=True))

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        """Return the function's values."""
        places = np.stack([knobs[knob] for knob in self.knobs], axis=1)
        return {"value": self._function.value(places - self._moved(times_s))}

    def _moved(self, times_s: Float) -> Float:
        """Return by how much places have moved, shape (n, d)."""
        moved: Float = np.sin(self._rate * times_s)[:, None] * self._swing
        return moved


known_function: WorldFactory = world_of(FunctionScene)
