"""Cells of long benchmarks, kept in a cache by what they depend on, so that a run resumes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from autosteer.cli._policies import pin_threads

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "benchmarks" / ".cache"
EVERYTHING = ("autosteer", "devices", "policies", "sims", "examples")


def version_of_the_code(paths: Sequence[str] = EVERYTHING) -> str:
    """Return a fingerprint of every file that a result can depend on.

    What a Python file says in comments and docstrings does not count.

    Parameters
    ----------
    paths : sequence of str
        Files and folders that count.

    Returns
    -------
    str
        The fingerprint.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", *paths],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split(b"\0"))):
        path = ROOT / name.decode()
        if path.is_file() and path.suffix in {".py", ".yaml", ".safetensors"}:
            content = path.read_bytes()
            digest.update(name + b"\0" + (_code(content) if path.suffix == ".py" else content))
    return digest.hexdigest()[:12]


def _code(source: bytes) -> bytes:
    """Return a module without its comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return ast.dump(tree).encode()


class Cells:
    """Results by their parameters.

    Parameters
    ----------
    name : str
        Name of the benchmark.
    budget_s : float
        No new cell is begun after this time [s].
    version : str, optional
        Version of what the results depend on; by default of all of the code.
    """

    def __init__(self, name: str, budget_s: float, version: str | None = None) -> None:
        self.version = version or version_of_the_code()
        self._folder = CACHE / name / self.version
        self._end_s = time.monotonic() + budget_s

    @property
    def used_up(self) -> bool:
        """Whether the budget is."""
        return time.monotonic() > self._end_s

    def get(self, make: Callable[[], Any], **parameters: Any) -> Any:
        """Return a cell, from the cache or made now; None if the budget is used up.

        Parameters
        ----------
        make : callable
            Makes the cell: a JSON-able value.
        **parameters
            What the cell depends on besides the code.

        Returns
        -------
        object
            The cell.
        """
        found = self.known(**parameters)
        if found is not None or self.used_up:
            return found
        value = make()
        self.keep(value, **parameters)
        return value

    def known(self, **parameters: Any) -> Any:
        """Return a cell that is in the cache, or None.

        Parameters
        ----------
        **parameters
            What the cell depends on besides the code.

        Returns
        -------
        object
            The cell.
        """
        path = self._path(parameters)
        return json.loads(path.read_text())["value"] if path.exists() else None

    def keep(self, value: Any, **parameters: Any) -> None:
        """Put a cell into the cache.

        Parameters
        ----------
        value : object
            The cell: JSON-able.
        **parameters
            What it depends on besides the code.
        """
        path = self._path(parameters)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may read at any time.
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({"parameters": parameters, "value": value}))
        half.replace(path)

    def _path(self, parameters: Mapping[str, Any]) -> Path:
        key = "-".join(f"{name}={value}" for name, value in sorted(parameters.items()))
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


@dataclass(frozen=True, slots=True)
class Job:
    """A cell that is wanted.

    Parameters
    ----------
    cells : Cells
        Where it is kept.
    make : callable
        Makes it; with more than one process it must be one that can be pickled.
    parameters : mapping of str to object
        What it depends on besides the code.
    """

    cells: Cells
    make: Callable[[], Any]
    parameters: Mapping[str, Any]


def fill(jobs: Sequence[Job], processes: int = 1) -> Iterator[Job]:
    """Make the cells that are not in the cache, as far as the budget goes.

    Parameters
    ----------
    jobs : sequence of Job
        Cells that are wanted, the most important first.
    processes : int, default 1
        Processes that make them.

    Yields
    ------
    Job
        Each that has its cell now.
    """
    missing = []
    for job in jobs:
        if job.cells.known(**job.parameters) is None:
            missing.append(job)
        else:
            yield job
    if processes == 1:
        for job in missing:
            if job.cells.get(job.make, **job.parameters) is not None:
                yield job
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), pin_threads) as pool:
        running: dict[Future[Any], Job] = {}
        while missing or running:
            while missing and len(running) < processes:
                job = missing.pop(0)
                if not job.cells.used_up:
                    running[pool.submit(job.make)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                job.cells.keep(future.result(), **job.parameters)
                yield job


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows as a table for a terminal and for Markdown alike.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the same keys.

    Returns
    -------
    str
        The table.
    """
    if not rows:
        return "(nothing measured)"
    names = list(rows[0])
    cells = [names, *[[_show(row[name]) for name in names] for row in rows]]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
