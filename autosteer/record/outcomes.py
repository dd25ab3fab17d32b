"""Reads the outcomes of a recorded run as points for a policy."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from autosteer.contracts import Outcome, RecordingError
from autosteer.record.lines import read_lines
from autosteer.record.run_directory import RunDirectory

_OUTCOME = TypeAdapter(Outcome)


def read_outcomes(run: RunDirectory) -> list[dict[str, Any]]:
    """Read the newest outcome of every setting.

    Parameters
    ----------
    run : RunDirectory
        The run.

    Returns
    -------
    list of dict
        The settings in their order, as `Outcome.as_point` gives them.

    Raises
    ------
    RecordingError
        If the run has no outcomes, or a line is not one.
    """
    points: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(read_lines(run.outcomes), 1):
        try:
            outcome = _OUTCOME.validate_json(line)
        except ValidationError as error:
            [first, *_] = error.errors()
            where = ".".join(map(str, first["loc"])) or "line"
            raise RecordingError(
                f"{run.outcomes}, line {number} is no outcome: {where}: {first['msg']}"
            ) from error
        points[outcome.suggestion_id] = outcome.as_point()
    return list(points.values())
