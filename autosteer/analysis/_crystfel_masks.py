"""Masks that CrystFEL geometries name: bits of datasets that must be set, and that must not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._crystfel_text import CrystfelGeometry
from autosteer.contracts import FrameError
from autosteer.physics import PanelCuts

Bool = NDArray[np.bool_]

_MASKS = 8
# The first mask has older names, too.
_OLD_NAMES = {"data": "mask", "file": "mask_file", "goodbits": "mask_good", "badbits": "mask_bad"}


def stored_masks(
    geometry: CrystfelGeometry, path: Path, frames_path: Path | None, cuts: PanelCuts
) -> Bool:
    """Read all masks that a geometry names.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    path : Path
        The geometry's file; names of other files are relative to it.
    frames_path : Path or None
        The frames' file, which holds masks without a file of their own.
    cuts : PanelCuts
        Where the panels are in the stored frames.

    Returns
    -------
    ndarray of bool, shape (n_panels, n_slow, n_fast)
        True where all masks call a pixel good.

    Raises
    ------
    FrameError
        If a mask cannot be read, or is not for these panels.
    """
    good = np.ones(cuts.panels_shape, dtype=np.bool_)
    for number in range(_MASKS):
        name = _value(geometry, number, "data")
        if name is None:
            continue
        file = _value(geometry, number, "file")
        stored_in = frames_path if file is None else path.parent / file
        if stored_in is None:
            raise FrameError(
                f"{path}: its mask '{name}' is in the frames' file, and there are none: save the "
                "mask by itself and name it, or take the line out"
            )
        values = cuts.cut(_read(stored_in, name, cuts))
        required, forbidden = (_bits(geometry, number, kind) for kind in ("goodbits", "badbits"))
        good &= ((values & required) == required) & ((values & forbidden) == 0)
    return good


def _value(geometry: CrystfelGeometry, number: int, what: str) -> str | None:
    """Read a field of one mask, by its new or its old name."""
    found = geometry.common(f"mask{number}_{what}")
    if found is not None or number > 0:
        return found
    old = _OLD_NAMES[what]
    return geometry.settings.get(old) or geometry.common(old)


def _bits(geometry: CrystfelGeometry, number: int, what: str) -> int:
    """Read a hexadecimal number."""
    text = _value(geometry, number, what) or "0"
    try:
        return int(text, 16)
    except ValueError:
        raise FrameError(
            f"{geometry.where}: '{what}' of mask {number} is no hexadecimal number: {text}"
        ) from None


def _read(path: Path, name: str, cuts: PanelCuts) -> NDArray[np.int64]:
    """Read a mask as (block, slow, fast)."""
    try:
        with h5py.File(path, "r") as file:
            found = file.get(name)
            if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iub":
                raise FrameError(f"{path}: holds no mask of whole numbers at '{name}'")
            shape = (1,) * (3 - found.ndim) + found.shape
            if len(shape) != 3 or not cuts.fit(shape):
                raise FrameError(
                    f"{path}: the mask '{name}' has the shape {found.shape}, the panels need "
                    f"{cuts.least_shape} (panels, slow, fast)"
                )
            if cuts.least_shape[0] == 1 < shape[0]:
                raise FrameError(
                    f"{path}: '{name}' holds {shape[0]} masks, one for each frame: a geometry "
                    "takes one for all; save it by itself and name it, or take the line out"
                )
            return np.asarray(found[()], dtype=np.int64).reshape(shape)
    except (OSError, RuntimeError) as error:
        raise FrameError(f"{path}: cannot read the mask '{name}' ({error})") from error
