"""A simulated beamline on a virtual clock: motors and result tables in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from autosteer.contracts import DeviceError, Experiment, ExperimentFileError, MotorFacts
from autosteer.contracts.table_kinds import MACHINE
from autosteer.physics import Travel
from autosteer.sims._draws import PulseDraws
from autosteer.sims._motors import motors_of_knobs
from autosteer.sims.worlds import World

_UPDATE_S = 0.02
# What the soft IOC calls its beam monitor, after the prefix.
_BEAM_MONITOR = "BEAM:INTENSITY"


@dataclass(frozen=True, slots=True)
class Standing:
    """How good a place truly is at a moment: for scoring only.

    Parameters
    ----------
    share : float
        1 at the best place there is; see the world. NaN while nothing can be attained.
    truths : mapping of str to float
        True mean of each quantity of the experiment that the world knows.
    violated : bool
        Whether one of them breaks a limit of the experiment.
    """

    share: float
    truths: Mapping[str, float]
    violated: bool


class VirtualBeamline:
    """What a `VirtualRun` steers: an experiment's simulation without processes and sockets.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation; knobs and motors are matched by the devices' prefixes.
    world : World
        What the motors move, made for this experiment; shots leave traces in it, so that each run
        needs one of its own.

    Raises
    ------
    ExperimentFileError
        If the experiment has no simulation, or a knob's device is no motor of it.
    """

    def __init__(self, experiment: Experiment, world: World[Any]) -> None:
        if experiment.simulation is None:
            raise ExperimentFileError(experiment.name, [("simulation", "needed to simulate")])
        ioc = experiment.simulation.ioc
        self._motors = ioc.motors
        self._motor_of = motors_of_knobs(experiment)
        self._rate_hz = experiment.source.rate_hz
        self._stride = experiment.source.pulse_stride
        self._world = world
        self._limits = experiment.problem.limits
        self._failed_moves = ioc.failed_moves
        self._luck = PulseDraws(experiment.seed, "moves")
        self._moves = 0
        self.visited: list[tuple[int, Mapping[str, float]]] = []
        """When the knobs arrive where they are sent [ns UTC], and where, in order."""
        self._travels = {
            name: Travel(motor.start, motor.start, 0.0, motor.velocity)
            for name, motor in self._motors.items()
        }
        self._interlocks = {
            interlock.name: experiment.devices[interlock.device].prefix
            == ioc.prefix + _BEAM_MONITOR
            for interlock in experiment.envelope.interlocks
        }
        self._beam_intensity = 1.0
        self._shots = 0
        self._start_ns: int | None = None
        self._posted_s = 0.0
        # The move that each knob has come to rest from, as far as posted.
        self._resting: dict[str, Travel] = {}

    def facts(self) -> dict[str, MotorFacts]:
        """Return what each knob's motor says of itself.

        Returns
        -------
        dict of str to MotorFacts
            Units and limits by knob.
        """
        return {
            knob: MotorFacts(motor.units, motor.low, motor.high)
            for knob, motor in ((knob, self._motors[name]) for knob, name in self._motor_of.items())
        }

    def interlocks(self) -> dict[str, float]:
        """Return the value of each interlock's signal.

        Returns
        -------
        dict of str to float
            What the beam monitor shows, over its nominal value; 1 for any other signal.
        """
        return {
            name: self._beam_intensity if of_beam else 1.0
            for name, of_beam in self._interlocks.items()
        }

    def move(self, knobs: Mapping[str, float], now_ns: int) -> int:
        """Send the knobs to a place.

        Parameters
        ----------
        knobs : mapping of str to float
            Target by knob.
        now_ns : int
            Time of the set call [ns UTC].

        Returns
        -------
        int
            When the last of them arrives [ns UTC].

        Raises
        ------
        DeviceError
            If the move is one of those that fail; nothing moves then.
        """
        now_s = self._seconds(now_ns)
        self._moves += 1
        if self._luck.uniform(np.array([self._moves], np.uint64), 0)[0] < self._failed_moves:
            raise DeviceError(f"move {self._moves} did not start: the simulated motors failed")
        arrival_s = now_s
        for knob, target in knobs.items():
            name = self._motor_of[knob]
            here = float(self._travels[name].position(now_s))
            travel = Travel(here, target, now_s, self._motors[name].velocity)
            self._travels[name] = travel
            arrival_s = max(arrival_s, travel.t_end_s)
        arrival_ns = now_ns + round((arrival_s - now_s) * 1e9)
        self.visited.append((arrival_ns, dict(knobs)))
        return arrival_ns

    def _seconds(self, t_ns: int) -> float:
        """Return the time since the start [s]."""
        if self._start_ns is None:
            self._start_ns = t_ns
        return (t_ns - self._start_ns) / 1e9

    def readbacks(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, str, float, bool]]:
        """Give what the motors post in a span of time: nothing while they rest.

        Parameters
        ----------
        from_ns, to_ns : int
            The span [ns UTC].

        Yields
        ------
        stamp_ns : int
            Time stamp [ns UTC].
        knob : str
            The knob.
        position : float
            Where it is.
        moving : bool
            Whether it moves.
        """
        self._seconds(from_ns)
        to_s = self._seconds(to_ns)
        for knob, name in self._motor_of.items():
            travel = self._travels[name]
            if self._resting.get(knob) is travel:
                continue
            # A move may have begun, and even ended, since the last span was asked for.
            for t_s in np.arange(max(travel.t_start_s, self._posted_s), to_s, _UPDATE_S):
                if t_s < travel.t_end_s:
                    yield self._stamp(t_s), knob, float(travel.position(t_s)), True
            if travel.t_end_s <= to_s:
                self._resting[knob] = travel
                yield self._stamp(travel.t_end_s), knob, travel.target, False
        self._posted_s = to_s

    def _stamp(self, t_s: float) -> int:
        return (self._start_ns or 0) + round(t_s * 1e9)

    def tables(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, str, pa.RecordBatch]]:
        """Give the tables of the shots exposed in a span of time.

        Parameters
        ----------
        from_ns, to_ns : int
            The span [ns UTC].

        Yields
        ------
        arrival_ns : int
            When the table arrives [ns UTC].
        kind : str
            Table kind.
        batch : pyarrow.RecordBatch
            The rows.
        """
        elapsed_s = self._seconds(to_ns)
        count = max(int(np.ceil(elapsed_s * self._rate_hz - 1e-9)) - self._shots, 0)
        if count == 0:
            return
        numbers = self._shots + np.arange(count)
        self._shots += count
        times_s = numbers.astype(np.float64) / self._rate_hz
        times_ns = (self._start_ns or 0) + np.rint(times_s * 1e9).astype(np.int64)
        positions = {name: travel.position(times_s) for name, travel in self._travels.items()}
        pulse_ids = (1 + numbers * self._stride).astype(np.uint64)
        latency_ns = round(self._world.latency_s * 1e9)
        tables = self._world.tables(pulse_ids, times_s, times_ns, positions)
        self._beam_intensity = float(np.mean(tables[MACHINE.name]["beam_intensity"]))
        for kind, batch in tables.items():
            delay_ns = 0 if kind == MACHINE.name else latency_ns
            yield int(times_ns[-1]) + delay_ns, kind, batch

    def standing(self, now_ns: int, knobs: Mapping[str, float] | None = None) -> Standing:
        """Say how good a place truly is: for scoring only.

        Parameters
        ----------
        now_ns : int
            Time [ns UTC].
        knobs : mapping of str to float, optional
            The place; by default where the motors are.

        Returns
        -------
        Standing
            The truth.
        """
        now_s = self._seconds(now_ns)
        positions = {name: travel.position(now_s) for name, travel in self._travels.items()}
        for knob, position in (knobs or {}).items():
            positions[self._motor_of[knob]] = np.asarray(position, np.float64)
        truths = self._world.truths(positions, now_s)
        known = [limit for limit in self._limits if limit.name in truths]
        return Standing(
            share=self._world.share_of_attainable(positions, now_s),
            truths=truths,
            violated=not all(limit.kept_by(truths[limit.name]) for limit in known),
        )

    def attainable(self, now_ns: int) -> Sequence[Mapping[str, float]]:
        """Return the true means at the best place, or along the Pareto front: for scoring only.

        Parameters
        ----------
        now_ns : int
            Time [ns UTC].

        Returns
        -------
        sequence of mapping of str to float
            One where there is one objective; empty where the world does not know it.
        """
        return self._world.attainable(self._seconds(now_ns))

    def share_of_attainable(self, now_ns: int) -> float:
        """Return how good the present positions truly are: for scoring only.

        Parameters
        ----------
        now_ns : int
            Time [ns UTC].

        Returns
        -------
        float
            The share; NaN while nothing can be attained.
        """
        return self.standing(now_ns).share
