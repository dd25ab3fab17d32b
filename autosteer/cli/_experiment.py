"""Reads experiment files: YAML, overrides, relative paths, plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from autosteer.contracts import Experiment, ExperimentFileError, parse_experiment

# Paths in the file are relative to it; paths on the command line to the working directory.
_PATHS = (
    ("source", "path"),
    ("analysis", "detector", "mask_path"),
    ("analysis", "detector", "geometry_path"),
    ("policy", "warm_start"),
)


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> tuple[Experiment, dict[str, Any]]:
    """Read, override and check an experiment file.

    Parameters
    ----------
    path : Path
        The YAML file.
    overrides : sequence of str
        ``dotted.path=value``, the value as YAML.

    Returns
    -------
    experiment : Experiment
        The checked experiment.
    data : dict
        The same as plain data, overrides included, for the record.

    Raises
    ------
    ExperimentFileError
        If the file cannot be read, or anything in it is wrong.
    """
    data = _read_yaml(path)
    _anchor(data, path.absolute().parent)
    for override in overrides:
        _apply(data, override)
    _anchor(data, Path.cwd())
    import_plugins(data.get("plugins") or (), str(path))
    return parse_experiment(data, str(path)), data


def import_plugins(modules: Iterable[str], where: str) -> None:
    """Import modules that register table kinds and the like.

    Parameters
    ----------
    modules : iterable of str
        Names of the modules.
    where : str
        What names them, for messages.

    Raises
    ------
    ExperimentFileError
        If one cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise ExperimentFileError(where, [("plugins", str(error))]) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExperimentFileError(str(path), [("(file)", error.strerror or str(error))]) from None
    except UnicodeDecodeError:
        raise ExperimentFileError(str(path), [("(file)", "it is not a text file")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "(file)"
        problem = str(getattr(error, "problem", None) or error)
        raise ExperimentFileError(str(path), [(where, f"no YAML: {problem}")]) from None
    if not isinstance(data, dict):
        raise ExperimentFileError(str(path), [("(file)", "it must hold a mapping of sections")])
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one value by its dotted path."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ExperimentFileError("--set", [(override, "write dotted.path=value")])
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = keys
    node: Any = data
    for key in parents:
        if isinstance(node, list):
            node = node[_index(node, key, override)]
            continue
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict | list):
            raise ExperimentFileError("--set", [(override, f"'{key}' has no entries of its own")])
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    else:
        node[last] = value


def _index(node: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(node):
        message = f"'{key}' is no position in a list of {len(node)}"
        raise ExperimentFileError("--set", [(override, message)])
    return int(key)


def _anchor(data: dict[str, Any], folder: Path) -> None:
    """Make the paths in the file absolute."""
    for *parents, last in _PATHS:
        node: Any = data
        for key in parents:
            node = node.get(key) if isinstance(node, dict) else None
        value = node.get(last) if isinstance(node, dict) else None
        if isinstance(value, str):
            node[last] = str(folder / value)
        elif isinstance(value, list):
            node[last] = [str(folder / one) if isinstance(one, str) else one for one in value]
