"""The gate of a receiver: refuses what does not belong, and counts everything that comes."""

from __future__ import annotations

from dataclasses import dataclass, field

from autosteer.contracts import OUTSIDE_RUN, Header, OutOfOrderError, StaleRunError


@dataclass(slots=True)
class StreamCounters:
    """What one receiver has seen of one stream (source and kind).

    Parameters
    ----------
    messages, shots : int
        Data messages taken, and the rows or frames in them.
    lost_messages : int
        Messages that sequence numbers prove to be missing.
    dropped_shots : int
        Shots that the producer says it dropped on the way here.
    restarts : int
        Times that the producer has started anew.
    """

    messages: int = 0
    shots: int = 0
    lost_messages: int = 0
    dropped_shots: int = 0
    restarts: int = 0


@dataclass(slots=True)
class _Stream:
    boot_uid: str
    next_seq: int = 0
    dropped_before_boot: int | None = 0
    """What to add to the producer's own count; None until its first heartbeat says where it is."""
    old_boots: set[str] = field(default_factory=set)
    counters: StreamCounters = field(default_factory=StreamCounters)


class Gate:
    """Sequence and run checks of one receiver.

    Parameters
    ----------
    run_uid : str
        The run that is on; messages of another are refused.
    """

    def __init__(self, run_uid: str) -> None:
        self._run_uid = run_uid
        self._outside_since_ns: int | None = None
        self._streams: dict[tuple[str, str], _Stream] = {}
        self.refused: dict[str, int] = {}
        """Messages refused, by the name of the error."""

    def admit_outside(self, since_ns: int) -> None:
        """Admit from now on what producers outside of any run send, too.

        Parameters
        ----------
        since_ns : int
            What they have sent before is refused [ns UTC].
        """
        self._outside_since_ns = since_ns

    def refuse(self, error: Exception) -> None:
        """Count a refusal.

        Parameters
        ----------
        error : Exception
            Why the message was refused.
        """
        name = type(error).__name__
        self.refused[name] = self.refused.get(name, 0) + 1

    def admit(self, header: Header) -> None:
        """Check that a message belongs here and comes in order, and count it.

        Parameters
        ----------
        header : Header
            Header of the message.

        Raises
        ------
        StaleRunError
            If it is of another run, or of a boot of the producer that has ended.
        OutOfOrderError
            If its sequence number has been seen or passed.
        """
        self._check_run(header)
        stream = self._stream(header)
        if header.message == "heartbeat":
            if header.seq > stream.next_seq:
                stream.counters.lost_messages += header.seq - stream.next_seq
                stream.next_seq = header.seq
            if stream.dropped_before_boot is None:
                stream.dropped_before_boot = -header.dropped
            stream.counters.dropped_shots = stream.dropped_before_boot + header.dropped
            return
        if header.seq < stream.next_seq:
            raise OutOfOrderError(
                f"message {header.seq} of '{header.source}' ({header.kind}): "
                f"{stream.next_seq} was expected"
            )
        stream.counters.lost_messages += header.seq - stream.next_seq
        stream.next_seq = header.seq + 1
        stream.counters.messages += 1
        stream.counters.shots += header.n

    def _check_run(self, header: Header) -> None:
        """Refuse what belongs to another run, or was sent before this one began."""
        since_ns = self._outside_since_ns
        if header.run_uid == OUTSIDE_RUN and since_ns is not None:
            if header.t_sent_ns < since_ns:
                raise StaleRunError(
                    f"message of '{header.source}' was sent before the run that is on has begun"
                )
        elif header.run_uid != self._run_uid:
            raise StaleRunError(
                f"message of '{header.source}' belongs to run {header.run_uid}, "
                f"the run that is on is {self._run_uid}"
            )

    def _stream(self, header: Header) -> _Stream:
        """Find the state of a stream; a new boot begins a new count of sequence numbers."""
        key = (header.source, header.kind)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(header.boot_uid)
            if header.run_uid == OUTSIDE_RUN:
                # Its stream has begun before the run: what is past is not lost.
                stream.next_seq = header.seq
                stream.dropped_before_boot = None
        elif header.boot_uid != stream.boot_uid:
            if header.boot_uid in stream.old_boots:
                raise StaleRunError(
                    f"message of '{header.source}' comes from a boot that has ended"
                )
            stream.old_boots.add(stream.boot_uid)
            stream.boot_uid = header.boot_uid
            stream.next_seq = 0
            stream.dropped_before_boot = stream.counters.dropped_shots
            stream.counters.restarts += 1
        return stream

    @property
    def counters(self) -> dict[tuple[str, str], StreamCounters]:
        """Counters by (source, kind)."""
        return {key: stream.counters for key, stream in self._streams.items()}
