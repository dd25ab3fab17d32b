"""What the process commands share: sockets towards the agent and the recorder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zmq

    from autosteer.stream import Producer

# Messages that wait for the agent, beyond which the oldest are dropped.
_AGENT_BACKLOG = 4096


def table_producer(
    context: zmq.Context[zmq.Socket[bytes]],
    name: str,
    run_uid: str,
    agent: str,
    recorder: str,
    spool: Path,
    pulse_stride: int,
) -> Producer:
    """Make the producer of a process's tables: the agent may lose some, the recorder none.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    name : str
        Name of the producer.
    run_uid : str
        The run.
    agent, recorder : str
        Where they listen.
    spool : Path
        File for what the recorder does not take at once.
    pulse_stride : int
        Pulse ids from shot to shot.

    Returns
    -------
    Producer
        The producer, with a socket for viewers as well.
    """
    from autosteer.stream import Broadcast, DroppingBacklog, Outlet, Producer, RealClock, Spool

    outlets = {
        "agent": Outlet(context, agent, "connect", DroppingBacklog(_AGENT_BACKLOG), 64),
        "recorder": Outlet(context, recorder, "connect", Spool(spool), 64),
    }
    return Producer(name, run_uid, RealClock(), outlets, Broadcast(context), pulse_stride)
