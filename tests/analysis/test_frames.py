"""Frames and spot lists from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from autosteer.analysis.frames import (
    batches,
    holds_spot_lists,
    read_frames,
    read_spot_lists,
)
from autosteer.contracts import FrameError

STACK = np.arange(5 * 32 * 40, dtype=np.uint16).reshape(5, 32, 40)


def write_hdf5(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def test_hdf5_frames_are_found_and_streamed(tmp_path: Path) -> None:
    path = write_hdf5(
        tmp_path / "run.h5", entry__data__data=STACK, entry__energy=9.0, entry__mask=np.ones(32)
    )
    source = read_frames(path)
    assert (source.n_frames, source.frame_shape, source.geometry) == (5, (1, 32, 40), None)
    frames = list(source)
    assert frames[0].shape == (1, 32, 40)
    assert frames[0].dtype == np.uint16
    np.testing.assert_array_equal(np.concatenate(frames), STACK)
    np.testing.assert_array_equal(np.concatenate(list(source)), STACK)
    assert [len(batch) for batch in batches(source, 2)] == [2, 2, 1]


def test_frames_of_several_panels_and_single_frames(tmp_path: Path) -> None:
    panels = np.zeros((2, 3, 20, 24), dtype=np.int32)
    path = write_hdf5(tmp_path / "run.h5", panels=panels, single=STACK[0])
    assert read_frames(path, "panels").frame_shape == (3, 20, 24)
    single = read_frames(path, "/single")
    assert single.n_frames == 1
    np.testing.assert_array_equal(next(iter(single))[0], STACK[0])


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("int8", "int16"),
        (">u2", "uint16"),
        ("uint8", "uint8"),
    ],
)
def test_types_become_those_of_the_finder(tmp_path: Path, dtype: str, becomes: str) -> None:
    values = np.full((2, 20, 20), 7, dtype=dtype)
    np.savez(tmp_path / "a.npz", images=values)
    for path in (write_hdf5(tmp_path / "a.h5", data=values), tmp_path / "a.npz"):
        for frame in read_frames(path):
            assert frame.dtype == np.dtype(becomes)
            assert (frame == 7).all()


def test_numbers_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", data=np.full((1, 20, 20), 2**40))
    with pytest.raises(FrameError, match="more than 32 bits can hold"):
        list(read_frames(path))


def test_an_open_choice_names_the_datasets(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "run.h5", one=STACK, two=STACK, three=np.ones(3))
    with pytest.raises(FrameError, match=r"2 datasets can hold frames \(/one, /two\): name one"):
        read_frames(path)
    with pytest.raises(FrameError, match=r"no dataset 'four'; it holds /one \(5, 32, 40\) uint16"):
        read_frames(path, "four")
    with pytest.raises(FrameError, match=r"'three' has the shape \(3,\)"):
        read_frames(path, "three")
    nothing = write_hdf5(tmp_path / "nothing.h5", three=np.ones(3), empty=np.empty((0, 32, 32)))
    with pytest.raises(FrameError, match="no dataset can hold frames; it holds"):
        read_frames(nothing)


def write_master(folder: Path, *, virtual: bool) -> Path:
    """A master file with two files of frames beside it, linked to or mapped into one dataset."""
    parts = [write_hdf5(folder / f"part_{i}.h5", data=STACK[3 * i : 3 * i + 3]) for i in (0, 1)]
    path = folder / "master.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        file["entry/pixel_mask"] = np.zeros(STACK.shape[1:], np.uint32)
        if virtual:
            layout = h5py.VirtualLayout(STACK.shape, STACK.dtype)
            layout[:3] = h5py.VirtualSource(parts[0].name, "data", (3, 32, 40))
            layout[3:] = h5py.VirtualSource(parts[1].name, "data", (2, 32, 40))
            data.create_virtual_dataset("data", layout)
        else:
            for index, part in enumerate(parts, start=1):
                data[f"data_{index:06d}"] = h5py.ExternalLink(part.name, "/data")
        file["entry/again"] = h5py.SoftLink("/entry/data")
    return path


@pytest.mark.parametrize("virtual", [False, True])
def test_frames_behind_links(tmp_path: Path, virtual: bool) -> None:
    source = read_frames(write_master(tmp_path, virtual=virtual))
    assert (source.n_frames, source.frame_shape) == (5, (1, 32, 40))
    np.testing.assert_array_equal(np.concatenate(list(source)), STACK)


@pytest.mark.parametrize("virtual", [False, True])
def test_missing_files_behind_links_are_named(tmp_path: Path, virtual: bool) -> None:
    path = write_master(tmp_path, virtual=virtual)
    source = read_frames(path)
    (tmp_path / "part_1.h5").unlink()
    with pytest.raises(FrameError, match=r"part_1\.h5"):
        list(source)
    for dataset in (None, "/entry/data/data" if virtual else "/entry/data/data_000002"):
        with pytest.raises(FrameError, match=r"part_1\.h5.* missing|missing: .*part_1\.h5"):
            read_frames(path, dataset)
    (tmp_path / "part_0.h5").unlink()
    with pytest.raises(FrameError, match=r"part_.\.h5"):
        read_frames(path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = write_hdf5(tmp_path / "run.h5", data=np.random.default_rng(0).random((4, 64, 64)))
    content = whole.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(FrameError, match=r"cut\.h5: .*copy it again"):
        read_frames(cut)
    np.savez_compressed(tmp_path / "run.npz", images=STACK)
    archive = (tmp_path / "run.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(archive[: len(archive) // 2])
    with pytest.raises(FrameError, match=r"cut\.npz: .*copy it again"):
        read_frames(cut)
    spoiled = bytearray(archive)
    spoiled[len(archive) // 2 : len(archive) // 2 + 40] = b"\0" * 40
    cut.write_bytes(bytes(spoiled))
    with pytest.raises(FrameError, match=r"cut\.npz"):
        list(read_frames(cut))
    with pytest.raises(FrameError, match="No such file"):
        read_frames(tmp_path / "missing.h5")
    (tmp_path / "text").write_text("frames")
    with pytest.raises(FrameError, match="neither HDF5 nor NPZ"):
        read_frames(tmp_path / "text")


def test_npz_frames(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, images=STACK, dark=STACK[0], note=np.array("x"))
    source = read_frames(path)
    assert source.n_frames == 5
    np.testing.assert_array_equal(np.concatenate(list(source)), STACK)
    assert read_frames(path, "dark").n_frames == 1
    with pytest.raises(FrameError, match=r"no array 'light'; it holds images \(5, 32, 40\)"):
        read_frames(path, "light")
    np.savez(path, one=STACK, two=STACK)
    with pytest.raises(FrameError, match="no telling which array holds frames"):
        read_frames(path)
    np.savez(path, images=np.asfortranarray(STACK))
    with pytest.raises(FrameError, match="C order"):
        read_frames(path)
    np.savez(path, images=np.array([{}, []], dtype=object))
    with pytest.raises(FrameError, match="no telling"):
        read_frames(path)


def geometry(**changes: Any) -> dict[str, Any]:
    panel = np.array([[-2.0, -1.6, -100.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    values: dict[str, Any] = {
        "panel_origin_fast_slow_mm": panel[None],
        "pixel_mm": 0.1,
        "wavelength_angstrom": np.array([1.3, 1.31, 1.32, 1.33, 1.34]),
        "s0": np.array([0.0, 0.0, -1 / 1.3]),
    }
    return {**values, **changes}


def test_geometry_of_a_file_has_the_beam_along_z(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, images=STACK, **geometry())
    found = read_frames(path).geometry
    assert found is not None
    np.testing.assert_allclose(found.detector.origin_mm, [[-2.0, 1.6, 100.0]])
    np.testing.assert_allclose(found.detector.slow_axis, [[0, -1, 0]])
    assert found.wavelength_angstrom[4] == 1.34
    np.savez(path, images=STACK, **geometry(wavelength_angstrom=1.3))
    found = read_frames(path).geometry
    assert found is not None
    np.testing.assert_array_equal(found.wavelength_angstrom, [1.3] * 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wavelength_angstrom": np.ones(3)}, "wavelength_angstrom has 3 values"),
        ({"panel_origin_fast_slow_mm": np.ones((2, 3, 3))}, r"must be \(1, 3, 3\)"),
        ({"panel_origin_fast_slow_mm": np.ones((1, 3, 3))}, "its geometry cannot be used"),
    ],
)
def test_geometry_that_does_not_fit(tmp_path: Path, changes: Any, message: str) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, images=STACK, **geometry(**changes))
    with pytest.raises(FrameError, match=message):
        read_frames(path)


def test_spot_lists_of_an_archive(tmp_path: Path) -> None:
    q = np.random.default_rng(0).random((4, 6, 3))
    path = tmp_path / "spots.npz"
    np.savez(path, q_one=q, q_two=2 * q, hkl=np.zeros((4, 6, 3), np.int32), other=np.ones(3))
    assert holds_spot_lists(path)
    assert not holds_spot_lists(write_hdf5(tmp_path / "a.h5", data=STACK))
    with pytest.raises(FrameError, match=r"\(q_one, q_two\): name one"):
        read_spot_lists(path)
    lists = read_spot_lists(path, "q_two")
    assert lists.dtype == np.float32
    np.testing.assert_allclose(lists, 2 * q, rtol=1e-6)
    for key, message in (
        ("q_three", "no array 'q_three'; it holds q_one"),
        ("hkl", "array 'hkl' .* is no set of spot lists"),
        ("other", "is no set of spot lists"),
    ):
        with pytest.raises(FrameError, match=message):
            read_spot_lists(path, key)
    np.savez(path, q=q, q_two=q)
    np.testing.assert_allclose(read_spot_lists(path), q, rtol=1e-6)
    np.savez(path, q=np.empty((0, 6, 3)))
    with pytest.raises(FrameError, match="is empty"):
        read_spot_lists(path)
    with pytest.raises(FrameError, match="neither NPZ nor a CrystFEL stream"):
        read_spot_lists(write_hdf5(tmp_path / "a.h5", data=STACK))


def test_real_frames_bring_their_geometry(data_directory: Path) -> None:
    source = read_frames(data_directory / "lcls_cspad_thermolysin_2images.npz")
    assert (source.n_frames, source.frame_shape) == (2, (64, 185, 194))
    assert source.geometry is not None
    assert source.geometry.detector.origin_mm[:, 2].min() > 100
    assert read_frames(data_directory / "lcls_mfx_rayonix_1920.npz").geometry is None
