"""``autosteer source``: the simulated beamline, in real time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._output import clear_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zmq

    from autosteer.cli._simulated import SimulatedParts, WorkerStreams
    from autosteer.contracts import Experiment
    from autosteer.service.child import ChildRuntime
    from autosteer.sims.source import TruthT
    from autosteer.stream import Producer


def source(
    file: Annotated[Path, typer.Argument(help="Experiment file with a section 'simulation'.")],
    run_uid: Annotated[str, typer.Option(help="Identifier of the run.")],
    agent: Annotated[str, typer.Option(help="Where the agent takes tables.")],
    recorder: Annotated[str, typer.Option(help="Where the recorder takes tables.")],
    directory: Annotated[Path, typer.Option(help="Folder for the truth and for spools.")],
) -> None:
    """Publish what the simulated beamline gives, until interrupted.

    Frames, spot lists and the channels of sinograms go to ports of the workers, result tables to
    the agent.
    """
    import zmq

    from autosteer.cli._children import table_producer
    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._simulated import custom_parts, jet_parts, worker_streams, xleap_parts
    from autosteer.contracts import ExperimentFileError
    from autosteer.service.child import ChildRuntime, configure_logging

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime("source")
        experiment, _ = read_experiment(file)
        simulation = experiment.simulation
        if simulation is None:
            raise ExperimentFileError(str(file), [("simulation", "needed to simulate a source")])
        directory.mkdir(parents=True, exist_ok=True)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        stride = experiment.source.pulse_stride
        monitor = table_producer(
            context, "source", run_uid, agent, recorder, directory / "source.spool", stride
        )
        streams = worker_streams(context, experiment, run_uid)
        config, prefix = simulation.beamline, simulation.ioc.prefix
        if config.kind == "xleap":
            pulses = xleap_parts(experiment, config, streams, monitor)
            _pulse(experiment, prefix, pulses, streams, monitor, directory, runtime)
        elif config.kind == "custom":
            made = custom_parts(experiment, tuple(simulation.ioc.motors), monitor)
            _pulse(experiment, prefix, made, streams, monitor, directory, runtime)
        else:
            shots = jet_parts(experiment, config, streams, monitor, runtime)
            _pulse(experiment, prefix, shots, streams, monitor, directory, runtime)


def _pulse(
    experiment: Experiment,
    prefix: str,
    parts: SimulatedParts[TruthT],
    streams: WorkerStreams,
    monitor: Producer,
    directory: Path,
    runtime: ChildRuntime,
) -> None:
    """Pulse from the word to start until the word to stop."""
    import time
    from itertools import chain

    from autosteer.sims import TruthLog
    from autosteer.sims.epics_machine import EpicsMachine
    from autosteer.sims.source import SimulatedSource
    from autosteer.stream import RealClock

    source = experiment.source
    machine = EpicsMachine(prefix, parts.motors)
    with TruthLog(directory / "truth.arrows", parts.truth_schema) as truth:
        simulated = SimulatedSource(
            parts.beamline,
            machine,
            parts.emitter,
            monitor,
            truth,
            RealClock(),
            rate_hz=source.rate_hz,
            pulse_stride=source.pulse_stride,
            shots_together=max(1, round(source.rate_hz * parts.together_s)),
            monitor_every_s=parts.monitor_every_s,
            seed=experiment.seed,
        )

        def report() -> None:
            frames = {
                name: {"worker": _total(producers)}
                for name, producers in zip(streams.addresses, streams.producers, strict=True)
            }
            runtime.tell("counters", shots=simulated.shots, tables=monitor.counters, frames=frames)

        runtime.tell("ready", frames=streams.addresses)
        if runtime.wait_for("go"):
            simulated.run(runtime.should_stop, time.sleep, report)
    for producer in (*chain.from_iterable(streams.producers), monitor):
        producer.close()
    report()


def _total(producers: Sequence[Producer]) -> dict[str, int]:
    """Add up the counters of a worker's streams: frames, or rows of channels."""
    totals: dict[str, int] = {}
    for producer in producers:
        for name, count in producer.counters["worker"].items():
            totals[name] = totals.get(name, 0) + count
    return totals
