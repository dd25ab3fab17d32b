"""Runs of the program in a process of their own, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.experiments import experiment_data

Documents = list[tuple[str, dict[str, Any]]]


class Run:
    """``autosteer run`` on an experiment, and what it leaves behind."""

    def __init__(self, folder: Path, *arguments: str, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        changes.setdefault("record", {"directory": str(folder / "runs")})
        file = folder / "experiment.yaml"
        file.write_text(yaml.safe_dump(experiment_data(**changes)))
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "autosteer", "run", str(file), "--json", *arguments],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._runs = folder / "runs"

    @property
    def text(self) -> str:
        """What people have read so far."""
        return self._err.read_text()

    @property
    def directory(self) -> Path:
        [directory] = self._runs.iterdir()
        return directory

    def wait_for(self, what: str | Callable[[], Any], ceiling_s: float = 90) -> None:
        """Wait for a text to be announced, or for something to become true."""
        condition = (lambda: what in self.text) if isinstance(what, str) else what
        give_up = time.monotonic() + ceiling_s
        while not condition():
            assert self.process.poll() is None, f"the run ended: {self.text[-2000:]}"
            assert time.monotonic() < give_up, f"waited for {what}: {self.text[-2000:]}"
            time.sleep(0.02)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def child(self, name: str) -> psutil.Process:
        """Find a process of the run by the command it was started with."""
        for child in psutil.Process(self.process.pid).children():
            arguments = child.cmdline()
            if name in arguments[3:6]:
                return child
        raise LookupError(f"no process {name}")

    def finish(self, ceiling_s: float = 120) -> int:
        """Wait for the end; return the exit code."""
        try:
            return self.process.wait(ceiling_s)
        finally:
            self.end()

    def end(self) -> None:
        """End whatever is still there."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
            self.process.wait()

    @property
    def summary(self) -> Mapping[str, Any]:
        """The JSON object on standard output, and nothing else may be there."""
        summary: Mapping[str, Any] = json.loads(self._out.read_text())
        return summary

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / name).read_text().splitlines()]

    @property
    def documents(self) -> Documents:
        return [tuple(line) for line in self.lines("documents.jsonl")]  # type: ignore[misc]


def autosteer(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "autosteer", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
