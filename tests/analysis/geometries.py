"""One small detector of three panels, written as CrystFEL, DIALS and NeXus write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

PIXEL_MM = 0.1
WAVELENGTH = 1.3
DISTANCE_MM = 120.0
SATURATION = 30000.0
# Sizes (slow, fast) and first pixels (slow, fast) in a slab of 60 x 100.
SIZES = np.array([[30, 50], [30, 40], [24, 50]])
FIRST = np.array([[0, 0], [0, 60], [32, 10]])
SLAB = (60, 100)
# Corners of the first pixels [mm], fast and slow axes; the last panel is turned and tilted.
_ANGLE = np.radians(30.0)
CORNER_MM = np.array([[1.0, 2.0, 120.0], [-6.0, 1.0, 120.5], [0.5, -4.0, 119.0]])
FAST = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [np.cos(_ANGLE), 0.0, np.sin(_ANGLE)]])
SLOW = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def center_mm(panel: int, slow: float, fast: float) -> Float:
    """Where a pixel's centre is, by hand."""
    return np.asarray(
        CORNER_MM[panel]
        + (slow + 0.5) * PIXEL_MM * SLOW[panel]
        + (fast + 0.5) * PIXEL_MM * FAST[panel]
    )


def _direction(vector: Float) -> str:
    return " ".join(f"{value:+.17g}{axis}" for value, axis in zip(vector, "xyz", strict=True))


def crystfel_text(**settings: str) -> str:
    """The detector as a CrystFEL geometry; settings come first."""
    values = {
        "photon_energy": f"{12.398419843 / WAVELENGTH:.17g} keV",
        "clen": f"{DISTANCE_MM} mm",
        "res": f"{1000 / PIXEL_MM:.17g} ; pixels per metre",
        "max_adu": f"{SATURATION}",
        "data": "/entry/data/data",
        "rigid_group_all": "p0,p1,p2",
        **settings,
    }
    lines = ["; a comment", *(f"{name} = {value}" for name, value in values.items())]
    for index in range(3):
        fast, slow = (_direction(axis[index]) for axis in (FAST, SLOW))
        corner = CORNER_MM[index]
        lines += [
            f"p{index}/min_ss = {FIRST[index, 0]}",
            f"p{index}/max_ss = {FIRST[index, 0] + SIZES[index, 0] - 1}",
            f"p{index}/min_fs = {FIRST[index, 1]}",
            f"p{index}/max_fs = {FIRST[index, 1] + SIZES[index, 1] - 1}",
            f"p{index}/fs = {fast}",
            f"p{index}/ss = {slow}",
            f"p{index}/corner_x = {corner[0] / PIXEL_MM:.17g}",
            f"p{index}/corner_y = {corner[1] / PIXEL_MM:.17g}",
            f"p{index}/coffset = {(corner[2] - DISTANCE_MM) / 1000:.17g}",
        ]
    return "\n".join(lines) + "\n"


def dxtbx_content() -> dict[str, Any]:
    """The detector as DIALS writes it: beam along -z, panels in a group with its own frame."""
    # A half turn about x leads from one laboratory to the other.
    turn = np.diag([1.0, -1.0, -1.0])
    group_origin = np.array([3.0, -2.0, -50.0])
    group_fast, group_slow = np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0])
    group = np.stack([group_fast, group_slow, np.cross(group_fast, group_slow)], axis=1)
    panels = [
        {
            "name": f"p{index}",
            "fast_axis": (group.T @ turn @ FAST[index]).tolist(),
            "slow_axis": (group.T @ turn @ SLOW[index]).tolist(),
            "origin": (group.T @ (turn @ CORNER_MM[index] - group_origin)).tolist(),
            "pixel_size": [PIXEL_MM, PIXEL_MM],
            "image_size": SIZES[index, ::-1].tolist(),
            "raw_image_offset": FIRST[index, ::-1].tolist(),
            "trusted_range": [-1.0, SATURATION],
        }
        for index in range(3)
    ]
    leaf = {
        "fast_axis": group_fast.tolist(),
        "slow_axis": group_slow.tolist(),
        "origin": group_origin.tolist(),
        "children": [{"panel": index} for index in range(3)],
    }
    root = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0], "children": [leaf]}
    return {
        "__id__": "ExperimentList",
        "experiment": [{"beam": 0, "detector": 0}],
        "beam": [{"direction": [0.0, 0.0, 1.0], "wavelength": WAVELENGTH}],
        "detector": [{"panels": panels, "hierarchy": root}],
    }


def write_crystfel(path: Path, **settings: str) -> Path:
    path.write_text(crystfel_text(**settings))
    return path


def write_dxtbx(path: Path) -> Path:
    path.write_text(json.dumps(dxtbx_content()))
    return path


def group(parent: h5py.Group, name: str, nexus_class: str) -> h5py.Group:
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    return made


def axis(
    parent: h5py.Group, name: str, value: float, kind: str, vector: Any, above: str, **attrs: Any
) -> None:
    made = parent.create_dataset(name, data=value)
    unit = "deg" if kind == "rotation" else "mm"
    made.attrs.update({
        "transformation_type": kind,
        "vector": np.asarray(vector, float),
        "depends_on": above,
        "units": unit,
        **attrs,
    })


def write_nexus(path: Path, frames: NDArray[Any] | None = None) -> Path:
    """The detector as NXmx: the last panel's tilt is a rotation in its chain."""
    with h5py.File(path, "w") as file:
        entry = group(file, "entry", "NXentry")
        instrument = group(entry, "instrument", "NXinstrument")
        beam = group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = WAVELENGTH
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        detector = group(instrument, "ELE_D0", "NXdetector")
        detector["saturation_value"] = SATURATION
        chain = group(detector, "transformations", "NXtransformations")
        axis(chain, "z", DISTANCE_MM, "translation", [0, 0, 1], ".")
        above = detector.name + "/transformations/z"
        for index in range(3):
            module = group(detector, f"module{index}", "NXdetector_module")
            module["data_origin"] = FIRST[index]
            module["data_size"] = SIZES[index]
            offset = CORNER_MM[index] - [0, 0, DISTANCE_MM]
            angle = -30.0 if index == 2 else 0.0
            axis(module, "place", 0.0, "translation", [1, 0, 0], above, offset=offset)
            axis(module, "tilt", angle, "rotation", [0, 1, 0], "place")
            axis(module, "module_offset", 0.0, "translation", [1, 0, 0], "tilt")
            fast = np.array([1.0, 0, 0]) if index == 2 else FAST[index]
            axis(module, "fast_pixel_direction", PIXEL_MM, "translation", fast, "module_offset")
            slow = SLOW[index]
            axis(module, "slow_pixel_direction", PIXEL_MM, "translation", slow, "module_offset")
        mask = np.zeros(SLAB, dtype=np.uint32)
        mask[5, 7] = 1
        detector["pixel_mask"] = mask
        data = group(entry, "data", "NXdata")
        if frames is not None:
            data["data"] = frames
    return path
