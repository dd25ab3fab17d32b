"""What workers do, by what their source gives: frames and spot lists, or sinograms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autosteer.analysis.cell_watch import CellWatch
    from autosteer.analysis.worker import Analyser, Intake
    from autosteer.contracts import Experiment
    from autosteer.service.child import ChildRuntime
    from autosteer.stream import Producer

_WATCH_NICENESS = 15
_WATCH_PAUSE_S = 1.0
_WATCH_END_S = 3.0


@dataclass(frozen=True, slots=True)
class WorkerStage:
    """The parts of a worker that depend on what it is given.

    Parameters
    ----------
    analyser : Analyser
        Does the work.
    intake : Intake
        Makes shots of messages.
    after_step : callable
        To be called after each step.
    counters : callable
        Gives what is counted besides.
    """

    analyser: Analyser
    intake: Intake
    after_step: Callable[[], None]
    counters: Callable[[], dict[str, Any]]


@contextlib.contextmanager
def frame_stage(
    experiment: Experiment, producer: Producer, runtime: ChildRuntime
) -> Generator[WorkerStage]:
    """Analyse frames, or spot lists.

    Parameters
    ----------
    experiment : Experiment
        The experiment, with a section ``analysis``.
    producer : Producer
        Publishes the tables.
    runtime : ChildRuntime
        Is told what people should know.

    Yields
    ------
    WorkerStage
        The stage.
    """
    import threading

    from autosteer.analysis.analyser import known_cell, make_analyser
    from autosteer.analysis.cell_watch import CellWatch
    from autosteer.analysis.worker import FrameIntake
    from autosteer.cli._calibrating import calibrating
    from autosteer.contracts import INDEXING, LATTICES, QUALITY, SPOTS, ExperimentFileError

    analysis = experiment.analysis
    if analysis is None:
        raise ExperimentFileError(experiment.name, [("analysis", "needed to analyse frames")])
    analyser = make_analyser(analysis, experiment.source.kind)
    for kind in (INDEXING, QUALITY, SPOTS, LATTICES):
        producer.announce(kind.name, kind.schema)
    analyser.warm_up(analysis.batch_shots)
    watch = CellWatch(known_cell(analysis))
    analyser.on_indexed = watch.take
    watching = threading.Thread(target=_watch_cell, args=(watch, runtime), daemon=True)
    watching.start()
    with calibrating(experiment, analyser, producer, runtime) as calibrate:
        yield WorkerStage(analyser, FrameIntake(), calibrate, dict)
    # On a busy machine it may be long at its last frame, which nobody needs any more.
    watching.join(_WATCH_END_S)


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


@contextlib.contextmanager
def pulse_stage(
    experiment: Experiment, producer: Producer, runtime: ChildRuntime
) -> Generator[WorkerStage]:
    """Characterise the pulses of sinograms, which come channel by channel.

    Parameters
    ----------
    experiment : Experiment
        The experiment, with a section ``pulses`` and a source of sinograms.
    producer : Producer
        Publishes the tables.
    runtime : ChildRuntime
        Is told what people should know.

    Yields
    ------
    WorkerStage
        The stage.
    """
    import torch

    from autosteer.analysis.pulses.intake import ChannelIntake
    from autosteer.analysis.pulses.stage import load_analyser
    from autosteer.analysis.pulses.watch import PulseWatch
    from autosteer.contracts import AnalysisError, ExperimentFileError, table_kind

    section, source = experiment.pulses, experiment.source
    if section is None or source.kind != "sinograms":
        raise ExperimentFileError(experiment.name, [("pulses", "needed to analyse sinograms")])
    # One worker, one core: more of them are for 'pulses.workers'.
    torch.set_num_threads(1)
    analyser = load_analyser(section)
    if analyser.shape != (source.channels, source.bins):
        raise AnalysisError(
            f"pulses: the estimator takes sinograms of shape {analyser.shape}, the source gives "
            f"({source.channels}, {source.bins}): give its own calibration, or weights"
        )
    for name in analyser.kinds:
        producer.announce(name, table_kind(name).schema)
    analyser.warm_up(section.batch_shots)
    intake = ChannelIntake(
        source.channels,
        source.bins,
        rate_hz=source.rate_hz,
        slots=experiment.join.slots,
        pulse_stride=source.pulse_stride,
        wait_s=section.channel_wait_s,
    )
    watch = PulseWatch()
    seen = None

    def after_step() -> None:
        nonlocal seen
        if analyser.result is None or analyser.result is seen:
            return
        seen = analyser.result
        watch.take(seen, analyser.audited)
        finding = watch.finding()
        if finding is not None:
            runtime.log.warning("pulses", finding=finding.text)
            runtime.tell("notice", text=finding.text)

    yield WorkerStage(analyser, intake, after_step, lambda: watch.counters)
