"""Simulated beamlines as policies meet them: knobs in, result tables out, and a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts import Experiment, ExperimentFileError
from autosteer.contracts.simulation import SimulatedSfx
from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.physics import UnitCell
from autosteer.sims.beamline import JetBeamline, ShotTruth
from autosteer.sims.emitters import TableMaker
from autosteer.sims.pulse_tables import PulseTableSimulator
from autosteer.sims.source import Beamline, TruthT
from autosteer.sims.tables import TableSimulator
from autosteer.sims.truth import JET_TRUTH, LIGHT_TRUTH, PULSE_TRUTH
from autosteer.sims.xleap import PulseTruth, XleapMachine, attainable_share, pair_share

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_DELAY_COLUMN = "pulse.delay_as"


def _unknown(positions: Mapping[str, ArrayLike], time_s: float) -> Mapping[str, float]:
    """Say nothing about any quantity."""
    return {}


def _none(time_s: float) -> Sequence[Mapping[str, float]]:
    """Know no best place."""
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class World(Generic[TruthT]):
    """A beamline that turns the positions of motors into result tables.

    Parameters
    ----------
    beamline : Beamline
        What each pulse meets, or is.
    maker : TableMaker
        Makes result tables of that.
    latency_s : float
        From exposure to the analysis's result; monitors take no time [s].
    share_of_attainable : callable
        Says how good positions (by motor) truly are at a time since the start [s]: 1 at the best
        there are; NaN while nothing can be attained. For scoring only.
    truths : callable, optional
        Gives the true mean of those of the experiment's quantities that it knows, by name, for
        positions and a time. For scoring only.
    attainable : callable, optional
        Gives the same at the best place that keeps the limits at a time, or at many places along
        the Pareto front; empty where it is not known. For scoring only.
    truth_schema : pyarrow.Schema, optional
        What a run in real time logs of the truth: attributes of what `beamline` gives.
    """

    beamline: Beamline[TruthT]
    maker: TableMaker[TruthT]
    latency_s: float
    share_of_attainable: Callable[[Mapping[str, ArrayLike], float], float]
    truths: Callable[[Mapping[str, ArrayLike], float], Mapping[str, float]] = _unknown
    attainable: Callable[[float], Sequence[Mapping[str, float]]] = _none
    truth_schema: pa.Schema = LIGHT_TRUTH

    def tables(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        timestamps_ns: Int,
        positions: Mapping[str, ArrayLike],
    ) -> Mapping[str, pa.RecordBatch]:
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
        mapping of str to pyarrow.RecordBatch
            Tables by kind.
        """
        truth = self.beamline.shots(pulse_ids, times_s, positions)
        return self.maker.tables(truth, timestamps_ns)


def _jet_world(experiment: Experiment, config: SimulatedSfx, seed: int) -> World[ShotTruth]:
    """Make a jet with crystals; good is what hits."""
    beamline = JetBeamline(config, seed)
    cell, min_spots = crystals_of(experiment)

    def share(positions: Mapping[str, ArrayLike], time_s: float) -> float:
        attainable = float(beamline.p_hit_attainable(time_s))
        here = float(beamline.p_hit_at(positions, time_s))
        return here / attainable if attainable else float("nan")

    tables = TableSimulator(config, cell, min_spots, seed)
    return World(beamline, tables, config.analysis_latency_s, share, truth_schema=JET_TRUTH)


def _pair_world(experiment: Experiment, config: SimulatedXleap, seed: int) -> World[PulseTruth]:
    """Make a machine for pulse pairs; good are those at the delay that the objective counts."""
    machine = XleapMachine(config, seed)
    window_as = wanted_delays(experiment)
    attainable = attainable_share(window_as, config)

    def share(positions: Mapping[str, ArrayLike], time_s: float) -> float:
        [here] = pair_share(machine.chances(positions, time_s), window_as, config)
        return float(here) / attainable

    tables = PulseTableSimulator(config, seed)
    return World(machine, tables, config.analysis_latency_s, share, truth_schema=PULSE_TRUTH)


def make_world(experiment: Experiment, seed: int) -> World[ShotTruth] | World[PulseTruth]:
    """Make the world of an experiment's simulation, of the kinds that autosteer brings along.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation of kind ``sfx`` or ``xleap``.
    seed : int
        Seed of everything that is drawn.

    Returns
    -------
    World
        The world.

    Raises
    ------
    ExperimentFileError
        If the experiment has no such simulation, or nothing to be scored by.
    """
    config = experiment.simulation.beamline if experiment.simulation is not None else None
    if isinstance(config, SimulatedXleap):
        return _pair_world(experiment, config, seed)
    if isinstance(config, SimulatedSfx):
        return _jet_world(experiment, config, seed)
    raise ExperimentFileError(
        experiment.name, [("simulation.beamline.kind", "sfx or xleap is needed here")]
    )


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
