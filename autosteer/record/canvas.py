"""Draws plots into text that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

BLUE, ORANGE, GREY = "#0969da", "#bc4c00", "#8c959f"
_WIDTH, _HEIGHT = 9.0, 3.2


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot, ready to be embedded.

    Parameters
    ----------
    title, caption : str
        What it is, and how to read it.
    png : str
        The picture, base64.
    """

    title: str
    caption: str
    png: str


def draw(
    title: str,
    caption: str,
    paint: Callable[[Any], None],
    rows: int = 1,
    columns: int = 1,
    shared: Literal["all", "col"] = "all",
) -> Figure:
    """Make a plot and turn it into text.

    Parameters
    ----------
    title, caption : str
        What it is, and how to read it.
    paint : callable
        Draws into axes of shape (rows, columns).
    rows, columns : int, default 1
        How many plots, one below and beside the other.
    shared : {"all", "col"}, default "all"
        Which of several rows have the horizontal axis in common.

    Returns
    -------
    Figure
        The plot.
    """
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(_WIDTH, _HEIGHT * max(rows * 0.75, 1)), layout="constrained")
    axes = canvas.subplots(rows, columns, sharex=shared if rows > 1 else False, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    paint(axes)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=110)
    return Figure(title, caption, base64.b64encode(buffer.getvalue()).decode())
