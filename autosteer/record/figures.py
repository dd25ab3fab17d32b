"""The plots of a report."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Experiment, TruncatedSegmentError
from autosteer.record.run_directory import RunDirectory
from autosteer.stream import read_segment, segments

Float = NDArray[np.float64]
Lines = Sequence[Mapping[str, Any]]

_BLUE, _ORANGE, _GREY = "#0969da", "#bc4c00", "#8c959f"
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


@dataclass(frozen=True, slots=True)
class Slice:
    """What a policy's model expects along one knob, the others at their best.

    Parameters
    ----------
    knob : str
        The knob.
    position : ndarray of float64, shape (n,)
        Positions along it, in its unit.
    mean, sd : ndarray of float64, shape (n,)
        Posterior mean and standard deviation of the objective.
    """

    knob: str
    position: Float
    mean: Float
    sd: Float


def figures_of(
    run: RunDirectory,
    outcomes: Lines,
    decisions: Lines,
    experiment: Experiment,
    slices: Sequence[Slice],
) -> list[Figure]:
    """Draw every plot for which there are data.

    Parameters
    ----------
    run : RunDirectory
        The run, for its tables.
    outcomes, decisions : sequence of mapping
        Lines of the run's files.
    experiment : Experiment
        The experiment.
    slices : sequence of Slice
        Posterior slices.

    Returns
    -------
    list of Figure
        The plots.
    """
    figures: list[Figure] = []
    measured = [o for o in outcomes if experiment.objective.name in o["estimates"]]
    if measured:
        figures += [_objective(measured, experiment), _knobs(measured, decisions, experiment)]
    if slices and measured:
        figures.append(_slices(measured, experiment, slices))
    latencies = _result_latencies(run)
    if latencies is not None:
        figures.append(_latencies(latencies))
    return figures


def _draw(
    title: str, caption: str, draw: Callable[[Any], None], rows: int = 1, columns: int = 1
) -> Figure:
    """Make a figure and turn it into text."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(_WIDTH, _HEIGHT * max(rows * 0.75, 1)), layout="constrained")
    axes = canvas.subplots(rows, columns, sharex=rows > 1, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    draw(axes)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=110)
    return Figure(title, caption, base64.b64encode(buffer.getvalue()).decode())


def _times_s(outcomes: Lines) -> Float:
    """Return the middle of each setting, from the first shot on."""
    last = np.array([o["t_last_shot_ns"] for o in outcomes], np.float64)
    elapsed = np.array([o["elapsed_s"] for o in outcomes])
    middle = last / 1e9 - elapsed / 2
    start = last[0] / 1e9 - elapsed[0]
    times: Float = middle - start
    return times


def _objective(outcomes: Lines, experiment: Experiment) -> Figure:
    name = experiment.objective.name
    mean = np.array([o["estimates"][name]["mean"] for o in outcomes])
    sem = np.array([o["estimates"][name]["sem"] for o in outcomes])
    best = np.maximum if experiment.objective.direction == "maximize" else np.minimum

    def draw(axes: Any) -> None:
        axis = axes[0, 0]
        times = _times_s(outcomes)
        axis.errorbar(times, mean, sem, fmt="o", ms=4, color=_BLUE, lw=1)
        axis.step(times, best.accumulate(mean), where="post", color=_GREY, lw=1)
        axis.set_xlabel("time [s]")
        axis.set_ylabel(name)

    caption = "Each setting with its standard error; the line is the best mean so far."
    return _draw("Objective against time", caption, draw)


def _knobs(outcomes: Lines, decisions: Lines, experiment: Experiment) -> Figure:
    def draw(axes: Any) -> None:
        times = _times_s(outcomes)
        for axis, (name, knob) in zip(axes[:, 0], experiment.knobs.items(), strict=True):
            place = [o["readback"][name] for o in outcomes]
            axis.plot(times, place, "o-", ms=4, lw=0.8, color=_ORANGE)
            axis.axhline(knob.low, color=_GREY, lw=0.8, ls=":")
            axis.axhline(knob.high, color=_GREY, lw=0.8, ls=":")
            axis.set_ylabel(f"{name} [{knob.units}]")
        axes[-1, 0].set_xlabel("time [s]")

    refused = sum(decision["status"] == "refused" for decision in decisions)
    caption = f"Readback of each setting; dotted: limits. {refused} decisions were refused."
    return _draw("Knobs against time", caption, draw, rows=len(experiment.knobs))


def _slices(outcomes: Lines, experiment: Experiment, slices: Sequence[Slice]) -> Figure:
    name = experiment.objective.name

    def draw(axes: Any) -> None:
        for axis, one in zip(axes[0], slices, strict=True):
            axis.fill_between(
                one.position, one.mean - 2 * one.sd, one.mean + 2 * one.sd, alpha=0.2, color=_BLUE
            )
            axis.plot(one.position, one.mean, color=_BLUE)
            place = [o["readback"][one.knob] for o in outcomes]
            mean = [o["estimates"][name]["mean"] for o in outcomes]
            axis.plot(place, mean, ".", ms=4, color=_GREY)
            axis.set_xlabel(f"{one.knob} [{experiment.knobs[one.knob].units}]")
            axis.locator_params(axis="x", nbins=5)
        axes[0, 0].set_ylabel(name)

    caption = (
        "Posterior mean with two standard deviations along each knob, the others at the best "
        "place; dots: all settings, wherever the other knobs were."
    )
    return _draw("What the policy believes", caption, draw, columns=len(slices))


def _result_latencies(run: RunDirectory) -> Float | None:
    """Read from the recorded tables how old each result was when it left its worker."""
    parts: list[Float] = []
    for path in segments(run.tables):
        if path.parent.name != "indexing":
            continue
        try:
            parts.extend(
                batch.column("result_latency_s").to_numpy(zero_copy_only=False).astype(np.float64)
                for _, batch in read_segment(path)
            )
        except TruncatedSegmentError:
            continue
    if not parts:
        return None
    latencies = np.concatenate(parts)
    known: Float = latencies[np.isfinite(latencies)]
    return known if len(known) else None


def _latencies(latencies: Float) -> Figure:
    p50, p99 = np.quantile(latencies, [0.5, 0.99])

    def draw(axes: Any) -> None:
        axis = axes[0, 0]
        axis.hist(latencies, bins=100, color=_BLUE)
        axis.axvline(p50, color=_ORANGE, lw=1)
        axis.axvline(p99, color=_ORANGE, lw=1, ls="--")
        axis.set_yscale("log")
        axis.set_xlabel("exposure to result [s]")
        axis.set_ylabel("shots")

    caption = f"Exposure to the result leaving the worker: median {p50:.3f} s, p99 {p99:.3f} s."
    return _draw("Latency of the analysis", caption, draw)
