"""Geometry and mask from the section of an experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosteer.analysis.detectors import detector_of, mask_of, read_mask
from autosteer.contracts import AnalysisError
from autosteer.contracts.experiment import DetectorSection
from tests.analysis.geometries import SIZES, center_mm, write_crystfel


def section(**values: Any) -> DetectorSection:
    defaults: dict[str, Any] = {
        "shape": (64, 130),
        "pixel_size_um": 100.0,
        "distance_mm": 80.0,
        "beam_center_px": (31.5, 64.5),
        "wavelength_angstrom": 1.3,
        "modules": (1, 2),
        "gap_px": (0, 10),
    }
    return DetectorSection(**{**defaults, **values})


def test_geometry_is_that_of_the_section() -> None:
    detector = detector_of(section())
    assert detector.frame_shape == (1, 64, 130)
    np.testing.assert_allclose(detector.positions_mm([0], [31.5], [64.5]), [[0, 0, 80]], atol=1e-9)
    np.testing.assert_allclose(detector.positions_mm([0], [31.5], [74.5]), [[1, 0, 80]], atol=1e-9)


def test_mask_joins_modules_and_file(tmp_path: Path) -> None:
    good = np.ones((64, 130), dtype=bool)
    good[5] = False
    np.save(tmp_path / "mask.npy", good)
    mask = mask_of(section(mask_path=str(tmp_path / "mask.npy")))
    assert mask.shape == (1, 64, 130)
    assert not mask[0, :, 60:70].any()
    assert not mask[0, 5].any()
    assert mask.sum() == 63 * 120
    np.save(tmp_path / "numbers.npy", good.astype(np.uint8)[None])
    np.testing.assert_array_equal(read_mask(tmp_path / "numbers.npy", mask.shape), good[None])


def test_modules_must_fill_the_detector() -> None:
    with pytest.raises(AnalysisError, match="check 'shape', 'modules' and 'gap_px'"):
        mask_of(section(gap_px=(0, 11)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((64, 129), dtype=bool), r"shape \(64, 129\), the frames \(1, 64, 130\)"),
        (np.full((64, 130), 2), "hold 0 and 1 only"),
        (np.ones((64, 130)), "must be boolean"),
        (np.zeros((64, 130), dtype=bool), "leaves no good pixel; true means good"),
        (np.array([None, {}], dtype=object), "cannot read the mask"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path: Path, values: Any, message: str) -> None:
    path = tmp_path / "mask.npy"
    np.save(path, values, allow_pickle=True)
    with pytest.raises(AnalysisError, match=message) as caught:
        mask_of(section(mask_path=str(path)))
    assert str(path) in str(caught.value)


def test_mask_files_that_are_no_masks(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="cannot read the mask"):
        read_mask(tmp_path / "missing.npy", (1, 4, 4))
    (tmp_path / "text.npy").write_text("not an array")
    with pytest.raises(AnalysisError, match="cannot read the mask"):
        read_mask(tmp_path / "text.npy", (1, 4, 4))
    np.savez(tmp_path / "archive.npz", mask=np.ones(3))
    with pytest.raises(AnalysisError, match="save the mask alone"):
        read_mask(tmp_path / "archive.npz", (1, 4, 4))


def test_a_geometry_file_takes_the_place_of_the_numbers(tmp_path: Path) -> None:
    path = write_crystfel(tmp_path / "a.geom")
    values = {"geometry_path": str(path), "shape": (30, 50), "modules": (1, 1), "gap_px": (0, 0)}
    detector = detector_of(section(**values))
    assert detector.frame_shape == (3, 30, 50)
    np.testing.assert_allclose(detector.positions_mm([2], [4], [5])[0], center_mm(2, 4, 5))
    mask = mask_of(section(**values))
    assert mask.sum() == SIZES.prod(axis=1).sum()
    with pytest.raises(AnalysisError, match=r"\(30, 50\) pixels, .* is \(60, 100\)"):
        detector_of(section(**{**values, "shape": (60, 100)}))
