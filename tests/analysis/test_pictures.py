"""Pictures of frames with their spots."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.pictures import draw_spots
from autosteer.analysis.spots import SpotFinder
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector


def lit_frame() -> NDArray[np.uint16]:
    """Two panels with a spot on the second one, and flagged pixels."""
    frame = np.random.default_rng(0).poisson(5.0, (2, 60, 80)).astype(np.uint16)
    frame[1, 29:32, 39:42] += 200
    frame[0, :, 40:42] = 65_535
    return frame


def reddest(path: Path) -> tuple[float, float]:
    """Where the circle about the spot is: shares of the picture's height and width."""
    picture = matplotlib.image.imread(path)
    red = (picture[..., 0] > 0.7) & (picture[..., 1] < 0.4) & (picture[..., 2] < 0.4)
    assert red.any()
    down, right = (axis.mean() for axis in np.nonzero(red))
    return down / picture.shape[0], right / picture.shape[1]


def test_the_spot_is_circled_where_the_panel_stands(tmp_path: Path) -> None:
    frame = lit_frame()
    spots = SpotFinder().find(frame[None])
    assert len(spots) == 1
    draw_spots(tmp_path / "rows.png", frame, spots, title="in rows")
    above = np.array([[-8.0, 2.0, 100.0], [-8.0, -14.0, 100.0]])
    axes = np.tile([[0.0, 1.0, 0.0]], (2, 1)), np.tile([[1.0, 0.0, 0.0]], (2, 1))
    detector = Detector(above, *axes, pixel_size_mm=0.2, panel_shape=(60, 80))
    draw_spots(
        tmp_path / "laboratory.png",
        frame,
        spots,
        title="as it stands",
        detector=detector,
        wavelength_angstrom=1.3,
    )
    # In rows the second panel is below or to the right of the first; here it stands above.
    rows, laboratory = reddest(tmp_path / "rows.png"), reddest(tmp_path / "laboratory.png")
    assert rows[0] > 0.55 or rows[1] > 0.55
    assert laboratory[0] < 0.45


def test_a_frame_without_any_number_can_be_drawn(tmp_path: Path) -> None:
    frame = np.full((1, 32, 32), np.nan, np.float32)
    draw_spots(tmp_path / "empty.png", frame, SpotFinder().find(frame[None]), title="nothing")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    frame = lit_frame()
    with pytest.raises(AnalysisError, match="cannot write the picture"):
        draw_spots(tmp_path / "no" / "x.png", frame, SpotFinder().find(frame[None]), title="")
