"""What a simulated beamline is made of, by its kind: pulses, what they give, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa
    import zmq

    from autosteer.contracts import Experiment
    from autosteer.contracts.simulation import SimulatedSfx
    from autosteer.contracts.xleap_simulation import SimulatedXleap
    from autosteer.service.child import ChildRuntime
    from autosteer.sims import JetBeamline, PulseTruth, ShotTruth, XleapMachine
    from autosteer.sims.source import Beamline, Emitter, Truth
    from autosteer.stream import Producer

TruthT = TypeVar("TruthT", bound="Truth")

# What waits for a worker longer than this is dropped, and counted.
_WORKER_BACKLOG_S = 2.0
# The beam monitor's table leaves this often, where nothing else sets the pace.
_MONITOR_EVERY_S = 0.05
# Channels of a spectrometer are published in messages of this length.
_CHANNELS_TOGETHER_S = 0.02


@dataclass(frozen=True, slots=True)
class WorkerStreams:
    """Sockets of the streams that workers take.

    Parameters
    ----------
    producers : tuple of tuple of Producer
        For each worker, its producers.
    addresses : dict of str to list of str
        Where each worker finds them.
    """

    producers: tuple[tuple[Producer, ...], ...]
    addresses: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class SimulatedParts(Generic[TruthT]):
    """The parts of a simulated source.

    Parameters
    ----------
    beamline : Beamline
        What each pulse meets, or is.
    motors : tuple of str
        Motors whose positions it needs.
    emitter : Emitter
        What becomes of the pulses.
    truth_schema : pyarrow.Schema
        What is logged of the truth.
    together_s : float
        Pulses of this span are made together [s].
    monitor_every_s : float
        The beam monitor's table leaves this often [s].
    """

    beamline: Beamline[TruthT]
    motors: tuple[str, ...]
    emitter: Emitter[TruthT]
    truth_schema: pa.Schema
    together_s: float
    monitor_every_s: float


def worker_streams(
    context: zmq.Context[zmq.Socket[bytes]], experiment: Experiment, run_uid: str
) -> WorkerStreams:
    """Open the sockets of what workers take: none where the source gives result tables.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    experiment : Experiment
        The experiment.
    run_uid : str
        The run.

    Returns
    -------
    WorkerStreams
        One stream for each worker; of sinograms one for each channel.
    """
    from autosteer.contracts.messages import sinogram_channel

    section, source = experiment.worker_section, experiment.source
    if section is None:
        return WorkerStreams((), {})
    names = ["frames"]
    if source.kind == "sinograms":
        names = [sinogram_channel(number) for number in range(source.channels)]
    backlog = max(1, round(source.rate_hz * _WORKER_BACKLOG_S))
    made = [
        [_worker_stream(context, name, run_uid, backlog, source.pulse_stride) for name in names]
        for _ in range(section.workers)
    ]
    return WorkerStreams(
        tuple(tuple(producer for producer, _ in streams) for streams in made),
        {
            f"worker-{number}": [address for _, address in streams]
            for number, streams in enumerate(made)
        },
    )


def _worker_stream(
    context: zmq.Context[zmq.Socket[bytes]], name: str, run_uid: str, backlog: int, stride: int
) -> tuple[Producer, str]:
    from autosteer.stream import ANY_PORT, DroppingBacklog, Outlet, Producer, RealClock

    outlet = Outlet(context, ANY_PORT, "bind", DroppingBacklog(backlog), 4)
    producer = Producer(name, run_uid, RealClock(), {"worker": outlet}, pulse_stride=stride)
    return producer, outlet.address


def xleap_parts(
    experiment: Experiment, config: SimulatedXleap, streams: WorkerStreams, tables: Producer
) -> SimulatedParts[PulseTruth]:
    """Make the parts of an X-ray laser with a streaking spectrometer.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    config : SimulatedXleap
        The machine.
    streams : WorkerStreams
        Where the channels go.
    tables : Producer
        Where result tables go.

    Returns
    -------
    SimulatedParts
        The parts.
    """
    from autosteer.sims import PULSE_TRUTH, XleapMachine
    from autosteer.sims.channels import ChannelEmitter
    from autosteer.sims.emitters import TableEmitter
    from autosteer.sims.pulse_tables import PulseTableSimulator

    source, seed = experiment.source, experiment.seed
    machine: XleapMachine = XleapMachine(config, seed)
    if source.kind == "tables":
        simulator = PulseTableSimulator(config, seed)
        table_emitter = TableEmitter(simulator, tables, config.analysis_latency_s)
        pace_s = source.flush_s
        return SimulatedParts(machine, machine.motors, table_emitter, PULSE_TRUTH, pace_s, pace_s)
    emitter = ChannelEmitter(
        machine.spectrometer, config.streams, streams.producers, experiment.seed
    )
    return SimulatedParts(
        machine, machine.motors, emitter, PULSE_TRUTH, _CHANNELS_TOGETHER_S, _MONITOR_EVERY_S
    )


def custom_parts(
    experiment: Experiment, motors: tuple[str, ...], tables: Producer
) -> SimulatedParts[Any]:
    """Make the parts of a world of somebody's own.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    motors : tuple of str
        All simulated motors.
    tables : Producer
        Where result tables go.

    Returns
    -------
    SimulatedParts
        The parts.
    """
    from autosteer.cli._worlds import world_of_experiment
    from autosteer.sims.emitters import TableEmitter

    world = world_of_experiment(experiment, experiment.seed)
    emitter = TableEmitter(world.maker, tables, world.latency_s)
    pace_s = experiment.source.flush_s if experiment.source.kind == "tables" else _MONITOR_EVERY_S
    return SimulatedParts(world.beamline, motors, emitter, world.truth_schema, pace_s, pace_s)


def jet_parts(
    experiment: Experiment,
    config: SimulatedSfx,
    streams: WorkerStreams,
    tables: Producer,
    runtime: ChildRuntime,
) -> SimulatedParts[ShotTruth]:
    """Make the parts of a jet with crystals.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    config : SimulatedSfx
        Jet, beam, crystals and detector.
    streams : WorkerStreams
        Where frames, or spot lists, go.
    tables : Producer
        Where result tables go.
    runtime : ChildRuntime
        Is told how far the making of noise frames has come.

    Returns
    -------
    SimulatedParts
        The parts.
    """
    from autosteer.sims import JET_TRUTH, JetBeamline

    beamline: JetBeamline = JetBeamline(config, experiment.seed)
    emitter = _jet_emitter(experiment, config, streams, tables, runtime)
    # An analysis of frames takes longer than this: a finer monitor would gain nothing.
    together_s, monitor_every_s = 0.0, _MONITOR_EVERY_S
    if experiment.source.kind == "tables":
        together_s = monitor_every_s = experiment.source.flush_s
    return SimulatedParts(
        beamline, beamline.motors, emitter, JET_TRUTH, together_s, monitor_every_s
    )


def _jet_emitter(
    experiment: Experiment,
    config: SimulatedSfx,
    streams: WorkerStreams,
    tables: Producer,
    runtime: ChildRuntime,
) -> Emitter[ShotTruth]:
    """Make what the pulses become: frames, spot lists or result tables."""
    from autosteer.contracts import ExperimentFileError
    from autosteer.sims import FrameSimulator, TableSimulator
    from autosteer.sims.emitters import FrameEmitter, SpotListDraws, TableEmitter
    from autosteer.sims.worlds import crystals_of

    analysis, source = experiment.analysis, experiment.source
    workers = [producer for (producer,) in streams.producers]
    cell, min_spots_hit = crystals_of(experiment)
    if source.kind == "tables":
        simulator = TableSimulator(config, cell, min_spots_hit, experiment.seed)
        return TableEmitter(simulator, tables, config.analysis_latency_s)
    if source.kind == "spot_lists":
        from autosteer.analysis.frames import read_spot_lists

        lists = read_spot_lists(Path(source.path or ""), source.key)
        return FrameEmitter("spot_lists", SpotListDraws(lists, experiment.seed), workers)
    if analysis is None or analysis.detector is None:
        raise ExperimentFileError(experiment.name, [("analysis.detector", "needed for frames")])

    def progress(done: int, total: int) -> None:
        if done == total or done % 16 == 0:
            runtime.log.info("making noise frames", done=done, total=total)

    frames = FrameSimulator(
        analysis.detector, config, cell, seed=experiment.seed, progress=progress
    )
    return FrameEmitter("frames", frames, workers)
