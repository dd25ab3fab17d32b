"""Versions of what takes part in a run, for the record."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "autosteer",
    "ax-platform",
    "blop",
    "bluesky",
    "botorch",
    "caproto",
    "gpytorch",
    "numpy",
    "ophyd",
    "ophyd-async",
    "optuna",
    "pyarrow",
    "pydantic",
    "pyepics",
    "pyzmq",
    "scipy",
    "torch",
    "xopt",
)


def versions() -> dict[str, str]:
    """Return versions by package; those that are not installed are left out.

    Returns
    -------
    dict of str to str
        Versions, with those of Python and of the platform.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
