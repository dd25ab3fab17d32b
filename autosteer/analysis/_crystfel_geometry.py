"""CrystFEL geometry: panels in the laboratory and on the stored frames, and what is bad of them.

CrystFEL's axes have z along the beam and y up and are right-handed, as those of the laboratory
here: nothing is turned. Its panels begin at the outer corner of their first pixel, and its
positions count from that corner; here a whole number is the centre of a pixel.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._crystfel_text import CrystfelGeometry, ReadNumbers
from autosteer.analysis._file_geometry import EV_ANGSTROM, FileGeometry, wavelength_of_energy
from autosteer.contracts import FrameError
from autosteer.physics import Detector, PanelCuts

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

CENTER_FROM_CORNER_PX = 0.5
"""Whole numbers are corners of pixels there, and centres here."""

_MM_PER_M = 1000.0
_TERM = re.compile(r"\s*([+-]?)\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)?\s*([xyz])")
_LENGTHS_M = {"m": 1.0, "mm": 1e-3}
_ENERGIES_EV = {"eV": 1.0, "keV": 1e3, "MeV": 1e6}
_WAVELENGTHS_ANGSTROM = {"m": 1e10, "A": 1.0}


def panels_of(
    geometry: CrystfelGeometry,
    *,
    read: ReadNumbers | None = None,
    camera_length_m: float | None = None,
) -> tuple[Detector, PanelCuts]:
    """Make the panels.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    read : callable, optional
        Reads a dataset of the frames' file.
    camera_length_m : float, optional
        Camera length that stands in for one that is in a dataset [m].

    Returns
    -------
    detector : Detector
        Panels in the laboratory, in the order of the file.
    cuts : PanelCuts
        Where they are in the stored frames.

    Raises
    ------
    FrameError
        If something is missing or cannot be used.
    """
    if not geometry.panels:
        raise FrameError(f"{geometry.where}: the geometry holds no panel")
    names = list(geometry.panels)
    pixels_m = np.array([1 / geometry.number(name, "res") for name in names])
    if not np.allclose(pixels_m, pixels_m[0], rtol=1e-6):
        raise FrameError(
            f"{geometry.where}: pixels of {pixels_m.min() * 1e6:.6g} and "
            f"{pixels_m.max() * 1e6:.6g} um: panels must have the same 'res'"
        )
    pixel_mm = pixels_m[0] * _MM_PER_M
    lengths_m = _camera_lengths(geometry, read, camera_length_m)
    fast, slow = (
        np.array([_vector(geometry, name, axis) for name in names]) for axis in ("fs", "ss")
    )
    corner_px = np.array([
        [geometry.number(name, "corner_x"), geometry.number(name, "corner_y"), 0.0]
        for name in names
    ])
    origin = (corner_px + CENTER_FROM_CORNER_PX * (fast + slow)) * pixel_mm
    origin[:, 2] += lengths_m * _MM_PER_M
    origin += _detector_shift_mm(geometry, read)
    bounds = np.array([
        [geometry.number(name, key) for key in ("min_ss", "min_fs", "max_ss", "max_fs")]
        for name in names
    ])
    first = bounds[:, :2].astype(np.int64)
    sizes = bounds[:, 2:].astype(np.int64) + 1 - first
    try:
        cuts = PanelCuts(np.array([_block(geometry, name) for name in names]), first, sizes)
        detector = Detector(
            origin_mm=origin,
            slow_axis=slow,
            fast_axis=fast,
            pixel_size_mm=pixel_mm,
            panel_shape=cuts.panels_shape[1:],
            panel_sizes=sizes,
        )
    except ValueError as error:
        raise FrameError(f"{geometry.where}: the geometry cannot be used: {error}") from error
    return detector, cuts


def wavelength_of(geometry: CrystfelGeometry, read: ReadNumbers | None) -> Float:
    """Read the wavelength, of all frames or of each.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    read : callable or None
        Reads a dataset of the frames' file.

    Returns
    -------
    ndarray of float64, shape (n_frames,) or (1,)
        Wavelengths; NaN if the file does not say [angstrom].
    """
    settings = geometry.settings
    if "wavelength" in settings:
        text = settings["wavelength"]
        return geometry.quantity(
            text, "'wavelength'", _WAVELENGTHS_ANGSTROM, literal=1e10, stored=1e10, read=read
        )
    if "photon_energy" in settings:
        text = settings["photon_energy"]
        energy = geometry.quantity(
            text, "'photon_energy'", _ENERGIES_EV, literal=1.0, stored=1.0, read=read
        )
        return wavelength_of_energy(energy)
    return np.array([np.nan])


def bad_regions(geometry: CrystfelGeometry, detector: Detector, cuts: PanelCuts) -> Bool:
    """Mark the pixels that bad regions, masked edges and panels without use rule out.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    detector : Detector
        Panels in the laboratory.
    cuts : PanelCuts
        Where they are in the stored frames.

    Returns
    -------
    ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is bad.

    Raises
    ------
    FrameError
        If a region names an unknown panel, lacks a bound, or mixes x, y with fs, ss.
    """
    bad = np.zeros(detector.frame_shape, dtype=np.bool_)
    panel, slow, fast = np.ogrid[tuple(slice(length) for length in bad.shape)]
    for name, values in geometry.bad.items():
        chosen = values.get("panel")
        if chosen is not None and chosen not in geometry.panels:
            raise FrameError(f"{geometry.where}: '{name}' names the unknown panel '{chosen}'")
        in_laboratory = "min_x" in values
        bounds = [
            geometry.as_number(values.get(key, "(missing)"), f"'{key}' of '{name}'")
            for axis in (("x", "y") if in_laboratory else ("fs", "ss"))
            for key in (f"min_{axis}", f"max_{axis}")
        ]
        if len(values) != len(bounds) + (chosen is not None):
            raise FrameError(
                f"{geometry.where}: '{name}' must have the bounds of x and y, or of fs and ss"
            )
        if in_laboratory:
            places = np.broadcast_arrays(panel, slow, fast)
            at = detector.positions_mm(*places) / detector.pixel_size_mm
        else:
            begin = cuts.first[:, ::-1, None, None]
            at = np.stack(np.broadcast_arrays(begin[:, 0] + fast, begin[:, 1] + slow), axis=-1)
        first, second = at[..., 0], at[..., 1]
        region = (first >= bounds[0]) & (first <= bounds[1])
        region = region & (second >= bounds[2]) & (second <= bounds[3])
        if chosen is not None:
            region = region & (panel == list(geometry.panels).index(chosen))
        bad |= region
    for index, (name, values) in enumerate(geometry.panels.items()):
        bad[index] |= values.get("no_index", "0") not in {"0", "false"}
        edge = int(geometry.number(name, "mask_edge_pixels", "0"))
        n_slow, n_fast = cuts.sizes[index]
        at_slow, at_fast = np.ogrid[: bad.shape[1], : bad.shape[2]]
        depth = np.minimum(
            np.minimum(at_slow, n_slow - 1 - at_slow), np.minimum(at_fast, n_fast - 1 - at_fast)
        )
        bad[index] |= depth < edge
    return bad


def geometry_text(geometry: FileGeometry) -> str:
    """Write panels and wavelength as a CrystFEL geometry; bad pixels are not in it.

    Parameters
    ----------
    geometry : FileGeometry
        The geometry.

    Returns
    -------
    str
        The file's content: panels p0, p1 ... in their order, and the mean photon energy.
    """
    detector, cuts = geometry.detector, geometry.cuts
    pixel = detector.pixel_size_mm
    corner = detector.origin_mm / pixel - CENTER_FROM_CORNER_PX * (
        detector.fast_axis + detector.slow_axis
    )
    length_m = corner[:, 2].mean() * pixel / _MM_PER_M
    energy_ev = EV_ANGSTROM / geometry.wavelength_angstrom.mean()
    stacked = bool(cuts.block.any())
    lines = [f"photon_energy = {energy_ev:.6f} eV", f"clen = {length_m:.9f}"]
    lines += [f"res = {_MM_PER_M / pixel:.9g}"]
    if geometry.saturation is not None:
        lines += [f"max_adu = {geometry.saturation:.9g}"]
    if geometry.dataset is not None:
        lines += [f"data = {geometry.dataset}"]
    inner = ["ss", "fs"]
    lines += ["dim0 = %", *(f"dim{n} = {axis}" for n, axis in enumerate(inner, 1 + stacked))]
    ends = cuts.first + cuts.sizes - 1
    for index in range(detector.n_panels):
        values = {
            "min_ss": cuts.first[index, 0],
            "max_ss": ends[index, 0],
            "min_fs": cuts.first[index, 1],
            "max_fs": ends[index, 1],
            "fs": _direction(detector.fast_axis[index]),
            "ss": _direction(detector.slow_axis[index]),
            "corner_x": f"{corner[index, 0]:.6f}",
            "corner_y": f"{corner[index, 1]:.6f}",
            "coffset": f"{corner[index, 2] * pixel / _MM_PER_M - length_m:.9f}",
        }
        if stacked:
            values["dim1"] = cuts.block[index]
        lines += ["", *(f"p{index}/{name} = {value}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _direction(vector: Float) -> str:
    """Write a direction such as ``-0.01x +1.0y +0.0z``."""
    return " ".join(f"{amount:+.9f}{axis}" for amount, axis in zip(vector, "xyz", strict=True))


def _vector(geometry: CrystfelGeometry, panel: str, key: str) -> Float:
    """Read a direction such as ``-0.01x +1.0y``."""
    text = geometry.text(panel, key)
    vector = np.zeros(3)
    rest = text
    while term := _TERM.match(rest):
        sign, amount, axis = term.groups()
        vector["xyz".index(axis)] += float(f"{sign}{amount or 1}")
        rest = rest[term.end() :]
    if rest.strip():
        raise FrameError(
            f"{geometry.where}: '{key}' of panel '{panel}' is no direction: '{text}'; write it as "
            "'1.0x +0.01y'"
        )
    return vector


def _block(geometry: CrystfelGeometry, panel: str) -> int:
    """Read which block of the stored frames a panel is in."""
    dims = {key: value for key, value in geometry.panels[panel].items() if key.startswith("dim")}
    order = [dims[key] for key in sorted(dims)] or ["ss", "fs"]
    inner = order[1:] if order[0] == "%" else order
    if inner == ["ss", "fs"]:
        return 0
    if order[0] == "%" and inner[1:] == ["ss", "fs"] and inner[0].isdigit():
        return int(inner[0])
    raise FrameError(
        f"{geometry.where}: the dimensions of panel '{panel}' are {', '.join(order)}; those that "
        "can be read are 'ss, fs', '%, ss, fs' and '%, NUMBER, ss, fs'"
    )


def _camera_lengths(
    geometry: CrystfelGeometry, read: ReadNumbers | None, camera_length_m: float | None
) -> Float:
    """Read camera length and offset of each panel [m]."""
    lengths = np.empty(len(geometry.panels))
    known: dict[str, float] = {}
    for index, panel in enumerate(geometry.panels):
        text = geometry.text(panel, "clen")
        if text not in known:
            known[text] = _camera_length(geometry, text, panel, read, camera_length_m)
        lengths[index] = known[text] + geometry.number(panel, "coffset", "0")
    return lengths


def _camera_length(
    geometry: CrystfelGeometry,
    text: str,
    panel: str,
    read: ReadNumbers | None,
    camera_length_m: float | None,
) -> float:
    """Read one camera length [m]; those in datasets are in millimetres unless they say."""
    if camera_length_m is not None:
        read = _always(camera_length_m * _MM_PER_M)
        text = text if _is_number(text.split()[0]) else text.split()[0]
    what = f"'clen' of panel '{panel}'"
    lengths = geometry.quantity(text, what, _LENGTHS_M, literal=1.0, stored=1e-3, read=read)
    if not len(lengths) or not np.allclose(lengths, lengths[0], rtol=1e-6):
        raise FrameError(
            f"{geometry.where}: {what} changes from frame to frame ({text}): split the file where "
            "the detector moved"
        )
    return float(lengths[0])


def _detector_shift_mm(geometry: CrystfelGeometry, read: ReadNumbers | None) -> Float:
    """Read how far the whole detector was shifted."""
    shift = np.zeros(3)
    for index, key in enumerate(("detector_shift_x", "detector_shift_y")):
        if key in geometry.settings:
            text = geometry.settings[key]
            values = geometry.quantity(
                text, f"'{key}'", _LENGTHS_M, literal=1.0, stored=1e-3, read=read
            )
            shift[index] = values.mean() * _MM_PER_M
    return shift


def _always(value: float) -> ReadNumbers:
    return lambda _: np.array([value])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
