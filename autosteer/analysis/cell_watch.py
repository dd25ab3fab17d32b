"""Watches frames that stay unindexed: the cell may be wrong, or there may be a second form."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from autosteer.analysis._items import count_spots
from autosteer.analysis.cell_search import agreeing_cells, cells_of_frames, same_cell
from autosteer.analysis.indexing_result import IndexingResult
from autosteer.physics import UnitCell
from autosteer.physics.bravais import bravais_lattice

# Frames with fewer spots may stay unindexed for no other reason.
_MANY_SPOTS = 25
_WINDOW_FRAMES = 400
_FEWEST_FRAMES = 30
# Frames that wait to be looked at, and cells that are remembered.
_MOST_WAITING = 8
_REMEMBERED = 40
# A larger share of unindexed frames calls for an explanation; with a smaller share of indexed
# ones the cell given explains nothing.
_NOTEWORTHY_SHARE = 0.1
_CONFIDENCE = 0.99
_FEWEST_AGREEING = 4
_LEAST_AGREEMENT = 0.4
_LONGEST_OVER_CELL = 1.5
_SHORTEST_LONGEST_ANGSTROM = 150.0
_SHORTEST_ANGSTROM = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class CellFinding:
    """What the unindexed frames say.

    Parameters
    ----------
    kind : {"wrong cell", "second form", "known cell", "unexplained"}
        Whether another cell takes the place of the one given, stands beside it, is the same, so
        that something else keeps the frames from being indexed, or none is found.
    share : float
        Share of the frames with many spots that stay unindexed.
    cell : UnitCell or None
        The cell on which unindexed frames agree.
    n_agreeing, n_examined : int
        How many of those that were looked at have it.
    """

    kind: Literal["wrong cell", "second form", "known cell", "unexplained"]
    share: float
    cell: UnitCell | None
    n_agreeing: int
    n_examined: int

    def __str__(self) -> str:
        unindexed = f"{100 * self.share:.0f} % of the frames with many spots are not indexed"
        if self.cell is None:
            return f"{unindexed}, and they agree on no cell: look at geometry, wavelength and spots"
        numbers = ", ".join(f"{value:.1f}" for value in (*self.cell.lengths, *self.cell.angles))
        cell = (
            f"{numbers} {self.cell.centering} in {self.n_agreeing} of {self.n_examined} that "
            "were looked at"
        )
        if self.kind == "known cell":
            return (
                f"{unindexed}, though they have the known cell, {cell}: beam center, distance or "
                "wavelength may be off"
            )
        if self.kind == "wrong cell":
            return f"the cell is wrong: {unindexed}, and have the cell {cell}"
        return f"a second crystal form, {100 * self.share:.0f} %: {unindexed}, and have {cell}"


class CellWatch:
    """Collects frames that stay unindexed, and finds the cells of some of them.

    `take` costs next to nothing; `examine` takes some tenths of a second of a core, and belongs
    into a thread of its own.

    Parameters
    ----------
    cell : UnitCell
        The known cell.
    """

    def __init__(self, cell: UnitCell) -> None:
        self._known = cell.primitive_basis()
        longest = _LONGEST_OVER_CELL * float(np.linalg.norm(cell.primitive_basis(), axis=1).max())
        self._longest_angstrom = max(longest, _SHORTEST_LONGEST_ANGSTROM)
        self._indexed: deque[bool] = deque(maxlen=_WINDOW_FRAMES)
        self._waiting: deque[NDArray[np.float32]] = deque(maxlen=_MOST_WAITING)
        self._cells: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(
            maxlen=_REMEMBERED
        )
        self._lock = threading.Lock()

    def _meaning(
        self, basis: NDArray[np.float64], indexed_share: float
    ) -> Literal["wrong cell", "second form", "known cell"]:
        """Say what a cell of unindexed frames is to the one given."""
        if same_cell(basis, self._known):
            return "known cell"
        return "wrong cell" if indexed_share < _NOTEWORTHY_SHARE else "second form"

    def take(self, q: NDArray[Any], result: IndexingResult) -> None:
        """Note which frames were indexed.

        Parameters
        ----------
        q : ndarray of float, shape (n_frames, n_spots, 3)
            Scattering vectors, padded with NaN [1/angstrom].
        result : IndexingResult
            What indexing found in them.
        """
        many = count_spots(q) >= _MANY_SPOTS
        with self._lock:
            self._indexed.extend(result.indexed[many].tolist())
            self._waiting.extend(q[many & ~result.indexed].astype(np.float32))

    def examine(self) -> bool:
        """Find the cell of one frame that waits.

        Returns
        -------
        bool
            Whether there was one.
        """
        with self._lock:
            if not self._waiting:
                return False
            spots = self._waiting.popleft()
        cells = cells_of_frames(
            spots[None], _SHORTEST_ANGSTROM, self._longest_angstrom, "cpu", lambda share: None
        )
        with self._lock:
            self._cells.append(cells)
        return True

    def finding(self) -> CellFinding | None:
        """Say what the unindexed frames mean.

        Returns
        -------
        CellFinding or None
            None while as good as all frames are indexed, or too few were seen.
        """
        with self._lock:
            indexed, cells = list(self._indexed), list(self._cells)
        n_frames, n_indexed = len(indexed), sum(indexed)
        if n_frames < _FEWEST_FRAMES or len(cells) < _FEWEST_AGREEING:
            return None
        # Clopper and Pearson's lower bound of the unindexed share.
        bound = beta.ppf(1 - _CONFIDENCE, n_frames - n_indexed, n_indexed + 1)
        if not bound > _NOTEWORTHY_SHARE:
            return None
        share = 1 - n_indexed / n_frames
        basis, score = (np.concatenate(parts) for parts in zip(*cells, strict=True))
        agreed = agreeing_cells(basis, score)
        enough = max(_FEWEST_AGREEING, _LEAST_AGREEMENT * len(cells))
        if agreed and agreed[0].n_frames >= enough:
            return CellFinding(
                self._meaning(agreed[0].basis, n_indexed / n_frames),
                share,
                bravais_lattice(agreed[0].basis).cell,
                agreed[0].n_frames,
                len(cells),
            )
        if len(cells) < _REMEMBERED // 2:
            return None
        return CellFinding("unexplained", share, None, 0, len(cells))
