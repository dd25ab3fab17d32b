"""Work that executors of the tests do in their processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path


def square(value: int) -> int:
    return value * value


def make_square() -> Callable[[int], int]:
    return square


def _square_unless_first(folder: Path, value: int) -> int:
    """Die over the value 3, unless some process has died of it before."""
    mark = folder / "died"
    if value == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return value * value


def make_dying_once(folder: Path) -> Callable[[int], int]:
    return partial(_square_unless_first, folder)


def _square_or_die(value: int) -> int:
    if value == 3:
        os._exit(1)
    return value * value


def make_dying() -> Callable[[int], int]:
    return _square_or_die


def _refuse(value: int) -> int:
    raise ValueError(f"{value} is no good")


def make_refusing() -> Callable[[int], int]:
    return _refuse


def make_nothing() -> Callable[[int], int]:
    raise OSError("no such disk")
