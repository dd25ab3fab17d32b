"""Attosecond pulses from their streaking sinograms: how many sub-spikes, and how far apart."""

from autosteer.analysis.pulses.calibration import PulseCalibration
from autosteer.analysis.pulses.estimators import ESTIMATORS, load_estimator
from autosteer.analysis.pulses.result import Abstained, PulseEstimator, PulseResult

__all__ = [
    "ESTIMATORS",
    "Abstained",
    "PulseCalibration",
    "PulseEstimator",
    "PulseResult",
    "load_estimator",
]
