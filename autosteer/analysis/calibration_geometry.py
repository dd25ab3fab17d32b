"""Calibration of a detector's place from the spots of indexed frames, without anybody's help.

Beam center and panel shifts can be found with any crystal. Distance, cell and wavelength trade
off, so that the distance is touched only with a declared calibrant, whose cell is then held fixed;
with a sample it stays as it is, and what looks like a change of scale is reported as the cell's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.analysis._geometry_fit import (
    MAD_TO_SIGMA,
    GeometryFit,
    IndexedSpots,
    Shifts,
    fit_shifts,
)
from autosteer.analysis._items import number_within
from autosteer.analysis.calibration import (
    WHOLE_DETECTOR,
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
)
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.indexing_result import IndexingResult
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector

Float = NDArray[np.float64]

# Lattices with fewer spots say little of nine numbers of their own.
_FEWEST_SPOTS = 10
_FEWEST_LATTICES = 4
_FEWEST_SPOTS_OF_PANEL = 30
_ROUNDS = 6
_SETTLED_PX = 0.02
# The center is searched with these many frames on steps that indexing bridges [1/angstrom].
_SEARCH_FRAMES = 12
_SEARCH_STEP = 0.0012
_GOOD_SHARE = 0.5
# When a calibration is trusted: frames, sigmas by which halves may differ, and uncertainty.
_TRUSTED_FRAMES = 30
_PROVISIONAL_FRAMES = 10
_HALVES_AGREE_SIGMAS = 3.5
_TRUSTED_CENTER_PX = 0.2
_TRUSTED_DISTANCE = 2e-4
_TRUSTED_SCALE = 5e-4
# A calibrant whose lengths change this differently is not what it is declared to be.
_DISTORTED = 1e-3


class GeometryCalibrator:
    """Collects the spots of frames and finds where the detector is.

    Parameters
    ----------
    indexer : Indexer
        Indexes with the known cell.
    geometry : FileGeometry
        The geometry to start with.
    calibrant : bool, default False
        Whether the crystals are a calibrant, whose cell is the indexer's beyond doubt. Only then
        is the distance calibrated.
    search_px : float, default 8
        How far the beam center is searched along each axis if the frames cannot be indexed with
        the geometry to start with [px].
    max_frames : int, default 500
        Frames that are kept, the newest ones.

    Raises
    ------
    AnalysisError
        If an option is out of range.
    """

    def __init__(
        self,
        indexer: Indexer,
        geometry: FileGeometry,
        *,
        calibrant: bool = False,
        search_px: float = 8.0,
        max_frames: int = 500,
    ) -> None:
        if not 0 <= search_px <= 100 or max_frames < _FEWEST_LATTICES:
            raise AnalysisError(
                f"search_px is {search_px} and max_frames {max_frames}: the one must lie within "
                f"[0, 100], the other be at least {_FEWEST_LATTICES}"
            )
        self._indexer = indexer
        self._geometry = geometry
        self._calibrant = calibrant
        self._search_px = search_px
        self._max_frames = max_frames
        self._parts: list[SpotPositions] = []

    @property
    def n_frames(self) -> int:
        """Frames that are kept."""
        return sum(len(part.wavelength_angstrom) for part in self._parts)

    def add(self, spots: SpotPositions) -> None:
        """Add the spots of frames; those with few spots are left out.

        Parameters
        ----------
        spots : SpotPositions
            The spots.
        """
        enough = spots.n_spots >= _FEWEST_SPOTS
        if enough.any():
            self._parts.append(spots.of_frames(enough))
        while self._parts and self.n_frames - len(self._parts[0].wavelength_angstrom) >= (
            self._max_frames
        ):
            del self._parts[0]

    def calibrate(self, valid_from_pulse: int = 0) -> GeometryCalibration:
        """Find where the detector is.

        Parameters
        ----------
        valid_from_pulse : int, default 0
            First pulse that is to be analysed with the result.

        Returns
        -------
        GeometryCalibration
            The shifted geometry, and each shift with its uncertainty and trust.

        Raises
        ------
        AnalysisError
            If too few frames can be indexed.
        """
        if not self._parts:
            raise AnalysisError(
                f"no frame with {_FEWEST_SPOTS} spots or more: nothing to calibrate with"
            )
        spots = SpotPositions.join(self._parts)
        detector = self._geometry.detector
        result = self._indexer.index(spots.lists(detector))
        if result.indexed.mean() < _GOOD_SHARE:
            detector = self._find_center(spots, detector)
            result = self._indexer.index(spots.lists(detector))
        for _ in range(_ROUNDS):
            indexed, reciprocal = self._indexed_spots(spots, result)
            shifts = self._shifts(indexed)
            fit = self._fit(detector, indexed, reciprocal, shifts)
            detector = fit.shifted(detector)
            result = self._indexer.index(spots.lists(detector))
            if np.abs(fit.parameters).max() < _SETTLED_PX * detector.pixel_size_mm:
                break
        indexed, reciprocal = self._indexed_spots(spots, result)
        shifts = self._shifts(indexed)
        fit = self._fit(detector, indexed, reciprocal, shifts)
        n_frames = int(result.indexed.sum())
        return GeometryCalibration(
            replace(self._geometry, detector=fit.shifted(detector)),
            tuple(
                self._calibrations(
                    detector, indexed, fit, n_frames=n_frames, valid_from_pulse=valid_from_pulse
                )
            ),
            n_frames,
        )

    def _fit(
        self, detector: Detector, indexed: IndexedSpots, reciprocal: Float, shifts: Shifts
    ) -> GeometryFit:
        return fit_shifts(detector, indexed, reciprocal, shifts, free_cell=not self._calibrant)

    def _shifts(self, indexed: IndexedSpots) -> Shifts:
        """Say what the spots suffice for."""
        n_panels = self._geometry.detector.n_panels
        n_spots = np.bincount(indexed.panel, minlength=n_panels)
        n_spots[n_spots < _FEWEST_SPOTS_OF_PANEL] = 0
        return Shifts.whole(n_panels, distance=self._calibrant).with_panels(n_spots)

    def _indexed_spots(
        self, spots: SpotPositions, result: IndexingResult
    ) -> tuple[IndexedSpots, Float]:
        """Collect the spots of lattices with enough of them, and the reciprocal cells."""
        place = (spots.frame, number_within(spots.frame))
        lattice = result.spot_lattice[place]
        count = np.bincount(lattice[lattice >= 0], minlength=len(result.found))
        chosen = count >= _FEWEST_SPOTS
        if chosen.sum() < _FEWEST_LATTICES:
            raise AnalysisError(
                f"{int(chosen.sum())} of {len(spots.wavelength_angstrom)} frames have a lattice "
                f"with {_FEWEST_SPOTS} spots or more, {_FEWEST_LATTICES} are needed: take more "
                "frames, check the cell, or start with a better distance and beam center"
            )
        keep = np.flatnonzero((lattice >= 0) & chosen[lattice])
        keep = keep[np.argsort(lattice[keep], kind="stable")]
        indexed = IndexedSpots(
            spots.panel[keep],
            spots.slow_px[keep],
            spots.fast_px[keep],
            spots.wavelength_angstrom[spots.frame[keep]],
            result.hkl[place][keep].astype(np.float64),
            (np.cumsum(chosen) - 1)[lattice[keep]],
        )
        basis = result.found.basis[chosen]
        if self._calibrant:
            # The known cell, turned as each crystal is.
            u, _, v = np.linalg.svd(np.linalg.inv(self._indexer.cell.basis()) @ basis)
            basis = self._indexer.cell.basis() @ u @ v
        return indexed, np.swapaxes(np.linalg.inv(basis), 1, 2)

    def _find_center(self, spots: SpotPositions, detector: Detector) -> Detector:
        """Try beam centers on a grid, from within outwards, by how well frames are indexed."""
        best_first = np.argsort(-spots.n_spots, kind="stable")[:_SEARCH_FRAMES]
        chosen = np.zeros(len(spots.wavelength_angstrom), dtype=np.bool_)
        chosen[best_first] = True
        trial = spots.of_frames(chosen)
        distance_mm = float(np.abs(detector.origin_mm[:, 2]).mean())
        step_mm = _SEARCH_STEP * float(trial.wavelength_angstrom.mean()) * distance_mm
        n_rings = math.ceil(self._search_px * detector.pixel_size_mm / step_mm)
        best, best_score, best_ring, best_share = detector, -math.inf, 0, 0.0
        for ring in range(n_rings + 1):
            for across in _ring(ring):
                moved = replace(detector, origin_mm=detector.origin_mm + step_mm * across)
                result = self._indexer.index(trial.lists(moved))
                score = float(result.found.log_evidence.sum())
                if score > best_score:
                    best, best_score, best_ring = moved, score, ring
                    best_share = float(result.indexed.mean())
            if best_share >= _GOOD_SHARE and best_ring < ring:
                break
        return best

    def _calibrations(
        self,
        detector: Detector,
        indexed: IndexedSpots,
        fit: GeometryFit,
        *,
        n_frames: int,
        valid_from_pulse: int,
    ) -> Iterator[Calibration]:
        """Describe what was found against the geometry that was started with."""
        pixel = detector.pixel_size_mm
        n_whole = 3 if self._calibrant else 2
        moved = fit.shifted(detector).origin_mm - self._geometry.detector.origin_mm
        n_spots = np.bincount(indexed.panel, minlength=detector.n_panels)
        used = np.abs(fit.shifts.directions[n_whole:]).sum(axis=(0, 2)) > 0
        weights = np.where(used, n_spots, 0) if used.any() else np.ones(detector.n_panels)
        whole = np.average(moved, axis=0, weights=weights)
        halves = self._halves(detector, indexed, fit)
        cell = self._cell_change(detector, indexed, fit, n_frames, valid_from_pulse)
        limits = [_TRUSTED_CENTER_PX * pixel] * 2
        limits += [_TRUSTED_DISTANCE * float(np.abs(detector.origin_mm[:, 2]).mean())]
        sigma = np.sqrt(np.diag(fit.covariance))
        for axis in range(n_whole):
            trust = _trust(n_frames, sigma[axis], limits[axis], halves[:, axis])
            if Quantity(axis) is Quantity.SHIFT_Z and _is_distorted(cell[-1]):
                # These crystals do not have the cell that was declared.
                trust = Trust.UNTRUSTED
            yield Calibration(
                Quantity(axis),
                WHOLE_DETECTOR,
                float(whole[axis]),
                float(sigma[axis]),
                n_frames,
                trust,
                valid_from_pulse,
            )
        for panel in np.flatnonzero(used):
            for axis in range(2):
                slopes = fit.shifts.directions[n_whole:, panel, axis]
                own_sigma = math.sqrt(slopes @ fit.covariance[n_whole:, n_whole:] @ slopes)
                yield Calibration(
                    Quantity(axis),
                    int(panel),
                    float(moved[panel, axis] - whole[axis]),
                    own_sigma,
                    n_frames,
                    _trust(n_frames, own_sigma, limits[axis], halves[:, n_whole:] @ slopes),
                    valid_from_pulse,
                )
        yield from cell

    def _halves(self, detector: Detector, indexed: IndexedSpots, fit: GeometryFit) -> Float:
        """Fit every second lattice, and the others, by themselves."""
        number = np.arange(len(fit.reciprocal))
        halves = []
        for half in range(2):
            chosen = number % 2 == half
            halves.append(
                self._fit(
                    detector, indexed.of_lattices(chosen), fit.reciprocal[chosen], fit.shifts
                ).parameters
            )
        return np.array(halves)

    def _cell_change(
        self,
        detector: Detector,
        indexed: IndexedSpots,
        fit: GeometryFit,
        n_frames: int,
        valid_from_pulse: int,
    ) -> list[Calibration]:
        """Report by how much the crystals' cells differ from the known one."""
        # A calibrant's scale has become the distance; whether its lengths agree is left to see.
        free = fit
        if self._calibrant:
            resting = Shifts.whole(detector.n_panels, distance=False)
            free = fit_shifts(
                fit.shifted(detector), indexed, fit.reciprocal, resting, free_cell=True
            )
        lengths = np.linalg.norm(np.linalg.inv(free.reciprocal), axis=1)
        change = np.log(lengths / np.array(self._indexer.cell.lengths))
        common = change.mean(axis=1)
        volume = 1 / np.abs(np.linalg.det(free.reciprocal))
        scale = np.cbrt(volume / self._indexer.cell.volume) - 1
        own = [change[:, axis] - common for axis in range(3)]
        distortion = max(own, key=lambda values: abs(float(np.median(values))))
        return [
            _of_cells(quantity, values, n_frames, valid_from_pulse)
            for quantity, values in (
                (Quantity.CELL_SCALE, scale),
                (Quantity.CELL_DISTORTION, distortion),
            )
            if quantity is Quantity.CELL_DISTORTION or not self._calibrant
        ]


def _of_cells(
    quantity: Quantity, values: Float, n_frames: int, valid_from_pulse: int
) -> Calibration:
    """Report the median over crystals, and its error as of a normal distribution."""
    middle = float(np.median(values))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(values - middle)))
    sigma = math.sqrt(math.pi / 2) * spread / math.sqrt(len(values))
    halves = np.array([np.median(values[::2]), np.median(values[1::2])])
    trust = _trust(n_frames, sigma, _TRUSTED_SCALE, halves)
    return Calibration(quantity, WHOLE_DETECTOR, middle, sigma, n_frames, trust, valid_from_pulse)


def _is_distorted(distortion: Calibration) -> bool:
    """Say whether a cell has changed its shape."""
    size = abs(distortion.value)
    return size > _DISTORTED and size > _HALVES_AGREE_SIGMAS * distortion.sigma


def _ring(ring: int) -> Iterator[Float]:
    """Give the places of a square grid that are so many steps from its middle."""
    for x in range(-ring, ring + 1):
        for y in range(-ring, ring + 1):
            if max(abs(x), abs(y)) == ring:
                yield np.array([float(x), float(y), 0.0])


def _trust(n_frames: int, sigma: float, limit: float, halves: Float) -> Trust:
    """Say how far a number is to be trusted."""
    # Each half is less certain by the root of two, and so is their difference again.
    contradiction = abs(float(halves[0] - halves[1])) > _HALVES_AGREE_SIGMAS * 2 * sigma
    if n_frames < _PROVISIONAL_FRAMES or contradiction or not sigma < 5 * limit:
        return Trust.UNTRUSTED
    if n_frames < _TRUSTED_FRAMES or sigma > limit:
        return Trust.PROVISIONAL
    return Trust.TRUSTED
