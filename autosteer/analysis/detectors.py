"""Geometry of the frames that an experiment file's section ``detector`` describes, and masks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.frames import CutFrames, FrameSource
from autosteer.analysis.geometry_files import FileGeometry, read_geometry
from autosteer.contracts import AnalysisError
from autosteer.contracts.analysis_sections import DetectorSection
from autosteer.physics import Detector, PanelCuts, module_mask

Bool = NDArray[np.bool_]

# Numbers of two files that differ by no more are the same, rounded.
_AGREEMENT = 1e-4


def geometry_of(section: DetectorSection) -> FileGeometry:
    """Make the geometry of the frames that an experiment file describes.

    Parameters
    ----------
    section : DetectorSection
        What the experiment file says.

    Returns
    -------
    FileGeometry
        One flat panel, square to the beam, or the panels of the geometry file; with one
        wavelength, and with the mask that modules, geometry and mask file make together.

    Raises
    ------
    AnalysisError
        If the geometry or mask file cannot be used, contradicts the experiment file, or is for
        frames of another shape; if the modules do not fill the detector, or no pixel is good.
    """
    if section.geometry_path is None:
        geometry = FileGeometry.of_panels(_flat(section), np.array([np.nan]))
    else:
        geometry = _for_stream(read_geometry(section.geometry_path), section)
    return replace(
        geometry,
        wavelength_angstrom=np.array([_wavelength(geometry, section)]),
        saturation=_saturation(geometry, section),
        mask=_mask(geometry, section),
    )


def frame_shape_of(geometry: FileGeometry, section: DetectorSection) -> tuple[int, int, int]:
    """Say in which shape frames come.

    Parameters
    ----------
    geometry : FileGeometry
        Their geometry, of `geometry_of`.
    section : DetectorSection
        What the experiment file says.

    Returns
    -------
    (int, int, int)
        Blocks, which are panels or slabs of them, and pixels along (slow, fast).
    """
    return (geometry.cuts.least_shape[0], *section.shape)


def _flat(section: DetectorSection) -> Detector:
    """Make the detector that the experiment file alone describes."""
    return Detector.flat(
        section.shape, section.pixel_size_um / 1000, section.distance_mm, section.beam_center_px
    )


def _for_stream(geometry: FileGeometry, section: DetectorSection) -> FileGeometry:
    """Cut what the stream gives: panels as they are, or a slab of them."""
    detector = geometry.detector
    if section.shape == detector.panel_shape:
        return replace(geometry, cuts=PanelCuts.stack(detector.frame_shape))
    if detector.n_panels == 1 or not geometry.cuts.fit(frame_shape_of(geometry, section)):
        raise AnalysisError(
            f"{section.geometry_path}: its panels have {detector.panel_shape} pixels, and lie in "
            f"frames of at least {geometry.cuts.least_shape[1:]}; 'analysis.detector.shape' is "
            f"{section.shape} (slow, fast): give the shape of a panel where frames come panel by "
            "panel, that of the frame where they come as a slab"
        )
    return geometry


def _wavelength(geometry: FileGeometry, section: DetectorSection) -> float:
    """Take the wavelength of both files; they must agree."""
    given = section.wavelength_angstrom
    known = geometry.wavelength_angstrom[np.isfinite(geometry.wavelength_angstrom)]
    if not known.size:
        if given is None:
            raise AnalysisError(
                f"{section.geometry_path}: it does not say the wavelength: give "
                "'analysis.detector.wavelength_angstrom'"
            )
        return given
    low, high = float(known.min()), float(known.max())
    here = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    if given is not None and not low * (1 - _AGREEMENT) <= given <= high * (1 + _AGREEMENT):
        raise AnalysisError(
            f"{section.geometry_path}: the wavelength is {here} angstrom here, "
            f"'analysis.detector.wavelength_angstrom' is {given:g}: correct one, or leave the "
            "latter out"
        )
    if high - low <= _AGREEMENT * low:
        return float(known.mean())
    if given is None:
        raise AnalysisError(
            f"{section.geometry_path}: it has a wavelength for each frame of a file, {here} "
            "angstrom, and a stream does not say which is whose: give "
            "'analysis.detector.wavelength_angstrom'"
        )
    return given


def _saturation(geometry: FileGeometry, section: DetectorSection) -> float | None:
    """Take the saturation of either file; they must agree."""
    given, known = section.saturation, geometry.saturation
    if given is None or known is None:
        return known if given is None else given
    if not math.isclose(given, known, rel_tol=_AGREEMENT):
        raise AnalysisError(
            f"{section.geometry_path}: pixels are saturated at {known:g} here, "
            f"'analysis.detector.saturation' is {given:g}: correct one, or leave the latter out"
        )
    return known


def _mask(geometry: FileGeometry, section: DetectorSection) -> Bool:
    """Join modules, mask file and what the geometry rules out."""
    try:
        on_module = module_mask(section.shape, section.modules, section.gap_px)
    except ValueError as error:
        raise AnalysisError(
            f"detector: {error}; check 'shape', 'modules' and 'gap_px' (slow, fast)"
        ) from error
    stored = np.broadcast_to(on_module, frame_shape_of(geometry, section))
    if section.mask_path is not None:
        stored = stored & read_mask(Path(section.mask_path), stored.shape)
    good = geometry.cuts.cut(stored) & geometry.detector.on_panels()
    if geometry.mask is not None:
        good &= geometry.mask
    if not good.any():
        raise AnalysisError(
            f"{section.mask_path or section.geometry_path}: the mask leaves no good pixel; true "
            "means good"
        )
    mask: Bool = good
    return mask


def mask_of_frames(source: FrameSource, mask_path: Path | None) -> Bool | None:
    """Join the mask that the geometry of frames holds with that of a file.

    Parameters
    ----------
    source : FrameSource
        The frames.
    mask_path : Path or None
        NPY file with a mask for the frames as they are stored.

    Returns
    -------
    ndarray of bool, shape (n_panels, n_slow, n_fast), or None
        True where a pixel is good; None where nothing is known.

    Raises
    ------
    AnalysisError
        If the file cannot be used.
    """
    own = None if source.geometry is None else source.geometry.mask
    if mask_path is None:
        return own
    if not isinstance(source, CutFrames):
        return read_mask(mask_path, source.frame_shape)
    good = source.geometry.cuts.cut(read_mask(mask_path, source.source.frame_shape))
    return good if own is None else good & own


def read_mask(path: Path, shape: tuple[int, ...]) -> Bool:
    """Read a mask from an NPY file.

    Parameters
    ----------
    path : Path
        File with a boolean array (or one of 0 and 1), true where a pixel is good.
    shape : tuple of int
        Shape of a frame, (n_panels, n_slow, n_fast); without the panels for a single one.

    Returns
    -------
    ndarray of bool, shape (n_panels, n_slow, n_fast)
        The mask.

    Raises
    ------
    AnalysisError
        If the file cannot be read, or holds something else.
    """
    try:
        mask = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AnalysisError(
            f"{path}: cannot read the mask ({error}); it must be an NPY file made by numpy.save"
        ) from error
    if not isinstance(mask, np.ndarray):
        raise AnalysisError(f"{path}: this is an archive; save the mask alone, by numpy.save")
    if mask.shape == shape[1:] and shape[0] == 1:
        mask = mask[None]
    if mask.shape != shape:
        raise AnalysisError(
            f"{path}: the mask has the shape {mask.shape}, the frames {shape} (panels, slow, fast)"
        )
    if mask.dtype != np.bool_ and not (mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all()):
        raise AnalysisError(
            f"{path}: the mask has the type {mask.dtype}; it must be boolean, or hold 0 and 1 only"
        )
    good: Bool = mask.astype(np.bool_)
    return good


def write_mask(path: Path, good: Bool) -> None:
    """Write a mask to an NPY file, as `read_mask` reads it.

    Parameters
    ----------
    path : Path
        File to write; it must end in .npy.
    good : ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is good.

    Raises
    ------
    AnalysisError
        If the file has another ending or cannot be written.
    """
    if path.suffix != ".npy":
        raise AnalysisError(f"{path}: a mask is an NPY file: let its name end in .npy")
    try:
        np.save(path, good)
    except OSError as error:
        raise AnalysisError(f"{path}: cannot write the mask ({error.strerror})") from error
