"""Calibrates while frames come, and lets later frames use what is trusted."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from autosteer.analysis.calibration import (
    WHOLE_DETECTOR,
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
)
from autosteer.analysis.geometry_history import GeometryHistory
from autosteer.analysis.spot_positions import SpotPositions

Calibrate = Callable[[SpotPositions], Future[GeometryCalibration]]

_NEWS_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What was calibrated in a run.

    Parameters
    ----------
    calibration : GeometryCalibration
        What was found.
    applied : bool
        Whether frames are analysed with it, from its pulse on.
    is_news : bool
        Whether trust differs from what was news last, or a shift does beyond its error.
    """

    calibration: GeometryCalibration
    applied: bool
    is_news: bool

    def __str__(self) -> str:
        found = self.calibration
        shifts = ", ".join(
            f"{one.quantity.name.lower().replace('_', ' ')} {one.value:+.4f} mm "
            f"(sigma {one.sigma:.4f})"
            for one in _shifts(found)
        )
        use = f"used from pulse {found.valid_from_pulse} on" if self.applied else "not used"
        return (
            f"geometry calibration, {found.trust.name.lower()}, from {found.n_frames} frames: "
            f"{shifts}; {use}"
        )


class OnlineCalibration:
    """Collects the spots of hits, has them calibrated with, and publishes what is trusted.

    Each calibration rests on frames of its own: they are independent of each other, and a drift is
    followed. `take` and `step` belong into the thread that analyses, and cost next to nothing.

    Parameters
    ----------
    history : GeometryHistory
        Where trusted calibrations go.
    calibrate : callable
        Begins a calibration against the history's first geometry, somewhere else.
    every_frames : int
        Hits for a calibration.
    apply : bool
        Whether frames may be analysed with what is trusted.
    margin_pulses : int
        A calibration is valid from so many pulses after the newest that was analysed, so that it
        is known before it is used.
    """

    def __init__(
        self,
        history: GeometryHistory,
        calibrate: Calibrate,
        *,
        every_frames: int,
        apply: bool,
        margin_pulses: int,
    ) -> None:
        self._history = history
        self._calibrate = calibrate
        self._every_frames = every_frames
        self._apply = apply
        self._margin_pulses = margin_pulses
        self._parts: deque[SpotPositions] = deque()
        self._n_frames = 0
        self._newest_pulse = 0
        self._valid_from_pulse = 0
        self._under_way: Future[GeometryCalibration] | None = None
        self._news: GeometryCalibration | None = None

    def take(self, spots: SpotPositions, newest_pulse: int) -> None:
        """Take the spots of the hits of a batch; the newest are kept.

        Parameters
        ----------
        spots : SpotPositions
            Spots of its hits.
        newest_pulse : int
            Newest pulse of the batch.
        """
        self._newest_pulse = max(self._newest_pulse, newest_pulse)
        if not len(spots.wavelength_angstrom):
            return
        self._parts.append(spots)
        self._n_frames += len(spots.wavelength_angstrom)
        while self._n_frames - len(self._parts[0].wavelength_angstrom) >= self._every_frames:
            self._n_frames -= len(self._parts.popleft().wavelength_angstrom)

    def step(self) -> Finding | None:
        """Begin a calibration where there are frames for one; see whether one is done.

        Returns
        -------
        Finding or None
            What was found, if a calibration has just been done.

        Raises
        ------
        AnalysisError
            If one has failed; the next begins all the same.
        """
        done, self._under_way = self._under_way, None
        if done is not None and not done.done():
            self._under_way = done
            return None
        if self._n_frames >= self._every_frames:
            self._under_way = self._calibrate(SpotPositions.join(self._parts))
            self._parts.clear()
            self._n_frames = 0
        return None if done is None else self._publish(done.result())

    def _publish(self, found: GeometryCalibration) -> Finding:
        """State from when on a calibration holds, and use it if it is trusted."""
        # Frames may come late: what is stated never goes backwards.
        self._valid_from_pulse = max(
            self._newest_pulse + self._margin_pulses, self._valid_from_pulse + 1
        )
        found = found.valid_from(self._valid_from_pulse).trusted_part(self._history.first)
        applied = self._apply and found.trust is Trust.TRUSTED
        if applied:
            self._history.publish(found, newest_pulse=self._newest_pulse)
        is_news = self._is_news(found)
        if is_news:
            self._news = found
        return Finding(found, applied, is_news)

    def _is_news(self, found: GeometryCalibration) -> bool:
        """Compare with what was news last."""
        if self._news is None or found.trust is not self._news.trust:
            return True
        return any(
            abs(one.value - before.value) > _NEWS_SIGMAS * math.hypot(one.sigma, before.sigma)
            for one, before in zip(_shifts(found), _shifts(self._news), strict=True)
        )


def _shifts(found: GeometryCalibration) -> list[Calibration]:
    """List the shifts of the detector as a whole."""
    return [
        one
        for one in found.calibrations
        if one.panel == WHOLE_DETECTOR and one.quantity <= Quantity.SHIFT_Z
    ]
