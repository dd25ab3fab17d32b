"""The command index."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from autosteer.cli.index import index
from autosteer.physics import Detector
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames
from tests.analysis.simulated_spots import (
    LYSOZYME,
    WAVELENGTH,
    misorientation_deg,
    random_lattice,
    reflections,
    simulate_stills,
)

app = typer.Typer()
app.command()(index)
run = CliRunner()

CELL = ["--cell", "79.1,79.1,37.9,90,90,90"]
GEOMETRY = ["--distance-mm", "120", "--pixel-um", "300", "--beam-center", "255.5,255.5"]
GEOMETRY += ["--wavelength", str(WAVELENGTH)]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    stills = simulate_stills(LYSOZYME, 3, 40, outliers=0.2, seed=1)
    stills.q[1] = np.nan
    path = tmp_path / "spots.npz"
    np.savez(path, q=stills.q, lattices=stills.lattices)
    return path


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    rng = np.random.default_rng(0)
    lattice = random_lattice(LYSOZYME, rng)
    q = reflections(LYSOZYME, lattice, rng)[:50]
    detector = Detector.flat((512, 512), 0.3, 120.0, (255.5, 255.5))
    _, slow, fast = detector.project(q + np.array([0, 0, 1 / WAVELENGTH]))
    places = np.stack([np.zeros(50), np.zeros(50), slow, fast], axis=1)
    values = blank_frames((2, 1, 512, 512))
    add_spots(values, places[np.isfinite(slow)], 200.0, sigma_px=0.7)
    path = tmp_path / "run.npz"
    np.savez(path, images=as_counts(values, "uint16"))
    return path, lattice


def test_spot_lists(lists: Path, tmp_path: Path) -> None:
    out = tmp_path / "lattices.parquet"
    result = run.invoke(app, [str(lists), *CELL, "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split()[:4] == ["spots.npz", "0", "40", "1"]
    assert lines[2].split() == ["spots.npz", "1", "0", "0", "too", "few", "spots"]
    assert lines[-1] == "indexed 2 of 3 frames"
    table = pq.read_table(out).to_pydict()
    assert table["indexed"] == [True, False, True]
    found = np.array([[[table[f"{v}_{x}"][row] for x in "xyz"] for v in "abc"] for row in (0, 2)])
    with np.load(lists) as truth:
        angle = misorientation_deg(found, truth["lattices"][[0, 2]], LYSOZYME)
    assert (angle < 0.3).all()


def test_frames(
    frames: tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> None:
    path, lattice = frames
    result = run.invoke(app, [str(path), *CELL, *GEOMETRY, "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["frames"]
    assert [row["indexed"] for row in rows] == [True, False]
    assert rows[0]["n_indexed_spots"] > 30
    assert rows[1]["a"] is None
    found = np.array([[rows[0][f"{v}_{x}"] for x in "xyz"] for v in "abc"])
    assert misorientation_deg(found[None], lattice[None], LYSOZYME)[0] < 0.3


def test_results_for_crystfel(
    frames: tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]], tmp_path: Path
) -> None:
    path, _ = frames
    stream, cxi = tmp_path / "out.stream", tmp_path / "out.cxi"
    for out in (stream, cxi):
        result = run.invoke(app, [str(path), *CELL, *GEOMETRY, "--out", str(out)])
        assert result.exit_code == 0, result.output
    again = run.invoke(app, [str(stream), *CELL])
    assert again.stdout.splitlines()[-1] == "indexed 1 of 2 frames"
    with h5py.File(cxi) as file:
        n_spots = [int(line.split()[2]) for line in again.stdout.splitlines()[1:3]]
        assert file["entry_1/result_1/nPeaks"][()].tolist() == n_spots
    twice = run.invoke(app, [str(path), str(path), *CELL, *GEOMETRY, "--out", str(cxi)])
    assert twice.exit_code == 2
    assert "takes the spots of one file of frames" in twice.stderr


def test_lists_have_no_positions_for_crystfel(lists: Path, tmp_path: Path) -> None:
    for name, message in (
        ("a.stream", "written of frames only"),
        ("a.cxi", "a CXI file is of frames"),
    ):
        result = run.invoke(app, [str(lists), *CELL, "--out", str(tmp_path / name)])
        assert result.exit_code == 2
        assert message in result.stderr


def test_key_chooses_among_lists(tmp_path: Path) -> None:
    path = tmp_path / "spots.npz"
    stills = simulate_stills(LYSOZYME, 2, 40, seed=1)
    np.savez(path, q_one=stills.q, q_two=np.full_like(stills.q, np.nan), spots=stills.q)
    result = run.invoke(app, [str(path), *CELL])
    assert result.exit_code == 2
    assert "(q_one, q_two): name one" in result.stderr
    for key, indexed in (("q_one", 2), ("q_two", 0), ("spots", 2)):
        result = run.invoke(app, [str(path), *CELL, "--key", key])
        assert result.stdout.splitlines()[-1] == f"indexed {indexed} of 2 frames"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}", "--cell", "79,79,38"], "--cell: '79,79,38' is no unit cell"),
        (["{}", "--cell", "79,79,38,90,90,90,Q"], "centring 'Q' is unknown"),
        (["missing.npz", *CELL], "missing.npz: cannot be opened"),
        (["{}", *CELL, "--tolerance", "2"], "cell_tolerance is 2.0"),
        (["{}", *CELL, "--device", "abacus"], "device 'abacus' cannot be used"),
        (["{}", *CELL, "--out", "a.txt"], "written to .npz, .parquet, .stream or .cxi files"),
        (["{}", *CELL, "--beam-center", "1"], "--beam-center: '1' is no place"),
    ],
)
def test_bad_input_is_one_line_and_code_2(lists: Path, arguments: list[str], message: str) -> None:
    result = run.invoke(app, [word.format(lists) for word in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_frames_need_a_geometry(
    frames: tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> None:
    result = run.invoke(app, [str(frames[0]), *CELL, "--distance-mm", "120"])
    assert result.exit_code == 2
    assert "or distance, pixel size, wavelength and beam center, all four" in result.stderr


def halves_of(path: Path) -> str:
    """The detector of the frames as two halves of a slab, the the second below the first."""
    half = "res = 3333.3333333333335\nclen = 0.12\nfs = x\nss = y\nmin_fs = 0\nmax_fs = 511\n"
    half += "corner_x = -256\n"
    half += "upper/min_ss = 0\nupper/max_ss = 255\nupper/corner_y = -256\n"
    half += "lower/min_ss = 256\nlower/max_ss = 511\nlower/corner_y = 0\n"
    path.write_text(half)
    return str(path)


def test_frames_with_a_geometry_file(
    frames: tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]], tmp_path: Path
) -> None:
    path, lattice = frames
    geometry = ["--geometry", halves_of(tmp_path / "halves.geom")]
    result = run.invoke(app, [str(path), *CELL, *geometry, "--json"])
    assert result.exit_code == 2
    assert "does not say the wavelength of every frame: give it" in result.stderr
    wavelength = ["--wavelength", str(WAVELENGTH)]
    result = run.invoke(app, [str(path), *CELL, *geometry, *wavelength, "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["frames"][0]
    assert row["n_indexed_spots"] > 30
    found = np.array([[row[f"{v}_{x}"] for x in "xyz"] for v in "abc"])
    assert misorientation_deg(found[None], lattice[None], LYSOZYME)[0] < 0.3
    both = run.invoke(app, [str(path), *CELL, *geometry, "--distance-mm", "120"])
    assert both.exit_code == 2
    assert "leave --distance-mm" in both.stderr


def test_an_nxmx_file_brings_its_geometry(
    frames: tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.float64]]], tmp_path: Path
) -> None:
    path = tmp_path / "run.nxs"
    with np.load(frames[0]) as archive, h5py.File(path, "w") as file:
        for name, kind in (("entry", "NXentry"), ("entry/instrument", "NXinstrument")):
            file.create_group(name).attrs["NX_class"] = kind
        file["entry/data/data"] = archive["images"]
        beam = file.create_group("entry/instrument/beam")
        detector = file.create_group("entry/instrument/detector")
        beam.attrs["NX_class"], detector.attrs["NX_class"] = "NXbeam", "NXdetector"
        detector["pixel_mask"] = np.zeros((512, 512), np.uint32)
        for group, name, value, unit in (
            (beam, "incident_wavelength", WAVELENGTH, "angstrom"),
            (detector, "distance", 0.12, "m"),
            (detector, "x_pixel_size", 0.3, "mm"),
            (detector, "y_pixel_size", 0.3, "mm"),
            (detector, "beam_center_x", 256.0, "pixel"),
            (detector, "beam_center_y", 256.0, "pixel"),
        ):
            group[name] = value
            group[name].attrs["units"] = unit
    result = run.invoke(app, [str(path), *CELL, "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["frames"][0]
    found = np.array([[row[f"{v}_{x}"] for x in "xyz"] for v in "abc"])
    assert misorientation_deg(found[None], frames[1][None], LYSOZYME)[0] < 0.3


def test_importing_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys, autosteer.cli.index; "
        "print([name for name in ('torch', 'scipy', 'h5py', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tables_of_a_run_are_written(lists: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "tables"
    result = run.invoke(app, [str(lists), *CELL, "--tables", str(folder)])
    assert result.exit_code == 0, result.output
    tables = {path.stem: pq.read_table(path) for path in folder.iterdir()}
    assert set(tables) == {"indexing", "quality", "spots", "lattices"}
    assert tables["indexing"]["pulse_id"].to_pylist() == [0, 1, 2]
    assert tables["indexing"]["indexed"].to_pylist() == [True, False, True]
    assert tables["lattices"]["pulse_id"].to_pylist() == [0, 2]
    on_lattice = pc.sum(pc.is_valid(tables["spots"]["h"])).as_py()
    assert on_lattice == pc.sum(tables["lattices"]["n_indexed_spots"]).as_py()
    taken = tmp_path / "taken"
    taken.touch()
    refused = run.invoke(app, [str(lists), *CELL, "--tables", str(taken)])
    assert refused.exit_code != 0
    assert "cannot be written" in refused.stderr


def test_processes_share_the_work_and_change_nothing(lists: Path, tmp_path: Path) -> None:
    tables = []
    for processes in ("1", "2"):
        out = tmp_path / f"{processes}.parquet"
        command = [str(lists), *CELL, "--processes", processes, "--out", str(out)]
        result = run.invoke(app, command)
        assert result.exit_code == 0, result.output
        tables.append(pq.read_table(out))
    alone, shared = tables
    for name in ("path", "frame", "indexed", "n_indexed_spots", "reason"):
        assert alone[name].equals(shared[name]), name
    for name in ("a", "b_x", "gamma"):
        np.testing.assert_allclose(alone[name], shared[name], rtol=1e-4)
