"""Geometry and mask from the section of an experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from autosteer.analysis.detectors import frame_shape_of, geometry_of, read_mask
from autosteer.contracts import AnalysisError
from autosteer.contracts.analysis_sections import DetectorSection
from tests.analysis.geometries import (
    SATURATION,
    SIZES,
    SLAB,
    WAVELENGTH,
    center_mm,
    crystfel_text,
    write_crystfel,
    write_nexus,
)


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
    detector = geometry_of(section()).detector
    assert detector.frame_shape == (1, 64, 130)
    np.testing.assert_allclose(detector.positions_mm([0], [31.5], [64.5]), [[0, 0, 80]], atol=1e-9)
    np.testing.assert_allclose(detector.positions_mm([0], [31.5], [74.5]), [[1, 0, 80]], atol=1e-9)


def test_mask_joins_modules_and_file(tmp_path: Path) -> None:
    good = np.ones((64, 130), dtype=bool)
    good[5] = False
    np.save(tmp_path / "mask.npy", good)
    mask = geometry_of(section(mask_path=str(tmp_path / "mask.npy"))).mask
    assert mask is not None
    assert mask.shape == (1, 64, 130)
    assert not mask[0, :, 60:70].any()
    assert not mask[0, 5].any()
    assert mask.sum() == 63 * 120
    np.save(tmp_path / "numbers.npy", good.astype(np.uint8)[None])
    np.testing.assert_array_equal(read_mask(tmp_path / "numbers.npy", mask.shape), good[None])


def test_modules_must_fill_the_detector() -> None:
    with pytest.raises(AnalysisError, match="check 'shape', 'modules' and 'gap_px'"):
        geometry_of(section(gap_px=(0, 11)))


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
        geometry_of(section(mask_path=str(path)))
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


def of_file(path: Path, **values: Any) -> DetectorSection:
    """Describe a detector by its geometry file; frames come panel by panel."""
    panels: dict[str, Any] = {"shape": (30, 50), "modules": (1, 1), "gap_px": (0, 0)}
    return section(geometry_path=str(path), **{**panels, "wavelength_angstrom": None, **values})


def test_a_geometry_file_takes_the_place_of_the_numbers(tmp_path: Path) -> None:
    described = of_file(write_crystfel(tmp_path / "a.geom"))
    geometry = geometry_of(described)
    assert geometry.detector.frame_shape == frame_shape_of(geometry, described) == (3, 30, 50)
    at = geometry.detector.positions_mm([2], [4], [5])[0]
    np.testing.assert_allclose(at, center_mm(2, 4, 5))
    assert geometry.mask is not None
    assert geometry.mask.sum() == SIZES.prod(axis=1).sum()
    assert geometry.wavelength_angstrom == pytest.approx([WAVELENGTH])
    assert geometry.saturation == SATURATION
    frames = np.zeros((2, 3, 30, 50))
    assert geometry.cuts.cut(frames) is frames


def test_slabs_are_cut_into_panels_and_so_are_their_masks(tmp_path: Path) -> None:
    path = write_crystfel(tmp_path / "a.geom")
    good = np.ones(SLAB, dtype=bool)
    good[3, 64] = False
    np.save(tmp_path / "mask.npy", good)
    described = of_file(path, shape=SLAB, mask_path=str(tmp_path / "mask.npy"))
    geometry = geometry_of(described)
    assert frame_shape_of(geometry, described) == (1, *SLAB)
    assert geometry.mask is not None
    [bad] = np.argwhere(~geometry.mask & geometry.detector.on_panels())
    assert bad.tolist() == [1, 3, 4]
    slabs = np.arange(2 * 60 * 100).reshape(2, 1, 60, 100)
    panels = geometry.cuts.cut(slabs)
    assert panels.shape == (2, 3, 30, 50)
    np.testing.assert_array_equal(panels[:, 1, 3, 4], slabs[:, 0, 3, 64])
    # A slab may hold more than the panels need, but no less.
    wide = of_file(path, shape=(60, 120))
    assert frame_shape_of(geometry_of(wide), wide) == (1, 60, 120)
    with pytest.raises(AnalysisError, match=r"at least \(56, 100\); .*shape' is \(50, 100\)"):
        geometry_of(of_file(path, shape=(50, 100)))


def test_wavelength_and_saturation_are_said_by_one_file_or_by_both_alike(tmp_path: Path) -> None:
    path = write_crystfel(tmp_path / "a.geom")
    alike = geometry_of(of_file(path, wavelength_angstrom=1.30004, saturation=30000))
    assert alike.wavelength_angstrom == pytest.approx([WAVELENGTH], rel=1e-9)
    with pytest.raises(AnalysisError, match=r"wavelength is 1\.3 angstrom here, .* is 1\.301"):
        geometry_of(of_file(path, wavelength_angstrom=1.301))
    with pytest.raises(AnalysisError, match=r"saturated at 30000 here, .* is 20000"):
        geometry_of(of_file(path, saturation=20000))
    silent = tmp_path / "silent.geom"
    lines = [line for line in crystfel_text().splitlines() if "photon_energy" not in line]
    silent.write_text("\n".join(line for line in lines if "max_adu" not in line))
    said = geometry_of(of_file(silent, wavelength_angstrom=1.4, saturation=20000))
    assert said.wavelength_angstrom.tolist() == [1.4]
    assert said.saturation == 20000
    with pytest.raises(AnalysisError, match="does not say the wavelength"):
        geometry_of(of_file(silent))
    assert geometry_of(section()).saturation is None


def test_wavelengths_of_a_file_do_not_serve_a_stream(tmp_path: Path) -> None:
    path = write_nexus(tmp_path / "a.nxs")
    with h5py.File(path, "r+") as file:
        beam = file["entry/instrument/beam"]
        del beam["incident_wavelength"]
        beam["incident_wavelength"] = [1.29, 1.30, 1.31]
        beam["incident_wavelength"].attrs["units"] = "angstrom"
    given = geometry_of(of_file(path, wavelength_angstrom=1.295))
    assert given.wavelength_angstrom.tolist() == [1.295]
    with pytest.raises(AnalysisError, match="a stream does not say which is whose"):
        geometry_of(of_file(path))
    with pytest.raises(AnalysisError, match=r"1\.29 to 1\.31 angstrom here"):
        geometry_of(of_file(path, wavelength_angstrom=1.32))


def test_without_a_geometry_file_the_wavelength_is_needed() -> None:
    with pytest.raises(ValidationError, match="needed where no geometry_path is given"):
        section(wavelength_angstrom=None)
