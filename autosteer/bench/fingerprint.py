"""What results depend on besides their parameters: code, and the versions of packages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from autosteer.service.versions import versions

# Nothing else takes part in a run on the virtual clock.
_TAKE_PART = (
    *("contracts", "physics", "stream", "steering", "policies", "sims"),
    *("bench/courses.py", "bench/trials.py"),
    *("cli/_experiment.py", "cli/_names.py", "cli/_policies.py", "cli/_trials.py"),
    *("cli/_warm_start.py", "cli/_worlds.py"),
)
_SUFFIXES = {".py", ".yaml", ".json", ".safetensors"}


def fingerprint(packages: Iterable[str] = ()) -> str:
    """Return what tells one state of code and packages from another.

    Parameters
    ----------
    packages : iterable of str
        Top-level packages that take part besides autosteer.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for package in sorted({"autosteer", *packages}):
        digest.update(_of_package(package).encode())
    return digest.hexdigest()[:16]


@cache
def _of_package(package: str) -> str:
    """Hash the files of a package."""
    digest = hashlib.sha256(package.encode())
    spec = find_spec(package)
    if spec is None:
        return digest.hexdigest()
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders and spec.origin is not None:
        digest.update(Path(spec.origin).read_bytes())
    for folder in folders:
        starts = [folder / part for part in _TAKE_PART] if package == "autosteer" else [folder]
        for file in sorted(_files(starts)):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _files(starts: Iterable[Path]) -> Iterator[Path]:
    """Give the files that matter at and below some paths."""
    for start in starts:
        if start.is_file():
            yield start
        for file in start.rglob("*"):
            if file.suffix in _SUFFIXES and file.is_file():
                yield file
