"""Worlds made of scenes: a scene says what shots give on the average, this draws the shots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from autosteer.contracts import Experiment, ExperimentFileError
from autosteer.contracts.table_kinds import MACHINE
from autosteer.contracts.tables import make_batch
from autosteer.sims._checks import checked_position, checked_pulses, checked_times, lognormal
from autosteer.sims._draws import PulseDraws, poisson_quantile, stream_seed
from autosteer.sims._monitor import monitor_batch
from autosteer.sims._motors import motors_of_knobs
from autosteer.sims._processes import RandomTelegraph
from autosteer.sims._scene_score import SceneScore
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.worlds import World

Float = NDArray[np.float64]

# Poisson numbers of a larger mean are drawn as normal ones.
_LARGE_MEAN = 100.0
_MONITOR, _LOST, _FIRST_COLUMN = 0, 1, 8


@dataclass(frozen=True, slots=True, eq=False)
class SignalTruth:
    """What pulses give on the average. For tables and scoring only.

    Parameters
    ----------
    pulse_id : ndarray of uint64, shape (n,)
        Number of the machine pulse.
    beam_intensity : ndarray of float64, shape (n,)
        Pulse energy over its nominal value; 0 where there is no beam.
    expected : mapping of str to ndarray of float64, shape (n,)
        Expectation by column, in a pulse of nominal energy.
    """

    pulse_id: NDArray[np.uint64]
    beam_intensity: Float
    expected: Mapping[str, Float]

    def __len__(self) -> int:
        return len(self.pulse_id)

    def dark(self) -> SignalTruth:
        """Return the same pulses with the shutter closed.

        Returns
        -------
        SignalTruth
            No beam, and therefore no signals.
        """
        return replace(self, beam_intensity=np.zeros(len(self)))


@dataclass(frozen=True, slots=True)
class Flow:
    """How shots come, whatever they show.

    Parameters
    ----------
    latency_s : float, default 0.1
        From exposure to the analysis's result [s].
    intensity_spread : float, default 0.1
        Relative standard deviation of the pulse energy.
    lost_results : float, default 0
        Share of shots whose result never comes.
    trips_per_min : float, default 0
        Mean rate at which the beam trips [1/min].
    trip_s : float, default 3
        Mean time that it then stays away [s].

    Raises
    ------
    ValueError
        If a number is negative, or every result is lost.
    """

    latency_s: float = 0.1
    intensity_spread: float = 0.1
    lost_results: float = 0.0
    trips_per_min: float = 0.0
    trip_s: float = 3.0

    def __post_init__(self) -> None:
        for name in ("latency_s", "intensity_spread", "lost_results", "trips_per_min"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative")
        if not self.lost_results < 1:
            raise ValueError(f"lost_results is {self.lost_results}: some must come, give below 1")
        if not self.trip_s > 0:
            raise ValueError(f"trip_s is {self.trip_s}: it must be positive")


class SignalBeamline:
    """Says what each pulse gives on the average.

    Parameters
    ----------
    scene : Scene
        What shots give, by knobs and time.
    motors : mapping of str to str
        Motor by knob.
    flow : Flow
        How shots come.
    seed : int
        The one seed of the simulation, not negative.
    """

    def __init__(self, scene: Scene, motors: Mapping[str, str], flow: Flow, seed: int) -> None:
        self._scene = scene
        self._motors = {knob: motors[knob] for knob in scene.knobs}
        self._spread = flow.intensity_spread
        self._draws = PulseDraws(seed, "pulse energies")
        self._trip = RandomTelegraph(
            flow.trips_per_min / 60,
            flow.trip_s,
            np.random.default_rng(stream_seed(seed, "beam trips")),
        )

    def shots(
        self,
        pulse_ids: NDArray[np.uint64],
        times_s: Float,
        positions: Mapping[str, ArrayLike],
    ) -> SignalTruth:
        """Say what pulses give, in the order in which they come.

        Parameters
        ----------
        pulse_ids : ndarray of uint64, shape (n,)
            Numbers of the machine pulses.
        times_s : ndarray of float64, shape (n,)
            Time of each since the start [s].
        positions : mapping of str to array_like, shape (n,) or ()
            Position of each motor.

        Returns
        -------
        SignalTruth
            One row per pulse. Where shots leave traces, later ones depend on earlier ones; else a
            row depends on seed, pulse id, time and positions alone.
        """
        times = checked_times(times_s, self._trip.longest_s)
        pulses = checked_pulses(pulse_ids, times)
        knobs = {
            knob: np.broadcast_to(checked_position(positions, motor, times), times.shape)
            for knob, motor in self._motors.items()
        }
        lit = ~self._trip.is_on(times)
        energy = lognormal(self._draws.normal(pulses, 0), self._spread)
        return SignalTruth(pulses, energy * lit, self._scene.expose(knobs, times, lit))


class SignalTables:
    """Draws the tables of a scene's kind and ``machine``; each row by seed and pulse alone.

    Parameters
    ----------
    scene : Scene
        Its kind, and how its columns are drawn.
    lost_results : float
        Share of shots whose row is missing in the scene's table.
    seed : int
        The one seed of the simulation, not negative.
    """

    def __init__(self, scene: Scene, lost_results: float, seed: int) -> None:
        self._scene = scene
        self._lost_results = lost_results
        self._draws = PulseDraws(seed, "signals")

    def tables(self, truth: SignalTruth, timestamps_ns: ArrayLike) -> dict[str, pa.RecordBatch]:
        """Make the tables of shots.

        Parameters
        ----------
        truth : SignalTruth
            What the pulses give on the average, n rows.
        timestamps_ns : array_like of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables by kind; one without rows is left out.
        """
        keys = {"pulse_id": truth.pulse_id, "timestamp": np.asarray(timestamps_ns, np.int64)}
        errors = self._draws.normal(truth.pulse_id, _MONITOR)
        machine = monitor_batch(truth.pulse_id, timestamps_ns, truth.beam_intensity, errors)
        tables = {MACHINE.name: machine}
        came = self._draws.uniform(truth.pulse_id, _LOST) >= self._lost_results
        if came.any():
            columns = {**keys, **self._columns(truth)}
            rows = {name: values[came] for name, values in columns.items()}
            tables[self._scene.kind.name] = make_batch(self._scene.kind, rows)
        return tables

    def _columns(self, truth: SignalTruth) -> dict[str, NDArray[np.generic]]:
        columns: dict[str, NDArray[np.generic]] = {}
        for number, (name, signal) in enumerate(self._scene.signals.items()):
            expected = truth.expected[name]
            if signal.only_with:
                expected = np.where(columns[signal.only_with], expected, signal.otherwise)
            if signal.per_energy:
                expected = expected * truth.beam_intensity
            uniform = self._draws.uniform(truth.pulse_id, _FIRST_COLUMN + number)
            columns[name] = _draw(signal, expected, uniform, truth.beam_intensity > 0)
        return columns


def _draw(
    signal: Signal, expected: Float, uniform: Float, lit: NDArray[np.bool_]
) -> NDArray[np.generic]:
    """Draw values with an expectation; there is nothing to be seen without beam."""
    if signal.law == "fraction":
        return (uniform < expected) & lit
    if signal.law == "reading":
        return np.where(lit, expected + signal.sd * ndtri(uniform), np.nan)
    mean = np.where(lit, expected, 0.0)
    few = poisson_quantile(uniform, np.minimum(mean, _LARGE_MEAN))
    many = np.rint(mean + np.sqrt(mean) * ndtri(uniform))
    counts: NDArray[np.int64] = np.where(mean < _LARGE_MEAN, few, many).astype(np.int64)
    return counts


def signal_world(
    experiment: Experiment, seed: int, scene: Scene, flow: Flow | None = None
) -> World[SignalTruth]:
    """Make the world of a scene.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation; its knobs and quantities are those of the scene.
    seed : int
        Seed of everything that is drawn.
    scene : Scene
        What shots give on the average.
    flow : Flow, optional
        How shots come.

    Returns
    -------
    World
        The world.

    Raises
    ------
    ExperimentFileError
        If the experiment lacks a knob of the scene, or its objective is nothing that the scene
        gives.
    """
    flow = flow or Flow()
    motors = motors_of_knobs(experiment)
    missing = [knob for knob in scene.knobs if knob not in motors]
    if missing:
        raise ExperimentFileError(
            experiment.name,
            [("knobs", f"the simulated beamline needs the knobs {', '.join(scene.knobs)}")],
        )
    score = SceneScore(experiment, scene, motors)
    return World(
        beamline=SignalBeamline(scene, motors, flow, seed),
        maker=SignalTables(scene, flow.lost_results, seed),
        latency_s=flow.latency_s,
        share_of_attainable=score.share,
        truths=score.truths,
        attainable=score.attainable,
    )


class WorldFactory(Protocol):
    """What ``simulation.beamline.world`` names."""

    def __call__(self, experiment: Experiment, seed: int, **options: Any) -> World[SignalTruth]:
        """Make the world of an experiment."""
        ...


_FLOW_OPTIONS = frozenset(Flow.__dataclass_fields__)


def world_of(scene_class: type[Scene]) -> WorldFactory:
    """Make a factory of worlds that an experiment file can name.

    Parameters
    ----------
    scene_class : type
        A scene, called with the seed and the options that are none of `Flow`.

    Returns
    -------
    callable
        Takes experiment, seed, the fields of `Flow`, and the options of the scene.
    """

    def make(experiment: Experiment, seed: int, **options: Any) -> World[SignalTruth]:
        flow = Flow(**{key: value for key, value in options.items() if key in _FLOW_OPTIONS})
        own = {key: value for key, value in options.items() if key not in _FLOW_OPTIONS}
        return signal_world(experiment, seed, scene_class(seed, **own), flow)

    return make
