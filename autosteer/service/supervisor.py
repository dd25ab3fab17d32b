"""Starts the processes of a run, hears from them, starts the fallen anew, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from autosteer.contracts import ProcessError

_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_MAX_RESTARTS = 5
_LINE_LIMIT = 1024 * 1024


@dataclass(slots=True)
class Child:
    """A supervised process.

    Parameters
    ----------
    name : str
        Name of the process.
    arguments : list of str
        Arguments after ``autosteer``.
    restart : callable, optional
        Gives the arguments for a new start after it has died, from what it reported when it
        became ready; without it the process is not started anew.
    """

    name: str
    arguments: list[str]
    restart: Callable[[Mapping[str, Any]], list[str]] | None = None
    process: asyncio.subprocess.Process | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    stopping: bool = False
    log: IO[bytes] | None = None
    watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process number while it runs."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process is not None else None


class Supervisor:
    """The processes of one run.

    Parameters
    ----------
    logs : Path
        Folder for their logs.
    on_trouble : callable
        Told of (name, what happened, whether it is started anew).
    on_notice : callable
        Told of (name, text) what a process has noticed that people should know.
    environment : mapping of str to str, optional
        Variables besides those of this process.
    """

    def __init__(
        self,
        logs: Path,
        on_trouble: Callable[[str, str, bool], None],
        on_notice: Callable[[str, str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._logs = logs
        self._on_trouble = on_trouble
        self._on_notice = on_notice
        self._environment = dict(environment or {})
        self.children: dict[str, Child] = {}

    async def start(self, child: Child) -> dict[str, Any]:
        """Start a process and wait until it is ready.

        Parameters
        ----------
        child : Child
            The process.

        Returns
        -------
        dict
            What it reported when it became ready.

        Raises
        ------
        ProcessError
            If it ends, or does not become ready in time.
        """
        self.children[child.name] = child
        child.log = (self._logs / f"{child.name}.log").open("ab")
        await self._spawn(child, child.arguments)
        child.watcher = asyncio.create_task(self._watch(child))
        return child.ready

    async def _spawn(self, child: Child, arguments: Sequence[str]) -> None:
        """Start the process once, and wait until it reports that it is ready."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **self._environment}
        child.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "autosteer",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=child.log,
            env=environment,
            limit=_LINE_LIMIT,
            # A Ctrl-C in the terminal is for the parent alone, which then ends its children.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                while True:
                    message = await self._read(child)
                    if message is None:
                        code = await child.process.wait()
                        raise ProcessError(
                            f"process '{child.name}' ended with code {code} before it was ready"
                            f"{self._last_words(child)}"
                        )
                    if message.get("event") == "ready":
                        child.ready = message
                        return
        except TimeoutError:
            child.process.kill()
            await child.process.wait()
            raise ProcessError(
                f"process '{child.name}' was not ready within {_READY_TIMEOUT_S:g} s"
                f"{self._last_words(child)}"
            ) from None

    def _last_words(self, child: Child) -> str:
        """Quote the end of a process's log."""
        path = self._logs / f"{child.name}.log"
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return f": {lines[-1][-500:]} (log: {path})"
        return f" (log: {path})"

    async def _read(self, child: Child) -> dict[str, Any] | None:
        """Read one report of a process; None when it says no more."""
        if child.process is None or child.process.stdout is None:
            return None
        while True:
            line = await child.process.stdout.readline()
            if not line:
                return None
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    return message

    async def _watch(self, child: Child) -> None:
        """Take the reports of a process; when it dies unasked, start it anew if that is wanted."""
        while True:
            message = await self._read(child)
            if message is not None:
                if message.get("event") == "counters":
                    child.counters = message
                elif message.get("event") == "notice":
                    self._on_notice(child.name, str(message.get("text")))
                continue
            code = await child.process.wait() if child.process is not None else None
            if child.stopping:
                return
            again = child.restart is not None and child.restarts < _MAX_RESTARTS
            text = f"ended unasked with code {code}{self._last_words(child)}"
            self._on_trouble(child.name, text, again)
            if not again or child.restart is None:
                return
            child.restarts += 1
            try:
                await self._spawn(child, child.restart(child.ready))
            except ProcessError as error:
                self._on_trouble(child.name, str(error), False)
                return

    def command(self, name: str, command: str) -> None:
        """Send a command to a process.

        Parameters
        ----------
        name : str
            The process.
        command : str
            One word.
        """
        process = self.children[name].process
        if process is not None and process.stdin is not None:
            process.stdin.write(command.encode() + b"\n")

    def kill(self, name: str) -> None:
        """Kill a process that hangs; it is started anew if that is wanted.

        Parameters
        ----------
        name : str
            The process.
        """
        process = self.children[name].process
        if process is not None and process.returncode is None:
            process.kill()

    async def stop(self, *names: str) -> None:
        """End processes: ask first, kill those that do not end in time.

        Parameters
        ----------
        *names : str
            The processes, ended together; those that do not exist are left out.
        """
        children = [self.children[name] for name in names if name in self.children]
        for child in children:
            child.stopping = True
            if child.process is not None and child.process.returncode is None:
                child.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(self._reap(child) for child in children))

    async def _reap(self, child: Child) -> None:
        if child.process is not None:
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    if child.watcher is not None:
                        # Not awaited itself: it may have been cancelled at an earlier stop.
                        await asyncio.wait([child.watcher])
                    await child.process.wait()
            except TimeoutError:
                self._on_trouble(child.name, "did not end when asked, and was killed", False)
                child.process.kill()
                await child.process.wait()
            if child.process.stdin is not None:
                child.process.stdin.close()
        if child.watcher is not None:
            child.watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.watcher
        if child.log is not None:
            child.log.close()

    async def stop_all(self) -> None:
        """End every process."""
        await self.stop(*self.children)
