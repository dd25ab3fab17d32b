"""Replay: the controller's log is fed back, and everything it decided must come out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from autosteer.contracts import (
    Experiment,
    Mode,
    RecordingError,
    TruncatedSegmentError,
)
from autosteer.record.lines import read_lines
from autosteer.record.run_directory import RunDirectory
from autosteer.steering.controller import Controller
from autosteer.steering.events import (
    LOG_LINE,
    Action,
    AskPolicy,
    Consequence,
    Measured,
    PolicyFailed,
    PolicyReplied,
    Stamped,
    Submit,
    TableArrived,
)
from autosteer.steering.policy_host import PolicyHost
from autosteer.stream import read_segment, segments


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay has shown.

    Parameters
    ----------
    events, outcomes, decisions, suggestions : int
        How many of each were reproduced.
    difference : str
        Where the replay first differs from the record, and how; empty if it does not.
    """

    events: int
    outcomes: int
    decisions: int
    suggestions: int
    difference: str

    @property
    def exact(self) -> bool:
        """Whether everything came out as recorded."""
        return not self.difference


class TableShelf:
    """Finds recorded tables by stream and number, in the order in which they were sent.

    Parameters
    ----------
    directory : Path
        Folder of the recorded tables.
    """

    def __init__(self, directory: Path) -> None:
        self._streams: dict[tuple[str, str, str], list[Path]] = {}
        for path in segments(directory):
            source, boot_uid, _ = path.stem.rsplit("-", 2)
            self._streams.setdefault((source, path.parent.name, boot_uid), []).append(path)
        self._open: dict[tuple[str, str, str], Iterator[tuple[int, pa.RecordBatch]]] = {}

    def find(self, event: TableArrived) -> pa.RecordBatch | None:
        """Find a table; within a stream, numbers must be asked for in rising order.

        Parameters
        ----------
        event : TableArrived
            Which table.

        Returns
        -------
        pyarrow.RecordBatch or None
            Its rows, or None if it was not recorded.
        """
        key = (event.source, event.kind, event.boot_uid)
        if key not in self._open:
            self._open[key] = self._read(self._streams.get(key, []))
        for seq, batch in self._open[key]:
            if seq == event.seq:
                return batch
            if seq > event.seq:
                break
        return None

    @staticmethod
    def _read(paths: list[Path]) -> Iterator[tuple[int, pa.RecordBatch]]:
        for path in paths:
            try:
                for header, batch in read_segment(path):
                    yield header.seq, batch
            except TruncatedSegmentError:
                # The recorder was killed here: what is whole has been given.
                continue


class Replay:
    """Feeds a recorded run back through a new controller and a new policy.

    Parameters
    ----------
    run : RunDirectory
        The recorded run.
    experiment : Experiment
        Its experiment file.
    mode : {"observe", "suggest", "approve", "auto"}
        Its mode.
    make_host : callable, optional
        Makes the policy anew, as at the start of the run; without it, the recorded suggestions are
        taken as they are.
    """

    def __init__(
        self,
        run: RunDirectory,
        experiment: Experiment,
        mode: Mode,
        make_host: Callable[[], PolicyHost] | None,
    ) -> None:
        self._run = run
        self._controller = Controller(experiment, mode)
        self._make_host = make_host
        self._host = make_host() if make_host is not None else None
        self._shelf = TableShelf(run.tables)
        self._asks: dict[int, AskPolicy] = {}
        self._counts = {"events": 0, "outcomes": 0, "decisions": 0, "suggestions": 0}

    def run(self, on_progress: Callable[[int], None] = lambda _: None) -> ReplayResult:
        """Replay everything, up to the first difference.

        Parameters
        ----------
        on_progress : callable, optional
            Told of the number of each event.

        Returns
        -------
        ReplayResult
            What came out.
        """
        difference = ""
        for stamped, recorded in _pairs(self._lines()):
            on_progress(stamped.number)
            difference = self._replay(stamped, recorded)
            if difference:
                break
            self._counts["events"] += 1
        return ReplayResult(**self._counts, difference=difference)

    def _lines(self) -> Iterator[Stamped | Consequence]:
        for number, line in enumerate(read_lines(self._run.controller), 1):
            try:
                yield LOG_LINE.validate_json(line)
            except ValidationError as error:
                raise RecordingError(
                    f"{self._run.controller}, line {number}: not a line of this version's log "
                    f"({error.errors()[0]['msg']})"
                ) from error

    def _replay(self, stamped: Stamped, recorded: tuple[Action, ...]) -> str:
        """Replay one event; return how it differs, or nothing."""
        event = stamped.event
        where = f"event {stamped.number} ({event.type})"
        batch = None
        if isinstance(event, TableArrived):
            batch = self._shelf.find(event)
            if batch is None:
                return (
                    f"{where}: table {event.seq} of '{event.source}' ({event.kind}) is not in "
                    "the record"
                )
        if isinstance(event, PolicyReplied) and self._host is not None:
            difference = self._ask_again(self._host, event)
            if difference:
                return difference
        if isinstance(event, PolicyFailed) and event.forgot and self._make_host is not None:
            self._host = self._make_host()
        actions = self._controller.handle(stamped, batch)
        for action in actions:
            self._note(action)
        if actions == recorded:
            return ""
        return f"{where}: {_first_difference(recorded, actions)}"

    def _note(self, action: Action) -> None:
        match action:
            case AskPolicy():
                self._asks[action.request] = action
            case Submit():
                self._counts["decisions"] += 1
            case Measured():
                self._counts["outcomes"] += 1
            case _:
                pass

    def _ask_again(self, host: PolicyHost, recorded: PolicyReplied) -> str:
        """Ask the new policy what the old one was asked; return how the answers differ."""
        ask = self._asks.pop(recorded.request, None)
        if ask is None:
            return f"the policy answered ask {recorded.request}, which the replay does not make"
        answer = replace(host.answer(ask), cpu_s=recorded.cpu_s)
        if answer != recorded:
            return (
                f"ask {recorded.request}: the policy answered {_short(recorded)}, "
                f"in the replay {_short(answer)}"
            )
        self._counts["suggestions"] += len(answer.suggestions)
        return ""


def _pairs(
    lines: Iterator[Stamped | Consequence],
) -> Iterator[tuple[Stamped, tuple[Action, ...]]]:
    """Put each event together with what was recorded as its consequence."""
    for line, following in pairwise(chain(lines, [Consequence(-1, ())])):
        if isinstance(line, Stamped):
            belongs = isinstance(following, Consequence) and following.number == line.number
            yield line, following.actions if isinstance(following, Consequence) and belongs else ()


def _first_difference(recorded: tuple[Action, ...], replayed: tuple[Action, ...]) -> str:
    """Name the first action that differs, with the decision where it is one."""
    for before, now in zip(recorded, replayed, strict=False):
        if before != now:
            label = ""
            if isinstance(before, Submit):
                label = f"decision {before.decision.number}: "
            return f"{label}recorded {_short(before)}, replayed {_short(now)}"
    missing = len(recorded) > len(replayed)
    extra = (recorded if missing else replayed)[min(len(recorded), len(replayed))]
    return f"{'recorded only' if missing else 'replayed only'}: {_short(extra)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "..."
