"""Runs of the program, as a user would start them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from _host import HostWatch

Truth = TypeVar("Truth")


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


def run_to_score(
    experiment: Path, duration_s: float, seed: int, read: Callable[[Path], Truth]
) -> tuple[dict[str, Any], Truth, float]:
    """Run an experiment, and read the simulator's truth afterwards.

    Parameters
    ----------
    experiment : Path
        Experiment file.
    duration_s : float
        Seconds of beam.
    seed : int
        Seed of everything random.
    read : callable
        Reads the log of the truth.

    Returns
    -------
    summary : dict
        Summary of the run.
    truth : object
        The truth.
    host_stall_s : float
        Longest time for which the machine ran nothing [s].
    """
    with tempfile.TemporaryDirectory() as folder:
        with HostWatch() as host:
            done = run_experiment(experiment, folder, duration_s, seed)
        if done.returncode:
            raise SystemExit(done.stderr.decode()[-3000:])
        summary = json.loads(done.stdout)
        truth = read(Path(summary["run_dir"]) / "simulation" / "truth.arrows")
    return summary, truth, host.longest_s
