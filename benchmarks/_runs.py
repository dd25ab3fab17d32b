"""Runs of the program, as a user would start them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_experiment(
    experiment: Path,
    folder: str,
    duration_s: float,
    seed: int = 1,
    settings: Mapping[str, object] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run an experiment in mode auto, and wait for its summary.

    Parameters
    ----------
    experiment : Path
        Experiment file.
    folder : str
        Where the run is recorded.
    duration_s : float
        Seconds of beam.
    seed : int, default 1
        Seed of everything random.
    settings : mapping of str to object, optional
        What differs from the experiment file, by dotted path.

    Returns
    -------
    subprocess.CompletedProcess
        The run that has ended; its summary, as JSON, is the standard output.
    """
    changed = {"record.directory": folder, **(settings or {})}
    command = [sys.executable, "-m", "autosteer", "run", str(experiment), "--mode", "auto"]
    command += ["--duration", str(duration_s), "--seed", str(seed), "--json"]
    command += [word for path, value in changed.items() for word in ("--set", f"{path}={value}")]
    return subprocess.run(command, capture_output=True, check=False)
