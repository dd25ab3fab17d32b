"""The stage that an experiment file's section ``pulses`` describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autosteer.analysis.pulses.analyser import PulseAnalyser
from autosteer.analysis.pulses.estimators import load_estimator
from autosteer.contracts import AnalysisError
from autosteer.contracts.analysis_sections import PulseSection


def load_analyser(section: PulseSection) -> PulseAnalyser:
    """Make the analyser of sinograms, with its audit if there is to be one.

    Parameters
    ----------
    section : PulseSection
        The file's section ``pulses``.

    Returns
    -------
    PulseAnalyser
        The analyser. The matched estimator audits others, and is not audited itself.

    Raises
    ------
    AnalysisError
        If calibration or weights cannot be read or used, or the audit is for another spectrometer.
    """
    options: dict[str, Any] = {"wavelength_um": section.wavelength_um, "device": section.device}
    calibration = Path(section.calibration) if section.calibration else None
    weights = Path(section.weights) if section.weights else None
    if section.estimator == "matched":
        return PulseAnalyser(load_estimator("matched", calibration, weights=weights, **options))
    estimator = load_estimator(section.estimator, weights=weights, **options)
    if not section.audit_fraction:
        return PulseAnalyser(estimator)
    auditor = load_estimator("matched", calibration, **options)
    try:
        return PulseAnalyser(estimator, auditor, section.audit_fraction)
    except ValueError as error:
        raise AnalysisError(f"pulses: {error}") from error
