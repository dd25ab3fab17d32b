"""Simulated shots for training networks."""

from __future__ import annotations

import numpy as np

from autosteer.analysis.pulses.training.shots import TrainingShots
from autosteer.contracts import AnalysisError
from autosteer.contracts.pulse_simulation import MRCO_PRESETS
from autosteer.physics.sinogram_model import SinogramLaw, SubSpikes, expected_rates
from autosteer.sims.mrco import MrcoSimulator

_EVEN_MIX = (0.2, 0.2, 0.2, 0.2, 0.2)
_VARIED = {"draw_scale_range": (0.25, 4.0), "poisson_counts": True}
# So that nobody simulates the shots of a training by the same small seed by accident.
_FIRST_SEED = 1 << 40
_CHUNK_SHOTS = 256


class SimulatedShots:
    """Shots of a preset of the simulator, as `autosteer.analysis.pulses.training` wants them.

    Parameters
    ----------
    preset : str
        Name of the preset.
    seed : int
        Seed of the training.

    Raises
    ------
    AnalysisError
        If there is no such preset.
    """

    def __init__(self, preset: str, seed: int) -> None:
        if preset not in MRCO_PRESETS:
            raise AnalysisError(
                f"no preset '{preset}': there are {', '.join(sorted(MRCO_PRESETS))}"
            )
        config = MRCO_PRESETS[preset].model_copy(update={"class_mix": _EVEN_MIX})
        self._as_is = MrcoSimulator(config, _FIRST_SEED + seed)
        self._varied = MrcoSimulator(config.model_copy(update=_VARIED), _FIRST_SEED + seed)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and bins of a sinogram."""
        return self._as_is.law.n_channels, self._as_is.law.n_bins

    def shots(
        self,
        first: int,
        count: int,
        *,
        n_spikes: int | None = None,
        varied: bool = False,
        clean: bool = False,
    ) -> TrainingShots:
        """Make shots; the same numbers always give the same ones.

        Parameters
        ----------
        first, count : int
            The first number, and how many.
        n_spikes : int, optional
            Sub-spikes of every shot; an even mix of classes if not given.
        varied : bool, default False
            Whether the number of electrons varies widely, with the noise of counting.
        clean : bool, default False
            Whether to give the expected counts, too.

        Returns
        -------
        TrainingShots
            The shots.
        """
        simulator = self._varied if varied else self._as_is
        pulses = np.arange(first, first + count, dtype=np.uint64)
        shots = simulator.shots(pulses, n_spikes)
        truth = shots.truth
        strongest = np.full(count, np.nan)
        some = np.flatnonzero(truth.n_spikes)
        if len(some):
            best = np.nan_to_num(truth.amplitude[some], nan=-1).argmax(axis=1)
            strongest[some] = truth.phase_rad[some, best]
        return TrainingShots(
            shots.sinograms,
            truth.n_spikes,
            strongest,
            shots.delta_phase_rad,
            _expected(truth, simulator.law) if clean else None,
        )


def _expected(
    truth: SubSpikes, law: SinogramLaw
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the expected counts, which stand one bin below the lines."""
    expected = np.zeros((len(truth), law.n_channels, law.n_bins), dtype=np.float32)
    for start in range(0, len(truth), _CHUNK_SHOTS):
        some = slice(start, start + _CHUNK_SHOTS)
        here = truth.select(some)
        rates = expected_rates(here, law) * law.efficiency[:, None]
        expected[some, :, :-1] = rates[:, :, 1:] * here.electrons[:, None, None]
    return expected
