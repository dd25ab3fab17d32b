"""Geometry in the JSON files of DIALS and dxtbx (``.expt``): read, and written.

Their panels stand in a tree of frames, each given in that of its parent, in millimetres; a panel
begins at the outer corner of its first pixel. Their beam's direction points from the sample to the
source and often is +z. The laboratory here has the beam along +z: it is reached by a rotation,
never by a mirror.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._file_geometry import FileGeometry
from autosteer.contracts import FrameError
from autosteer.physics import Detector, PanelCuts

Float = NDArray[np.float64]
Frame = tuple[Float, Float]
"""Axes as columns (fast, slow, normal), and origin [mm]."""

_HALF_PIXEL = 0.5
_ROOT: Frame = (np.eye(3), np.zeros(3))


def read_dxtbx(path: Path) -> FileGeometry:
    """Read the detector and the beam of a file.

    Parameters
    ----------
    path : Path
        JSON file with ``detector`` and ``beam``.

    Returns
    -------
    FileGeometry
        Panels and wavelengths; one wavelength for each beam, if they differ.

    Raises
    ------
    FrameError
        If the file is no such JSON, or something in it is missing or cannot be used.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FrameError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict) or "detector" not in content:
        raise FrameError(
            f"{path}: holds no 'detector'; a geometry is a JSON file of DIALS with the models "
            "'detector' and 'beam'"
        )
    try:
        directions, wavelength = _beams(path, content)
        panels = _panels(_only(path, "detector", content["detector"]))
        return _geometry(path, panels, rotation_to_beam(-directions), wavelength)
    except KeyError as error:
        raise FrameError(f"{path}: its geometry lacks {error}") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise FrameError(f"{path}: its geometry cannot be used: {error}") from error


def as_dxtbx(geometry: FileGeometry) -> dict[str, Any]:
    """Describe a geometry as `read_dxtbx` reads it.

    Parameters
    ----------
    geometry : FileGeometry
        The geometry.

    Returns
    -------
    dict
        Content of the JSON file, in the axes of the laboratory here; without a wavelength if it
        is not known, or changes from frame to frame.
    """
    detector = geometry.detector
    pixel = detector.pixel_size_mm
    corner = detector.origin_mm - _HALF_PIXEL * pixel * (detector.fast_axis + detector.slow_axis)
    panels = [
        {
            "name": f"p{index}",
            "fast_axis": detector.fast_axis[index].tolist(),
            "slow_axis": detector.slow_axis[index].tolist(),
            "origin": corner[index].tolist(),
            "pixel_size": [pixel, pixel],
            "image_size": geometry.cuts.sizes[index, ::-1].tolist(),
            "raw_image_offset": geometry.cuts.first[index, ::-1].tolist(),
        }
        for index in range(detector.n_panels)
    ]
    for index, panel in enumerate(panels):
        if geometry.saturation is not None:
            panel["trusted_range"] = [0.0, geometry.saturation]
        if geometry.mask is not None:
            n_slow, n_fast = geometry.cuts.sizes[index]
            panel["mask"] = _bad_rectangles(geometry.mask[index, :n_slow, :n_fast])
    beam: dict[str, Any] = {"direction": [0.0, 0.0, -1.0]}
    wavelengths = np.unique(geometry.wavelength_angstrom)
    if len(wavelengths) == 1 and np.isfinite(wavelengths[0]):
        beam["wavelength"] = float(wavelengths[0])
    return {"beam": [beam], "detector": [{"panels": panels}]}


def rotation_to_beam(beam: Float) -> Float:
    """Return the rotation that turns the beam to +z.

    Parameters
    ----------
    beam : ndarray of float64, shape (3,)
        Direction in which the beam travels.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        Matrix with determinant +1. A beam backwards along z is turned about x.
    """
    along = beam / np.linalg.norm(beam)
    half_turn = np.diag([1.0, -1.0, -1.0]) if along[2] < 0 else np.eye(3)
    x, y, z = half_turn @ along
    # The shortest way from there to +z.
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    rotation: Float = (np.eye(3) + cross + cross @ cross / (1 + z)) @ half_turn
    return rotation


def _bad_rectangles(good: NDArray[np.bool_]) -> list[list[int]]:
    """List runs of bad pixels along the rows as (fast, slow, fast end, slow end)."""
    edges = np.diff(~good, axis=1, prepend=False, append=False, n=1)
    places = np.argwhere(edges)
    begins, ends = places[::2], places[1::2]
    runs = np.stack([begins[:, 1], begins[:, 0], ends[:, 1], begins[:, 0] + 1], axis=1)
    rectangles: list[list[int]] = runs.tolist()
    return rectangles


def _only(path: Path, name: str, models: Any) -> Mapping[str, Any]:
    """Take the one model that there is, perhaps written several times."""
    found = models if isinstance(models, list) else [models]
    if not found or any(model != found[0] for model in found):
        raise FrameError(
            f"{path}: holds {len(found)} different models '{name}': one is needed, so write those "
            "of one run to a file of their own"
        )
    model: Mapping[str, Any] = found[0]
    return model


def _beams(path: Path, content: Mapping[str, Any]) -> tuple[Float, Float]:
    """Read the common direction to the source, and the wavelengths."""
    beams = content.get("beam", [])
    beams = beams if isinstance(beams, list) else [beams]
    if not beams:
        return np.array([0.0, 0.0, 1.0]), np.array([np.nan])
    directions = np.array([beam["direction"] for beam in beams], dtype=np.float64)
    if not np.allclose(directions, directions[0], atol=1e-4):
        raise FrameError(f"{path}: its beams differ in direction: one direction is needed")
    order = [one.get("beam", 0) for one in content.get("experiment", [])] or range(len(beams))
    wavelength = np.array([beams[one].get("wavelength", np.nan) for one in order], dtype=np.float64)
    if np.allclose(wavelength, wavelength[0], rtol=1e-9, equal_nan=True):
        wavelength = wavelength[:1]
    return directions[0], wavelength


def _frame(node: Mapping[str, Any], parent: Frame) -> Frame:
    """Bring a node's own frame into the laboratory of the file."""
    axes, origin = parent
    fast = np.array(node.get("fast_axis", (1.0, 0.0, 0.0)), dtype=np.float64)
    slow = np.array(node.get("slow_axis", (0.0, 1.0, 0.0)), dtype=np.float64)
    own = np.stack([fast, slow, np.cross(fast, slow)], axis=1)
    return axes @ own, axes @ np.array(node.get("origin", (0.0, 0.0, 0.0))) + origin


def _panels(detector: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Frame]]:
    """Give all panels with their frames in the laboratory of the file, in order."""
    panels: Sequence[Mapping[str, Any]] = detector["panels"]
    parents: dict[int, Frame] = {}

    def walk(node: Mapping[str, Any], parent: Frame) -> None:
        if "panel" in node:
            parents[node["panel"]] = parent
            return
        frame = _frame(node, parent)
        for child in node.get("children", ()):
            walk(child, frame)

    walk(detector.get("hierarchy", {}), _ROOT)
    for panel in panels:
        for name in ("fast_axis", "slow_axis", "origin"):
            if name not in panel:
                raise KeyError(name)
    return [(panel, _frame(panel, parents.get(i, _ROOT))) for i, panel in enumerate(panels)]


def _geometry(
    path: Path,
    panels: Sequence[tuple[Mapping[str, Any], Frame]],
    rotation: Float,
    wavelength: Float,
) -> FileGeometry:
    """Put panels and beam together in the laboratory here."""
    pixel = np.array([panel["pixel_size"] for panel, _ in panels], dtype=np.float64)
    if not np.allclose(pixel, pixel[0, 0], rtol=1e-6):
        raise FrameError(
            f"{path}: pixels from {pixel.min()} to {pixel.max()} mm: they must be square and alike"
        )
    sizes = np.array([panel["image_size"] for panel, _ in panels], dtype=np.int64)[:, ::-1]
    first = np.array([panel.get("raw_image_offset", (0, 0)) for panel, _ in panels])[:, ::-1]
    # Panels that all begin at the same place are no parts of one slab.
    in_slab = len(np.unique(first, axis=0)) == len(panels)
    block = np.zeros(len(panels), dtype=np.int64) if in_slab else np.arange(len(panels))
    cuts = PanelCuts(block, first.astype(np.int64), sizes)
    axes = rotation @ np.stack([frame[0] for _, frame in panels])
    corner = np.stack([frame[1] for _, frame in panels]) @ rotation.T
    fast, slow = axes[:, :, 0], axes[:, :, 1]
    detector = Detector(
        origin_mm=corner + _HALF_PIXEL * pixel[0, 0] * (fast + slow),
        slow_axis=slow,
        fast_axis=fast,
        pixel_size_mm=float(pixel[0, 0]),
        panel_shape=cuts.panels_shape[1:],
        panel_sizes=sizes,
    )
    good = detector.on_panels()
    for index, (panel, _) in enumerate(panels):
        for fast_0, slow_0, fast_1, slow_1 in panel.get("mask", ()):
            good[index, slow_0:slow_1, fast_0:fast_1] = False
    highest = [panel["trusted_range"][1] for panel, _ in panels if "trusted_range" in panel]
    saturation = min(highest, default=0.0)
    return FileGeometry(
        detector,
        wavelength,
        cuts,
        mask=good,
        saturation=float(saturation) if saturation > 0 else None,
    )
