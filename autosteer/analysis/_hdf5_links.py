"""Datasets of HDF5 files, followed through soft, external and virtual links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from autosteer.contracts import FrameError


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    Parameters
    ----------
    datasets : dict of str to h5py.Dataset
        Datasets by path, each once, however many links lead to it.
    missing : dict of str to str
        Files that links lead to and that are not there, by path of the link.
    """

    datasets: dict[str, h5py.Dataset] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def listing(self) -> str:
        """Name everything for a message.

        Returns
        -------
        str
            Paths, shapes and types, and what is missing.
        """
        names = [f"{name} {item.shape} {item.dtype}" for name, item in self.datasets.items()]
        names += [f"{name} in the missing file {file}" for name, file in self.missing.items()]
        return "it holds " + (", ".join(names) if names else "no dataset")


def contents(file: h5py.File) -> Contents:
    """List the datasets of an open file.

    Parameters
    ----------
    file : h5py.File
        The file.

    Returns
    -------
    Contents
        Its datasets and the links that lead nowhere.
    """
    found = Contents()
    seen = {_identity(file)}

    def walk(group: h5py.Group, prefix: str) -> None:
        # An object is known by its own name rather than by that of a soft link to it.
        for name in sorted(group, key=lambda one: _is_soft(group, one)):
            path = f"{prefix}/{name}"
            item = _follow(group, name)
            if item is None:
                target = missing_target(file, path)
                if target is not None:
                    found.missing[path] = target
                continue
            if _identity(item) in seen:
                continue
            seen.add(_identity(item))
            if isinstance(item, h5py.Dataset):
                found.datasets[path] = item
            else:
                walk(item, path)

    walk(file, "")
    return found


def missing_target(file: h5py.File, name: str) -> str | None:
    """Name the file that a link leads to, if it is not there.

    Parameters
    ----------
    file : h5py.File
        The file.
    name : str
        Path of the link.

    Returns
    -------
    str or None
        The missing file; None where the name is no external link, or its file is there.
    """
    try:
        link = file.get(name, getlink=True)
    except (KeyError, OSError, RuntimeError):
        return None
    if not isinstance(link, h5py.ExternalLink):
        return None
    target = Path(file.filename).parent / str(link.filename)
    return None if target.exists() else str(target)


def check_sources(where: str, dataset: h5py.Dataset) -> None:
    """Check that the files behind a virtual dataset are there; HDF5 itself fills in zeros.

    Parameters
    ----------
    where : str
        File and dataset, for the message.
    dataset : h5py.Dataset
        The dataset, virtual or not.

    Raises
    ------
    FrameError
        If a file is missing.
    """
    missing = sorted(str(source) for source in _sources(dataset) if not source.exists())
    if missing:
        raise FrameError(
            f"{where}: takes its frames from files that are missing: {', '.join(missing)}; copy "
            "them beside it"
        )


def _sources(dataset: h5py.Dataset) -> Iterator[Path]:
    """Name the files behind a virtual dataset."""
    if not dataset.is_virtual:
        return
    folder = Path(dataset.file.filename).parent
    for source in dataset.virtual_sources():
        # A pattern stands for as many files as there will be.
        if source.file_name != "." and "%" not in source.file_name:
            yield folder / source.file_name


def _follow(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Open what a link leads to."""
    try:
        item = group.get(name)
    except (OSError, RuntimeError):
        return None
    return item if isinstance(item, h5py.Group | h5py.Dataset) else None


def _is_soft(group: h5py.Group, name: str) -> bool:
    """Whether a name is but another name."""
    return isinstance(group.get(name, getlink=True), h5py.SoftLink)


def _identity(item: h5py.Group | h5py.Dataset) -> tuple[int, int]:
    """Tell an object from every other, by whatever path it was reached."""
    info = h5py.h5o.get_info(item.id)
    return (info.fileno, info.addr)
