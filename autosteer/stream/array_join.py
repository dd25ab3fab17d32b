"""Event building of arrays: independent channels, each a row of numbers a shot, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.stream.join import RingJoin
from autosteer.stream.shots import Channel, JoinCounters

UInt = NDArray[np.uint64]
Int = NDArray[np.int64]

_ROW = "row"
# A row is named by the number of its block and its place in it; both are exact in a float64.
_MAX_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ArrayShots:
    """Shots in the order of their pulse ids, with the rows of all channels.

    Parameters
    ----------
    pulse_id : ndarray of uint64, shape (n,)
        Strictly increasing.
    timestamp_ns : ndarray of int64, shape (n,)
        Exposure times [ns UTC].
    values : ndarray of float32, shape (n, n_channels, n_values)
        The rows; NaN where a channel has not come, infinite where an integer was the largest that
        its type can hold.
    """

    pulse_id: UInt
    timestamp_ns: Int
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pulse_id)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Rows as they came in one message."""

    rows: NDArray[Any]
    last_pulse_id: int


class ArrayJoin:
    """Puts the rows of independent channels together, shot by shot.

    Messages may come late, twice, not at all, and before earlier ones. Rows stay where they were
    received until their shot is given.

    Parameters
    ----------
    channels : sequence of str
        Names of the channels, in their order.
    n_values : int
        Numbers in a row.
    slots : int
        Shots held.
    pulse_stride : int, default 1
        Pulse ids from shot to shot.
    deadline_s : float, default 0.2
        A shot waits this long for the last of its channels [s].
    silent_after_s : float, default 2.0
        A channel that has not been heard for this long is not waited for [s].
    """

    def __init__(
        self,
        channels: Sequence[str],
        n_values: int,
        slots: int,
        pulse_stride: int = 1,
        deadline_s: float = 0.2,
        silent_after_s: float = 2.0,
    ) -> None:
        self._join = RingJoin(
            [Channel(name, (_ROW,)) for name in channels],
            slots,
            pulse_stride,
            deadline_s,
            silent_after_s,
        )
        self._n_values = n_values
        self._blocks: dict[str, dict[int, _Block]] = {name: {} for name in channels}
        self._covered: dict[str, int] = {}
        self._number = 0

    @property
    def counters(self) -> dict[str, JoinCounters]:
        """Counters by channel."""
        return self._join.counters

    @property
    def rows_held(self) -> int:
        """Rows in memory, those included that only share a message with one that is waited for."""
        return sum(len(block.rows) for blocks in self._blocks.values() for block in blocks.values())

    def add(
        self, channel: str, pulse_ids: UInt, times_ns: Int, rows: NDArray[Any], now_ns: int
    ) -> None:
        """Offer rows of a channel.

        Parameters
        ----------
        channel : str
            The channel; others than those of the join are ignored.
        pulse_ids : ndarray of uint64, shape (n,)
            Pulses.
        times_ns : ndarray of int64, shape (n,)
            Their exposure times [ns UTC].
        rows : ndarray, shape (n, n_values)
            The rows; they must not change afterwards.
        now_ns : int
            Time of arrival [ns].

        Raises
        ------
        ValueError
            If the rows are not as long as they should be, or there is not one for each pulse.
        """
        blocks = self._blocks.get(channel)
        if blocks is None:
            return
        if rows.shape != (len(pulse_ids), self._n_values):
            raise ValueError(
                f"channel '{channel}' gives rows of shape {rows.shape}: it must be "
                f"({len(pulse_ids)}, {self._n_values})"
            )
        if not len(pulse_ids):
            return
        self._number += 1
        counters = self._join.counters[channel]
        pending = counters.pending
        names = self._number * _MAX_BLOCK + np.arange(len(rows))
        batch = pa.RecordBatch.from_pydict({
            "pulse_id": pulse_ids,
            "timestamp": times_ns,
            _ROW: names,
        })
        self._join.add(channel, batch, now_ns)
        # Rows that the ring has refused must not stay in memory.
        if counters.pending > pending:
            blocks[self._number] = _Block(rows, int(pulse_ids.max()))

    def heard(self, channel: str, source: str, last_pulse_id: int, now_ns: int) -> None:
        """Note that a channel is alive.

        Parameters
        ----------
        channel, source : str
            The channel and its producer.
        last_pulse_id : int
            A pulse that it has come to; 0 if to none yet.
        now_ns : int
            Time of arrival [ns].
        """
        self._covered[channel] = max(last_pulse_id, self._covered.get(channel, 0))
        self._join.heard(channel, source, self._covered[channel], now_ns)

    def ended(self, channel: str, source: str) -> None:
        """Note that a channel's stream has ended.

        Parameters
        ----------
        channel, source : str
            The channel and its producer.
        """
        self._join.ended(channel, source)

    def emit(self, now_ns: int) -> ArrayShots:
        """Give the next shots that are whole, or have waited too long.

        Parameters
        ----------
        now_ns : int
            Time now [ns].

        Returns
        -------
        ArrayShots
            The shots; perhaps none.
        """
        return self._gather(flush=False, now_ns=now_ns)

    def flush(self) -> ArrayShots:
        """Give all that is there, whole or not.

        Returns
        -------
        ArrayShots
            The shots; perhaps none.
        """
        return self._gather(flush=True, now_ns=0)

    def _gather(self, *, flush: bool, now_ns: int) -> ArrayShots:
        shots = self._join.flush() if flush else self._join.emit_whole(now_ns)
        shape = (len(shots), len(self._blocks), self._n_values)
        values = np.full(shape, np.nan, dtype=np.float32)
        for index, (channel, blocks) in enumerate(self._blocks.items()):
            names = shots.columns[f"{channel}.{_ROW}"]
            there = np.flatnonzero(shots.present[channel])
            number, row = np.divmod(names[there].astype(np.int64), _MAX_BLOCK)
            for one in np.unique(number):
                here = number == one
                rows = blocks[int(one)].rows[row[here]]
                values[there[here], index] = rows
                if rows.dtype.kind in "iu":
                    full = rows == np.iinfo(rows.dtype).max
                    if full.any():
                        values[there[here], index] = np.where(full, np.inf, rows)
            self._forget(blocks)
        return ArrayShots(shots.pulse_id, shots.timestamp_ns, values)

    def _forget(self, blocks: dict[int, _Block]) -> None:
        """Let go of what can no longer be asked for."""
        passed = self._join.next_pulse_id
        for number in [one for one, block in blocks.items() if block.last_pulse_id < passed]:
            del blocks[number]
