"""The truth of a simulated run on disk, for scorers; no stage of a run reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts.tables import column
from autosteer.sims.beamline import ShotTruth

_SCHEMA = pa.schema([
    column("pulse_id", pa.uint64(), "1", "number of the machine pulse", nullable=False),
    column("timestamp", pa.int64(), "ns", "time of the pulse, UTC since 1970", nullable=False),
    column("p_hit", pa.float64(), "1", "probability of a hit where the knobs are"),
    column("p_hit_attainable", pa.float64(), "1", "probability of a hit at the best knobs"),
    column("n_crystals", pa.uint32(), "1", "crystals in the beam"),
])
# Continuation mark and a length of zero (Arrow columnar format, IPC streaming format).
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True, eq=False)
class RecordedTruth:
    """The truth of a run as read back; all arrays have shape (n,).

    Parameters
    ----------
    pulse_id : ndarray of uint64
        Number of the machine pulse.
    timestamp : ndarray of int64
        Time of the pulse, UTC since 1970 [ns].
    p_hit : ndarray of float64
        Probability of at least one crystal in the beam where the knobs were.
    p_hit_attainable : ndarray of float64
        The same with the knobs where they were best.
    n_crystals : ndarray of uint32
        Crystals in the beam.
    complete : bool
        Whether the log was closed; if not, the run was cut off and whole batches are given.
    """

    pulse_id: NDArray[np.uint64]
    timestamp: NDArray[np.int64]
    p_hit: NDArray[np.float64]
    p_hit_attainable: NDArray[np.float64]
    n_crystals: NDArray[np.uint32]
    complete: bool

    def __len__(self) -> int:
        return len(self.pulse_id)


class TruthLog:
    """Appends truth to an Arrow IPC stream; what was appended survives the process.

    Parameters
    ----------
    path : path-like
        File to write; an existing one is replaced.
    """

    def __init__(self, path: Path | str) -> None:
        # Not buffered: what was written is with the operating system.
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._file, _SCHEMA)

    def append(self, truth: ShotTruth, timestamps_ns: ArrayLike) -> None:
        """Append shots as one batch.

        Parameters
        ----------
        truth : ShotTruth
            What the pulses met, n rows.
        timestamps_ns : array_like of int64, shape (n,)
            Time of each pulse, UTC since 1970 [ns].

        Raises
        ------
        ValueError
            If there are not as many times as shots.
        """
        timestamps = np.asarray(timestamps_ns, dtype=np.int64)
        if timestamps.shape != (len(truth),):
            raise ValueError(f"{len(truth)} shots with timestamps of shape {timestamps.shape}")
        columns = [
            truth.pulse_id,
            timestamps,
            truth.p_hit,
            truth.p_hit_attainable,
            truth.n_crystals.astype(np.uint32),
        ]
        self._writer.write_batch(
            pa.RecordBatch.from_arrays([pa.array(values) for values in columns], schema=_SCHEMA)
        )

    def close(self) -> None:
        """End the stream and close the file; further calls do nothing."""
        if not self._file.closed:
            self._writer.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_truth(path: Path | str) -> RecordedTruth:
    """Read a log back, also one whose process was killed.

    Parameters
    ----------
    path : path-like
        File that `TruthLog` wrote.

    Returns
    -------
    RecordedTruth
        Shots of all whole batches, in the order appended.

    Raises
    ------
    ValueError
        If the file is no truth log, or was cut off before its header was written.
    """
    batches = []
    with pa.OSFile(str(path), "rb") as source:
        try:
            reader = pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, EOFError, OSError) as error:
            raise ValueError(f"{path} is no truth log: {error}") from error
        if not reader.schema.equals(_SCHEMA):
            raise ValueError(f"{path} is no truth log: it has columns {reader.schema.names}")
        while True:
            try:
                batches.append(reader.read_next_batch())
            except (StopIteration, pa.ArrowInvalid, OSError):
                break
    table = pa.Table.from_batches(batches, schema=_SCHEMA)
    columns = {name: table.column(name).to_numpy() for name in _SCHEMA.names}
    complete = Path(path).read_bytes().endswith(_END_OF_STREAM)
    return RecordedTruth(**columns, complete=complete)
