"""The one tree of errors: each message names what, where, the value, and what to do.

::

    AutosteerError
    ├── ExperimentFileError      the experiment file is wrong; carries (path, message) pairs
    ├── NameResolutionError      a name in the experiment file leads to no class
    ├── MissingExtraError        an optional package is not installed; names the pip command
    ├── TableError               a table does not have the shape its kind promises
    ├── WireError                a message cannot be taken from the wire
    │   ├── WireVersionError     it speaks another major version
    │   ├── WireSizeError        it exceeds a cap, and was refused before allocation
    │   ├── StaleRunError        it belongs to another run
    │   ├── UnknownSchemaError   its schema has not been announced
    │   └── OutOfOrderError      its sequence number has been seen or passed
    ├── AddressError             an address may not be bound or is not an address
    ├── RecordingError           a recording cannot be read
    │   └── TruncatedSegmentError  a segment ends inside a batch; whole batches were given before
    ├── AnalysisError            frames, spot lists or cells that no analysis can use
    │   ├── FrameError           a frame has the wrong shape, type or content
    │   └── WorkerDiedError      an item of the work has killed every process that took it
    ├── PolicyError              a policy was asked or told something impossible, or has died
    ├── SafetyError              a check of the envelope could not be made; nothing moves
    ├── DeviceError              a device is missing, disconnected or not what the file says
    └── ProcessError             a supervised process did not start or ended unasked
"""

from __future__ import annotations

from collections.abc import Sequence


class AutosteerError(Exception):
    """Base of everything that autosteer raises on purpose."""


class ExperimentFileError(AutosteerError, ValueError):
    """The experiment file is wrong.

    Parameters
    ----------
    where : str
        The file's name, as the user gave it.
    problems : sequence of (str, str)
        Path of each error inside the file (dotted) and what is wrong there.
    """

    def __init__(self, where: str, problems: Sequence[tuple[str, str]]) -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = "\n".join(f"  {path}: {message}" for path, message in self.problems)
        count = len(self.problems)
        super().__init__(f"{where}: {count} error{'s' if count != 1 else ''}\n{lines}")


class NameResolutionError(AutosteerError):
    """A name such as ``package.module:Class`` leads nowhere."""


class MissingExtraError(AutosteerError, ImportError):
    """An optional package is missing.

    Parameters
    ----------
    package : str
        Import name of what is missing.
    extra : str
        The extra of autosteer that brings it.
    purpose : str
        What it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"run  pip install 'autosteer[{extra}]'"
        )


class TableError(AutosteerError, ValueError):
    """A table does not have the columns, types or keys that its kind promises."""


class WireError(AutosteerError, ValueError):
    """A message cannot be taken from the wire."""


class WireVersionError(WireError):
    """A message speaks another major version of the wire."""


class WireSizeError(WireError):
    """A message exceeds a cap; it was refused before anything was allocated for it."""


class StaleRunError(WireError):
    """A message belongs to another run than the one that is on."""


class UnknownSchemaError(WireError):
    """A table arrived before its schema was announced."""


class OutOfOrderError(WireError):
    """A message's sequence number has been seen or passed already."""


class AddressError(AutosteerError, ValueError):
    """An address is malformed, or may not be bound without keys."""


class RecordingError(AutosteerError):
    """A recording cannot be read."""


class TruncatedSegmentError(RecordingError):
    """A recorded segment ends inside a batch; every whole batch was given before."""


class AnalysisError(AutosteerError, ValueError):
    """Input that no analysis can use."""


class FrameError(AnalysisError):
    """A frame has the wrong shape, type or content."""


class WorkerDiedError(AnalysisError):
    """An item has killed every worker that took it.

    Parameters
    ----------
    number : int
        Number of the item, from 0.
    attempts : int
        Workers that have died of it.
    """

    def __init__(self, number: int, attempts: int) -> None:
        self.number = number
        super().__init__(
            f"item {number}: what worked on it died {attempts} times; it may need more memory than "
            "there is: take fewer frames together"
        )


class PolicyError(AutosteerError):
    """A policy was asked or told something impossible, or its process died."""


class SafetyError(AutosteerError):
    """A check of the envelope could not be made."""


class DeviceError(AutosteerError):
    """A device is missing, disconnected, or not what the experiment file says."""


class ProcessError(AutosteerError):
    """A supervised process did not start, or ended unasked."""
