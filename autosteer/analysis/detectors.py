"""Detector geometry and mask from an experiment file's section ``detector``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.frames import CutFrames, FrameSource
from autosteer.analysis.geometry_files import FileGeometry, read_geometry
from autosteer.contracts import AnalysisError
from autosteer.contracts.experiment import DetectorSection
from autosteer.physics import Detector, module_mask

Bool = NDArray[np.bool_]


def detector_of(section: DetectorSection) -> Detector:
    """Make the geometry of a detector.

    Parameters
    ----------
    section : DetectorSection
        What the experiment file says.

    Returns
    -------
    Detector
        One flat panel, square to the beam, or the panels of the geometry file.

    Raises
    ------
    AnalysisError
        If the geometry file cannot be used, or is for frames of another shape.
    """
    geometry = _geometry_of(section)
    if geometry is not None:
        return geometry.detector
    return Detector.flat(
        section.shape, section.pixel_size_um / 1000, section.distance_mm, section.beam_center_px
    )


def mask_of(section: DetectorSection) -> Bool:
    """Make the mask of a detector: modules, less what geometry and mask file rule out.

    Parameters
    ----------
    section : DetectorSection
        What the experiment file says.

    Returns
    -------
    ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where a pixel is good.

    Raises
    ------
    AnalysisError
        If the modules do not fill the detector, or the geometry or mask file cannot be used.
    """
    try:
        mask = module_mask(section.shape, section.modules, section.gap_px)[None]
    except ValueError as error:
        raise AnalysisError(
            f"detector: {error}; check 'shape', 'modules' and 'gap_px' (slow, fast)"
        ) from error
    geometry = _geometry_of(section)
    if geometry is not None and geometry.mask is not None:
        mask = mask & geometry.mask
    if section.mask_path is not None:
        mask = mask & read_mask(Path(section.mask_path), mask.shape)
    if not mask.any():
        raise AnalysisError(f"{section.mask_path}: the mask leaves no good pixel; true means good")
    return mask


def _geometry_of(section: DetectorSection) -> FileGeometry | None:
    """Read the geometry file, if there is one; a stream's frames come panel by panel."""
    if section.geometry_path is None:
        return None
    geometry = read_geometry(section.geometry_path)
    if geometry.detector.panel_shape != section.shape:
        raise AnalysisError(
            f"{section.geometry_path}: its panels have {geometry.detector.panel_shape} pixels, "
            f"'analysis.detector.shape' is {section.shape} (slow, fast): a stream gives frames "
            "panel by panel, and the shape is that of a panel"
        )
    return geometry


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
