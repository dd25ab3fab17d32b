"""Progress of jobs that take a while: a live count in a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator

from autosteer.cli._output import print_error

_REFRESH_S = 0.2
# Steps may take minutes: the time left follows from all that were done lately.
_REMEMBERED_S = 1800.0


@contextlib.contextmanager
def counting(what: str, *, quiet: bool) -> Generator[Callable[[int], None]]:
    """Show how many of something have been done.

    Parameters
    ----------
    what : str
        What is counted.
    quiet : bool
        Whether to show nothing.

    Yields
    ------
    callable
        To be called with the running number.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    shown_s = 0.0
    with console.status("") as status:

        def count(number: int) -> None:
            nonlocal shown_s
            if time.monotonic() - shown_s > _REFRESH_S:
                shown_s = time.monotonic()
                status.update(f"{number} {what}")

        yield count


@contextlib.contextmanager
def progress_of(n_steps: int, n_before: int = 0) -> Generator[Callable[[str], None]]:
    """Show how far a job of known length is: a bar in a terminal, a line for each step elsewhere.

    Parameters
    ----------
    n_steps : int
        Steps to do.
    n_before : int, default 0
        Steps that were done before.

    Yields
    ------
    callable
        To be called after each step with what it was.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        numbers = itertools.count(n_before + 1)

        def say(what: str) -> None:
            print_error(f"{next(numbers)}/{n_before + n_steps} {what}")

        yield say
        return
    columns = (
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, speed_estimate_period=_REMEMBERED_S) as progress:
        task = progress.add_task("", total=n_before + n_steps, completed=n_before)
        yield lambda what: progress.update(task, advance=1, description=what)
