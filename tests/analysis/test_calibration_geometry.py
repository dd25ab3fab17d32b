"""Geometry calibration on simulated spots; the truth is used for judging only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosteer.analysis._geometry_fit import IndexedSpots, Shifts, fit_shifts
from autosteer.analysis.calibration import (
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
)
from autosteer.analysis.calibration_geometry import GeometryCalibrator
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.geometry_history import GeometryHistory
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError
from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import Detector, UnitCell
from autosteer.sims.crystals import LYSOZYME, random_rotations
from autosteer.sims.spot_positions import simulate_spot_positions

Float = NDArray[np.float64]

WAVELENGTH = 1.3
PIXEL_MM = 0.1


def flat(distance_mm: float = 100.0, off_px: tuple[float, float] = (0.0, 0.0)) -> Detector:
    center = (999.5 + off_px[0], 999.5 + off_px[1])
    return Detector.flat((2000, 2000), PIXEL_MM, distance_mm, center)


def quarters() -> Detector:
    """Four panels about the beam."""
    corners = [(-100.5, -100.5), (-100.5, 0.5), (0.5, -100.5), (0.5, 0.5)]
    return Detector(
        origin_mm=np.array([[x, y, 100.0] for y, x in corners]),
        slow_axis=np.tile([0.0, 1.0, 0.0], (4, 1)),
        fast_axis=np.tile([1.0, 0.0, 0.0], (4, 1)),
        pixel_size_mm=PIXEL_MM,
        panel_shape=(1000, 1000),
    )


def spots_of(
    true: Detector, n_frames: int, *, scale: float = 1.0, stretch: float = 1.0, seed: int = 0
) -> SpotPositions:
    a, b, c = (scale * length for length in LYSOZYME.lengths)
    found = simulate_spot_positions(
        true,
        WAVELENGTH,
        n_frames,
        cell=UnitCell(a, b, stretch * c, *LYSOZYME.angles),
        crystals=SimulatedCrystals(cell_spread=0.0005),
        seed=seed,
    )
    wavelengths = np.full(n_frames, WAVELENGTH)
    return SpotPositions(found.frame, found.panel, found.slow_px, found.fast_px, wavelengths)


def calibrate(
    spots: SpotPositions,
    start: Detector,
    *,
    calibrant: bool = False,
    search_px: float = 8.0,
    cell: UnitCell = LYSOZYME,
) -> GeometryCalibration:
    geometry = FileGeometry.of_panels(start, np.array([WAVELENGTH]))
    calibrator = GeometryCalibrator(
        Indexer(cell), geometry, calibrant=calibrant, search_px=search_px
    )
    calibrator.add(spots)
    return calibrator.calibrate(valid_from_pulse=77)


def off_px(found: GeometryCalibration, true: Detector) -> Float:
    """How far the panels are from the truth across the beam [px]."""
    off = found.geometry.detector.origin_mm - true.origin_mm
    return np.asarray(np.hypot(off[:, 0], off[:, 1]) / PIXEL_MM)


@pytest.mark.parametrize("free_cell", [False, True])
def test_exact_spots_give_the_exact_shift(free_cell: bool) -> None:
    rng = np.random.default_rng(0)
    true = flat()
    reciprocal = LYSOZYME.reciprocal_basis() @ random_rotations(rng, 6)
    if free_cell:
        reciprocal = reciprocal @ (np.eye(3) + rng.normal(scale=0.003, size=(6, 3, 3)))
    # Points exactly on the Ewald sphere, whatever their indices: nothing scatters.
    lattice = np.repeat(np.arange(6), 40)
    slow, fast = rng.uniform(0, 2000, (2, len(lattice)))
    panel = np.zeros(len(lattice), dtype=np.int64)
    q = true.scattering_vectors(panel, slow, fast, WAVELENGTH)
    hkl = np.einsum("ni,nij->nj", q, np.linalg.inv(reciprocal)[lattice])
    wavelengths = np.full(len(lattice), WAVELENGTH)
    spots = IndexedSpots(panel, slow, fast, wavelengths, hkl, lattice)
    off = np.array([0.2, -0.1, 0.0 if free_cell else 0.4])
    start = replace(true, origin_mm=true.origin_mm + off)
    turned = Rotation.from_rotvec(rng.normal(scale=0.002, size=(6, 3))).as_matrix()
    slightly_off = reciprocal @ turned
    shifts = Shifts.whole(1, distance=not free_cell)
    fit = fit_shifts(start, spots, slightly_off, shifts, free_cell=free_cell)
    np.testing.assert_allclose(fit.shifted(start).origin_mm, true.origin_mm, atol=1e-4)
    np.testing.assert_allclose(fit.reciprocal, reciprocal, atol=1e-7)


def test_panels_move_against_each_other_only() -> None:
    shifts = Shifts.whole(4, distance=True).with_panels(np.array([50, 0, 100, 30]))
    assert shifts.directions.shape == (3 + 2 * 2, 4, 3)
    own = shifts.directions[3:]
    assert not own[:, 1].any()
    assert not own[:, :, 2].any()
    weighted = np.tensordot(own, np.array([50, 0, 100, 30]), axes=([1], [0]))
    np.testing.assert_allclose(weighted, 0, atol=1e-9)
    assert Shifts.whole(4, distance=False).with_panels(np.array([0, 0, 9, 0])).directions.shape == (
        2,
        4,
        3,
    )


def test_the_center_is_found_from_five_pixels_off() -> None:
    found = calibrate(spots_of(flat(), 14), flat(off_px=(3.0, -4.0)))
    assert off_px(found, flat())[0] < 0.1
    assert found.geometry.detector.origin_mm[0, 2] == 100.0
    x, y = (found.find(quantity) for quantity in (Quantity.SHIFT_X, Quantity.SHIFT_Y))
    assert x.value / PIXEL_MM == pytest.approx(-4.0, abs=0.1)
    assert y.value / PIXEL_MM == pytest.approx(3.0, abs=0.1)
    assert found.trust is Trust.PROVISIONAL
    assert x.n_frames == found.n_frames == 14
    assert found.valid_from_pulse == 77
    with pytest.raises(AnalysisError, match="shift_z of panel -1 was not calibrated"):
        found.find(Quantity.SHIFT_Z)


def test_few_frames_are_not_trusted_and_blanks_are_refused() -> None:
    found = calibrate(spots_of(flat(), 6), flat(off_px=(0.5, 0.0)))
    assert found.trust is Trust.UNTRUSTED
    with pytest.raises(AnalysisError, match="no frame with 10 spots or more"):
        calibrate(spots_of(flat(), 5).of_frames(np.zeros(5, dtype=bool)), flat())
    with pytest.raises(AnalysisError, match=r"of 6 frames have a lattice .* start with a better"):
        calibrate(spots_of(flat(), 6), flat(off_px=(6.0, 6.0)), search_px=0.0)
    with pytest.raises(AnalysisError, match="search_px is -1"):
        calibrate(spots_of(flat(), 6), flat(), search_px=-1.0)


def test_frames_that_contradict_each_other_are_not_trusted() -> None:
    # Every second frame is taken with the detector elsewhere.
    one, other = spots_of(flat(), 12), spots_of(flat(off_px=(0.6, 0.0)), 12, seed=1)
    frames = [
        part.of_frames(np.arange(12) == number) for number in range(12) for part in (one, other)
    ]
    found = calibrate(SpotPositions.join(frames), flat())
    assert found.find(Quantity.SHIFT_Y).trust is Trust.UNTRUSTED
    assert found.find(Quantity.SHIFT_X).trust is Trust.PROVISIONAL


def test_a_calibrant_out_of_shape_gives_no_distance() -> None:
    dried = calibrate(spots_of(flat(), 12, stretch=0.99), flat(), calibrant=True)
    assert dried.find(Quantity.CELL_DISTORTION).value == pytest.approx(-0.0067, abs=0.001)
    assert dried.find(Quantity.SHIFT_Z).trust is Trust.UNTRUSTED
    assert dried.trust is Trust.UNTRUSTED
    good = calibrate(spots_of(flat(), 12), flat(), calibrant=True)
    assert abs(good.find(Quantity.CELL_DISTORTION).value) < 0.001
    assert good.find(Quantity.SHIFT_Z).trust is Trust.PROVISIONAL
    with pytest.raises(AnalysisError, match="cell_scale of panel -1 was not calibrated"):
        good.find(Quantity.CELL_SCALE)


def test_panels_shifted_by_half_a_pixel_are_put_right() -> None:
    true = quarters()
    own = PIXEL_MM * np.array([[0.5, 0.0, 0], [0.0, -0.5, 0], [-0.4, 0.3, 0], [0.0, 0.0, 0]])
    start = replace(true, origin_mm=true.origin_mm - own + PIXEL_MM * np.array([0.6, 0.3, 0.0]))
    found = calibrate(spots_of(true, 16), start)
    assert off_px(found, true).max() < 0.1
    calibrations = [one for one in found.calibrations if one.panel >= 0]
    assert len(calibrations) == 8
    for one in calibrations:
        assert isinstance(one, Calibration)
        relative = own - np.average(own, axis=0)
        assert one.value == pytest.approx(relative[one.panel, one.quantity], abs=0.02)
        assert one.sigma < 0.01


def test_a_drifting_beam_is_followed_from_pulse_to_pulse() -> None:
    start = FileGeometry.of_panels(flat(), np.array([WAVELENGTH]))
    calibrator = GeometryCalibrator(Indexer(LYSOZYME), start, max_frames=20)
    history = GeometryHistory(start)
    # One frame a pulse; the beam moves between the second and the third run of twenty.
    beams = [flat(off_px=(0.5, 0.0)), flat(off_px=(0.5, 0.0)), flat(off_px=(0.5, 0.7))]
    for run, beam in enumerate(beams):
        calibrator.add(spots_of(beam, 20, seed=run))
        newest = 20 * run + 19
        found = calibrator.calibrate(valid_from_pulse=newest + 5)
        history.publish(found, newest_pulse=newest)
    for pulse, beam in ((0, flat()), (23, flat()), (24, beams[0]), (63, beams[1]), (64, beams[2])):
        off = history.at(pulse).detector.origin_mm - beam.origin_mm
        assert np.abs(off).max() < 0.1 * PIXEL_MM


def test_the_calibrator_keeps_the_newest_frames() -> None:
    geometry = FileGeometry.of_panels(flat(), np.array([WAVELENGTH]))
    calibrator = GeometryCalibrator(Indexer(LYSOZYME), geometry, max_frames=10)
    for seed in range(5):
        calibrator.add(spots_of(flat(), 4, seed=seed))
    assert calibrator.n_frames == 12
    # Frames with few spots do not push others out.
    none = np.zeros(0)
    index = np.zeros(0, dtype=np.int64)
    calibrator.add(SpotPositions(index, index, none, none, np.full(4, WAVELENGTH)))
    assert calibrator.n_frames == 12


def test_real_spots_are_put_back(data_directory: Path) -> None:
    # Real spots, seen by a detector that stands where they were refined to be right.
    with np.load(data_directory / "lcls_cspad_lysozyme_100stills.npz") as archive:
        q = archive["q"].astype(float) * [1.0, -1.0, -1.0]
    frame, _ = np.nonzero(np.isfinite(q[..., 0]))
    wavelengths = np.nanmedian(-2 * q[..., 2] / (q**2).sum(axis=2), axis=1)
    k_out = q[np.isfinite(q[..., 0])] + np.array([0, 0, 1]) / wavelengths[frame, None]
    panel, slow, fast = flat().project(k_out)
    spots = SpotPositions(frame, panel, slow, fast, wavelengths)
    found = calibrate(
        spots, flat(off_px=(3.0, -4.0)), cell=UnitCell(79.03, 79.03, 38.15, 90, 90, 90)
    )
    assert found.n_frames >= 98
    assert found.trust is Trust.TRUSTED
    assert off_px(found, flat())[0] < 0.05
    assert abs(found.find(Quantity.CELL_SCALE).value) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_calibrant_gives_distance_and_center(seed: int) -> None:
    start = flat(distance_mm=100.5, off_px=(3.0, -4.0))
    found = calibrate(spots_of(flat(), 50, seed=seed), start, calibrant=True)
    assert off_px(found, flat())[0] < 0.2
    assert abs(found.geometry.detector.origin_mm[0, 2] - 100.0) < 0.020
    distance = found.find(Quantity.SHIFT_Z)
    assert distance.value == pytest.approx(-0.5, abs=5 * distance.sigma)
    assert found.trust is Trust.TRUSTED


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_shrinking_sample_is_no_distance(seed: int) -> None:
    found = calibrate(spots_of(flat(), 50, scale=0.995, seed=seed), flat(off_px=(3.0, -4.0)))
    assert off_px(found, flat())[0] < 0.2
    assert found.geometry.detector.origin_mm[0, 2] == 100.0
    scale = found.find(Quantity.CELL_SCALE)
    assert scale.value == pytest.approx(-0.005, abs=5 * scale.sigma)
    assert scale.sigma < 5e-4


@pytest.mark.slow
def test_errors_are_as_large_as_their_sigma() -> None:
    pulls = []
    for seed in range(8):
        start = flat(distance_mm=100.1, off_px=(0.5, -0.5))
        found = calibrate(spots_of(flat(), 30, seed=10 + seed), start, calibrant=True)
        off = found.geometry.detector.origin_mm[0] - flat().origin_mm[0]
        quantities = (Quantity.SHIFT_X, Quantity.SHIFT_Y, Quantity.SHIFT_Z)
        pulls += [off[one] / found.find(one).sigma for one in quantities]
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.6
