"""Progress of jobs that take a while: a live count in a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator

_REFRESH_S = 0.2


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
