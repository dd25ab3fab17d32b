"""What a session writes into the run's directory while it runs."""

from __future__ import annotations

from pydantic import TypeAdapter

from autosteer.contracts import Decision, Outcome
from autosteer.record.lines import DocumentFile, LineFile
from autosteer.record.run_directory import RunDirectory
from autosteer.steering.events import LINE_CONFIG, Action, Announce, Finish, Measured, Submit

_LINE: TypeAdapter[Decision | Outcome | Announce | Finish] = TypeAdapter(
    Decision | Outcome | Announce | Finish, config=LINE_CONFIG
)


class RunRecorders:
    """The append-only files of a run.

    Parameters
    ----------
    run : RunDirectory
        The run.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.documents = DocumentFile(run.documents)
        self.controller = LineFile(run.controller)
        self._decisions = LineFile(run.decisions)
        self._outcomes = LineFile(run.outcomes)
        self._messages = LineFile(run.messages)

    def take(self, action: Action) -> None:
        """Write an action where it belongs.

        Parameters
        ----------
        action : Action
            What the controller asked for.
        """
        match action:
            case Submit(decision):
                self._decisions.write_line(_LINE.dump_json(decision).decode())
            case Measured(outcome):
                self._outcomes.write_line(_LINE.dump_json(outcome).decode())
            case Announce() | Finish():
                self._messages.write_line(_LINE.dump_json(action).decode())
            case _:
                pass

    def close(self) -> None:
        """Close every file."""
        for file in (
            self.documents,
            self.controller,
            self._decisions,
            self._outcomes,
            self._messages,
        ):
            file.close()
