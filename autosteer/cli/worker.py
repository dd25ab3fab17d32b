"""``autosteer worker``: analyses frames or spot lists and publishes result tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._output import clear_errors

if TYPE_CHECKING:
    from autosteer.analysis.cell_watch import CellWatch
    from autosteer.service.child import ChildRuntime

_WATCH_NICENESS = 15
_WATCH_PAUSE_S = 1.0
_WATCH_END_S = 3.0


def worker(
    file: Annotated[Path, typer.Argument(help="Experiment file with a section 'analysis'.")],
    name: Annotated[str, typer.Option(help="Name of this worker.")],
    frames: Annotated[str, typer.Option(help="Where the frames come from.")],
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
    import threading
    import time

    import zmq

    from autosteer.cli._calibrating import calibrating
    from autosteer.cli._children import table_producer
    from autosteer.cli._experiment import read_experiment
    from autosteer.service.child import ChildRuntime, configure_logging

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime(name)
        experiment, _ = read_experiment(file)
        from autosteer.analysis.analyser import known_cell, make_analyser
        from autosteer.analysis.cell_watch import CellWatch
        from autosteer.analysis.worker import LARGEST_BATCH, Worker
        from autosteer.contracts import INDEXING, LATTICES, QUALITY, SPOTS, ExperimentFileError
        from autosteer.stream import Inlet, RealClock

        analysis = experiment.analysis
        if analysis is None:
            raise ExperimentFileError(str(file), [("analysis", "needed to analyse frames")])
        analyser = make_analyser(analysis, experiment.source.kind)
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
        for kind in (INDEXING, QUALITY, SPOTS, LATTICES):
            producer.announce(kind.name, kind.schema)

        def note(error: Exception) -> None:
            runtime.log.warning("problem", error=type(error).__name__, reason=str(error))

        analyser.warm_up(analysis.batch_shots)
        watch = CellWatch(known_cell(analysis))
        analyser.on_indexed = watch.take
        watching = threading.Thread(target=_watch_cell, args=(watch, runtime), daemon=True)
        watching.start()
        with calibrating(experiment, analyser, producer, runtime) as calibrate:
            runtime.tell("ready")
            if outside_since == 0 and runtime.wait_for("go"):
                outside_since = time.time_ns()
            most = LARGEST_BATCH * analysis.batch_shots
            inlet = Inlet(context, frames, "connect", "frames", high_water_mark=most)
            working = Worker(
                analyser,
                inlet,
                producer,
                RealClock(),
                run_uid,
                analysis.batch_shots,
                analysis.batch_wait_s,
                note,
            )
            if outside_since is not None:
                working.admit_outside(outside_since)
            next_report_s = time.monotonic() + 1.0
            told_s: float | None = None
            while True:
                working.step()
                calibrate()
                now_s = time.monotonic()
                if now_s >= next_report_s:
                    next_report_s = now_s + 1.0
                    runtime.tell("counters", **working.counters)
                if runtime.should_stop():
                    told_s = told_s or now_s
                    # The run's own source was told to stop before: its last frames may be coming.
                    if outside_since is not None or working.ended or now_s - told_s > 2.0:
                        break
            working.finish()
        # On a busy machine it may be long at its last frame, which nobody needs any more.
        watching.join(_WATCH_END_S)
        producer.close()
        inlet.close()
        runtime.tell("counters", **working.counters)


def _watch_cell(watch: CellWatch, runtime: ChildRuntime) -> None:
    """Look at frames that stay unindexed while nothing else has to be done."""
    import os
    import threading
    import time

    # On Linux a thread has a niceness of its own: results come first.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _WATCH_NICENESS)
    told = None
    while not runtime.should_stop():
        if not watch.examine():
            time.sleep(_WATCH_PAUSE_S)
            continue
        finding = watch.finding()
        if finding is not None and finding.kind != told:
            told = finding.kind
            runtime.log.warning("cell", finding=str(finding))
            runtime.tell("notice", text=str(finding))
        # One frame in a while is enough to learn the cell from.
        time.sleep(_WATCH_PAUSE_S)
