"""Calibration while frames come: when it begins, what is used, from when on, and what is news."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from autosteer.analysis.calibration import (
    WHOLE_DETECTOR,
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
)
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.geometry_history import GeometryHistory
from autosteer.analysis.online_calibration import Finding, OnlineCalibration
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector

START = FileGeometry.of_panels(Detector.flat((64, 64), 0.1, 100.0, (31.5, 31.5)), np.array([1.3]))
OTHER = FileGeometry.of_panels(Detector.flat((64, 64), 0.1, 90.0, (31.5, 31.5)), np.array([1.3]))


def found(
    x: float = 0.1, trust: Trust = Trust.TRUSTED, *panels: Calibration
) -> GeometryCalibration:
    """A calibration as it comes back, its pulse not yet stated."""
    shifts = [
        Calibration(quantity, WHOLE_DETECTOR, value, 0.01, 40, trust, 0)
        for quantity, value in ((Quantity.SHIFT_X, x), (Quantity.SHIFT_Y, -0.2))
    ]
    return GeometryCalibration(OTHER, (*shifts, *panels), 40)


def hits(n_frames: int, mark: float = 0.0) -> SpotPositions:
    """Frames with a spot each; the mark is its place."""
    index = np.arange(n_frames)
    place = np.full(n_frames, mark)
    return SpotPositions(index, 0 * index, place, place, np.full(n_frames, 1.3))


class Rig:
    """An online calibration whose calibrations are done when the test says so."""

    def __init__(self, **options: Any) -> None:
        self.history = GeometryHistory(START)
        self.begun: list[tuple[SpotPositions, Future[GeometryCalibration]]] = []
        defaults: dict[str, Any] = {"every_frames": 30, "apply": True, "margin_pulses": 50}
        self.online = OnlineCalibration(self.history, self._begin, **(defaults | options))

    def _begin(self, spots: SpotPositions) -> Future[GeometryCalibration]:
        future: Future[GeometryCalibration] = Future()
        self.begun.append((spots, future))
        return future

    def calibrate(self, result: GeometryCalibration, newest_pulse: int) -> Finding:
        """Bring frames enough, and give the calibration its result."""
        self.online.take(hits(30), newest_pulse)
        assert self.online.step() is None
        self.begun[-1][1].set_result(result)
        finding = self.online.step()
        assert finding is not None
        return finding

    def origin_at(self, pulse: int) -> list[float]:
        origin: list[float] = (
            (self.history.at(pulse).detector.origin_mm - START.detector.origin_mm)[0]
            .round(9)
            .tolist()
        )
        return origin


def test_a_trusted_calibration_is_used_from_its_pulse_on() -> None:
    rig = Rig()
    finding = rig.calibrate(found(), 1000)
    assert finding.applied
    assert finding.calibration.valid_from_pulse == 1050
    assert {one.valid_from_pulse for one in finding.calibration.calibrations} == {1050}
    assert rig.origin_at(1049) == [0, 0, 0]
    assert rig.origin_at(1050) == [0.1, -0.2, 0]
    ids = rig.history.ids(np.array([1049, 1050], np.uint64)).to_pylist()
    assert ids == [None, finding.calibration.id]
    assert "trusted, from 40 frames: shift x +0.1000 mm (sigma 0.0100), shift y" in str(finding)
    assert str(finding).endswith("used from pulse 1050 on")


@pytest.mark.parametrize("trust", [Trust.UNTRUSTED, Trust.PROVISIONAL])
def test_what_is_not_trusted_is_found_but_never_used(trust: Trust) -> None:
    rig = Rig()
    finding = rig.calibrate(found(trust=trust), 1000)
    assert not finding.applied
    assert finding.calibration.trust is trust
    assert str(finding).endswith("not used")
    assert rig.origin_at(10**9) == [0, 0, 0]


def test_nothing_is_used_where_the_file_says_never() -> None:
    rig = Rig(apply=False)
    finding = rig.calibrate(found(), 1000)
    assert finding.calibration.trust is Trust.TRUSTED
    assert not finding.applied
    assert rig.origin_at(10**9) == [0, 0, 0]


def test_single_panels_are_shifted_by_what_is_trusted_of_them() -> None:
    detector = Detector(
        np.array([[0.0, 0.0, 100.0], [10.0, 0.0, 100.0]]),
        np.array([[0.0, 1.0, 0.0]] * 2),
        np.array([[1.0, 0.0, 0.0]] * 2),
        0.1,
        (64, 64),
    )
    own = [
        Calibration(Quantity.SHIFT_X, 0, 0.03, 0.01, 40, Trust.TRUSTED, 0),
        Calibration(Quantity.SHIFT_Y, 1, 0.5, 0.4, 40, Trust.PROVISIONAL, 0),
    ]
    start = FileGeometry.of_panels(detector, np.array([1.3]))
    moved = found(0.1, Trust.TRUSTED, *own).trusted_part(start).geometry.detector.origin_mm
    np.testing.assert_allclose(moved - detector.origin_mm, [[0.13, -0.2, 0], [0.1, -0.2, 0]])


def test_each_calibration_rests_on_the_newest_frames_and_on_its_own() -> None:
    rig = Rig()
    rig.online.take(hits(20, 1.0), 10)
    assert rig.online.step() is None
    assert not rig.begun
    rig.online.take(hits(0), 20)
    rig.online.take(hits(20, 2.0), 30)
    rig.online.step()
    [(spots, future)] = rig.begun
    assert np.unique(spots.slow_px, return_counts=True)[1].tolist() == [20, 20]
    # While it is under way the oldest of those that come are let go.
    for mark in (3.0, 4.0, 5.0):
        rig.online.take(hits(20, mark), 40)
        assert rig.online.step() is None
    assert len(rig.begun) == 1
    future.set_result(found())
    assert rig.online.step() is not None
    assert np.unique(rig.begun[1][0].slow_px).tolist() == [4.0, 5.0]


def test_a_failure_is_said_and_the_next_calibration_begins() -> None:
    rig = Rig()
    rig.online.take(hits(30), 10)
    rig.online.step()
    rig.online.take(hits(30), 20)
    rig.begun[0][1].set_exception(AnalysisError("too few"))
    with pytest.raises(AnalysisError, match="too few"):
        rig.online.step()
    assert len(rig.begun) == 2
    rig.begun[1][1].set_result(found())
    assert rig.online.step() is not None


def test_news_is_a_change_of_trust_or_of_a_shift_beyond_its_error() -> None:
    rig = Rig()
    series = [
        (found(0.10), True),
        (found(0.13), False),
        (found(0.08), False),
        # From what was news last, not from the one before.
        (found(0.145), True),
        (found(0.145, Trust.PROVISIONAL), True),
        (found(0.15, Trust.PROVISIONAL), False),
        (found(0.15), True),
    ]
    told = [
        rig.calibrate(result, 1000 * number).is_news for number, (result, _) in enumerate(series)
    ]
    assert told == [expected for _, expected in series]


def test_pulses_that_come_late_do_not_turn_back_what_is_stated() -> None:
    rig = Rig()
    first = rig.calibrate(found(), 1000).calibration.valid_from_pulse
    second = rig.calibrate(found(0.3), 900).calibration.valid_from_pulse
    assert second == first + 1
    assert rig.origin_at(first)[0] == 0.1
    assert rig.origin_at(second)[0] == 0.3
