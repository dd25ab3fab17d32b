"""Shows a run: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from autosteer.cli._status import describe, figures, introduction, status_line
from autosteer.service.session import Display, Session
from autosteer.steering.events import Action, Announce

_REFRESH_S = 0.25
_LINE_S = 5.0
_MODE_COLORS = {"observe": "blue", "suggest": "cyan", "approve": "yellow", "auto": "red"}
_LEVEL_COLORS = {"info": "white", "warning": "yellow", "error": "bold red"}


def make_display(json_output: bool) -> Display:
    """Choose the display that fits where the output goes.

    Parameters
    ----------
    json_output : bool
        Whether standard output belongs to a JSON object.

    Returns
    -------
    Display
        A live view in a terminal, plain lines elsewhere.
    """
    # Bound to the stream as it is now: a run redirects standard output to its log.
    console = Console(file=sys.stderr if json_output else sys.stdout)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay:
    """Lines for logs and pipes.

    Parameters
    ----------
    console : rich.console.Console
        Where they go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None

    def progress(self, text: str) -> None:
        """Say what is being done before the first shot and after the last.

        Parameters
        ----------
        text : str
            What is being done.
        """
        self._line(text)

    def running(self, session: Session) -> None:
        """Begin to show the run.

        Parameters
        ----------
        session : Session
            The run.
        """
        self._session = session
        for line in introduction(session):
            self._line(line)
        self._task = asyncio.create_task(self._report())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_LINE_S)
            if self._session is not None:
                self._line(status_line(self._session))

    def action(self, action: Action) -> None:
        """Show what the controller asked for.

        Parameters
        ----------
        action : Action
            The action.
        """
        if self._session is not None:
            text = describe(action, self._session)
            if text:
                self._line(text)

    def _line(self, text: str) -> None:
        stamp = datetime.now().astimezone().strftime("%H:%M:%S")
        self._console.print(f"{stamp} {text}", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop showing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


class LiveDisplay:
    """A view of the whole run on one screen.

    Parameters
    ----------
    console : rich.console.Console
        The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._messages: deque[Text] = deque(maxlen=8)

    def progress(self, text: str) -> None:
        """Say what is being done before the first shot and after the last.

        Parameters
        ----------
        text : str
            What is being done.
        """
        self._console.print(Text(text, style="dim"))

    def running(self, session: Session) -> None:
        """Begin to show the run.

        Parameters
        ----------
        session : Session
            The run.
        """
        self._session = session
        for line in introduction(session):
            self._console.print(Text(line, style="dim"))
        self._live = Live(self._view(), console=self._console, auto_refresh=False)
        self._live.start()
        self._task = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        while True:
            if self._live is not None:
                self._live.update(self._view(), refresh=True)
            await asyncio.sleep(_REFRESH_S)

    def action(self, action: Action) -> None:
        """Show what the controller asked for.

        Parameters
        ----------
        action : Action
            The action.
        """
        if self._session is None:
            return
        text = describe(action, self._session)
        if text:
            level = action.level if isinstance(action, Announce) else "info"
            stamp = datetime.now().astimezone().strftime("%H:%M:%S ")
            self._messages.append(Text(stamp, style="dim") + Text(text, _LEVEL_COLORS[level]))

    def _view(self) -> Panel:
        session = self._session
        if session is None or session.agent is None:
            return Panel("")
        experiment, controller = session.experiment, session.agent.controller
        title = Text.assemble(
            (f" {experiment.name} ", "bold"),
            (f" {controller.mode.upper()} ", f"bold white on {_MODE_COLORS[controller.mode]}"),
            (" SIMULATED " if experiment.simulation else "", "bold black on green"),
            (" PAUSED " if controller.paused else "", "bold black on yellow"),
        )
        parts: list[Any] = [_numbers(session), _knobs(session), *self._messages]
        keys = "Ctrl-C: stop after the move   twice: stop the motors   p r: pause, resume"
        return Panel(Group(*parts), title=title, subtitle=Text(keys, style="dim"))

    def close(self) -> None:
        """Stop showing; the last view stays on the screen."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._live is not None:
            with contextlib.suppress(Exception):
                self._live.update(self._view(), refresh=True)
            self._live.stop()
            self._live = None


def _numbers(session: Session) -> Table:
    """Rates, latencies and the last decision."""
    table = Table.grid(padding=(0, 2))
    for label, value in figures(session):
        table.add_row(Text(label, style="dim"), value)
    return table


def _knobs(session: Session) -> Table:
    """Limits, readback and best place of each knob."""
    table = Table(box=None, padding=(0, 2))
    for heading in ("knob", "low", "now", "high", "best", "units"):
        table.add_column(heading, justify="left" if heading == "knob" else "right")
    if session.agent is None:
        return table
    controller = session.agent.controller
    best = controller.policy.best
    for name, knob in session.experiment.knobs.items():
        history = controller.observer.histories[name]
        now = Text(f"{history.value:.4g}" if len(history) else "?")
        if not controller.observer.connected[name]:
            now = Text("disconnected", style="bold red")
        elif history.moving:
            now.stylize("yellow")
        table.add_row(
            name,
            f"{knob.low:g}",
            now,
            f"{knob.high:g}",
            f"{best.knobs[name]:.4g}" if best else "",
            knob.units,
        )
    return table
