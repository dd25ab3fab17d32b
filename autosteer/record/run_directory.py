"""One directory a run: where everything about it stands."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autosteer.contracts import RecordingError
from autosteer.steering.sorting import SortedShots


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Names of the files of a run.

    Parameters
    ----------
    path : Path
        The directory.
    """

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment file as it was used, with every override in it."""
        return self.path / "experiment.yaml"

    @property
    def start(self) -> Path:
        """What was started: identifiers, mode, seed, versions."""
        return self.path / "start.json"

    @property
    def documents(self) -> Path:
        """Event-model documents of the Bluesky run, one a line."""
        return self.path / "documents.jsonl"

    @property
    def controller(self) -> Path:
        """Every event and action of the controller, one a line."""
        return self.path / "controller.jsonl"

    @property
    def decisions(self) -> Path:
        """Every decision with its reason, one a line."""
        return self.path / "decisions.jsonl"

    @property
    def outcomes(self) -> Path:
        """Every outcome, one a line."""
        return self.path / "outcomes.jsonl"

    @property
    def messages(self) -> Path:
        """What was announced to people, one a line."""
        return self.path / "messages.jsonl"

    @property
    def sorted_shots(self) -> Path:
        """Which shots were sorted into which bin."""
        return self.path / "sorted_shots.parquet"

    @property
    def tables(self) -> Path:
        """Recorded tables."""
        return self.path / "tables"

    @property
    def logs(self) -> Path:
        """Logs of the processes."""
        return self.path / "logs"

    @property
    def simulation(self) -> Path:
        """The simulator's truth, for scoring only."""
        return self.path / "simulation"

    @property
    def summary(self) -> Path:
        """Result of the run."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"


def make_run_directory(parent: Path, name: str, uid: str) -> RunDirectory:
    """Make the directory of a new run.

    Parameters
    ----------
    parent : Path
        Folder that holds all runs; made if it is not there.
    name : str
        Name of the experiment.
    uid : str
        Identifier of the run.

    Returns
    -------
    RunDirectory
        The new directory.

    Raises
    ------
    RecordingError
        If it cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = RunDirectory((parent / f"{name}-{stamp}-{uid[:6]}").absolute())
    try:
        for folder in (run.path, run.tables, run.logs):
            folder.mkdir(parents=True)
    except OSError as error:
        raise RecordingError(
            f"cannot make the run directory {run.path}: {error.strerror}; "
            "choose another one with record.directory in the experiment file"
        ) from error
    return run


def open_run_directory(path: Path) -> RunDirectory:
    """Open the directory of a recorded run.

    Parameters
    ----------
    path : Path
        The directory.

    Returns
    -------
    RunDirectory
        The run.

    Raises
    ------
    RecordingError
        If it holds no run.
    """
    run = RunDirectory(path.absolute())
    for file in (run.experiment, run.start):
        if not file.is_file():
            raise RecordingError(f"{path} is no run directory: it has no {file.name}")
    return run


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file so that it is there either whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : object
        JSON-able content.
    """
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def write_sorted_shots(path: Path, shots: SortedShots) -> None:
    """Write which shots were sorted into which bin.

    Parameters
    ----------
    path : Path
        Parquet file, with the columns ``pulse_id``, ``bin`` and ``value``.
    shots : SortedShots
        The shots.
    """
    columns = {"pulse_id": shots.pulse_id, "bin": shots.bin, "value": shots.value}
    pq.write_table(pa.table(columns), path)
