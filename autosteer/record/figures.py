"""The plots of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Best, Experiment, TruncatedSegmentError
from autosteer.record.belief_figures import belief_figures
from autosteer.record.beliefs import Beliefs
from autosteer.record.canvas import BLUE, GREY, ORANGE, Figure, draw
from autosteer.record.run_directory import RunDirectory
from autosteer.stream import read_segment, segments

Float = NDArray[np.float64]
Lines = Sequence[Mapping[str, Any]]
Bests = Sequence[tuple[int, Best]]


def figures_of(
    run: RunDirectory,
    outcomes: Lines,
    decisions: Lines,
    bests: Sequence[tuple[int, Best]],
    experiment: Experiment,
    beliefs: Beliefs,
) -> list[Figure]:
    """Draw every plot for which there are data.

    Parameters
    ----------
    run : RunDirectory
        The run, for its tables.
    outcomes, decisions : sequence of mapping
        Lines of the run's files.
    bests : sequence of (int, Best)
        When the policy answered [ns UTC], and the place that it then called best.
    experiment : Experiment
        The experiment.
    beliefs : Beliefs
        What the policy believes.

    Returns
    -------
    list of Figure
        The plots.
    """
    figures: list[Figure] = []
    measured = [o for o in outcomes if experiment.objective.name in o["estimates"]]
    if measured:
        figures += [
            _objective(measured, bests, experiment),
            _knobs(measured, decisions, bests, experiment),
        ]
        figures += belief_figures(measured, experiment, beliefs)
    latencies = _result_latencies(run)
    if latencies is not None:
        figures.append(_latencies(latencies))
    return figures


def _start_s(outcomes: Lines) -> float:
    """Return when the first setting began [s UTC]."""
    return float(outcomes[0]["t_last_shot_ns"] / 1e9 - outcomes[0]["elapsed_s"])


def _times_s(outcomes: Lines) -> Float:
    """Return the middle of each setting, from the first shot on."""
    last_s = np.array([o["t_last_shot_ns"] for o in outcomes], np.float64) / 1e9
    elapsed_s = np.array([o["elapsed_s"] for o in outcomes])
    times: Float = last_s - elapsed_s / 2 - _start_s(outcomes)
    return times


def _objective(outcomes: Lines, bests: Bests, experiment: Experiment) -> Figure:
    name = experiment.objective.name
    mean = np.array([o["estimates"][name]["mean"] for o in outcomes])
    sem = np.array([o["estimates"][name]["sem"] for o in outcomes], np.float64)

    def paint(axes: Any) -> None:
        axis = axes[0, 0]
        axis.errorbar(_times_s(outcomes), mean, sem, fmt="o", ms=4, color=BLUE, lw=1)
        if bests:
            times = np.array([t_ns for t_ns, _ in bests]) / 1e9 - _start_s(outcomes)
            middle = np.array([best.mean for _, best in bests])
            # The error is not known where the policy says none.
            sd = np.nan_to_num(np.array([best.sd for _, best in bests], np.float64))
            axis.fill_between(
                times, middle - sd, middle + sd, step="post", alpha=0.2, color=ORANGE, lw=0
            )
            axis.step(times, middle, where="post", color=ORANGE, lw=1)
        axis.set_xlabel("time [s]")
        axis.set_ylabel(name)

    caption = "Each setting with its standard error."
    if bests:
        caption += (
            " The line is what the policy expected, at that time, at the place that it then called "
            "best, with one standard deviation."
        )
    return draw("Objective against time", caption, paint)


def _knobs(outcomes: Lines, decisions: Lines, bests: Bests, experiment: Experiment) -> Figure:
    def paint(axes: Any) -> None:
        times = _times_s(outcomes)
        when = np.array([t_ns for t_ns, _ in bests]) / 1e9 - _start_s(outcomes)
        for axis, (name, knob) in zip(axes[:, 0], experiment.knobs.items(), strict=True):
            place = [o["readback"][name] for o in outcomes]
            axis.plot(times, place, "o-", ms=4, lw=0.8, color=BLUE)
            if bests:
                best = [one.knobs[name] for _, one in bests]
                axis.step(when, best, where="post", color=ORANGE, lw=1.2)
            axis.axhline(knob.low, color=GREY, lw=0.8, ls=":")
            axis.axhline(knob.high, color=GREY, lw=0.8, ls=":")
            axis.set_ylabel(f"{name} [{knob.units}]")
        axes[-1, 0].set_xlabel("time [s]")

    refused = sum(decision["status"] == "refused" for decision in decisions)
    line = "; line: the place that the policy then called best" if bests else ""
    caption = f"Readback of each setting{line}; dotted: limits. {refused} decisions were refused."
    return draw("Knobs against time", caption, paint, rows=len(experiment.knobs))


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

    def paint(axes: Any) -> None:
        axis = axes[0, 0]
        axis.hist(latencies, bins=100, color=BLUE)
        axis.axvline(p50, color=ORANGE, lw=1)
        axis.axvline(p99, color=ORANGE, lw=1, ls="--")
        axis.set_yscale("log")
        axis.set_xlabel("exposure to result [s]")
        axis.set_ylabel("shots")

    caption = f"Exposure to the result leaving the worker: median {p50:.3f} s, p99 {p99:.3f} s."
    return draw("Latency of the analysis", caption, paint)
