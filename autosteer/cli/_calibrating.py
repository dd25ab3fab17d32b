"""What a worker does to calibrate the geometry while it analyses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autosteer.analysis.analyser import FrameAnalyser, SpotListAnalyser
    from autosteer.analysis.online_calibration import OnlineCalibration
    from autosteer.contracts import Experiment
    from autosteer.service.child import ChildRuntime
    from autosteer.stream import Producer

# A calibration is published this long before the first pulse that it is used for.
_MARGIN_S = 1.0


@contextlib.contextmanager
def calibrating(
    experiment: Experiment,
    analyser: FrameAnalyser | SpotListAnalyser,
    producer: Producer,
    runtime: ChildRuntime,
) -> Generator[Callable[[], None]]:
    """Calibrate beside the analysis, if the experiment file wants it.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    analyser : FrameAnalyser or SpotListAnalyser
        Whose frames are calibrated with, and whose later frames use what is trusted.
    producer : Producer
        Publishes the table ``calibration``.
    runtime : ChildRuntime
        Is told what people should know.

    Yields
    ------
    callable
        To be called after each batch.
    """
    from functools import partial

    from autosteer.analysis.analyser import SpotListAnalyser, make_indexer
    from autosteer.analysis.calibration_process import CalibrationProcess
    from autosteer.analysis.online_calibration import OnlineCalibration
    from autosteer.contracts import CALIBRATION

    analysis = experiment.analysis
    if analysis is None or analysis.calibration is None or isinstance(analyser, SpotListAnalyser):
        yield lambda: None
        return
    section = analysis.calibration
    margin = max(1, round(experiment.source.rate_hz * _MARGIN_S))
    with CalibrationProcess(
        partial(make_indexer, analysis), analyser.history.first, calibrant=section.calibrant
    ) as process:
        calibration = OnlineCalibration(
            analyser.history,
            process.calibrate,
            every_frames=section.every_frames,
            apply=section.apply == "trusted",
            margin_pulses=margin * experiment.source.pulse_stride,
        )
        analyser.on_hits = calibration.take
        producer.announce(CALIBRATION.name, CALIBRATION.schema)
        yield partial(_step, calibration, producer, runtime)


def _step(calibration: OnlineCalibration, producer: Producer, runtime: ChildRuntime) -> None:
    """Publish what has been calibrated, and say what is new about it."""
    from autosteer.analysis.calibration import calibration_table
    from autosteer.contracts import CALIBRATION, AnalysisError

    try:
        finding = calibration.step()
    except AnalysisError as error:
        runtime.log.warning("no calibration", reason=str(error))
        return
    if finding is None:
        return
    producer.publish(CALIBRATION.name, calibration_table(finding.calibration))
    runtime.log.info("calibration", finding=str(finding))
    if finding.is_news:
        runtime.tell("notice", text=str(finding))
