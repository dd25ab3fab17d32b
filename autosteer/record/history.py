"""Reads from a run's log what its policy called best, and when."""

from __future__ import annotations

from pydantic import ValidationError

from autosteer.contracts import Best
from autosteer.record.lines import read_lines
from autosteer.record.run_directory import RunDirectory
from autosteer.steering.events import LOG_LINE, PolicyReplied, Stamped

# Of the many lines of a log few are answers of the policy: the others need not be parsed.
_MARK = '"type":"policy"'


def read_bests(run: RunDirectory) -> list[tuple[int, Best]]:
    """Read what the policy called best over a run.

    Parameters
    ----------
    run : RunDirectory
        The run.

    Returns
    -------
    list of (int, Best)
        When each answer was handled [ns UTC], and the best place it named; a line that cannot be
        read, and a log that is not there, give none.
    """
    bests: list[tuple[int, Best]] = []
    if not run.controller.exists():
        return bests
    for line in read_lines(run.controller):
        if _MARK not in line:
            continue
        try:
            read = LOG_LINE.validate_json(line)
        except ValidationError:
            continue
        if isinstance(read, Stamped) and isinstance(read.event, PolicyReplied) and read.event.best:
            bests.append((read.t_ns, read.event.best))
    return bests
