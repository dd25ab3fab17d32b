"""Sockets: one PUSH/PULL pair per producer and lossless consumer, PUB for viewers.

Producers never wait. What a consumer does not take at once stands in a backlog, whose kind says
what happens when it is full.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Literal

import zmq

from autosteer.contracts import AddressError
from autosteer.contracts.messages import MAX_FRAMES_BYTES, MAX_TABLE_BYTES
from autosteer.stream.backlog import Backlog
from autosteer.stream.wire import Part, Parts

_TCP = re.compile(r"^tcp://(?P<host>[^:/]+|\[[0-9a-fA-F:]+\]):(?P<port>\*|\d{1,5})$")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LARGEST = {"tables": MAX_TABLE_BYTES, "frames": MAX_FRAMES_BYTES}
_COPY_BELOW_BYTES = 64 * 1024
ANY_PORT = "tcp://127.0.0.1:*"


def check_address(address: str) -> str:
    """Check that an address is well formed and reaches no further than this machine.

    Parameters
    ----------
    address : str
        ``tcp://host:port``; the port may be ``*`` to bind any free one.

    Returns
    -------
    str
        The same address.

    Raises
    ------
    AddressError
        If it is malformed, or not on the loopback interface.
    """
    match = _TCP.match(address)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        raise AddressError(f"'{address}' is no address: write tcp://host:port")
    if match["host"] not in _LOOPBACK:
        raise AddressError(
            f"'{address}' is not on the loopback interface: sockets that reach beyond this "
            "machine are refused without CURVE keys; use a tunnel (ssh -L) to 127.0.0.1"
        )
    return address


def _open(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    address: str,
    role: Literal["bind", "connect"],
    options: dict[zmq.SocketOption, int],
) -> zmq.Socket[bytes]:
    """Make a socket, set its options, then bind or connect it."""
    check_address(address)
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    for option, value in options.items():
        socket.setsockopt(option, value)
    try:
        if role == "bind":
            socket.bind(address)
        else:
            socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        raise AddressError(f"cannot {role} {address}: {error}") from error
    return socket


def _address_of(socket: zmq.Socket[bytes]) -> str:
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    return bytes(endpoint).rstrip(b"\0").decode()


class Outlet:
    """The producer's end of a PUSH/PULL pair.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    address : str
        ``tcp://127.0.0.1:port``.
    role : {"bind", "connect"}
        The stable side binds.
    backlog : Backlog
        Where messages wait that the consumer does not take at once.
    high_water_mark : int, default 8
        Messages that ZeroMQ itself may hold.

    Attributes
    ----------
    sent_shots, dropped_shots : int
        Shots handed to ZeroMQ, and shots that the backlog had to drop.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        role: Literal["bind", "connect"],
        backlog: Backlog,
        high_water_mark: int = 8,
    ) -> None:
        options = {zmq.SNDHWM: high_water_mark, zmq.IMMEDIATE: 1}
        self._socket = _open(context, zmq.PUSH, address, role, options)
        self._backlog = backlog
        self._pending_shots = 0
        self.sent_shots = 0
        self.dropped_shots = 0

    @property
    def address(self) -> str:
        """Where the socket is bound or connected."""
        return _address_of(self._socket)

    @property
    def pending_shots(self) -> int:
        """Shots that wait in the backlog."""
        return self._pending_shots

    def send(self, parts: Parts, shots: int) -> None:
        """Send a message, or put it behind those that wait.

        Parameters
        ----------
        parts : list of bytes-like
            The message; large parts are not copied and must not change afterwards.
        shots : int
            Rows or frames in it, for the counters.
        """
        if self.flush() and self._try_send(parts):
            self.sent_shots += shots
            return
        dropped = self._backlog.append(parts, shots)
        self.dropped_shots += dropped
        self._pending_shots += shots - dropped

    def flush(self) -> bool:
        """Send what waits, as far as the consumer takes it.

        Returns
        -------
        bool
            True if nothing waits any more.
        """
        while len(self._backlog):
            parts, shots = self._backlog.peek()
            if not self._try_send(parts):
                return False
            self._backlog.pop()
            self._pending_shots -= shots
            self.sent_shots += shots
        return True

    def _try_send(self, parts: Parts) -> bool:
        large = memoryview(parts[-1]).nbytes >= _COPY_BELOW_BYTES
        try:
            self._socket.send_multipart(parts, flags=zmq.NOBLOCK, copy=not large)
        except zmq.Again:
            return False
        return True

    def close(self, linger_s: float) -> None:
        """Close the socket; what still waits in the backlog is counted as dropped.

        Parameters
        ----------
        linger_s : float
            How long ZeroMQ may go on to deliver what it holds [s].
        """
        self.flush()
        self.dropped_shots += self._pending_shots
        self._pending_shots = 0
        self._backlog.close()
        self._socket.close(linger=round(linger_s * 1000))


class Inlet:
    """The consumer's end of a PUSH/PULL pair.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    address : str
        ``tcp://127.0.0.1:port``; `ANY_PORT` binds a free one.
    role : {"bind", "connect"}
        The stable side binds.
    content : {"tables", "frames"}
        What is received: it sets the largest message that is taken from the network.
    high_water_mark : int, default 256
        Messages that ZeroMQ may hold.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        role: Literal["bind", "connect"],
        content: Literal["tables", "frames"],
        high_water_mark: int = 256,
    ) -> None:
        options = {zmq.RCVHWM: high_water_mark, zmq.MAXMSGSIZE: _LARGEST[content]}
        self.socket = _open(context, zmq.PULL, address, role, options)

    @property
    def address(self) -> str:
        """Where the socket is bound or connected."""
        return _address_of(self.socket)

    def connect(self, address: str) -> None:
        """Take the messages of one more producer.

        Parameters
        ----------
        address : str
            Where it is bound, ``tcp://127.0.0.1:port``.

        Raises
        ------
        AddressError
            If the address is malformed, or not on the loopback interface.
        """
        self.socket.connect(check_address(address))

    def receive(self, limit: int) -> list[list[Part]]:
        """Take the messages that are there, without waiting.

        Parameters
        ----------
        limit : int
            Messages taken at most.

        Returns
        -------
        list of list of memoryview
            The parts of each message, not copied.
        """
        messages: list[list[Part]] = []
        while len(messages) < limit:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            messages.append([frame.buffer for frame in frames])
        return messages

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(linger=0)


class Broadcast:
    """A PUB socket for viewers, who may miss messages.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    address : str
        ``tcp://127.0.0.1:port``; `ANY_PORT` binds a free one.
    high_water_mark : int, default 100
        Messages held per viewer; beyond, new ones are not sent to that viewer.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str = ANY_PORT,
        high_water_mark: int = 100,
    ) -> None:
        self._socket = _open(context, zmq.PUB, address, "bind", {zmq.SNDHWM: high_water_mark})

    @property
    def address(self) -> str:
        """Where the socket is bound."""
        return _address_of(self._socket)

    def send(self, parts: Parts) -> None:
        """Send a message to whoever listens.

        Parameters
        ----------
        parts : list of bytes-like
            The message; the first part is the topic.
        """
        self._socket.send_multipart(parts)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(linger=100)


class AsyncReader:
    """Calls back on the event loop with the messages of an inlet, a bounded number at a time.

    ZeroMQ's file descriptor is edge-triggered: it must be drained until it is empty, and a bounded
    drain that stops early must come back by itself.

    Parameters
    ----------
    inlet : Inlet
        Where to read.
    on_messages : callable
        Called with a list of messages, never an empty one.
    limit : int, default 64
        Messages taken before other tasks get their turn.
    """

    def __init__(
        self, inlet: Inlet, on_messages: Callable[[list[list[Part]]], None], limit: int = 64
    ) -> None:
        self._inlet = inlet
        self._on_messages = on_messages
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._descriptor = int(inlet.socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self._drain)
        self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        if self._closed:
            return
        messages = self._inlet.receive(self._limit)
        if messages:
            self._on_messages(messages)
        if len(messages) == self._limit:
            self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Stop calling back; the inlet stays open."""
        self._closed = True
        self._loop.remove_reader(self._descriptor)
