"""A process of low priority that calibrates a geometry, beside one that analyses frames."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from autosteer.analysis.calibration import GeometryCalibration
from autosteer.analysis.calibration_geometry import GeometryCalibrator
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError

# Results come first, but on a busy machine a calibration shall not wait for ever.
_NICENESS = 5


class CalibrationProcess:
    """Calibrates in a process of its own.

    A context manager, which starts the process and ends it. The process ends with its parent,
    however that ends; when it dies alone, the next calibration starts another.

    Parameters
    ----------
    make_indexer : callable
        Makes the indexer, in the process: pickle must be able to take it along.
    geometry : FileGeometry
        The geometry to start with.
    calibrant : bool
        Whether the crystals are a calibrant; only then is the distance calibrated.
    """

    def __init__(
        self, make_indexer: Callable[[], Indexer], geometry: FileGeometry, *, calibrant: bool
    ) -> None:
        # Nothing is cut there, nor masked.
        bare = replace(geometry, mask=None)
        self._serve = partial(_serve, make_indexer, bare, calibrant)
        self._threads = ThreadPoolExecutor(1, "calibration")
        self._lock = threading.Lock()
        self._closed = False
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def calibrate(self, spots: SpotPositions) -> Future[GeometryCalibration]:
        """Begin a calibration.

        Parameters
        ----------
        spots : SpotPositions
            Spots of hits.

        Returns
        -------
        Future of GeometryCalibration
            What is found, or the `AnalysisError` that too few frames can be indexed, or that the
            process has died.
        """
        return self._threads.submit(self._ask, spots)

    def __enter__(self) -> Self:
        # Its imports take seconds: better now than with the first calibration.
        self._threads.submit(self._connect)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process, whatever it is doing."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                # It has nothing to save, and a gentler signal could be lost while it starts.
                self._process.kill()
                self._process.join()
        self._threads.shutdown(cancel_futures=True)

    def _ask(self, spots: SpotPositions) -> GeometryCalibration:
        """Send spots to the process, and wait for the answer."""
        try:
            connection = self._connect()
            connection.send(spots)
            answer: GeometryCalibration | AnalysisError = connection.recv()
        except (EOFError, OSError) as error:
            self._connection = None
            raise AnalysisError(
                "the process that calibrates has died over a calibration; it may need more memory "
                "than there is: lower 'analysis.calibration.every_frames'"
            ) from error
        if isinstance(answer, AnalysisError):
            raise answer
        return answer

    def _connect(self) -> Connection:
        """Start the process, unless it is there."""
        with self._lock:
            if self._closed:
                raise EOFError
            if self._connection is None:
                context = multiprocessing.get_context("spawn")
                self._connection, theirs = context.Pipe()
                self._process = context.Process(target=self._serve, args=(theirs,), daemon=True)
                self._process.start()
                # The process has the only other end: if it dies, this one ends.
                theirs.close()
            return self._connection


def _serve(
    make_indexer: Callable[[], Indexer],
    geometry: FileGeometry,
    calibrant: bool,
    connection: Connection,
) -> None:
    """Calibrate with what comes until the parent is gone."""
    os.nice(_NICENESS)
    indexer = make_indexer()
    # What the parent leaves behind when it ends.
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            calibrator = GeometryCalibrator(indexer, geometry, calibrant=calibrant)
            calibrator.add(connection.recv())
            answer: GeometryCalibration | AnalysisError
            try:
                answer = calibrator.calibrate()
            except AnalysisError as error:
                answer = error
            connection.send(answer)
