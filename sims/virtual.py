"""A simulated beamline on a virtual clock: motors and result tables in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from autosteer.contracts import Experiment, ExperimentFileError, MotorFacts
from autosteer.contracts.table_kinds import MACHINE
from autosteer.physics import Travel
from autosteer.sims.worlds import make_world

_UPDATE_S = 0.02


class VirtualBeamline:
    """What a `VirtualRun` steers: an experiment's simulation without processes and sockets.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a simulation; knobs and motors are matched by the devices' prefixes.
    seed : int
        Seed of everything that is drawn.

    Raises
    ------
    ExperimentFileError
        If the experiment has no simulation, a knob's device is no motor of it, or there is nothing
        to score by.
    """

    def __init__(self, experiment: Experiment, seed: int) -> None:
        if experiment.simulation is None:
            raise ExperimentFileError(experiment.name, [("simulation", "needed to simulate")])
        simulation = experiment.simulation
        self._motors = simulation.ioc.motors
        self._motor_of = _motors_of_knobs(experiment)
        self._rate_hz = experiment.source.rate_hz
        self._stride = experiment.source.pulse_stride
        self._world = make_world(experiment, seed)
        self._travels = {
            name: Travel(motor.start, motor.start, 0.0, motor.velocity)
            for name, motor in self._motors.items()
        }
        self._interlocks = [interlock.name for interlock in experiment.envelope.interlocks]
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
        """Return the value of each interlock's signal: the beam is on and the shutter open.

        Returns
        -------
        dict of str to float
            1 for every interlock.
        """
        return dict.fromkeys(self._interlocks, 1.0)

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
        """
        now_s = self._seconds(now_ns)
        arrival_s = now_s
        for knob, target in knobs.items():
            name = self._motor_of[knob]
            here = float(self._travels[name].position(now_s))
            travel = Travel(here, target, now_s, self._motors[name].velocity)
            self._travels[name] = travel
            arrival_s = max(arrival_s, travel.t_end_s)
        return now_ns + round((arrival_s - now_s) * 1e9)

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
        for kind, batch in tables.items():
            delay_ns = 0 if kind == MACHINE.name else latency_ns
            yield int(times_ns[-1]) + delay_ns, kind, batch

    def share_of_attainable(self, now_ns: int) -> float:
        """Return how good the present positions truly are, over the best: for scoring only.

        Parameters
        ----------
        now_ns : int
            Time [ns UTC].

        Returns
        -------
        float
            The share; NaN while nothing can be attained.
        """
        now_s = self._seconds(now_ns)
        positions = {name: travel.position(now_s) for name, travel in self._travels.items()}
        return self._world.share_of_attainable(positions, now_s)


def _motors_of_knobs(experiment: Experiment) -> dict[str, str]:
    """Match knobs with the simulated motors that their devices name."""
    if experiment.simulation is None:
        return {}
    ioc = experiment.simulation.ioc
    matched = {}
    for knob, entry in experiment.knobs.items():
        prefix = experiment.devices[entry.device].prefix
        name = prefix.removeprefix(ioc.prefix)
        if name not in ioc.motors:
            raise ExperimentFileError(
                experiment.name,
                [
                    (
                        f"devices.{entry.device}.prefix",
                        f"'{prefix}' is no simulated motor: there are "
                        + ", ".join(ioc.prefix + motor for motor in ioc.motors),
                    )
                ],
            )
        matched[knob] = name
    return matched
