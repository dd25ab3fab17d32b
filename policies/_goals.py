"""Whether a goal is reached, or not worth the beam."""

from __future__ import annotations

from collections.abc import Mapping

from scipy.special import ndtr

from autosteer.contracts import Aim, Goal


def why_enough(goal: Goal, aim: Aim, best: Mapping[str, float], gain: float, what: str) -> str:
    """Say why it is enough.

    Parameters
    ----------
    goal : Goal
        When it is enough.
    aim : Aim
        The objective.
    best : mapping of str to float
        The best place, with the objective and its ``_sd``; empty while nothing is known of it.
    gain : float
        What more is expected to add to it, in the objective's unit; NaN while nobody knows.
    what : str
        What would be done for it, in a word.

    Returns
    -------
    str
        The reason; empty where it is not enough.
    """
    if goal.target is not None and best:
        value, sd = best[aim.name], max(best[f"{aim.name}_sd"], 1e-300)
        if ndtr(aim.sign * (value - goal.target) / sd) >= goal.confidence:
            return f"{aim.name} is {value:.4g}: the target of {goal.target:g} is reached"
    if goal.min_gain is not None and gain < goal.min_gain:
        return f"another {what} is worth {gain:.2g}: less than {goal.min_gain:g}"
    return ""
