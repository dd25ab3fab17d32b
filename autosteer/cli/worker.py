"""``autosteer worker``: analyses frames, spot lists or sinograms and publishes result tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors


def worker(
    file: Annotated[
        Path, typer.Argument(help="Experiment file with a section 'analysis' or 'pulses'.")
    ],
    name: Annotated[str, typer.Option(help="Name of this worker.")],
    frames: Annotated[
        list[str], typer.Option(help="Where the frames come from; of sinograms, each channel.")
    ],
    run_uid: Annotated[str, typer.Option(help="Identifier of the run.")],
    agent: Annotated[str, typer.Option(help="Where the agent takes tables.")],
    recorder: Annotated[str, typer.Option(help="Where the recorder takes tables.")],
    directory: Annotated[Path, typer.Option(help="Folder for the spool.")],
    outside_since: Annotated[
        int | None,
        typer.Option(
            help="The frames come from outside of the run: those sent before this time are "
            "refused, in ns UTC; 0 for those sent before the word 'go' on standard input."
        ),
    ] = None,
) -> None:
    """Analyse what comes, until interrupted."""
    import time

    import zmq

    from autosteer.analysis.worker import LARGEST_BATCH, Worker
    from autosteer.cli._children import table_producer
    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._worker_stages import frame_stage, pulse_stage
    from autosteer.contracts import ExperimentFileError
    from autosteer.service.child import ChildRuntime, configure_logging
    from autosteer.stream import Inlet, RealClock

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime(name)
        experiment, _ = read_experiment(file)
        section = experiment.worker_section
        if section is None:
            raise ExperimentFileError(str(file), [("source.kind", "gives nothing to analyse")])
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        producer = table_producer(
            context,
            name,
            run_uid,
            agent,
            recorder,
            directory / f"{name}.spool",
            experiment.source.pulse_stride,
        )

        def note(error: Exception) -> None:
            runtime.log.warning("problem", error=type(error).__name__, reason=str(error))

        make_stage = pulse_stage if experiment.source.kind == "sinograms" else frame_stage
        with make_stage(experiment, producer, runtime) as stage:
            runtime.tell("ready")
            if outside_since == 0 and runtime.wait_for("go"):
                outside_since = time.time_ns()
            most = LARGEST_BATCH * section.batch_shots
            inlet = Inlet(context, frames[0], "connect", "frames", high_water_mark=most)
            for address in frames[1:]:
                inlet.connect(address)
            working = Worker(
                stage.analyser,
                stage.intake,
                inlet,
                producer,
                RealClock(),
                run_uid,
                section.batch_shots,
                section.batch_wait_s,
                note,
            )
            if outside_since is not None:
                working.admit_outside(outside_since)
            next_report_s = time.monotonic() + 1.0
            told_s: float | None = None
            while True:
                working.step()
                stage.after_step()
                now_s = time.monotonic()
                if now_s >= next_report_s:
                    next_report_s = now_s + 1.0
                    runtime.tell("counters", **working.counters, **stage.counters())
                if runtime.should_stop():
                    told_s = told_s or now_s
                    # The run's own source was told to stop before: its last frames may be coming.
                    if outside_since is not None or working.ended or now_s - told_s > 2.0:
                        break
            working.finish()
            stage.after_step()
        producer.close()
        inlet.close()
        runtime.tell("counters", **working.counters, **stage.counters())
