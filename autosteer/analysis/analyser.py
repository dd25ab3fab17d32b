"""The analysis as a stage: frames, or spot lists, in; result tables out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.analysis._items import count_spots
from autosteer.analysis.detectors import frame_shape_of, geometry_of
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.geometry_history import GeometryHistory
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.indexing_result import IndexingResult
from autosteer.analysis.results import Shots, frame_tables, list_tables
from autosteer.analysis.spot_finders import LearningFinder, make_finder
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.analysis.spots import FindsSpots
from autosteer.contracts import AnalysisError, FrameError
from autosteer.contracts.analysis_sections import Analysis, FinderSection
from autosteer.physics import UnitCell

Frames = NDArray[Any]
Vectors = NDArray[np.float32]
Bool = NDArray[np.bool_]

OnIndexed = Callable[[Vectors, IndexingResult], None]
OnHits = Callable[[SpotPositions, int], None]

_TYPICAL_SPOTS = 50


class FrameAnalyser:
    """Finds spots on frames and indexes the hits.

    Parameters
    ----------
    geometry : FileGeometry
        Geometry to start with, and how frames are cut into its panels; with one wavelength.
    frame_shape : (int, int, int)
        Shape in which frames come, (n_blocks, n_slow, n_fast).
    finder : FindsSpots
        Finds the spots.
    indexer : Indexer
        Finds the lattices.
    min_spots_hit : int
        Spots that make a frame a hit.

    Attributes
    ----------
    on_indexed : callable or None
        Told of the spot lists of each batch and of what indexing found in them.
    on_hits : callable or None
        Told where the spots of each batch's hits are, and of its newest pulse.
    """

    def __init__(
        self,
        geometry: FileGeometry,
        frame_shape: tuple[int, int, int],
        finder: FindsSpots,
        indexer: Indexer,
        min_spots_hit: int,
    ) -> None:
        self.history = GeometryHistory(geometry)
        """Which geometry holds at which pulse."""
        self._cuts = geometry.cuts
        self._wavelength_angstrom = float(geometry.wavelength_angstrom[0])
        self._frame_shape = frame_shape
        self._finder = finder
        self._indexer = indexer
        self._min_spots_hit = min_spots_hit
        self.on_indexed: OnIndexed | None = None
        self.on_hits: OnHits | None = None

    def warm_up(self, n_frames: int) -> None:
        """Use up the cost of first calls, before beam is spent on it.

        Parameters
        ----------
        n_frames : int
            Frames of a batch.
        """
        rng = np.random.default_rng(0)
        n_blocks, n_slow, n_fast = self._frame_shape
        frames = np.zeros((n_frames, n_blocks, n_slow, n_fast), dtype=np.uint16)
        for frame in frames:
            block = rng.integers(0, n_blocks, _TYPICAL_SPOTS)
            slow = rng.integers(0, n_slow - 1, _TYPICAL_SPOTS)
            fast = rng.integers(0, n_fast - 1, _TYPICAL_SPOTS)
            for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                frame[block, slow + down, fast + right] = 1000
        self.analyse(frames, *_numbered(n_frames))
        # Of frames like these nothing is to be learned.
        if isinstance(self._finder, LearningFinder):
            self._finder.forget()

    def analyse(
        self,
        frames: Frames,
        pulse_ids: NDArray[np.uint64],
        timestamps: NDArray[np.int64],
    ) -> dict[str, pa.RecordBatch]:
        """Analyse the frames of some shots.

        Parameters
        ----------
        frames : ndarray, shape (n, n_blocks, n_slow, n_fast)
            Frames, panel by panel or as slabs that hold the panels [detector counts].
        pulse_ids : ndarray of uint64, shape (n,)
            Number of each machine pulse.
        timestamps : ndarray of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables ``indexing``, ``quality``, ``spots`` and ``lattices``. A frame without any
            number in it has null results; it does not disturb the others.

        Raises
        ------
        FrameError
            If the frames have the wrong shape or type, or there is not one per shot.
        """
        shots = _shots(len(frames), pulse_ids, timestamps)
        if frames.shape[1:] != self._frame_shape:
            raise FrameError(
                f"frames have the shape {frames.shape[1:]} (panels, slow, fast), the detector "
                f"{self._frame_shape}: correct 'analysis.detector'"
            )
        spots = self._finder.find(self._cuts.cut(frames))
        q = self.history.scattering_vectors(spots, shots.pulse_ids)
        lists = spots.lists(q)
        hit = spots.n_spots >= self._min_spots_hit
        result = self._indexer.index(np.where(hit[:, None, None], lists, np.float32(np.nan)))
        if self.on_indexed is not None:
            self.on_indexed(lists, result)
        if self.on_hits is not None and len(shots):
            wavelength = np.full(len(shots), self._wavelength_angstrom)
            positions = SpotPositions.of_spots(spots, wavelength)
            self.on_hits(positions.of_frames(hit), int(shots.pulse_ids.max()))
        geometry_id = self.history.ids(shots.pulse_ids)
        return frame_tables(shots, spots, q, lists, result, hit, geometry_id)


class SpotListAnalyser:
    """Indexes spot lists that come in place of frames.

    Parameters
    ----------
    indexer : Indexer
        Finds the lattices.
    min_spots_hit : int
        Spots that make a list a hit.

    Attributes
    ----------
    on_indexed : callable or None
        Told of the spot lists of each batch and of what indexing found in them.
    """

    def __init__(self, indexer: Indexer, min_spots_hit: int) -> None:
        self._indexer = indexer
        self._min_spots_hit = min_spots_hit
        self.on_indexed: OnIndexed | None = None

    def warm_up(self, n_frames: int) -> None:
        """Use up the cost of first calls, before beam is spent on it.

        Parameters
        ----------
        n_frames : int
            Spot lists of a batch.
        """
        rng = np.random.default_rng(0)
        lists = rng.normal(0, 0.2, (n_frames, _TYPICAL_SPOTS, 3)).astype(np.float32)
        self.analyse(lists, *_numbered(n_frames))

    def analyse(
        self,
        frames: Vectors,
        pulse_ids: NDArray[np.uint64],
        timestamps: NDArray[np.int64],
    ) -> dict[str, pa.RecordBatch]:
        """Index the spot lists of some shots.

        Parameters
        ----------
        frames : ndarray of float32, shape (n, n_spots, 3)
            Scattering vectors, padded with NaN [1/angstrom].
        pulse_ids : ndarray of uint64, shape (n,)
            Number of each machine pulse.
        timestamps : ndarray of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Returns
        -------
        dict of str to pyarrow.RecordBatch
            Tables ``indexing``, ``quality``, ``spots`` and ``lattices``.

        Raises
        ------
        FrameError
            If the lists have another shape, or there is not one per shot.
        """
        shots = _shots(len(frames), pulse_ids, timestamps)
        if frames.ndim != 3 or frames.shape[2] != 3:
            raise FrameError(
                f"spot lists have the shape {frames.shape}: it must be (n, n_spots, 3)"
            )
        hit = count_spots(frames) >= self._min_spots_hit
        result = self._indexer.index(np.where(hit[:, None, None], frames, np.float32(np.nan)))
        if self.on_indexed is not None:
            self.on_indexed(frames, result)
        return list_tables(shots, frames, result, hit)


def make_analyser(analysis: Analysis, source_kind: str) -> FrameAnalyser | SpotListAnalyser:
    """Make the analyser that an experiment file describes.

    Parameters
    ----------
    analysis : Analysis
        The file's section ``analysis``.
    source_kind : {"frames", "spot_lists"}
        What the source gives.

    Returns
    -------
    FrameAnalyser or SpotListAnalyser
        The analyser.

    Raises
    ------
    AnalysisError
        If the section does not say enough, or a value in it cannot be used.
    """
    indexer = make_indexer(analysis)
    if source_kind == "spot_lists":
        return SpotListAnalyser(indexer, analysis.min_spots_hit)
    if analysis.detector is None:
        raise AnalysisError("analysis.detector: needed where the source gives frames")
    geometry = geometry_of(analysis.detector)
    finder = _finder(analysis.finder, geometry)
    shape = frame_shape_of(geometry, analysis.detector)
    return FrameAnalyser(geometry, shape, finder, indexer, analysis.min_spots_hit)


def make_indexer(analysis: Analysis) -> Indexer:
    """Make the indexer that an experiment file describes.

    Parameters
    ----------
    analysis : Analysis
        The file's section ``analysis``.

    Returns
    -------
    Indexer
        The indexer.

    Raises
    ------
    AnalysisError
        If the cell or an option cannot be used.
    """
    options = analysis.indexer.model_dump(exclude={"unit_cell", "centering"})
    return Indexer(known_cell(analysis), **options)


def _finder(section: FinderSection, geometry: FileGeometry) -> FindsSpots:
    """Make the spot finder that an experiment file describes."""

    def make(mask: Bool) -> FindsSpots:
        options = section.model_dump(exclude={"learn_pixels"})
        return make_finder(**options, mask=mask, saturation=geometry.saturation)

    good = geometry.mask
    if good is None:
        good = np.ones(geometry.detector.frame_shape, dtype=np.bool_)
    return LearningFinder(make, good) if section.learn_pixels else make(good)


def known_cell(analysis: Analysis) -> UnitCell:
    """Return the cell that an experiment file gives.

    Parameters
    ----------
    analysis : Analysis
        The file's section ``analysis``.

    Returns
    -------
    UnitCell
        The cell.

    Raises
    ------
    AnalysisError
        If its angles span no volume.
    """
    try:
        return UnitCell(*analysis.indexer.unit_cell, analysis.indexer.centering)
    except ValueError as error:
        raise AnalysisError(f"analysis.indexer: {error}") from error


def _numbered(n_frames: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Give pulse ids and times to frames that have none."""
    return np.arange(n_frames, dtype=np.uint64), np.zeros(n_frames, np.int64)


def _shots(n_frames: int, pulse_ids: NDArray[np.uint64], timestamps: NDArray[np.int64]) -> Shots:
    """Check that there is one frame for each shot."""
    if not n_frames == len(pulse_ids) == len(timestamps):
        raise FrameError(
            f"{n_frames} frames came with {len(pulse_ids)} pulse ids and {len(timestamps)} times"
        )
    return Shots(np.asarray(pulse_ids, np.uint64), np.asarray(timestamps, np.int64))
