"""A process that calibrates beside the analysis."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from autosteer.analysis.calibration import Quantity, Trust
from autosteer.analysis.calibration_process import CalibrationProcess
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector
from autosteer.sims.spot_positions import simulate_spot_positions
from tests.analysis.indexers import make_dying_indexer, make_lysozyme_indexer

PIXEL_MM = 0.1
WAVELENGTH = 1.3

pytestmark = pytest.mark.usefixtures("tests_can_be_imported")


def flat(slow_px: float, fast_px: float) -> Detector:
    return Detector.flat((2000, 2000), PIXEL_MM, 100.0, (slow_px, fast_px))


def spots_of(true: Detector, n_frames: int) -> SpotPositions:
    found = simulate_spot_positions(true, WAVELENGTH, n_frames, seed=0)
    wavelengths = np.full(n_frames, WAVELENGTH)
    return SpotPositions(found.frame, found.panel, found.slow_px, found.fast_px, wavelengths)


START = FileGeometry.of_panels(flat(999.5, 999.5), np.array([WAVELENGTH]))


def test_it_calibrates_says_what_fails_and_is_started_anew() -> None:
    # The true center is half a pixel off.
    spots = spots_of(flat(1000.0, 999.5), 12)
    with CalibrationProcess(make_lysozyme_indexer, START, calibrant=False) as process:
        found = process.calibrate(spots).result()
        assert found.trust is Trust.PROVISIONAL
        assert found.find(Quantity.SHIFT_Y).value == pytest.approx(-0.05, abs=0.01)
        nothing = spots.of_frames(np.zeros(12, dtype=bool))
        with pytest.raises(AnalysisError, match="no frame with 10 spots"):
            process.calibrate(nothing).result()
        [child] = multiprocessing.active_children()
        child.kill()
        child.join()
        with pytest.raises(AnalysisError, match=r"has died .* lower 'analysis\.calibration"):
            process.calibrate(spots).result()
        again = process.calibrate(spots).result()
        assert [one.id for one in again.calibrations] == [one.id for one in found.calibrations]
    assert not multiprocessing.active_children()


def test_a_process_that_cannot_start_is_said() -> None:
    with CalibrationProcess(make_dying_indexer, START, calibrant=False) as process:
        error = process.calibrate(spots_of(flat(999.5, 999.5), 1)).exception()
    assert isinstance(error, AnalysisError)
    assert "has died" in str(error)


def test_leaving_ends_what_is_under_way() -> None:
    with CalibrationProcess(make_lysozyme_indexer, START, calibrant=False) as process:
        under_way = process.calibrate(spots_of(flat(1003.5, 999.5), 12))
    assert isinstance(under_way.exception(), AnalysisError)
    assert not multiprocessing.active_children()
