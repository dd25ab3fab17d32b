"""A calibration from sinograms alone: lines, channels and pulses, without knowing any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from autosteer.analysis.pulses._streak_model import StreakModel, Streaks
from autosteer.analysis.pulses.calibration import PulseCalibration
from autosteer.analysis.pulses.matched import MatchedEstimator
from autosteer.analysis.pulses.result import Abstained, checked_sinograms
from autosteer.contracts import AnalysisError

Float = NDArray[np.float64]

_ROUNDS = 5
_FEWEST_LINES = 100
# The first guess of a line, and how far lines are looked at [bins].
_FIRST_SD_BINS = 2.0
_REACH_BINS = 8.0
_STEP_BINS = 0.25
_SMOOTH_POINTS = 5
# A line ends where it falls below this share of its middle.
_END_SHARE = 0.01
_MOST_SPIKES = 2
_MOST_LEVERAGE = 0.8
_LEAST_EFFICIENCY = 0.05


def fit_calibration(
    sinograms: NDArray[Any],
    source: str,
    on_round: Callable[[int], None] = lambda _: None,
) -> PulseCalibration:
    """Calibrate a spectrometer.

    Parameters
    ----------
    sinograms : ndarray, shape (n, n_channels, n_bins)
        Counts of some thousand shots, of which some hundred have one or two sub-spikes.
    source : str
        What they are, for the record.
    on_round : callable, optional
        Told of how many rounds are done.

    Returns
    -------
    PulseCalibration
        The calibration.

    Raises
    ------
    AnalysisError
        If the array has another shape, nothing was counted, or too few shots show lines.
    """
    given = np.asarray(sinograms)
    if given.ndim != 3:
        raise AnalysisError(
            f"sinograms have the shape {given.shape}: it must be (n, n_channels, n_bins)"
        )
    counts, abstained = checked_sinograms(given, (given.shape[1], given.shape[2]))
    counts = counts[abstained == Abstained.NO]
    if not len(counts):
        raise AnalysisError(f"{source}: none of {len(given)} sinograms has counts")
    calibration = _first_guess(counts, source)
    for done in range(1, _ROUNDS + 1):
        calibration = _better(counts, calibration)
        on_round(done)
    return calibration


def _first_guess(counts: NDArray[np.float32], source: str) -> PulseCalibration:
    """Guess from the moments of all counts."""
    n_channels, n_bins = counts.shape[1:]
    bins = np.arange(n_bins)
    spectrum = counts.sum(axis=(0, 1), dtype=np.float64)
    # Bins that the laser hardly ever reaches know the background.
    background = float(np.quantile(spectrum, 0.05)) / (len(counts) * n_channels)
    above = np.maximum(spectrum - background * len(counts) * n_channels, 0)
    if not above.sum() > 0:
        raise AnalysisError(f"{source}: counts are the same at all energies, there are no lines")
    center = float((above * bins).sum() / above.sum())
    # A sine wave has half the square of its amplitude as variance.
    kick = float(np.sqrt(2 * (above * (bins - center) ** 2).sum() / above.sum()))
    in_channel = counts.sum(axis=(1, 2)) / n_channels - background * n_bins
    some = in_channel > np.median(in_channel) / 4
    distance = np.arange(-_REACH_BINS, _REACH_BINS + _STEP_BINS / 2, _STEP_BINS)
    line = np.exp(-((distance / _FIRST_SD_BINS) ** 2) / 2)
    return PulseCalibration(
        source=source,
        n_shots=len(counts),
        n_channels=n_channels,
        n_bins=n_bins,
        line_bins=tuple(distance.tolist()),
        line=tuple(_normalized(line).tolist()),
        efficiencies=(1.0,) * n_channels,
        center_bins=center,
        center_spread_bins=max(n_bins / 64, 1.0),
        kick_bins=kick,
        kick_spread_bins=max(kick / 3, 1.0),
        line_electrons=max(float(np.median(in_channel[some])) / 2, 0.5) if some.any() else 1.0,
        background=max(background, 1e-4),
    )


def _normalized(line: Float) -> Float:
    """Scale a line so that its values a bin apart add up to one."""
    return np.asarray(line / (line.sum() * _STEP_BINS))


def _better(counts: NDArray[np.float32], calibration: PulseCalibration) -> PulseCalibration:
    """Fit all shots with a calibration, and learn from those with few lines a better one."""
    estimator = MatchedEstimator(calibration)
    n_channels, n_bins = calibration.expected_shape
    distance = np.asarray(calibration.line_bins)
    edges = np.append(distance, distance[-1] + _STEP_BINS) - _STEP_BINS / 2
    excess, weight = np.zeros(len(distance)), np.zeros(len(distance))
    seen, foreseen = np.zeros(n_channels), np.zeros(n_channels)
    centers, kicks, electrons, backgrounds = [], [], [], []
    bins = np.arange(n_bins)
    for shots, streaks in estimator.fits(counts, most=_MOST_SPIKES):
        model = estimator.model
        position = model.positions(streaks).numpy()
        lines = model.weights(streaks).numpy()
        background = streaks.background.numpy()
        shown = counts[shots]
        u = bins - position[..., None]
        near = (np.abs(u) < distance[-1]).sum(axis=1)
        for spike in range(streaks.n_spikes):
            here = u[:, spike] + _pull(model, streaks, spike, shown, u[:, spike])[..., None]
            # Where two lines come near to each other, neither is seen by itself.
            alone = (np.abs(here) < distance[-1]) & (near == 1)
            index = np.digitize(here[alone], edges) - 1
            efficiency = model.efficiency.numpy()[:, None]
            above = shown - background[:, None, None] * efficiency
            by_line = np.broadcast_to(lines[:, spike, :, None] * efficiency, above.shape)
            size = len(distance)
            excess += np.bincount(index, weights=above[alone], minlength=size)[:size]
            weight += np.bincount(index, weights=by_line[alone], minlength=size)[:size]
        expected = model.expected(streaks).numpy()
        seen += shown.sum(axis=(0, 2))
        foreseen += (expected / model.efficiency.clamp(min=1e-9).numpy()[:, None]).sum(axis=(0, 2))
        centers.append(streaks.center.numpy().ravel())
        kicks.append(streaks.kick.numpy())
        electrons.append(streaks.electrons[..., 0].numpy().ravel())
        backgrounds.append(background)
    n_lines = sum(map(len, centers))
    if n_lines < _FEWEST_LINES:
        raise AnalysisError(
            f"{calibration.source}: {n_lines} lines in {len(counts)} shots are too few for a "
            f"calibration: it takes {_FEWEST_LINES}, in shots with one or two sub-spikes"
        )
    # Parabolas take the noise of the points, and leave height and width as they are.
    smooth = savgol_filter(excess / np.maximum(weight, 1e-9), _SMOOTH_POINTS, 2)
    line = _ended(_normalized(np.maximum(smooth, 0)))
    shift = float((line * distance).sum() / line.sum())
    center, kick = np.concatenate(centers), np.concatenate(kicks)
    efficiency = np.where(foreseen > 0, seen / np.maximum(foreseen, 1e-9), 0)
    efficiency /= np.median(efficiency[efficiency > 0])
    efficiency[efficiency < _LEAST_EFFICIENCY] = 0
    return calibration.model_copy(
        update={
            "line_bins": tuple((distance - shift).tolist()),
            "line": tuple(line.tolist()),
            "efficiencies": tuple(efficiency.tolist()),
            "center_bins": float(np.median(center)) + shift,
            "center_spread_bins": max(_robust_sd(center), 0.5),
            "kick_bins": float(np.median(kick)),
            "kick_spread_bins": max(_robust_sd(kick), 0.5),
            "line_electrons": float(np.median(np.concatenate(electrons))),
            "background": float(np.median(np.concatenate(backgrounds))),
        }
    )


def _pull(
    model: StreakModel, streaks: Streaks, spike: int, shown: NDArray[np.float32], u: Float
) -> Float:
    """Return how far a line was pulled towards its own electrons in each channel, shape (n, c)."""
    # A fit follows the noise of the electrons that it is made from, and lines seem narrower than
    # they are: the variance of their mean in a channel is less by the share that the channel has in
    # the fit, its leverage.
    angle = model.angles.numpy() + streaks.phase[:, spike, None].numpy()
    kick = streaks.kick[:, None].numpy()
    weight = (model.weights(streaks)[:, spike] * model.efficiency).numpy()
    by = np.stack([np.ones_like(angle), -kick * np.sin(angle), np.cos(angle)], axis=-1)
    information = np.einsum("nci,nc,ncj->nij", by, weight, by)
    information += 1e-9 * np.trace(information, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    leverage = weight * np.einsum("nci,nij,ncj->nc", by, np.linalg.inv(information), by)
    leverage = np.clip(leverage, 0, _MOST_LEVERAGE)
    near = np.where(np.abs(u) < model.reach, shown, 0)
    electrons = near.sum(axis=2)
    mean = (near * u).sum(axis=2) / np.maximum(electrons, 1)
    return np.asarray(mean * (1 / np.sqrt(1 - leverage) - 1))


def _ended(line: Float) -> Float:
    """Cut a line where it is lost in noise, and scale it again."""
    high = np.flatnonzero(line > _END_SHARE * line.max())
    ended = np.zeros_like(line)
    ended[high[0] : high[-1] + 1] = line[high[0] : high[-1] + 1]
    return _normalized(ended)


def _robust_sd(values: Float) -> float:
    """Return the standard deviation of a normal distribution with the same quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / 1.349
