"""Detector geometry and mask from an experiment file's section ``detector``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        One flat panel, square to the beam.
    """
    return Detector.flat(
        section.shape, section.pixel_size_um / 1000, section.distance_mm, section.beam_center_px
    )


def mask_of(section: DetectorSection) -> Bool:
    """Make the mask of a detector: modules, less what its mask file rules out.

    Parameters
    ----------
    section : DetectorSection
        What the experiment file says.

    Returns
    -------
    ndarray of bool, shape (1, n_slow, n_fast)
        True where a pixel is good.

    Raises
    ------
    AnalysisError
        If the modules do not fill the detector, or the mask file cannot be used.
    """
    try:
        mask = module_mask(section.shape, section.modules, section.gap_px)[None]
    except ValueError as error:
        raise AnalysisError(
            f"detector: {error}; check 'shape', 'modules' and 'gap_px' (slow, fast)"
        ) from error
    if section.mask_path is not None:
        mask = mask & read_mask(Path(section.mask_path), mask.shape)
    if not mask.any():
        raise AnalysisError(f"{section.mask_path}: the mask leaves no good pixel; true means good")
    return mask


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
