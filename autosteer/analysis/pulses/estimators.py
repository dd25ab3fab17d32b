"""Estimators by name, as commands and experiment files give them."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from autosteer.analysis.pulses.calibration import PulseCalibration
from autosteer.analysis.pulses.dciphr import DciphrEstimator
from autosteer.analysis.pulses.matched import MatchedEstimator
from autosteer.analysis.pulses.result import PulseEstimator
from autosteer.analysis.pulses.small import SmallEstimator
from autosteer.analysis.pulses.weights import Weights
from autosteer.contracts import AnalysisError

ESTIMATORS = ("matched", "dciphr", "dciphr-small")
"""Names of the estimators."""

_NETWORKS: dict[str, type[DciphrEstimator] | type[SmallEstimator]] = {
    "dciphr": DciphrEstimator,
    "dciphr-small": SmallEstimator,
}
_DEFAULT_CALIBRATION = "paper.json"
_DEFAULT_WEIGHTS = {"dciphr-small": "dciphr-small.safetensors"}


def load_estimator(
    name: str,
    calibration: PulseCalibration | Path | None = None,
    *,
    weights: Path | None = None,
    wavelength_um: float = 1.2,
    device: str = "cpu",
) -> PulseEstimator:
    """Make an estimator.

    Parameters
    ----------
    name : str
        One of `ESTIMATORS`.
    calibration : PulseCalibration or Path, optional
        Calibration of the spectrometer, or its file, for ``matched``; without it, that of the
        simulated spectrometer with which DCIPHR was published.
    weights : Path, optional
        File of weights for a network, as ``autosteer train pulses`` writes it; without it,
        ``dciphr-small`` has those that come with the package, for the same spectrometer.
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
        If there is no such estimator, it was given what another one needs, calibration or weights
        cannot be read, no streaking laser has this wavelength, or there is no such device.
    """
    if name not in ESTIMATORS:
        raise AnalysisError(f"no estimator '{name}': there are {', '.join(ESTIMATORS)}")
    if name in _NETWORKS and calibration is not None:
        raise AnalysisError(
            f"estimator '{name}' takes no calibration: a network knows the spectrometer that it "
            "was trained for; give weights, or take 'matched'"
        )
    if name not in _NETWORKS and weights is not None:
        raise AnalysisError(
            f"estimator '{name}' takes no weights: give a calibration, or take one of "
            f"{', '.join(_NETWORKS)}"
        )
    try:
        if name in _NETWORKS:
            network = _NETWORKS[name]
            return network(_weights(name, weights), wavelength_um=wavelength_um, device=device)
        if calibration is None:
            calibration = default_calibration()
        elif isinstance(calibration, Path):
            calibration = PulseCalibration.read(calibration)
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


def _weights(name: str, path: Path | None) -> Weights:
    """Read the weights of a network, given ones or those that come with the package."""
    if path is not None:
        return Weights.read(path, name)
    if name not in _DEFAULT_WEIGHTS:
        raise AnalysisError(
            f"estimator '{name}' needs weights, and none come with the package: train it with "
            f"'autosteer train pulses --network {name}', and give the file"
        )
    default = files("autosteer.analysis.pulses") / "data" / _DEFAULT_WEIGHTS[name]
    with as_file(default) as built_in:
        return Weights.read(built_in, name)
