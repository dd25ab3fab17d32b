"""Regret against what it has cost: one picture for each scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.bench.courses import Course
from autosteer.bench.metrics import AXES, band, lost_beam_s, on_grid, regret_of_recommended

Float = NDArray[np.float64]

_LABELS = {
    "beam_s": "beam time [s]",
    "shots": "shots",
    "moves": "moves",
    "sample_ul": "sample [ul]",
}
_POINTS = 300
# Below it one place is as good as another; on the logarithmic scale it is the floor.
_SMALLEST_REGRET = 1e-3
_WIDTH, _HEIGHT = 4.2, 3.2


def draw_scenario(path: Path, title: str, courses: Mapping[str, Sequence[Course]]) -> None:
    """Draw simple and cumulative regret against beam time, shots, moves and sample.

    Parameters
    ----------
    path : Path
        The picture to write.
    title : str
        What stands above it.
    courses : mapping of str to sequence of Course
        Courses by policy: at least one in all. Lines are medians, bands reach from the lower to the
        upper quartile; beyond the end of a run its last value counts.
    """
    from matplotlib.figure import Figure

    drawn = {policy: runs for policy, runs in courses.items() if runs}
    everything = [run for runs in drawn.values() for run in runs]
    axes = [
        axis for axis in AXES if not any(np.isnan(getattr(run, axis)[-1]) for run in everything)
    ]
    canvas = Figure(figsize=(_WIDTH * len(axes), 2 * _HEIGHT), layout="constrained")
    canvas.suptitle(title)
    panels = canvas.subplots(2, len(axes), sharex="col", sharey="row", squeeze=False)
    for policy, runs in drawn.items():
        simple = [np.maximum(regret_of_recommended(run), _SMALLEST_REGRET) for run in runs]
        cumulative = [lost_beam_s(run) for run in runs]
        for column, axis in enumerate(axes):
            costs = [getattr(run, axis) for run in runs]
            _draw(panels[0, column], costs, simple, policy)
            _draw(panels[1, column], costs, cumulative, policy)
            panels[1, column].set_xlabel(_LABELS[axis])
    panels[0, 0].set(ylabel="simple regret", yscale="log")
    panels[1, 0].set_ylabel("cumulative regret [s of beam]")
    panels[0, -1].legend(frameon=False)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    canvas.savefig(path, dpi=110)


def _draw(panel: Any, costs: Sequence[Float], values: Sequence[Float], label: str) -> None:
    """Draw one line with its band, as far as any of its runs went."""
    grid = np.linspace(0, max(cost[-1] for cost in costs), _POINTS)
    median, low, high = band([
        on_grid(cost, value, grid) for cost, value in zip(costs, values, strict=True)
    ])
    [line] = panel.plot(grid, median, label=label)
    panel.fill_between(grid, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
