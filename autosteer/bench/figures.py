"""Regret against what it has cost: one picture for each scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autosteer.bench.courses import Course
from autosteer.bench.metrics import AXES, band, lost_beam_s, on_grid, regret_of_recommended

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
    for column, axis in enumerate(axes):
        last = max(float(getattr(run, axis)[-1]) for run in everything)
        grid = np.linspace(0, max(last, 1e-9), _POINTS)
        for policy, runs in drawn.items():
            costs = [getattr(run, axis) for run in runs]
            simple = [np.maximum(regret_of_recommended(run), _SMALLEST_REGRET) for run in runs]
            for panel, lines in zip(
                panels[:, column], (simple, [lost_beam_s(run) for run in runs]), strict=True
            ):
                _draw(
                    panel,
                    grid,
                    [on_grid(*one, grid) for one in zip(costs, lines, strict=True)],
                    policy,
                )
        panels[1, column].set_xlabel(_LABELS[axis])
    panels[0, 0].set(ylabel="simple regret", yscale="log")
    panels[1, 0].set_ylabel("cumulative regret [s of beam]")
    panels[0, -1].legend(frameon=False)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    canvas.savefig(path, dpi=110)


def _draw(panel: Any, grid: Any, lines: Sequence[Any], label: str) -> None:
    median, low, high = band(lines)
    [line] = panel.plot(grid, median, label=label)
    panel.fill_between(grid, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
