"""Finds the classes that an experiment file names."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from autosteer.contracts import NameResolutionError


def resolve(name: str, group: str) -> Any:
    """Find what a name stands for.

    Parameters
    ----------
    name : str
        ``package.module:Name``, or the name of an entry point.
    group : str
        Group of the entry points, for example ``autosteer.policies``.

    Returns
    -------
    object
        The class or function.

    Raises
    ------
    NameResolutionError
        If the name leads nowhere.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        found = {point.name: point for point in entry_points(group=group)}
        if name not in found:
            known = ", ".join(sorted(found)) or "none are installed"
            raise NameResolutionError(
                f"'{name}' is neither package.module:Name nor an entry point of '{group}' ({known})"
            )
        return found[name].load()
    try:
        return getattr(import_module(module_name), attribute)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise NameResolutionError(f"'{name}': there is no module '{missing}'") from None
        raise NameResolutionError(f"'{name}' cannot be imported: {error}") from error
    except AttributeError:
        raise NameResolutionError(f"'{name}': '{module_name}' has no '{attribute}'") from None


def package_of(name: str, group: str) -> str:
    """Tell which top-level package a name leads to.

    Parameters
    ----------
    name : str
        ``package.module:Name``, or the name of an entry point.
    group : str
        Group of the entry points.

    Returns
    -------
    str
        The package.

    Raises
    ------
    NameResolutionError
        If the name leads nowhere.
    """
    resolve(name, group)
    if ":" not in name:
        [name] = {point.value for point in entry_points(group=group, name=name)}
    return re.split(r"[.:]", name, maxsplit=1)[0]
