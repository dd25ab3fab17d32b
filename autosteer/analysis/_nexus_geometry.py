"""Geometry of NeXus NXmx files: modules, their chains of transformations, wavelength and mask.

NeXus takes McStas' axes: z along the beam, y up, right-handed, as the laboratory here: nothing is
turned. A module's offset leads to the outer corner of its first pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosteer.analysis._file_geometry import FileGeometry, wavelength_of_energy
from autosteer.contracts import FrameError
from autosteer.physics import Detector, PanelCuts

Float = NDArray[np.float64]

_TO_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6}
_TO_DEG = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi, "radians": 180 / np.pi}
_TO_ANGSTROM = {"angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10}
_TO_EV = {"ev": 1.0, "kev": 1e3}
_LONGEST_CHAIN = 100
_FLAT = ("x_pixel_size", "y_pixel_size", "beam_center_x", "beam_center_y")
_HALF_PIXEL = 0.5


def holds_geometry(path: Path) -> bool:
    """Say whether an HDF5 file describes its detector as NXmx does.

    Parameters
    ----------
    path : Path
        An HDF5 file.

    Returns
    -------
    bool
        Whether it holds an NXdetector with modules, or with distance, pixel size and beam center.
    """
    try:
        with h5py.File(path, "r") as file:
            return any(True for _ in _detectors(file))
    except (OSError, RuntimeError, KeyError):
        return False


def read_nexus(path: Path) -> FileGeometry:
    """Read detector, wavelength and mask of an NXmx file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    FileGeometry
        The geometry; one wavelength for each frame, if the file holds as many.

    Raises
    ------
    FrameError
        If the file cannot be read, or something is missing or cannot be used.

    References
    ----------
    .. [1] H. J. Bernstein et al., IUCrJ 7, 784 (2020), on the NXmx gold standard.
    """
    try:
        with h5py.File(path, "r") as file:
            detectors = list(_detectors(file))
            if len(detectors) != 1:
                raise FrameError(
                    f"{path}: holds {len(detectors)} NXdetector groups with modules, or with "
                    "distance, pixel size and beam center: one is needed; give the geometry in a "
                    "file of its own"
                )
            return _read(path, file, detectors[0])
    except FrameError:
        raise
    except KeyError as error:
        raise FrameError(f"{path}: its NXmx geometry lacks {error}") from error
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise FrameError(f"{path}: its NXmx geometry cannot be used: {error}") from error


def _read(path: Path, file: h5py.File, detector: h5py.Group) -> FileGeometry:
    """Read everything of one detector."""
    modules = list(_children(detector, "NXdetector_module"))
    origin, fast, slow, pixel, cuts = (
        _of_modules(path, modules) if modules else _of_distance(path, detector)
    )
    panels = Detector(
        origin_mm=origin + _HALF_PIXEL * pixel * (fast + slow),
        slow_axis=slow,
        fast_axis=fast,
        pixel_size_mm=pixel,
        panel_shape=cuts.panels_shape[1:],
        panel_sizes=cuts.sizes,
    )
    saturation = _first(detector, "saturation_value")
    return FileGeometry(
        panels,
        _wavelength(path, file),
        cuts,
        mask=_mask(path, detector, cuts) & panels.on_panels(),
        saturation=None if saturation is None else float(np.min(saturation[()])),
    )


def _of_modules(
    path: Path, modules: list[h5py.Group]
) -> tuple[Float, Float, Float, float, PanelCuts]:
    """Read corners, axes, pixel size [mm] and places in the data of all modules."""
    origins, blocks, firsts, sizes, pixels = [], [], [], [], []
    axes: list[tuple[Float, Float]] = []
    for module in modules:
        fast, slow = module["fast_pixel_direction"], module["slow_pixel_direction"]
        origins.append(_chain(path, module["module_offset"])[:3, 3])
        axes.append((_direction(path, fast), _direction(path, slow)))
        pixels += [_scaled(path, axis, _TO_MM) for axis in (fast, slow)]
        start = np.atleast_1d(module["data_origin"][()]).astype(np.int64)
        size = np.atleast_1d(module["data_size"][()]).astype(np.int64)
        if len(start) not in {2, 3} or len(start) != len(size) or (size[:-2] != 1).any():
            raise FrameError(
                f"{path}: {module.name} has data_origin {start.tolist()} and data_size "
                f"{size.tolist()}: they must be (slow, fast) or (module, slow, fast) of one module"
            )
        blocks.append(int(start[0]) if len(start) == 3 else 0)
        firsts.append(start[-2:])
        sizes.append(size[-2:])
    if not np.allclose(pixels, pixels[0], rtol=1e-6):
        raise FrameError(
            f"{path}: pixels from {min(pixels)} to {max(pixels)} mm: they must be square and alike"
        )
    cuts = PanelCuts(np.array(blocks), np.array(firsts), np.array(sizes))
    directions = np.array(axes)
    return np.array(origins), directions[:, 0], directions[:, 1], pixels[0], cuts


def _of_distance(path: Path, detector: h5py.Group) -> tuple[Float, Float, Float, float, PanelCuts]:
    """Read a flat detector square to the beam, as files without modules describe it."""
    distance = _first(detector, "distance", "detector_distance")
    pixel, other = (_scaled(path, detector[f"{axis}_pixel_size"], _TO_MM) for axis in "xy")
    if not np.isclose(pixel, other, rtol=1e-6):
        raise FrameError(f"{path}: pixels of {pixel} by {other} mm: they must be square")
    center_mm = [_center_mm(detector[f"beam_center_{axis}"], pixel) for axis in "xy"]
    mask = _first(detector, "pixel_mask", "detectorSpecific/pixel_mask")
    data = _first(detector, "data") if mask is None else mask
    if data is None:
        raise FrameError(f"{path}: {detector.name} has neither modules nor 'pixel_mask': no size")
    corner = [-center_mm[0], -center_mm[1], _scaled(path, distance, _TO_MM)]
    cuts = PanelCuts.stack((1, *data.shape[-2:]))
    return np.array([corner]), np.eye(3)[:1], np.eye(3)[1:2], pixel, cuts


def _center_mm(item: h5py.Dataset, pixel_mm: float) -> float:
    """Read how far the beam is from the edge of the detector, in a length or in pixels."""
    unit = _text(item.attrs.get("units", "pixel"))
    return float(np.ravel(item[()])[0]) * _TO_MM.get(unit, pixel_mm)


def _wavelength(path: Path, file: h5py.File) -> Float:
    """Read the wavelength of all frames or of each; NaN where there is none [angstrom]."""
    for entry in _children(file, "NXentry"):
        groups = [*_children(entry, "NXinstrument"), *_children(entry, "NXsample")]
        for beam in (beam for group in groups for beam in _children(group, "NXbeam")):
            if "incident_wavelength" in beam:
                return _values(path, beam["incident_wavelength"], _TO_ANGSTROM)
            if "incident_energy" in beam:
                return wavelength_of_energy(_values(path, beam["incident_energy"], _TO_EV))
    return np.array([np.nan])


def _mask(path: Path, detector: h5py.Group, cuts: PanelCuts) -> NDArray[np.bool_]:
    """Read which pixels are good, panel by panel."""
    stored = _first(detector, "pixel_mask", "detectorSpecific/pixel_mask")
    if stored is None:
        return np.ones(cuts.panels_shape, dtype=np.bool_)
    shape = (1, *stored.shape) if stored.ndim == 2 else stored.shape
    if len(shape) != 3 or not cuts.fit(shape):
        raise FrameError(
            f"{path}: {stored.name} has the shape {stored.shape}, the modules need "
            f"{cuts.least_shape} (panels, slow, fast)"
        )
    return cuts.cut(stored[()].reshape(shape) == 0)


def _chain(path: Path, axis: h5py.Dataset) -> Float:
    """Multiply the transformations from an axis up to the laboratory, 4 by 4 [mm]."""
    matrix = np.eye(4)
    for _ in range(_LONGEST_CHAIN):
        matrix = _transformation(path, axis) @ matrix
        above = _text(axis.attrs.get("depends_on", "."))
        if above == ".":
            return matrix
        if above not in axis.parent:
            raise FrameError(f"{path}: {axis.name} depends on '{above}', which is not there")
        axis = axis.parent[above]
    raise FrameError(f"{path}: {axis.name} depends on itself: correct its 'depends_on'")


def _direction(path: Path, axis: h5py.Dataset) -> Float:
    """Return where in the laboratory an axis of pixels points."""
    above = _text(axis.attrs.get("depends_on", "."))
    direction: Float = _unit(axis)
    if above != ".":
        direction = _chain(path, axis.parent[above])[:3, :3] @ direction
    return direction


def _transformation(path: Path, axis: h5py.Dataset) -> Float:
    """Make the matrix of one transformation."""
    kind = _text(axis.attrs.get("transformation_type", ""))
    matrix = np.eye(4)
    if kind == "rotation":
        angle = _scaled(path, axis, _TO_DEG)
        matrix[:3, :3] = Rotation.from_rotvec(np.radians(angle) * _unit(axis)).as_matrix()
    elif kind == "translation":
        matrix[:3, 3] = _scaled(path, axis, _TO_MM) * _unit(axis)
    else:
        raise FrameError(
            f"{path}: {axis.name} has the transformation_type '{kind}': it must be rotation or "
            "translation"
        )
    if "offset" in axis.attrs:
        unit = _text(axis.attrs.get("offset_units", axis.attrs.get("units", "mm")))
        matrix[:3, 3] += np.asarray(axis.attrs["offset"], np.float64) * _factor(path, unit, _TO_MM)
    return matrix


def _unit(axis: h5py.Dataset) -> Float:
    """Return the direction of an axis."""
    vector: Float = np.asarray(axis.attrs["vector"], dtype=np.float64)
    return vector / np.linalg.norm(vector)


def _scaled(path: Path, item: h5py.Dataset, units: dict[str, float]) -> float:
    """Read one number; an axis that moves during the run is no geometry."""
    values = _values(path, item, units)
    if not np.allclose(values, values[0]):
        raise FrameError(
            f"{path}: {item.name} moves from {values.min()} to {values.max()}: stills need a "
            "detector at rest"
        )
    return float(values[0])


def _values(path: Path, item: h5py.Dataset, units: dict[str, float]) -> Float:
    """Read numbers in the unit that the factors lead to."""
    if "units" not in item.attrs:
        raise FrameError(f"{path}: {item.name} has no units: one of {', '.join(units)}")
    values = np.atleast_1d(np.asarray(item[()], dtype=np.float64)).ravel()
    return values * _factor(path, _text(item.attrs["units"]), units)


def _factor(path: Path, unit: str, units: dict[str, float]) -> float:
    """Return the factor of a unit."""
    for name in (unit, unit.lower()):
        if name in units:
            return units[name]
    raise FrameError(f"{path}: the unit '{unit}' is unknown: use one of {', '.join(units)}")


def _text(value: Any) -> str:
    """Read an attribute that may be bytes, or an array of one."""
    value = np.ravel(value)[0] if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else str(value)


def _children(group: h5py.Group, nexus_class: str) -> Iterator[h5py.Group]:
    """Give the groups of a NeXus class right inside a group."""
    for item in group.values():
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class", "")) == nexus_class:
            yield item


def _detectors(file: h5py.File) -> Iterator[h5py.Group]:
    """Give the detectors of all entries that say where they are."""
    for entry in _children(file, "NXentry"):
        for instrument in _children(entry, "NXinstrument"):
            for detector in _children(instrument, "NXdetector"):
                if any(_children(detector, "NXdetector_module")) or (
                    _first(detector, "distance", "detector_distance") is not None
                    and all(name in detector for name in _FLAT)
                ):
                    yield detector


def _first(group: h5py.Group, *names: str) -> h5py.Dataset | None:
    """Return the first dataset that is there."""
    return next((group[name] for name in names if name in group), None)
