"""Many trials: shared between workers, kept in a cache, and gone on with after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

from autosteer.analysis.executors import Executor
from autosteer.bench.courses import Course
from autosteer.contracts import WorkerDiedError


@dataclass(frozen=True, slots=True)
class Cell:
    """One trial: a policy on a scenario, for a seed.

    Parameters
    ----------
    scenario, policy : str
        Names, for tables.
    seed : int
        Seed of policy and simulation.
    data : mapping
        The experiment, as plain data, policy and seed included: all that a run depends on
        besides code.
    code : str
        Fingerprint of that.
    """

    scenario: str
    policy: str
    seed: int
    data: Mapping[str, Any]
    code: str

    @property
    def key(self) -> str:
        """What tells it from every other trial; names do not matter."""
        text = json.dumps([self.data, self.code], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Why a trial has given no course.

    Parameters
    ----------
    kind : {"failed", "unfit", "late"}
        Something went wrong; the policy is not for this scenario; no time was left to begin it.
    message : str
        The reason, for people.
    """

    kind: Literal["failed", "unfit", "late"]
    message: str = ""


Result = Course | Unfinished
"""What becomes of a trial."""


class Campaign:
    """Trials, with a cache of what has become of them.

    Parameters
    ----------
    folder : Path
        Where it is kept; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def kept(self, cell: Cell) -> Result | None:
        """Return what became of a trial before.

        Parameters
        ----------
        cell : Cell
            The trial.

        Returns
        -------
        Course, Unfinished or None
            Its course, or that the policy is not for the scenario; None if there is neither, or
            it cannot be read.
        """
        path = self._path(cell)
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
            return Course.load(path)
        with contextlib.suppress(OSError, ValueError):
            return Unfinished("unfit", path.with_suffix(".txt").read_text(encoding="utf-8"))
        return None

    def _keep(self, cell: Cell, result: Result) -> None:
        """Keep what would be the same the next time."""
        path = self._path(cell)
        if isinstance(result, Course):
            result.save(path)
        elif result.kind == "unfit":
            path.with_suffix(".txt").write_text(result.message, encoding="utf-8")

    def run(self, cells: Sequence[Cell], executor: Executor) -> Iterator[tuple[Cell, Result]]:
        """Run trials, and keep what becomes of them; what has failed is tried again next time.

        Parameters
        ----------
        cells : sequence of Cell
            Trials; those that are kept need not be among them.
        executor : Executor
            Turns a `Cell` into a `Result`, whatever goes wrong inside.

        Yields
        ------
        cell : Cell
            A trial that has ended.
        result : Course or Unfinished
            What has become of it; a trial over which workers die has failed, too.
        """
        open_cells = dict(enumerate(cells))
        while open_cells:
            numbers = list(open_cells)
            done = itertools.count()
            try:
                for result in executor.map([open_cells[number] for number in numbers]):
                    cell = open_cells.pop(numbers[next(done)])
                    self._keep(cell, result)
                    yield cell, result
            except WorkerDiedError as error:
                cell = open_cells.pop(numbers[error.number])
                yield cell, Unfinished("failed", str(error))

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.key}.npz"


def default_folder() -> Path:
    """Return where courses are kept unless somebody says otherwise.

    Returns
    -------
    Path
        ``autosteer/bench`` in the user's folder for caches.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "autosteer" / "bench"
