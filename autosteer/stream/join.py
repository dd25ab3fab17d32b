"""Event building: independent channels joined by pulse id in a ring of slots.

A missing channel leaves a hole, it never drops the shot. Everything is vectorised over the rows of
a batch, and every row that comes in is accounted for: joined, duplicate, late, future or pending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autosteer.stream.shots import Channel, JoinCounters, JoinedShots, concatenate_shots

UInt = NDArray[np.uint64]
Float = NDArray[np.float64]
Index = NDArray[np.intp]

_MAX_CHANNELS = 64
# Rows (and batches) that must lie outside the ring, one after the other, before they are believed.
_REANCHOR_ROWS = 32
_REANCHOR_BATCHES = 3
_END_OF_TIME = 2**64 - 1


@dataclass(slots=True)
class _Progress:
    """How far one producer of a channel has come, and when it was last heard."""

    next_pulse_id: int
    heard_ns: int


@dataclass(slots=True)
class _ChannelState:
    bit: np.uint64
    names: dict[str, int]
    counters: JoinCounters = field(default_factory=JoinCounters)
    producers: dict[str, _Progress] = field(default_factory=dict)
    outside_rows: int = 0
    outside_batches: int = 0


class RingJoin:
    """Join of channels by pulse id.

    Parameters
    ----------
    channels : sequence of Channel
        What takes part.
    slots : int
        Shots held; rounded up to a power of two.
    pulse_stride : int, default 1
        Pulse ids from shot to shot.
    deadline_s : float, default 2.0
        A shot that has waited this long is emitted with what there is [s].
    silent_after_s : float, default 2.0
        A producer that has not been heard for this long no longer holds anything up [s].

    Raises
    ------
    ValueError
        If there are no channels or more than 64, or a number is not positive.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        slots: int,
        pulse_stride: int = 1,
        deadline_s: float = 2.0,
        silent_after_s: float = 2.0,
    ) -> None:
        if not 0 < len(channels) <= _MAX_CHANNELS:
            raise ValueError(f"{len(channels)} channels: between 1 and {_MAX_CHANNELS} can join")
        if slots < 2 or pulse_stride < 1:
            raise ValueError(f"slots ({slots}) must be at least 2, pulse_stride at least 1")
        self._size = 1 << (slots - 1).bit_length()
        self._stride = pulse_stride
        self._deadline_ns = round(deadline_s * 1e9)
        self._silent_ns = round(silent_after_s * 1e9)
        self._channels: dict[str, _ChannelState] = {}
        n_columns = 0
        for number, channel in enumerate(channels):
            names = {column: n_columns + index for index, column in enumerate(channel.columns)}
            n_columns += len(names)
            self._channels[channel.kind] = _ChannelState(np.uint64(1 << number), names)
        self._tags = np.zeros(self._size, np.uint64)
        self._bits = np.zeros(self._size, np.uint64)
        self._times = np.zeros(self._size, np.int64)
        self._arrived = np.zeros(self._size, np.int64)
        self._values = np.full((n_columns, self._size), np.nan)
        # Shots before `_next` have been emitted; none stands in the ring at or beyond `_top`.
        self._next: int | None = None
        self._top = 0
        self._left_behind: list[JoinedShots] = []
        self.reanchored = 0
        """Times that the pulse ids jumped so far that the ring had to start anew."""

    @property
    def counters(self) -> dict[str, JoinCounters]:
        """Counters by table kind."""
        return {kind: state.counters for kind, state in self._channels.items()}

    @property
    def next_pulse_id(self) -> int:
        """Every shot before this pulse id has been emitted; 0 before the first row."""
        return self._next or 0

    def heard(self, kind: str, source: str, last_pulse_id: int, now_ns: int) -> None:
        """Note that a producer is alive and has covered all shots up to a pulse.

        Parameters
        ----------
        kind : str
            Table kind of the stream; other kinds than the channels' are ignored.
        source : str
            The producer.
        last_pulse_id : int
            Last pulse covered; 0 if none yet.
        now_ns : int
            Time of arrival [ns].
        """
        state = self._channels.get(kind)
        if state is None:
            return
        progress = state.producers.setdefault(source, _Progress(0, now_ns))
        progress.heard_ns = now_ns
        if last_pulse_id:
            progress.next_pulse_id = last_pulse_id + self._stride

    def ended(self, kind: str, source: str) -> None:
        """Note that a producer's stream has ended: it holds nothing up any more.

        Parameters
        ----------
        kind : str
            Table kind of the stream.
        source : str
            The producer.
        """
        state = self._channels.get(kind)
        if state is not None and source in state.producers:
            state.producers[source].next_pulse_id = _END_OF_TIME

    def all_ended(self, kind: str) -> bool:
        """Tell whether every producer of a channel has ended its stream.

        Parameters
        ----------
        kind : str
            Table kind of the channel.

        Returns
        -------
        bool
            False while one goes on, or if none has been heard yet.
        """
        producers = self._channels[kind].producers.values()
        return bool(producers) and all(p.next_pulse_id == _END_OF_TIME for p in producers)

    def add(self, kind: str, batch: pa.RecordBatch, now_ns: int) -> None:
        """Offer the rows of a batch.

        Parameters
        ----------
        kind : str
            Table kind; others than the channels' are ignored.
        batch : pyarrow.RecordBatch
            Rows of that kind.
        now_ns : int
            Time of arrival [ns].
        """
        state = self._channels.get(kind)
        if state is None or batch.num_rows == 0:
            return
        pulse_id: UInt = batch.column("pulse_id").to_numpy()
        state.counters.rows_in += len(pulse_id)
        if self._next is None:
            self._next = self._top = int(pulse_id.min())
        rows = self._inside(state, pulse_id)
        slot = self._slots_of(pulse_id[rows])
        winners = self._claim(state, pulse_id[rows], slot, now_ns)
        rows, slot = rows[winners], slot[winners]
        if len(rows) == 0:
            return
        self._times[slot] = batch.column("timestamp").to_numpy()[rows]
        for name, index in state.names.items():
            self._values[index, slot] = _as_float(batch.column(name))[rows]
        self._top = max(self._top, int(pulse_id[rows].max()) + 1)
        state.counters.pending += len(rows)

    def _slots_of(self, pulse_id: UInt) -> Index:
        mask = np.uint64(self._size - 1)
        return ((pulse_id // np.uint64(self._stride)) & mask).astype(np.intp)

    def _inside(self, state: _ChannelState, pulse_id: UInt) -> Index:
        """Count rows that lie outside the ring and return the others.

        A stray pulse id must not move the ring; a stream that has moved for good must.

        Returns
        -------
        ndarray of int
            Rows that lie inside.
        """
        first = self.next_pulse_id
        end = min((first // self._stride + self._size) * self._stride, _END_OF_TIME)
        late = pulse_id < np.uint64(first)
        inside = np.flatnonzero(~late & (pulse_id < np.uint64(end)))
        if len(inside):
            state.outside_rows = state.outside_batches = 0
        else:
            state.outside_rows += len(pulse_id)
            state.outside_batches += 1
            if state.outside_rows >= _REANCHOR_ROWS and state.outside_batches >= _REANCHOR_BATCHES:
                self._reanchor(int(pulse_id.min()))
                return self._inside(state, pulse_id)
        n_late = int(np.count_nonzero(late))
        state.counters.late += n_late
        state.counters.future += len(pulse_id) - len(inside) - n_late
        return inside

    def _reanchor(self, pulse_id: int) -> None:
        """Emit all that is pending with the next `emit`, and start anew at a pulse."""
        self._left_behind.append(self._take(self._top))
        self._next = self._top = pulse_id
        self.reanchored += 1
        for state in self._channels.values():
            state.outside_rows = state.outside_batches = 0
            for progress in state.producers.values():
                progress.next_pulse_id = 0

    def _claim(self, state: _ChannelState, pulse_id: UInt, slot: Index, now_ns: int) -> Index:
        """Take slots for the first row of each shot, and count the others."""
        same = self._tags[slot] == pulse_id
        taken = self._bits[slot] != 0
        candidates = np.flatnonzero(~taken | (same & (self._bits[slot] & state.bit == 0)))
        chosen = pulse_id[candidates]
        if np.any(chosen[1:] < chosen[:-1] + np.uint64(self._stride)):
            # Not one row per slot in order: the first row of each slot wins.
            candidates = candidates[np.unique(slot[candidates], return_index=True)[1]]
        winners = slot[candidates]
        fresh = winners[self._bits[winners] == 0]
        self._values[:, fresh] = np.nan
        self._arrived[fresh] = now_ns
        self._tags[winners] = pulse_id[candidates]
        self._bits[winners] |= state.bit
        duplicates = int(np.count_nonzero(self._tags[slot] == pulse_id)) - len(candidates)
        state.counters.duplicate += duplicates
        state.counters.future += len(pulse_id) - len(candidates) - duplicates
        return candidates

    def emit(self, now_ns: int) -> JoinedShots:
        """Give the shots for which nothing more is to be waited for, in order.

        Parameters
        ----------
        now_ns : int
            Time now [ns].

        Returns
        -------
        JoinedShots
            The shots; perhaps none.
        """
        return self._give(max(self._watermark(now_ns), self._overdue(now_ns)))

    def emit_whole(self, now_ns: int) -> JoinedShots:
        """Give the next shots, in order, up to one that still lacks a channel.

        Unlike `emit` this does not take a producer at its word that it has given all before some
        pulse: channels whose messages overtake each other are put together, too. A shot is given
        when each live channel has given it, or when it has waited for longer than the deadline.

        Parameters
        ----------
        now_ns : int
            Time now [ns].

        Returns
        -------
        JoinedShots
            The shots; perhaps none.
        """
        return self._give(self._whole(now_ns))

    def _whole(self, now_ns: int) -> int:
        """Return the pulse before which shots are whole, or have waited too long."""
        slots = self._span(self._top)
        pulses = (self.next_pulse_id // self._stride + np.arange(len(slots))) * self._stride
        bits, needed = self._bits[slots], self._live_bits(now_ns)
        # Where no channel has given anything, all of them may have passed by.
        waits = np.where(bits == 0, pulses >= self._watermark(now_ns), bits & needed != needed)
        waits &= pulses >= self._overdue(now_ns)
        return int(pulses[np.argmax(waits)]) if waits.any() else self._top

    def _live_bits(self, now_ns: int) -> np.uint64:
        """Return the bits of the channels that have been heard of late, or never."""
        live = np.uint64(0)
        for state in self._channels.values():
            heard = [progress.heard_ns for progress in state.producers.values()]
            if not heard or now_ns - max(heard) <= self._silent_ns:
                live |= state.bit
        return live

    def flush(self) -> JoinedShots:
        """Give everything that is in the ring, complete or not.

        Returns
        -------
        JoinedShots
            The shots; perhaps none.
        """
        return self._give(self._top)

    def _give(self, end: int) -> JoinedShots:
        """Remove the shots before a pulse from the ring, and what a jump has left behind."""
        shots = self._take(end)
        if self._left_behind:
            shots = concatenate_shots([*self._left_behind, shots])
            self._left_behind.clear()
        return shots

    def _watermark(self, now_ns: int) -> int:
        """Return the pulse before which every live channel has given what it has."""
        watermark = self._top
        for state in self._channels.values():
            if not state.producers:
                return self.next_pulse_id
            live = [
                progress.next_pulse_id
                for progress in state.producers.values()
                if now_ns - progress.heard_ns <= self._silent_ns
            ]
            watermark = min([watermark, *live])
        return watermark

    def _overdue(self, now_ns: int) -> int:
        """Return the pulse up to which shots have waited too long."""
        pending = (self._bits != 0) & (self._arrived <= now_ns - self._deadline_ns)
        return int(self._tags[pending].max()) + 1 if pending.any() else 0

    def _span(self, end: int) -> Index:
        """List the slots from the next pulse to another one, in order; all of them at most."""
        first = self.next_pulse_id
        if end <= first:
            return np.empty(0, np.intp)
        count = min((end - 1) // self._stride - first // self._stride + 1, self._size)
        steps = first // self._stride + np.arange(count)
        return (steps & (self._size - 1)).astype(np.intp)

    def _take(self, end: int) -> JoinedShots:
        """Remove the shots before a pulse from the ring."""
        first = self.next_pulse_id
        slots = self._span(end)
        if end > first:
            slots = slots[(self._bits[slots] != 0) & (self._tags[slots] < np.uint64(end))]
            self._next = end
        bits = self._bits[slots]
        present = {kind: bits & state.bit != 0 for kind, state in self._channels.items()}
        columns = {}
        for kind, state in self._channels.items():
            joined = int(np.count_nonzero(present[kind]))
            state.counters.joined += joined
            state.counters.pending -= joined
            for name, index in state.names.items():
                columns[f"{kind}.{name}"] = self._values[index, slots]
        self._bits[slots] = 0
        return JoinedShots(self._tags[slots], self._times[slots], columns, present)


def _as_float(column: pa.Array) -> Float:
    """Give a column as float64, NaN where it is null."""
    values: Float = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
