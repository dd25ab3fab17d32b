"""Frames that stay unindexed say whether the cell is wrong or a second form is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.cell_watch import CellFinding, CellWatch
from autosteer.analysis.indexing import Indexer
from autosteer.physics import UnitCell
from tests.analysis.simulated_spots import scramble, simulate_stills

KNOWN = UnitCell(28, 33, 41, 90, 98, 90)
OTHER = UnitCell(30, 36, 45, 90, 90, 90)


def watched(*parts: NDArray[np.float32], indexer: Indexer | None = None) -> CellFinding | None:
    """Index lists in batches as a worker does, and look at those that stay unindexed."""
    q = np.concatenate(parts)
    q = q[np.random.default_rng(0).permutation(len(q))]
    indexer, watch = indexer or Indexer(KNOWN), CellWatch(KNOWN)
    for start in range(0, len(q), 8):
        batch = q[start : start + 8]
        watch.take(batch, indexer.index(batch))
        # A worker has time for one frame in many.
        if start % 16 == 0:
            watch.examine()
    return watch.finding()


def test_a_wrong_cell_is_said_and_the_right_one_named() -> None:
    finding = watched(simulate_stills(OTHER, 72, 40, seed=1).q)
    assert finding is not None
    assert finding.kind == "wrong cell"
    assert finding.cell is not None
    np.testing.assert_allclose(finding.cell.lengths, OTHER.lengths, rtol=0.01)
    assert str(finding).startswith("the cell is wrong: ")


def test_a_second_form_is_told_from_a_wrong_cell() -> None:
    known = simulate_stills(KNOWN, 80, 40, seed=2).q
    other = simulate_stills(OTHER, 48, 40, seed=3).q
    finding = watched(known, other)
    assert finding is not None
    assert finding.kind == "second form"
    assert abs(finding.share - 48 / 128) < 0.06
    assert finding.cell is not None
    np.testing.assert_allclose(finding.cell.lengths, OTHER.lengths, rtol=0.01)
    assert "a second crystal form, " in str(finding)


def test_the_known_cell_is_no_second_form() -> None:
    # Whatever keeps them from being indexed: here it is another cell.
    finding = watched(simulate_stills(KNOWN, 72, 40, seed=7).q, indexer=Indexer(OTHER))
    assert finding is not None
    assert finding.kind == "known cell"
    assert "beam center" in str(finding)


def test_nothing_is_said_where_the_cell_is_right() -> None:
    assert watched(simulate_stills(KNOWN, 64, 40, outliers=0.3, seed=4).q) is None


def test_nothing_is_said_of_frames_with_few_spots() -> None:
    assert watched(simulate_stills(OTHER, 64, 12, seed=5).q) is None


@pytest.mark.slow
def test_spots_without_a_lattice_are_unexplained() -> None:
    q = scramble(simulate_stills(KNOWN, 352, 40, seed=6).q, np.random.default_rng(6))
    finding = watched(q.astype(np.float32))
    assert finding is not None
    assert finding.kind == "unexplained"
    assert finding.cell is None
    assert "agree on no cell" in str(finding)
