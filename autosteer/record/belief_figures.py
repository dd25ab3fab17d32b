"""The plots of what a policy believes: slices, maps and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Experiment
from autosteer.record.beliefs import Beliefs
from autosteer.record.canvas import BLUE, GREY, ORANGE, Figure, draw

Float = NDArray[np.float64]
Lines = Sequence[Mapping[str, Any]]

# A setting is near a slice where every other knob is within this share of its range.
_NEAR = 0.1
_Z_95 = 1.96


def belief_figures(outcomes: Lines, experiment: Experiment, beliefs: Beliefs) -> list[Figure]:
    """Draw what a policy believes, as far as it is known.

    Parameters
    ----------
    outcomes : sequence of mapping
        Lines of the run's outcomes.
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
    if len(experiment.problem.objectives) > 1:
        figures += _fronts(outcomes, experiment, beliefs)
    if beliefs.slices:
        figures.append(_slices(outcomes, experiment, beliefs))
    if beliefs.maps:
        figures.append(_maps(outcomes, experiment, beliefs))
    return figures


def _label(experiment: Experiment, knob: str) -> str:
    return f"{knob} [{experiment.knobs[knob].units}]"


def _near(
    outcomes: Lines, experiment: Experiment, best: Mapping[str, float], along: Sequence[str]
) -> Lines:
    """Keep the settings at which all knobs but a slice's own are near the best place."""
    return [
        outcome
        for outcome in outcomes
        if all(
            name in along
            or abs(outcome["readback"][name] - best[name]) <= _NEAR * (knob.high - knob.low)
            for name, knob in experiment.knobs.items()
        )
    ]


def _measured(outcomes: Lines, quantity: str) -> tuple[Float, Float]:
    """Return means and standard errors, shape (n,); NaN where there is none."""
    estimates = [outcome["estimates"].get(quantity, {}) for outcome in outcomes]
    mean, sem = (
        np.array([one.get(name) for one in estimates], np.float64) for name in ("mean", "sem")
    )
    return mean, sem


def _slices(outcomes: Lines, experiment: Experiment, beliefs: Beliefs) -> Figure:
    objectives = list(dict.fromkeys(one.objective for one in beliefs.slices))
    knobs = list(experiment.knobs)

    def paint(axes: Any) -> None:
        for one in beliefs.slices:
            row, column = objectives.index(one.objective), knobs.index(one.knob)
            axis = axes[row, column]
            band = _Z_95 * one.sd
            axis.fill_between(one.position, one.mean - band, one.mean + band, alpha=0.2, color=BLUE)
            axis.plot(one.position, one.mean, color=BLUE)
            axis.axvline(beliefs.best[one.knob], color=ORANGE, lw=0.8)
            near = _near(outcomes, experiment, beliefs.best, [one.knob])
            place = [outcome["readback"][one.knob] for outcome in near]
            mean, sem = _measured(near, one.objective)
            axis.errorbar(place, mean, sem, fmt="o", ms=3, lw=0.8, color=GREY)
            axis.locator_params(axis="x", nbins=5)
            if row == len(objectives) - 1:
                axis.set_xlabel(_label(experiment, one.knob))
            if column == 0:
                axis.set_ylabel(one.objective)

    caption = (
        "Posterior mean and 95 % band along each knob, the others at the best place (line); dots: "
        f"settings at which these were within {_NEAR:.0%} of their range of it. The policy was "
        "made again from the experiment file, and told all recorded outcomes."
    )
    return draw(
        "What the policy believes",
        caption,
        paint,
        rows=len(objectives),
        columns=len(knobs),
        shared="col",
    )


def _maps(outcomes: Lines, experiment: Experiment, beliefs: Beliefs) -> Figure:
    def paint(axes: Any) -> None:
        for axis, one in zip(axes[0], beliefs.maps, strict=True):
            axis.grid(visible=False)
            filled = axis.contourf(one.x, one.y, one.mean, levels=20)
            axis.figure.colorbar(filled, ax=axis, label=one.objective)
            first, second = one.knobs
            near = _near(outcomes, experiment, beliefs.best, one.knobs)
            x = [outcome["readback"][first] for outcome in near]
            y = [outcome["readback"][second] for outcome in near]
            axis.plot(x, y, ".", ms=4, color="white", mec=GREY, mew=0.4)
            axis.plot(beliefs.best[first], beliefs.best[second], "*", ms=12, color=ORANGE)
            axis.set_xlabel(_label(experiment, first))
            axis.set_ylabel(_label(experiment, second))

    caption = (
        "Posterior mean along the two knobs that matter most, the others at the best place (star); "
        "dots: settings near this plane."
    )
    return draw("Map of the two most important knobs", caption, paint, columns=len(beliefs.maps))


def _fronts(outcomes: Lines, experiment: Experiment, beliefs: Beliefs) -> list[Figure]:
    names = [aim.name for aim in experiment.problem.objectives]
    measured = [one for one in outcomes if set(names) <= one["estimates"].keys()]
    if not measured:
        return []

    def paint(axes: Any) -> None:
        for axis, other in zip(axes[0], names[1:], strict=True):
            (x, x_sem), (y, y_sem) = _measured(measured, names[0]), _measured(measured, other)
            axis.errorbar(x, y, y_sem, x_sem, fmt=".", ms=4, lw=0.6, color=GREY)
            front = beliefs.front
            if front:
                axis.errorbar(
                    [point.mean[names[0]] for point in front],
                    [point.mean[other] for point in front],
                    [point.sd[other] for point in front],
                    [point.sd[names[0]] for point in front],
                    fmt="o-" if len(names) == 2 else "o",
                    ms=4,
                    lw=1,
                    color=BLUE,
                )
            axis.set_xlabel(names[0])
            axis.set_ylabel(other)

    caption = "Grey: every setting, with standard errors."
    if beliefs.front:
        caption += (
            f" Blue: the {len(beliefs.front)} places that no other one beats, by posterior means, "
            "with standard deviations."
        )
    return [draw("Objectives against each other", caption, paint, columns=len(names) - 1)]
