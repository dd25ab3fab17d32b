"""``autosteer source``: the simulated beamline, in real time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._output import clear_errors

if TYPE_CHECKING:
    import zmq

    from autosteer.contracts import Experiment
    from autosteer.service.child import ChildRuntime
    from autosteer.sims.source import Emitter
    from autosteer.stream import Producer

# What waits for a worker longer than this is dropped, and counted.
_WORKER_BACKLOG_S = 2.0
_MONITOR_EVERY_S = 0.05


def source(
    file: Annotated[Path, typer.Argument(help="Experiment file with a section 'simulation'.")],
    run_uid: Annotated[str, typer.Option(help="Identifier of the run.")],
    agent: Annotated[str, typer.Option(help="Where the agent takes tables.")],
    recorder: Annotated[str, typer.Option(help="Where the recorder takes tables.")],
    directory: Annotated[Path, typer.Option(help="Folder for the truth and for spools.")],
) -> None:
    """Publish what the simulated beamline gives, until interrupted.

    Frames and spot lists go to one port for each worker, result tables to the agent.
    """
    import time

    import zmq

    from autosteer.cli._children import table_producer
    from autosteer.cli._experiment import read_experiment
    from autosteer.contracts import ExperimentFileError
    from autosteer.service.child import ChildRuntime, configure_logging

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime("source")
        experiment, _ = read_experiment(file)
        simulation = experiment.simulation
        if simulation is None:
            raise ExperimentFileError(str(file), [("simulation", "needed to simulate a source")])
        from autosteer.sims import JetBeamline, TruthLog
        from autosteer.sims.epics_machine import EpicsMachine
        from autosteer.sims.source import SimulatedSource
        from autosteer.stream import RealClock

        directory.mkdir(parents=True, exist_ok=True)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        stride = experiment.source.pulse_stride
        monitor = table_producer(
            context, "source", run_uid, agent, recorder, directory / "source.spool", stride
        )
        workers = _worker_producers(context, experiment, run_uid)
        addresses = {name: address for name, (_, address) in workers.items()}
        producers = [producer for producer, _ in workers.values()]
        emitter = _make_emitter(experiment, producers, monitor, runtime)
        beamline = JetBeamline(simulation.beamline, experiment.seed)
        machine = EpicsMachine(simulation.ioc.prefix, beamline.motors)
        # An analysis of frames takes longer than this: a finer monitor would gain nothing.
        together_s, monitor_every_s = 0.0, _MONITOR_EVERY_S
        if experiment.source.kind == "tables":
            together_s = monitor_every_s = experiment.source.flush_s
        with TruthLog(directory / "truth.arrows") as truth:
            simulated = SimulatedSource(
                beamline,
                machine,
                emitter,
                monitor,
                truth,
                RealClock(),
                rate_hz=experiment.source.rate_hz,
                pulse_stride=stride,
                shots_together=max(1, round(experiment.source.rate_hz * together_s)),
                monitor_every_s=monitor_every_s,
                seed=experiment.seed,
            )

            def report() -> None:
                frames = {name: producer.counters for name, (producer, _) in workers.items()}
                runtime.tell(
                    "counters", shots=simulated.shots, tables=monitor.counters, frames=frames
                )

            runtime.tell("ready", frames=addresses)
            if runtime.wait_for("go"):
                simulated.run(runtime.should_stop, time.sleep, report)
        for producer in (*producers, monitor):
            producer.close()
        report()


def _worker_producers(
    context: zmq.Context[zmq.Socket[bytes]], experiment: Experiment, run_uid: str
) -> dict[str, tuple[Producer, str]]:
    """Open a socket for each worker, if the source gives what workers take."""
    from autosteer.stream import ANY_PORT, DroppingBacklog, Outlet, Producer, RealClock

    if experiment.source.kind == "tables" or experiment.analysis is None:
        return {}
    made = {}
    backlog = max(1, round(experiment.source.rate_hz * _WORKER_BACKLOG_S))
    for number in range(experiment.analysis.workers):
        outlet = Outlet(context, ANY_PORT, "bind", DroppingBacklog(backlog), 4)
        producer = Producer(
            "frames",
            run_uid,
            RealClock(),
            {"worker": outlet},
            pulse_stride=experiment.source.pulse_stride,
        )
        made[f"worker-{number}"] = (producer, outlet.address)
    return made


def _make_emitter(
    experiment: Experiment,
    workers: list[Producer],
    tables: Producer,
    runtime: ChildRuntime,
) -> Emitter:
    """Make what the pulses become: frames, spot lists or result tables."""
    from autosteer.contracts import ExperimentFileError
    from autosteer.physics import UnitCell
    from autosteer.sims import FrameSimulator, TableSimulator
    from autosteer.sims.source import FrameEmitter, SpotListDraws, TableEmitter

    simulation, analysis = experiment.simulation, experiment.analysis
    if simulation is None:
        raise ExperimentFileError(experiment.name, [("simulation", "needed to simulate a source")])
    config = simulation.beamline
    cell = UnitCell(79.1, 79.1, 37.9, 90.0, 90.0, 90.0)
    min_spots_hit = 8
    if analysis is not None:
        cell = UnitCell(*analysis.indexer.unit_cell, analysis.indexer.centering)
        min_spots_hit = analysis.min_spots_hit
    if experiment.source.kind == "tables":
        simulator = TableSimulator(config, cell, min_spots_hit, experiment.seed)
        return TableEmitter(simulator, tables, config.analysis_latency_s)
    if experiment.source.kind == "spot_lists":
        from autosteer.analysis.frames import read_spot_lists

        lists = read_spot_lists(Path(experiment.source.path or ""), experiment.source.key)
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
