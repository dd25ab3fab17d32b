"""Streams and CXI files written for CrystFEL."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.crystfel_files import write_cxi, write_stream
from autosteer.analysis.frames import CutFrames, read_frames, read_spot_lists
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.offline import (
    IndexingWork,
    LatticeBatch,
    frames_to_index,
    spots_of_frames,
)
from autosteer.analysis.spots import SpotFinder
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector, PanelCuts, UnitCell
from tests.analysis.geometries import FIRST, SLAB, write_crystfel
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames
from tests.analysis.simulated_spots import LYSOZYME, WAVELENGTH, random_lattice, reflections

Float = NDArray[np.float64]


def quarters() -> FileGeometry:
    """Four panels with gaps, cut from a slab in which they stand below each other."""
    flat = Detector.flat((520, 520), 0.3, 120.0, (259.5, 259.5))
    first_slow = np.array([0, 0, 264, 264])
    first_fast = np.array([0, 264, 0, 264])
    detector = Detector(
        origin_mm=flat.positions_mm(np.zeros(4, int), first_slow, first_fast),
        slow_axis=np.repeat(flat.slow_axis, 4, axis=0),
        fast_axis=np.repeat(flat.fast_axis, 4, axis=0),
        pixel_size_mm=0.3,
        panel_shape=(256, 256),
    )
    slab = PanelCuts(
        block=np.zeros(4, np.int64),
        first=np.stack([256 * np.arange(4), np.zeros(4, np.int64)], axis=1),
        sizes=np.full((4, 2), 256),
    )
    return FileGeometry(detector, np.array([WAVELENGTH]), slab, saturation=60000.0)


def simulate(path: Path, n_frames: int) -> tuple[FileGeometry, list[LatticeBatch]]:
    """Frames of the quarters with a crystal each but the last, and what is found on them."""
    geometry = quarters()
    rng = np.random.default_rng(0)
    panels = blank_frames((n_frames, 4, 256, 256))
    for frame in range(n_frames - 1):
        q = reflections(LYSOZYME, random_lattice(LYSOZYME, rng), rng)[:60]
        panel, slow, fast = geometry.detector.project(q + np.array([0, 0, 1 / WAVELENGTH]))
        seen = panel >= 0
        places = np.stack([np.full(len(q), frame), panel, slow, fast], axis=1)[seen]
        add_spots(panels, places, 200.0, sigma_px=0.7)
    slab = as_counts(panels, "uint16").reshape(n_frames, 1024, 256)
    with h5py.File(path, "w") as file:
        file["entry/data"] = slab
    source = read_frames(path)
    geometry = geometry.for_frames(path, source.n_frames, source.frame_shape)
    frames = CutFrames(source, geometry)
    batches = map(IndexingWork(Indexer(LYSOZYME)), frames_to_index(frames, geometry, SpotFinder()))
    return geometry, list(batches)


def reciprocal_rows(text: str) -> list[Float]:
    """Rows astar, bstar, cstar of all crystals of a stream [1/angstrom]."""
    found = re.findall(r"^[abc]star = (\S+) (\S+) (\S+) nm\^-1$", text, flags=re.MULTILINE)
    return list(np.array(found, dtype=float).reshape(-1, 3, 3) / 10)


def test_a_stream_is_read_as_it_was_written(tmp_path: Path) -> None:
    geometry, found = simulate(tmp_path / "run.h5", 3)
    path = tmp_path / "out.stream"
    write_stream(path, found, LYSOZYME)
    lists = read_spot_lists(path)
    assert len(lists) == 3
    text = path.read_text()
    spots = found[0].spots
    assert spots is not None
    for frame in range(3):
        own = spots.frame == frame
        q = geometry.detector.scattering_vectors(
            spots.panel[own], spots.slow_px[own], spots.fast_px[own], WAVELENGTH
        )
        # Positions are written to a hundredth of a pixel.
        np.testing.assert_allclose(lists[frame, : own.sum()], q, atol=3e-5)
    result = found[0].result
    assert result.indexed.tolist() == [True, True, False]
    rows = reciprocal_rows(text)
    assert len(rows) == len(result.found)
    np.testing.assert_allclose(np.linalg.inv(rows[0]).T, result.found.basis[0], rtol=1e-4)
    assert text.count("Event: //") == 3
    assert "lattice_type = tetragonal\ncentering = P\nunique_axis = c" in text
    blocks = re.findall(r"sigma\(I\).*?panel\n(.*?)End of reflections", text, flags=re.DOTALL)
    for block, lattice in zip(blocks, rows, strict=True):
        table = [line.split() for line in block.splitlines()]
        hkl = np.array([line[:3] for line in table], dtype=float)
        panel = np.array([int(line[9][1:]) for line in table])
        fast, slow = np.array([line[7:9] for line in table], dtype=float).T - 0.5
        q = geometry.detector.scattering_vectors(panel, slow - 256 * panel, fast, WAVELENGTH)
        np.testing.assert_allclose(q, hkl @ lattice, atol=3e-3)


def test_a_written_geometry_is_read_again(tmp_path: Path) -> None:
    geometry, found = simulate(tmp_path / "run.h5", 2)
    write_stream(tmp_path / "out.stream", found, LYSOZYME)
    text = (tmp_path / "out.stream").read_text()
    inside = text.split("Begin geometry file -----\n")[1].split("----- End geometry")[0]
    (tmp_path / "out.geom").write_text(inside)
    again = read_frames(tmp_path / "run.h5", None, tmp_path / "out.geom").geometry
    assert again is not None
    places = ([0, 1, 2, 3], [0, 10, 20, 255], [0, 255, 30, 7])
    np.testing.assert_allclose(
        again.detector.positions_mm(*places), geometry.detector.positions_mm(*places), atol=1e-5
    )
    np.testing.assert_allclose(again.wavelength_angstrom, WAVELENGTH, rtol=1e-7)
    assert again.saturation == 60000.0


def test_streams_of_unlike_frames_are_refused(tmp_path: Path) -> None:
    geometry, found = simulate(tmp_path / "run.h5", 2)
    farther = replace(geometry.detector, origin_mm=geometry.detector.origin_mm + 1.0)
    other = replace(found[0], geometry=replace(geometry, detector=farther))
    with pytest.raises(AnalysisError, match="taken with 2 geometries"):
        write_stream(tmp_path / "out.stream", [found[0], other], LYSOZYME)
    with pytest.raises(AnalysisError, match="of frames only"):
        write_stream(tmp_path / "out.stream", [replace(found[0], spots=None)], LYSOZYME)
    with pytest.raises(AnalysisError, match="cannot be written"):
        write_stream(tmp_path / "no" / "out.stream", found, LYSOZYME)


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        (UnitCell(81, 81, 110, 90, 90, 120, "R"), ["hexagonal", "H", "c"]),
        (UnitCell(78, 78, 78, 90, 90, 90, "I"), ["cubic", "I", None]),
        (UnitCell(52, 61, 74, 90, 108, 90, "C"), ["monoclinic", "C", "b"]),
        (UnitCell(45, 55, 68, 82, 75, 68), ["triclinic", "P", None]),
        (UnitCell(90, 95, 110, 90, 90, 90, "F"), ["orthorhombic", "F", None]),
        (UnitCell(60, 60, 60, 80, 80, 80), ["rhombohedral", "P", None]),
    ],
)
def test_the_lattice_type_is_named(tmp_path: Path, cell: UnitCell, lines: list[str | None]) -> None:
    _, found = simulate(tmp_path / "run.h5", 1)
    write_stream(tmp_path / "out.stream", found, cell)
    text = (tmp_path / "out.stream").read_text()
    for name, value in zip(("lattice_type", "centering", "unique_axis"), lines, strict=True):
        found_values = re.findall(rf"^{name} = (.*)$", text, flags=re.MULTILINE)
        assert found_values == ([] if value is None else [value])


def test_axes_are_those_of_a_real_stream(data_directory: Path) -> None:
    path = data_directory / "pal_lysozyme_3shots.stream"

    def share_on_lattice(axes: Float) -> Float:
        shares = []
        for q, rows in zip(read_spot_lists(path), reciprocal_rows(path.read_text()), strict=True):
            spots = q[np.isfinite(q[:, 0])] * axes
            hkl = spots @ np.linalg.inv(rows)
            shares.append((np.abs(hkl - np.rint(hkl)).max(axis=1) < 0.25).mean())
        return np.array(shares)

    assert (share_on_lattice(np.ones(3)) > 0.6).all()
    # Seen in a mirror the spots are on the lattice by chance only.
    assert (share_on_lattice(np.array([-1.0, 1.0, 1.0])) < 0.4).all()


def test_cxi_lists_hold_positions_in_the_stored_frames(tmp_path: Path) -> None:
    stored = blank_frames((2, 1, *SLAB))
    # One spot on each panel of the first frame, and one on the second frame's last.
    within = np.array([[14.0, 20.0], [12.0, 11.0], [9.0, 40.0]])
    places = [[0, 0, *(FIRST[i] + within[i])] for i in range(3)]
    places.append([1, 0, *(FIRST[2] + within[2])])
    add_spots(stored, np.array(places), 400.0)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = as_counts(stored[:, 0], "uint16")
    source = read_frames(tmp_path / "run.h5", None, write_crystfel(tmp_path / "a.geom"))
    assert source.geometry is not None
    found = list(spots_of_frames(source, SpotFinder(mask=source.geometry.mask)))
    path = tmp_path / "out.cxi"
    write_cxi(path, source, found)
    with h5py.File(path) as file:
        result = file["entry_1/result_1"]
        assert result["nPeaks"][()].tolist() == [3, 1]
        x, y = result["peakXPosRaw"][()], result["peakYPosRaw"][()]
        assert x.shape == y.shape == (2, 3)
        got = np.stack([y[0], x[0]], axis=1)
        expected = FIRST + within
        distance = np.abs(got[:, None] - expected[None]).max(axis=2)
        assert (distance.min(axis=0) < 0.3).all()
        assert [y[1, 0], x[1, 0]] == pytest.approx(list(expected[2]), abs=0.3)
        assert (result["peakTotalIntensity"][1, 1:] == 0).all()
        assert (result["peakTotalIntensity"][0] > 1000).all()
        # The frames themselves are there, through the link.
        np.testing.assert_array_equal(
            file["entry_1/data_1/data"][()], as_counts(stored[:, 0], "uint16")
        )
    with pytest.raises(AnalysisError, match="spots are of 4"):
        write_cxi(path, source, found * 2)


def test_cxi_of_stacks_and_series(tmp_path: Path) -> None:
    stored = blank_frames((3, 2, 40, 50))
    add_spots(stored, np.array([[2, 1, 12.0, 30.0]]), 400.0)
    counts = as_counts(stored, "uint16")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["data_000001"], file["data_000002"] = counts[:2], counts[2:]
    source = read_frames(tmp_path / "run.h5")
    path = tmp_path / "out.cxi"
    write_cxi(path, source, list(spots_of_frames(source, SpotFinder())))
    with h5py.File(path) as file:
        result = file["entry_1/result_1"]
        assert result["nPeaks"][()].tolist() == [0, 0, 1]
        place = [result["peakYPosRaw"][2, 0], result["peakXPosRaw"][2, 0]]
        assert place == pytest.approx([40 + 12.0, 30.0], abs=0.3)
        np.testing.assert_array_equal(file["entry_1/data_1/data"][()], counts)
