"""The truth of a simulated run on disk, for scorers; no stage of a run reads it."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts.tables import column
from autosteer.sims.xleap import PairChances

_KEYS = [
    column("pulse_id", pa.uint64(), "1", "number of the machine pulse", nullable=False),
    column("timestamp", pa.int64(), "ns", "time of the pulse, UTC since 1970", nullable=False),
]
LIGHT_TRUTH = pa.schema([
    *_KEYS,
    column("beam_intensity", pa.float64(), "1", "pulse energy over its nominal value"),
])
"""What is logged of any pulse."""

JET_TRUTH = pa.schema([
    *_KEYS,
    column("p_hit", pa.float64(), "1", "probability of a hit where the knobs are"),
    column("p_hit_attainable", pa.float64(), "1", "probability of a hit at the best knobs"),
    column("n_crystals", pa.uint32(), "1", "crystals in the beam"),
])
"""What is logged of a jet: columns of `ShotTruth`."""

PULSE_TRUTH = pa.schema([
    *_KEYS,
    column("n_spikes", pa.uint32(), "1", "sub-spikes"),
    column("delay_as", pa.float64(), "as", "delay where a pair alone has lased"),
    column("first_chance", pa.float64(), "1", "probability of the first spike of a pair"),
    column("second_chance", pa.float64(), "1", "probability of the second"),
    column("stray_mean", pa.float64(), "1", "mean number of other sub-spikes"),
    column("delay_mean_as", pa.float64(), "as", "mean delay of a pair"),
])
"""What is logged of pulses: columns of `PulseTruth`."""

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


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPulses:
    """The truth of a run with pulses as read back; all arrays have shape (n,).

    Parameters
    ----------
    pulse_id : ndarray of uint64
        Number of the machine pulse.
    timestamp : ndarray of int64
        Time of the pulse, UTC since 1970 [ns].
    n_spikes : ndarray of uint32
        Sub-spikes.
    delay_as : ndarray of float64
        Delay where a pair alone has lased; NaN elsewhere [as].
    chances : PairChances
        What the machine made of the pulses, but for chance.
    complete : bool
        Whether the log was closed; if not, the run was cut off and whole batches are given.
    """

    pulse_id: NDArray[np.uint64]
    timestamp: NDArray[np.int64]
    n_spikes: NDArray[np.uint32]
    delay_as: NDArray[np.float64]
    chances: PairChances
    complete: bool

    def __len__(self) -> int:
        return len(self.pulse_id)


class TruthLog:
    """Appends truth to an Arrow IPC stream; what was appended survives the process.

    Parameters
    ----------
    path : path-like
        File to write; an existing one is replaced.
    schema : pyarrow.Schema
        What is logged, `JET_TRUTH` for example: attributes of the truth, and the timestamp.
    """

    def __init__(self, path: Path | str, schema: pa.Schema) -> None:
        # Not buffered: what was written is with the operating system.
        self._file = pa.OSFile(str(path), "wb")
        self._schema = schema
        self._writer = pa.ipc.new_stream(self._file, schema)

    def append(self, truth: Sized, timestamps_ns: ArrayLike) -> None:
        """Append shots as one batch.

        Parameters
        ----------
        truth : ShotTruth or PulseTruth
            What the pulses met, or are, n rows; it has an attribute for each column.
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
            pa.array(
                timestamps if field.name == "timestamp" else getattr(truth, field.name),
                type=field.type,
            )
            for field in self._schema
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

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
    """Read the log of a jet back, also one whose process was killed.

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
    columns, complete = _read(path, JET_TRUTH)
    return RecordedTruth(**columns, complete=complete)


def read_pulse_truth(path: Path | str) -> RecordedPulses:
    """Read the log of pulses back, also one whose process was killed.

    Parameters
    ----------
    path : path-like
        File that `TruthLog` wrote.

    Returns
    -------
    RecordedPulses
        Shots of all whole batches, in the order appended.

    Raises
    ------
    ValueError
        If the file is no log of pulses, or was cut off before its header was written.
    """
    columns, complete = _read(path, PULSE_TRUTH)
    chances = PairChances(**{field.name: columns.pop(field.name) for field in fields(PairChances)})
    return RecordedPulses(**columns, chances=chances, complete=complete)


def _read(path: Path | str, schema: pa.Schema) -> tuple[dict[str, NDArray[Any]], bool]:
    """Read the columns of a log, and whether it was closed."""
    batches = []
    with pa.OSFile(str(path), "rb") as source:
        try:
            reader = pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, EOFError, OSError) as error:
            raise ValueError(f"{path} is no truth log: {error}") from error
        if not reader.schema.equals(schema):
            raise ValueError(f"{path} is no truth log: it has columns {reader.schema.names}")
        while True:
            try:
                batches.append(reader.read_next_batch())
            except (StopIteration, pa.ArrowInvalid, OSError):
                break
    table = pa.Table.from_batches(batches, schema=schema)
    columns = {name: table.column(name).to_numpy() for name in schema.names}
    return columns, Path(path).read_bytes().endswith(_END_OF_STREAM)
