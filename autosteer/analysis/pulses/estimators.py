"""Estimators by name, as commands and experiment files give them."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from autosteer.analysis.pulses.calibration import PulseCalibration
from autosteer.analysis.pulses.matched import MatchedEstimator
from autosteer.analysis.pulses.result import PulseEstimator
from autosteer.contracts import AnalysisError

ESTIMATORS = ("matched",)
"""Names of the estimators."""

_DEFAULT_CALIBRATION = "paper.json"


def load_estimator(
    name: str,
    calibration: PulseCalibration | Path | None = None,
    *,
    wavelength_um: float = 1.2,
    device: str = "cpu",
) -> PulseEstimator:
    """Make an estimator.

    Parameters
    ----------
    name : str
        One of `ESTIMATORS`.
    calibration : PulseCalibration or Path, optional
        Calibration of the spectrometer, or its file; without it, that of the simulated spectrometer
        with which DCIPHR was published.
    wavelength_um : float, default 1.2
        Wavelength of the streaking laser [um].
    device : str, default "cpu"
        Torch device.

    Returns
    -------
    PulseEstimator
        The estimator.

    Raises
    ------
    AnalysisError
        If there is no such estimator, the calibration cannot be read, no streaking laser has this
        wavelength, or there is no such device.
    """
    if name not in ESTIMATORS:
        raise AnalysisError(f"no estimator '{name}': there are {', '.join(ESTIMATORS)}")
    if calibration is None:
        calibration = default_calibration()
    elif isinstance(calibration, Path):
        calibration = PulseCalibration.read(calibration)
    try:
        return MatchedEstimator(calibration, wavelength_um=wavelength_um, device=device)
    except ValueError as error:
        raise AnalysisError(str(error)) from error


def default_calibration() -> PulseCalibration:
    """Return the calibration that is used where none is given.

    Returns
    -------
    PulseCalibration
        That of the simulator's preset ``paper``, fitted to its sinograms.
    """
    with as_file(files("autosteer.analysis.pulses") / "data" / _DEFAULT_CALIBRATION) as path:
        return PulseCalibration.read(path)
