"""Drives a session from the terminal: signals and keys."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from typing import Any, Literal

from autosteer.cli._names import resolve
from autosteer.contracts import Experiment
from autosteer.service.session import Display, Session
from autosteer.service.summary import RunSummary
from autosteer.steering.events import Operator

Command = Literal["pause", "resume", "stop", "approve", "deny"]

KEYS: dict[str, Command] = {
    "p": "pause",
    "r": "resume",
    "q": "stop",
    "y": "approve",
    "n": "deny",
}


async def drive(experiment: Experiment, data: Mapping[str, Any], display: Display) -> RunSummary:
    """Run a session, with Ctrl-C and keys.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    data : mapping
        The same as plain data.
    display : Display
        Shows the run.

    Returns
    -------
    RunSummary
        The result.
    """
    session = Session(experiment, data, resolve, display)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(session.run())

    def interrupt() -> None:
        # Before there is an agent, nothing moves, and the start can simply be given up.
        if session.agent is None or session.agent.controller.finished is not None:
            task.cancel()
        else:
            session.interrupt()

    def key() -> None:
        command = KEYS.get(sys.stdin.readline().strip().lower())
        if command is not None and session.agent is not None:
            session.agent.command(Operator(command, who="the terminal"))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    reads_keys = sys.stdin is not None and sys.stdin.isatty()
    if reads_keys:
        loop.add_reader(sys.stdin, key)
    try:
        return await task
    finally:
        with contextlib.suppress(Exception):
            if reads_keys:
                loop.remove_reader(sys.stdin)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
