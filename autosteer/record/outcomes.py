"""Reads the outcomes of a recorded run as points for a policy."""

from __future__ import annotations

import json
from typing import Any

from autosteer.contracts import RecordingError
from autosteer.record.lines import read_lines
from autosteer.record.run_directory import RunDirectory


def read_outcomes(run: RunDirectory) -> list[dict[str, Any]]:
    """Read the newest outcome of every setting.

    Parameters
    ----------
    run : RunDirectory
        The run.

    Returns
    -------
    list of dict
        ``_id``, ``_t_s``, the readback of each knob, and ``name``, ``name_sem`` and ``name_n`` per
        quantity.

    Raises
    ------
    RecordingError
        If the run has no outcomes, or a line is not one.
    """
    points: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(read_lines(run.outcomes), 1):
        try:
            outcome = json.loads(line)
            point = {
                "_id": outcome["suggestion_id"],
                "_t_s": outcome["t_last_shot_ns"] / 1e9,
                **outcome["readback"],
            }
            for name, estimate in outcome["estimates"].items():
                point |= {
                    name: estimate["mean"],
                    f"{name}_sem": estimate["sem"],
                    f"{name}_n": estimate["n"],
                }
        except (ValueError, KeyError, TypeError) as error:
            raise RecordingError(f"{run.outcomes}, line {number} is no outcome: {error}") from error
        points[point["_id"]] = point
    return list(points.values())
