"""Simulated beamlines as policies meet them: knobs in, result tables out, and a score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import Experiment, ExperimentFileError
from autosteer.contracts.simulation import SimulatedSfx
from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.physics import UnitCell
from autosteer.sims.beamline import JetBeamline
from autosteer.sims.pulse_tables import PulseTableSimulator
from autosteer.sims.tables import TableSimulator
from autosteer.sims.xleap import XleapMachine, attainable_share, pair_share

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_DELAY_COLUMN = "pulse.delay_as"


class World(Protocol):
    """A beamline that turns the positions of motors into result tables."""

    @property
    def latency_s(self) -> float:
        """From exposure to the analysis's result; monitors take no time [s]."""
        ...

    def tables(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        timestamps_ns: Int,
        positions: Mapping[str, ArrayLike],
    ) -> dict[str, pa.RecordBatch]:
        """Return the tables of pulses by kind."""
        ...

    def share_of_attainable(self, positions: Mapping[str, ArrayLike], time_s: float) -> float:
        """Return how good positions truly are, over the best there are: for scoring only."""
        ...


class JetWorld:
    """Crystals in a jet; good is what hits.

    Parameters
    ----------
    experiment : Experiment
        An experiment with the crystals' cell, if it has a section ``analysis``.
    config : SimulatedSfx
        The beamline.
    seed : int
        Seed of everything that is drawn.
    """

    def __init__(self, experiment: Experiment, config: SimulatedSfx, seed: int) -> None:
        self._beamline = JetBeamline(config, seed)
        cell, min_spots = crystals_of(experiment)
        self._tables = TableSimulator(config, cell, min_spots, seed)
        self.latency_s = config.analysis_latency_s

    def tables(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        timestamps_ns: Int,
        positions: Mapping[str, ArrayLike],
    ) -> dict[str, pa.RecordBatch]:
        """Return the tables of pulses.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        times_s : ndarray of float64, shape (n,)
            Time of each since the start [s].
        timestamps_ns : ndarray of int64, shape (n,)
            The same as UTC [ns].
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor [mm].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables by kind.
        """
        truth = self._beamline.shots(pulse_ids, times_s, positions)
        return self._tables.tables(truth, timestamps_ns)

    def share_of_attainable(self, positions: Mapping[str, ArrayLike], time_s: float) -> float:
        """Return the true hit probability over the best one: for scoring only.

        Parameters
        ----------
        positions : mapping of str to float
            Position of each motor [mm].
        time_s : float
            Time since the start [s].

        Returns
        -------
        float
            The share; NaN during a clog.
        """
        attainable = float(self._beamline.p_hit_attainable(time_s))
        here = float(self._beamline.p_hit_at(positions, time_s))
        return here / attainable if attainable else float("nan")


class PulsePairWorld:
    """Pairs of attosecond pulses; good are pairs at the delay that the objective counts.

    Parameters
    ----------
    experiment : Experiment
        An experiment whose objective counts pulses with a delay in a window.
    config : SimulatedXleap
        The machine.
    seed : int
        Seed of everything that is drawn.

    Raises
    ------
    ExperimentFileError
        If the objective has no such window.
    """

    def __init__(self, experiment: Experiment, config: SimulatedXleap, seed: int) -> None:
        self._machine = XleapMachine(config, seed)
        self._tables = PulseTableSimulator(config, seed)
        self._window_as = wanted_delays(experiment)
        self._attainable = attainable_share(self._window_as, config)
        self.latency_s = config.analysis_latency_s

    def tables(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        timestamps_ns: Int,
        positions: Mapping[str, ArrayLike],
    ) -> dict[str, pa.RecordBatch]:
        """Return the tables of pulses.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        times_s : ndarray of float64, shape (n,)
            Time of each since the start [s].
        timestamps_ns : ndarray of int64, shape (n,)
            The same as UTC [ns].
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor.

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables by kind.
        """
        truth = self._machine.shots(pulse_ids, times_s, positions)
        return self._tables.tables(truth, timestamps_ns)

    def share_of_attainable(self, positions: Mapping[str, ArrayLike], time_s: float) -> float:
        """Return the true share of wanted pairs over the best one: for scoring only.

        Parameters
        ----------
        positions : mapping of str to float
            Position of each motor.
        time_s : float
            Time since the start [s].

        Returns
        -------
        float
            The share.
        """
        chances = self._machine.chances(positions, time_s)
        [here] = pair_share(chances, self._window_as, self._machine.config)
        return float(here) / self._attainable


def make_world(experiment: Experiment, seed: int) -> World:
    """Make the world of an experiment's simulation.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation.
    seed : int
        Seed of everything that is drawn.

    Returns
    -------
    World
        The world.

    Raises
    ------
    ExperimentFileError
        If the experiment has no simulation, or nothing to be scored by.
    """
    if experiment.simulation is None:
        raise ExperimentFileError(experiment.name, [("simulation", "needed to simulate")])
    config = experiment.simulation.beamline
    if config.kind == "xleap":
        return PulsePairWorld(experiment, config, seed)
    return JetWorld(experiment, config, seed)


def crystals_of(experiment: Experiment) -> tuple[UnitCell, int]:
    """Return the cell of the crystals that are simulated, and the spots that make a hit.

    Parameters
    ----------
    experiment : Experiment
        The experiment; without a section ``analysis`` they are lysozyme.

    Returns
    -------
    cell : UnitCell
        The cell.
    min_spots_hit : int
        Spots that make a frame a hit.
    """
    if experiment.analysis is None:
        return UnitCell(79.1, 79.1, 37.9, 90, 90, 90), 8
    indexer = experiment.analysis.indexer
    cell = UnitCell(*indexer.unit_cell, indexer.centering)
    return cell, experiment.analysis.min_spots_hit


def wanted_delays(experiment: Experiment) -> tuple[float, float]:
    """Return the window of delays that an experiment's objective counts.

    Parameters
    ----------
    experiment : Experiment
        The experiment.

    Returns
    -------
    low, high : float
        The window [as].

    Raises
    ------
    ExperimentFileError
        If there is none.
    """
    for condition in experiment.objective.zero_unless:
        low, high = condition.above, condition.below
        if condition.column == _DELAY_COLUMN and low is not None and high is not None:
            return low, high
    raise ExperimentFileError(
        experiment.name,
        [("objective.zero_unless", f"needs '{_DELAY_COLUMN}' above and below something to score")],
    )
