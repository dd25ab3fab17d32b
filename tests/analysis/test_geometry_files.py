"""Geometry files of CrystFEL, DIALS and NeXus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.analysis._dxtbx_geometry import rotation_to_beam
from autosteer.analysis.frames import read_frames
from autosteer.analysis.geometry_files import (
    FileGeometry,
    describes_itself,
    read_geometry,
    write_geometry,
)
from autosteer.contracts import FrameError
from tests.analysis.geometries import (
    FIRST,
    SATURATION,
    SIZES,
    SLAB,
    WAVELENGTH,
    center_mm,
    crystfel_text,
    dxtbx_content,
    write_crystfel,
    write_dxtbx,
    write_nexus,
)

WRITERS = {"crystfel": write_crystfel, "dxtbx": write_dxtbx, "nexus": write_nexus}
PLACES = [(0, 0.0, 0.0), (0, 29.0, 49.0), (1, 12.0, 3.0), (2, 23.0, 41.0)]


def check_places(geometry: FileGeometry) -> None:
    for panel, slow, fast in PLACES:
        np.testing.assert_allclose(
            geometry.detector.positions_mm([panel], [slow], [fast])[0],
            center_mm(panel, slow, fast),
            atol=1e-9,
        )


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_detector_is_read_from_each_format(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path / "detector.any")
    geometry = read_geometry(path)
    check_places(geometry)
    assert geometry.wavelength_angstrom == pytest.approx([WAVELENGTH])
    assert geometry.saturation == SATURATION
    np.testing.assert_array_equal(geometry.cuts.first, FIRST)
    np.testing.assert_array_equal(geometry.cuts.sizes, SIZES)
    assert geometry.detector.frame_shape == (3, 30, 50)
    assert geometry.mask is not None
    assert geometry.mask.sum() == SIZES.prod(axis=1).sum() - (kind == "nexus")
    assert describes_itself(path) == (kind == "nexus")


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    before = read_geometry(WRITERS[kind](tmp_path / "detector.any"))
    write_geometry(tmp_path / "out.json", before, {"made": "by a test"})
    after = read_geometry(tmp_path / "out.json")
    check_places(after)
    np.testing.assert_array_equal(after.mask, before.mask)
    np.testing.assert_array_equal(after.cuts.first, before.cuts.first)
    np.testing.assert_allclose(after.wavelength_angstrom, before.wavelength_angstrom)
    assert after.saturation == before.saturation


@given(st.floats(0, np.pi), st.floats(0, 2 * np.pi))
def test_the_beam_is_turned_and_never_mirrored(polar: float, azimuth: float) -> None:
    across = np.sin(polar)
    beam = np.array([across * np.cos(azimuth), across * np.sin(azimuth), np.cos(polar)])
    rotation = rotation_to_beam(beam)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation @ beam, [0, 0, 1], atol=1e-9)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_slab_is_cut_into_panels(tmp_path: Path, kind: str) -> None:
    frames = np.arange(2 * 60 * 100, dtype=np.int32).reshape(2, *SLAB)
    np.savez(tmp_path / "run.npz", images=frames)
    source = read_frames(tmp_path / "run.npz", None, WRITERS[kind](tmp_path / "detector.any"))
    assert source.frame_shape == (3, 30, 50)
    assert source.geometry is not None
    assert source.geometry.wavelength_angstrom == pytest.approx([WAVELENGTH] * 2)
    for stored, cut in zip(frames, source, strict=True):
        for index, ((slow, fast), (n_slow, n_fast)) in enumerate(zip(FIRST, SIZES, strict=True)):
            part = stored[slow : slow + n_slow, fast : fast + n_fast]
            np.testing.assert_array_equal(cut[index, :n_slow, :n_fast], part)
    # Frames that come panel by panel are left as they are.
    np.savez(tmp_path / "panels.npz", images=np.ones((1, 3, 30, 50), np.int32))
    panels = read_frames(tmp_path / "panels.npz", None, tmp_path / "detector.any")
    assert next(iter(panels)).shape == (3, 30, 50)


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "run.npz", images=np.zeros((2, 50, 100), np.int32))
    path = write_crystfel(tmp_path / "a.geom")
    with pytest.raises(FrameError, match=r"run\.npz: .*\(1, 50, 100\).*\(1, 56, 100\)"):
        read_frames(tmp_path / "run.npz", None, path)
    flat = crystfel_text().split("p1/")[0]
    path.write_text(flat)
    with pytest.raises(FrameError, match=r"\(1, 50, 100\).*\(1, 30, 50\)"):
        read_frames(tmp_path / "run.npz", None, path)


def test_crystfel_takes_values_from_the_frames(tmp_path: Path) -> None:
    frames = tmp_path / "run.h5"
    mask = np.zeros(SLAB, np.uint16)
    mask[3, 4] = 0x6
    mask[4, 4] = 0x8
    with h5py.File(frames, "w") as file:
        file["entry/data/data"] = np.zeros((2, *SLAB), np.int32)
        file["entry/data/other"] = np.zeros((2, *SLAB), np.int32)
        file["energy"] = [9000.0, 9500.0]
        file["length"] = 120.0
        file["mask"] = mask
    path = write_crystfel(
        tmp_path / "a.geom",
        photon_energy="/energy eV",
        clen="/length",
        mask="/mask",
        mask_good="0x0",
        mask_bad="0x6",
    )
    source = read_frames(frames, None, path)
    geometry = source.geometry
    assert geometry is not None
    check_places(geometry)
    np.testing.assert_allclose(geometry.wavelength_angstrom, 12398.419843 / np.array([9000, 9500]))
    assert geometry.mask is not None
    assert geometry.mask.sum() == SIZES.prod(axis=1).sum() - 1
    assert not geometry.mask[0, 3, 4]
    with pytest.raises(FrameError, match="'clen' of panel 'p0' names the dataset '/length'"):
        read_geometry(path)


def test_masks_of_their_own_files_are_joined(tmp_path: Path) -> None:
    for number, place in ((0, (3, 4)), (2, (5, 6))):
        mask = np.ones(SLAB, np.uint8)
        mask[place] = 0
        with h5py.File(tmp_path / f"mask{number}.h5", "w") as file:
            file["good"] = mask
            file["by_frame"] = np.ones((4, *SLAB), np.uint8)
            file["small"] = mask[:20]
    fields = {
        f"mask{n}_{key}": value
        for n in (0, 2)
        for key, value in (("file", f"mask{n}.h5"), ("data", "/good"), ("goodbits", "0x1"))
    }
    geometry = read_geometry(write_crystfel(tmp_path / "a.geom", **fields))
    assert geometry.mask is not None
    assert np.argwhere(~geometry.mask[0]).tolist() == [[3, 4], [5, 6]]
    for name, value, message in (
        ("mask2_data", "/by_frame", "holds 4 masks, one for each frame"),
        ("mask2_data", "/small", r"shape \(20, 100\), the panels need \(1, 56, 100\)"),
        ("mask2_data", "/absent", "no mask of whole numbers at '/absent'"),
        ("mask2_file", "absent.h5", r"absent\.h5: cannot read the mask"),
        ("mask2_goodbits", "some", "'goodbits' of mask 2 is no hexadecimal number: some"),
    ):
        with pytest.raises(FrameError, match=message):
            read_geometry(write_crystfel(tmp_path / "a.geom", **{**fields, name: value}))


def test_edges_are_masked(tmp_path: Path) -> None:
    geometry = read_geometry(write_crystfel(tmp_path / "a.geom", mask_edge_pixels="2"))
    assert geometry.mask is not None
    assert geometry.mask.sum() == (SIZES - 4).prod(axis=1).sum()
    assert geometry.mask[1, 2:28, 2:38].all()


def test_a_stack_of_modules_is_cut_by_its_numbers(tmp_path: Path) -> None:
    lines = [
        "clen = 0.1\nres = 10000\nphoton_energy = 9500\ndim0 = %\ndim2 = ss\ndim3 = fs",
        "corner_x = 0\ncorner_y = 0\nfs = x\nss = -y\nmin_fs = 0\nmax_fs = 19",
    ]
    lines += [
        f"m{module}a{half}/dim1 = {module}\nm{module}a{half}/min_ss = {10 * half}\n"
        f"m{module}a{half}/max_ss = {10 * half + 9}"
        for module in (0, 1)
        for half in (0, 1)
    ]
    (tmp_path / "a.geom").write_text("\n".join(lines))
    frames = np.arange(2 * 20 * 20, dtype=np.int32).reshape(1, 2, 20, 20)
    np.savez(tmp_path / "run.npz", images=frames)
    source = read_frames(tmp_path / "run.npz", None, tmp_path / "a.geom")
    np.testing.assert_array_equal(next(iter(source)), frames.reshape(4, 10, 20))
    assert source.geometry is not None
    assert source.geometry.detector.slow_axis[0].tolist() == [0, -1, 0]


def test_bad_regions_and_unused_panels(tmp_path: Path) -> None:
    path = tmp_path / "a.geom"
    all_good = SIZES.prod(axis=1).sum()

    def good_with(*lines: str) -> Any:
        path.write_text(crystfel_text() + "\n".join(lines))
        return read_geometry(path).mask

    mask = good_with("bad_a/min_fs = 10\nbad_a/max_fs = 12\nbad_a/min_ss = 4\nbad_a/max_ss = 33")
    assert not mask[0, 4:30, 10:13].any()
    assert not mask[2, :2, :3].any()
    assert mask.sum() == all_good - 26 * 3 - 2 * 3
    mask = good_with(
        "badrow/min_fs = 10\nbadrow/max_fs = 12\nbadrow/min_ss = 4\nbadrow/max_ss = 33",
        "badrow/panel = p2",
    )
    assert mask.sum() == all_good - 2 * 3
    # Panel 0 begins at (10, 20) pixels from the beam.
    mask = good_with("bad_s/min_x = 11\nbad_s/max_x = 13\nbad_s/min_y = 21\nbad_s/max_y = 22")
    assert mask.sum() == all_good - 2
    assert not mask[0, 1, 1:3].any()
    assert not good_with("p1/no_index = 1")[1].any()
    with pytest.raises(FrameError, match=r"'bad_a' names the unknown panel 'p7'"):
        good_with("bad_a/min_fs = 1\nbad_a/panel = p7")
    with pytest.raises(FrameError, match=r"'max_fs' of 'bad_a' is no number: \(missing\)"):
        good_with("bad_a/min_fs = 1")
    with pytest.raises(FrameError, match=r"'bad_a' must have the bounds of x and y, or of fs"):
        good_with(
            "bad_a/min_x = 11\nbad_a/max_x = 13\nbad_a/min_y = 21\nbad_a/max_y = 22\nbad_a/min_fs=1"
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clen = ", "; clen = ", "lacks 'clen' of panel 'p0'"),
        ("clen = ", "clan = ", r"unknown fields: 'clan' on line 3;"),
        ("p1/corner_x", "p1/corner_z", r"unknown fields: 'p1/corner_z' on line \d+;"),
        ("p1/corner_x", "p1/corner_x nothing ;", "unknown fields: .p1/corner_x nothing. on"),
        ("p1/min_fs = 60", "p1/min_fs = 200", "cannot be used: .* no pixel"),
        ("120.0 mm", "120.0 furlong", "unit 'furlong': use one of m, mm"),
        ("p1/fs = ", "p1/fs = 1q ", "'fs' of panel 'p1' is no direction"),
        ("p1/fs = ", "p1/fs = 1x ", "cannot be used: fast_axis holds vectors of length"),
        ("p1/coffset = ", "p1/coffset = near ;", "'coffset' of panel 'p1' is no number: near"),
        ("p1/coffset", "p1/res = 5000\np1/coffset", r"res|pixels of 100 and 200 um"),
        ("p1/coffset", "p1/data = /b\np1/coffset", r"'data' differs between panels"),
        ("p1/coffset", "p1/dim0 = fs\np1/dim1 = ss\np1/coffset", "dimensions of panel 'p1' are fs"),
        ("; a comment", "mask = /mask", "its mask '/mask' is in the frames' file"),
    ],
)
def test_a_wrong_crystfel_geometry_is_explained(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = crystfel_text()
    assert old in text
    path = tmp_path / "a.geom"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FrameError, match=message) as caught:
        read_geometry(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("detector"), "holds no 'detector'"),
        (lambda c: c["detector"].append({"panels": []}), "2 different models 'detector'"),
        (lambda c: c["detector"][0]["panels"][1].pop("origin"), "lacks 'origin'"),
        (lambda c: c["detector"][0]["panels"][1].update(pixel_size=[0.1, 0.2]), "must be square"),
        (lambda c: c["detector"][0]["panels"][1].update(fast_axis=[1, 1, 0]), "of length"),
        (lambda c: c["beam"].append({"direction": [1, 0, 0], "wavelength": 1}), "differ in dir"),
        (lambda c: c["beam"][0].pop("direction"), "lacks 'direction'"),
    ],
)
def test_a_wrong_dxtbx_geometry_is_explained(tmp_path: Path, change: Any, message: str) -> None:
    content = dxtbx_content()
    change(content)
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    with pytest.raises(FrameError, match=message) as caught:
        read_geometry(path)
    assert str(path) in str(caught.value)


def test_wavelengths_of_the_beams_go_to_the_frames(tmp_path: Path) -> None:
    content = dxtbx_content()
    content["beam"] = [{"direction": [0, 0, 1], "wavelength": w} for w in (1.1, 1.2)]
    content["experiment"] = [{"beam": index, "detector": 0} for index in (1, 0, 1)]
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    assert read_geometry(path).wavelength_angstrom.tolist() == [1.2, 1.1, 1.2]
    np.savez(tmp_path / "run.npz", images=np.zeros((2, *SLAB), np.int32))
    with pytest.raises(FrameError, match="has 2 frames, its geometry 3 wavelengths"):
        read_frames(tmp_path / "run.npz", None, path)
    content["beam"] = []
    content["experiment"] = []
    path.write_text(json.dumps(content))
    assert np.isnan(read_geometry(path).wavelength_angstrom).all()


def test_wavelengths_that_are_not_said_are_those_of_the_frames(tmp_path: Path) -> None:
    frames = write_nexus(tmp_path / "run.nxs", np.zeros((2, *SLAB), np.int32))
    with h5py.File(frames, "r+") as file:
        beam = file["entry/instrument/beam"]
        del beam["incident_wavelength"]
        beam["incident_wavelength"] = [1.2, 1.25]
        beam["incident_wavelength"].attrs["units"] = "angstrom"
    before = read_frames(frames, None, frames).geometry
    assert before is not None
    write_geometry(tmp_path / "out.json", before, {})
    assert np.isnan(read_geometry(tmp_path / "out.json").wavelength_angstrom).all()
    after = read_frames(frames, None, tmp_path / "out.json").geometry
    assert after is not None
    assert after.wavelength_angstrom.tolist() == [1.2, 1.25]


def _drop(name: str) -> Any:
    return lambda d: d.__delitem__(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("module1/module_offset"), "module_offset"),
        (_drop("module1/data_size"), "data_size"),
        (_drop("transformations/z"), "depends on '.*transformations/z', which is not there"),
        (lambda d: d["transformations/z"].attrs.__delitem__("units"), "z has no units"),
        (lambda d: d["transformations/z"].attrs.update(units="furlong"), "'furlong' is unknown"),
        (lambda d: d["transformations/z"].attrs.update(depends_on="z"), "depends on itself"),
        (lambda d: d["module0/tilt"].attrs.update(transformation_type="x"), "type 'x'"),
        (lambda d: d["module0/slow_pixel_direction"].__setitem__((), 0.2), "square and alike"),
        (lambda d: d["module0/data_origin"].__setitem__(0, 50), r"pixel_mask has the shape"),
    ],
)
def test_a_wrong_nexus_geometry_is_explained(tmp_path: Path, change: Any, message: str) -> None:
    path = write_nexus(tmp_path / "a.nxs")
    with h5py.File(path, "r+") as file:
        change(file["entry/instrument/ELE_D0"])
    with pytest.raises(FrameError, match=message) as caught:
        read_geometry(path)
    assert str(path) in str(caught.value)


def test_nexus_without_modules_and_with_a_wavelength_a_frame(tmp_path: Path) -> None:
    path = write_nexus(tmp_path / "a.nxs", np.zeros((2, *SLAB), np.int32))
    with h5py.File(path, "r+") as file:
        detector = file["entry/instrument/ELE_D0"]
        for index in range(3):
            del detector[f"module{index}"]
        for name, value, unit in (
            ("detector_distance", 0.08, "m"),
            ("x_pixel_size", 75.0, "um"),
            ("y_pixel_size", 75.0, "um"),
            ("beam_center_x", 40.5, "pixel"),
            ("beam_center_y", 20.5 * 75e-6, "m"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = unit
        beam = file["entry/instrument/beam"]
        del beam["incident_wavelength"]
        beam["incident_energy"] = [9.0, 9.5]
        beam["incident_energy"].attrs["units"] = "keV"
        # Another detector, of which nothing but its name is known.
        other = file.create_group("entry/instrument/monitor")
        other.attrs["NX_class"] = "NXdetector"
    assert describes_itself(path)
    source = read_frames(path, None, path)
    assert source.geometry is not None
    position = source.geometry.detector.positions_mm([0], [20], [50])
    np.testing.assert_allclose(position, [[0.75, 0.0, 80.0]], atol=1e-9)
    expected = 12.398419843 / np.array([9.0, 9.5])
    np.testing.assert_allclose(source.geometry.wavelength_angstrom, expected)
    assert source.geometry.mask is not None
    assert not source.geometry.mask[0, 5, 7]
    with h5py.File(path, "r+") as file:
        del file["entry/instrument/ELE_D0/beam_center_x"]
    assert not describes_itself(path)


def test_files_of_no_kind(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="No such file"):
        read_geometry(tmp_path / "missing.geom")
    (tmp_path / "a.geom").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FrameError, match="neither a CrystFEL geometry nor JSON nor HDF5"):
        read_geometry(tmp_path / "a.geom")
    (tmp_path / "a.expt").write_text("{1}")
    with pytest.raises(FrameError, match="cannot be read as JSON"):
        read_geometry(tmp_path / "a.expt")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = 1
    assert not describes_itself(tmp_path / "a.h5")
    with pytest.raises(FrameError, match="holds 0 NXdetector groups with modules"):
        read_geometry(tmp_path / "a.h5")
    whole = write_nexus(tmp_path / "whole.nxs").read_bytes()
    (tmp_path / "cut.nxs").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrameError, match=r"cut\.nxs"):
        read_geometry(tmp_path / "cut.nxs")
