"""Files of named tensors that say what they are: written at once, read without running anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from autosteer.contracts import AnalysisError


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], kind: str, version: int, about: Mapping[str, Any]
) -> None:
    """Write tensors to a file that is either there as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    tensors : mapping of str to Tensor
        Tensors by name.
    kind : str
        What kind of file it is.
    version : int
        Version of that kind.
    about : mapping
        What else is to be known, as of JSON.

    Raises
    ------
    AnalysisError
        If it cannot be written.
    """
    here = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    words = {"kind": kind, "version": str(version), "about": json.dumps(about)}
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_bytes(save(here, metadata=words))
        os.replace(unfinished, path)
    except (OSError, SafetensorError) as error:
        raise AnalysisError(f"{path}: cannot be written ({error})") from error


def read_tensors(
    path: Path, kind: str, version: int, remedy: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What kind of file it has to be.
    version : int
        Version of that kind.
    remedy : str
        What to do if it is not.

    Returns
    -------
    tensors : dict of str to Tensor
        Tensors by name.
    about : dict
        What else is known.

    Raises
    ------
    AnalysisError
        If there is no such file, it is cut off, or it is another kind or version.
    """
    if not path.is_file():
        raise AnalysisError(f"{path}: there is no such file; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # ruff: ignore[in-dict-keys]
    except (OSError, SafetensorError) as error:
        raise AnalysisError(
            f"{path}: cannot be read ({error}), it is cut off or no safetensors file; {remedy}"
        ) from error
    if words.get("kind") != kind:
        found = words.get("kind", "something else")
        raise AnalysisError(f"{path}: holds {found}, not {kind}; {remedy}")
    if words.get("version") != str(version):
        raise AnalysisError(
            f"{path}: has version {words.get('version')} of {kind}, and {version} is understood; "
            f"{remedy}"
        )
    return tensors, json.loads(words["about"])
