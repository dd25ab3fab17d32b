"""Tables between processes: wire format, sockets, join by pulse id, recording and replay."""

from autosteer.stream.array_join import ArrayJoin, ArrayShots
from autosteer.stream.backlog import Backlog, DroppingBacklog, Spool
from autosteer.stream.clocks import RealClock, VirtualClock
from autosteer.stream.gate import Gate, StreamCounters
from autosteer.stream.join import RingJoin
from autosteer.stream.producer import Coverage, Producer
from autosteer.stream.receiver import Received, Receiver
from autosteer.stream.recorder import Recorder
from autosteer.stream.recording import SegmentWriter, TableRecorder, read_segment, segments
from autosteer.stream.shots import Channel, JoinCounters, JoinedShots, concatenate_shots
from autosteer.stream.sockets import (
    ANY_PORT,
    AsyncReader,
    Broadcast,
    Inlet,
    Outlet,
    check_address,
)
from autosteer.stream.wire import (
    Message,
    SchemaBook,
    decode,
    decode_frames,
    encode_frames,
    encode_heartbeat,
    encode_table,
    frames_info,
)

__all__ = [
    "ANY_PORT",
    "ArrayJoin",
    "ArrayShots",
    "AsyncReader",
    "Backlog",
    "Broadcast",
    "Channel",
    "Coverage",
    "DroppingBacklog",
    "Gate",
    "Inlet",
    "JoinCounters",
    "JoinedShots",
    "Message",
    "Outlet",
    "Producer",
    "RealClock",
    "Received",
    "Receiver",
    "Recorder",
    "RingJoin",
    "SchemaBook",
    "SegmentWriter",
    "Spool",
    "StreamCounters",
    "TableRecorder",
    "VirtualClock",
    "check_address",
    "concatenate_shots",
    "decode",
    "decode_frames",
    "encode_frames",
    "encode_heartbeat",
    "encode_table",
    "frames_info",
    "read_segment",
    "segments",
]
