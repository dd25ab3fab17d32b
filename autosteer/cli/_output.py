"""What the commands share in talking to people: lines, errors, consoles."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator

import typer


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
