"""Calibrations as values: identity, table, and which pulse they serve."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.analysis.calibration import (
    WHOLE_DETECTOR,
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
    calibration_table,
    describe,
)
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.geometry_history import GeometryHistory
from autosteer.contracts import CALIBRATION, AnalysisError
from autosteer.physics import Detector


def shift(
    value: float = 0.1, trust: Trust = Trust.TRUSTED, pulse: int = 100, panel: int = WHOLE_DETECTOR
) -> Calibration:
    return Calibration(Quantity.SHIFT_X, panel, value, 0.01, 40, trust, pulse)


def geometry(distance_mm: float) -> FileGeometry:
    detector = Detector.flat((64, 64), 0.1, distance_mm, (31.5, 31.5))
    return FileGeometry.of_panels(detector, np.array([1.3]))


def calibrated(distance_mm: float, *calibrations: Calibration) -> GeometryCalibration:
    return GeometryCalibration(geometry(distance_mm), calibrations or (shift(),), 40)


def test_the_id_tells_calibrations_apart_and_nothing_else() -> None:
    assert shift().id == shift().id
    others = [shift(value=0.2), shift(trust=Trust.PROVISIONAL), shift(pulse=101), shift(panel=1)]
    assert len({one.id for one in [shift(), *others]}) == 5
    assert replace(shift(), n_frames=41).id != shift().id
    assert 0 <= shift().id < 2**63
    # Written down once: an id must not change from one release to the next.
    assert describe(shift())["id"] == "13854b475a96c9b1"


def test_the_table_holds_what_was_found() -> None:
    both = calibrated(1.0, shift(), shift(value=-0.2, panel=3))
    table = calibration_table(both)
    assert table.schema.equals(CALIBRATION.schema)
    assert table.column("pulse_id").to_pylist() == [100, 100]
    assert table.column("item").to_pylist() == [0, 1]
    assert table.column("panel").to_pylist() == [-1, 3]
    assert table.column("value").to_pylist() == [0.1, -0.2]
    assert table.column("trust").to_pylist() == [2, 2]
    assert table.column("calibration_id").to_pylist() == [one.id for one in both.calibrations]
    assert table.column("geometry_id").to_pylist() == [both.id] * 2


def test_later_frames_only_use_a_calibration() -> None:
    history = GeometryHistory(geometry(100.0))
    history.publish(calibrated(101.0, shift(pulse=100)), newest_pulse=90)
    history.publish(calibrated(102.0, shift(pulse=200)), newest_pulse=150)
    at = [history.at(pulse).detector.origin_mm[0, 2] for pulse in (0, 99, 100, 199, 200, 10**9)]
    assert at == [100.0, 100.0, 101.0, 101.0, 102.0, 102.0]
    for pulse, newest in ((250, 250), (150, 120), (200, 0)):
        with pytest.raises(AnalysisError, match="serves later frames only"):
            history.publish(calibrated(103.0, shift(pulse=pulse)), newest_pulse=newest)
    with pytest.raises(AnalysisError, match="untrusted: take more frames"):
        history.publish(
            calibrated(103.0, shift(trust=Trust.UNTRUSTED, pulse=300)), newest_pulse=250
        )
    assert history.at(10**9).detector.origin_mm[0, 2] == 102.0


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8, unique=True), st.integers(0, 1001))
def test_the_newest_valid_geometry_holds(pulses: list[int], at: int) -> None:
    history = GeometryHistory(geometry(1.0))
    for pulse in sorted(pulses):
        history.publish(calibrated(1.0 + pulse, shift(pulse=pulse)), newest_pulse=pulse - 1)
    newest = max((pulse for pulse in pulses if pulse <= at), default=0)
    assert history.at(at).detector.origin_mm[0, 2] == 1.0 + newest


def test_the_least_trust_of_the_whole_counts() -> None:
    one = calibrated(
        1.0,
        shift(),
        replace(shift(), quantity=Quantity.SHIFT_Y, trust=Trust.PROVISIONAL),
        shift(trust=Trust.UNTRUSTED, panel=2),
        replace(shift(), quantity=Quantity.CELL_SCALE, trust=Trust.UNTRUSTED),
        replace(shift(), quantity=Quantity.CELL_DISTORTION, trust=Trust.UNTRUSTED),
    )
    assert one.trust is Trust.PROVISIONAL
    assert one.find(Quantity.SHIFT_X, 2).trust is Trust.UNTRUSTED
    with pytest.raises(AnalysisError, match="shift_z of panel -1 was not calibrated"):
        one.find(Quantity.SHIFT_Z)
    assert math.isclose(one.find(Quantity.SHIFT_X).value, 0.1)
