"""What the commands share in talking to people: lines, errors, consoles."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_FILES = 200


def print_line(text: str) -> None:
    """Print a line to standard output.

    Parameters
    ----------
    text : str
        The line.
    """
    sys.stdout.write(text + "\n")


def print_error(text: str) -> None:
    """Print a line to standard error.

    Parameters
    ----------
    text : str
        The line.
    """
    sys.stderr.write(text + "\n")


@contextlib.contextmanager
def clear_errors() -> Generator[None]:
    """Turn errors that are the user's to mend into one message and exit code 2.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    typer.Exit
        After an `AutosteerError`.
    """
    from autosteer.contracts import AutosteerError

    try:
        yield
    except AutosteerError as error:
        print_error(f"autosteer: {error}")
        raise typer.Exit(2) from error


def number_or_none(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    float or None
        The same, or None for a NaN.
    """
    return None if math.isnan(value) else round(float(value), 6)


def wide_console() -> Console:
    """Make a console that breaks no line where nobody looks at it through a window.

    Returns
    -------
    rich.console.Console
        The console on standard output.
    """
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_FILES)
