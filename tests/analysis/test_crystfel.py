"""Peaks of CrystFEL streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autosteer.analysis.frames import holds_spot_lists, read_spot_lists
from autosteer.contracts import FrameError

ENERGY_EV = 9500.0
WAVELENGTH = 12398.419843 / ENERGY_EV
LENGTH_M = 0.1
PIXEL_M = 1e-4

GEOMETRY = """\
----- Begin geometry file -----
; a comment = with an equals sign
clen = /LCLS/detector/distance
photon_energy = 9500
res = 10000 ; pixels per metre
coffset = 0.002
bad_corner/min_fs = 0
a/min_fs = 0
a/max_fs = 99
a/min_ss = 0
a/max_ss = 99
a/fs = +1.0x
a/ss = +1.0y
a/corner_x = -120.0
a/corner_y = -50.0
b/min_fs = 100
b/max_fs = 199
b/min_ss = 0
b/max_ss = 99
b/fs = -0.0x + 1.0y
b/ss = -1.0x +0.0y
b/corner_x = 120.0
b/corner_y = -50.0
b/coffset = 0.003
----- End geometry file -----
"""
CHUNK = """\
----- Begin chunk -----
Image filename: image.h5
hit = 1
photon_energy_eV = {energy}
average_camera_length = 0.100000 m
num_peaks = {count}
Peaks from peak search
  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel
{rows}End of peak list
----- End chunk -----
"""


def expected_q(
    position_m: tuple[float, float, float],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    direction = np.array(position_m) / np.linalg.norm(position_m)
    return np.asarray((direction - [0, 0, 1]) / WAVELENGTH)


PEAKS = [
    # fs, ss, panel, place in metres by hand
    (10.0, 20.0, "a", (-110 * PIXEL_M, -30 * PIXEL_M, 0.102)),
    (130.0, 40.0, "b", (80 * PIXEL_M, -20 * PIXEL_M, 0.103)),
]


def rows() -> str:
    text = ""
    for fs, ss, panel, place in PEAKS:
        per_nm = 10 * np.linalg.norm(expected_q(place))
        text += f" {fs:.2f}  {ss:.2f} {per_nm:.4f}  99.0   {panel}\n"
    return text


def write(path: Path, *chunks: str, geometry: str = GEOMETRY) -> Path:
    path.write_text("CrystFEL stream format 2.3\n" + geometry + "".join(chunks))
    return path


def test_peaks_become_scattering_vectors(tmp_path: Path) -> None:
    two = CHUNK.format(energy=ENERGY_EV, count=2, rows=rows())
    one = CHUNK.format(energy=ENERGY_EV, count=1, rows=rows().splitlines(keepends=True)[0])
    none = CHUNK.format(energy=ENERGY_EV, count=0, rows="")
    path = write(tmp_path / "a.stream", two, none, one)
    assert holds_spot_lists(path)
    q = read_spot_lists(path)
    assert q.shape == (3, 2, 3)
    assert np.isfinite(q[..., 0]).tolist() == [[True, True], [False, False], [True, False]]
    for index, (_, _, _, place) in enumerate(PEAKS):
        np.testing.assert_allclose(q[0, index], expected_q(place), atol=1e-6)


def test_fields_of_other_versions_are_read_past(tmp_path: Path) -> None:
    chunk = CHUNK.format(energy=ENERGY_EV, count=2, rows=rows())
    geometry = GEOMETRY.replace("a/min_fs = 0", "a/of_tomorrow = 3\na/min_fs = 0")
    q = read_spot_lists(write(tmp_path / "a.stream", chunk, geometry=geometry))
    np.testing.assert_allclose(q[0, 0], expected_q(PEAKS[0][3]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("a/fs = +1.0x\n", ""), "lacks 'fs' of panel 'a'"),
        (("res = 10000", "; res"), "lacks 'res' of panel 'a'"),
        (("res = 10000", "rez = 10000"), "lacks 'res' of panel 'a'"),
        (("a/corner_x = -120.0", "a/corner_x = left"), "'corner_x' of panel 'a' is no number"),
        (("a/corner_x = -120.0", "a/corner_x = -520.0"), "resolutions of its peaks do not agree"),
        (("photon_energy_eV", "energy"), "lacks photon_energy_eV"),
        (("= 9500.0\n", "= many\n"), "holds no number"),
        (("average_camera_length", "length"), "'clen' of panel 'a' names the dataset"),
        (("99.0   a", "99.0   c"), r"panels that the geometry lacks: \['c'\]"),
        (("99.0   a", "99.0"), "only streams of format 2.3 and later"),
        (("End of peak list\n----- End chunk -----\n", ""), "cut off"),
        (("----- Begin chunk", "----- Begin nothing"), "holds no image"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write(tmp_path / "a.stream", CHUNK.format(energy=ENERGY_EV, count=2, rows=rows()))
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(FrameError, match=message) as caught:
        read_spot_lists(path)
    assert str(path) in str(caught.value)


def test_resolutions_of_a_real_stream_agree(data_directory: Path) -> None:
    # The reader itself compares them, and fails where they differ.
    q = read_spot_lists(data_directory / "pal_lysozyme_3shots.stream")
    assert np.isfinite(q[..., 0]).sum(axis=1).tolist() == [25, 29, 53]
