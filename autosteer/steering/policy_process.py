"""The policy in a process of its own: the agent's end, and the policy's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

import zmq
from pydantic import Discriminator, TypeAdapter, ValidationError

from autosteer.contracts import PolicyError
from autosteer.steering.events import LINE_CONFIG, AskPolicy, PolicyFailed, PolicyReplied
from autosteer.steering.policy_host import PolicyHost
from autosteer.stream import ANY_PORT, check_address

_MAX_BYTES = 4 * 1024 * 1024
_POLL_MS = 200
_HELLO = b"hello"

PolicyMessage = Annotated[AskPolicy | PolicyReplied | PolicyFailed, Discriminator("type")]
_MESSAGE: TypeAdapter[AskPolicy | PolicyReplied | PolicyFailed] = TypeAdapter(
    PolicyMessage, config=LINE_CONFIG
)


class PolicyClient:
    """The agent's end: asks, and tells when an answer or a failure has come.

    Parameters
    ----------
    context : zmq.Context
        The process's ZeroMQ context.
    on_event : callable
        Told of each answer and each failure, on the event loop.
    timeout_s : float, default 60.0
        An ask that is not answered in this time has failed [s].
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        on_event: Callable[[PolicyReplied | PolicyFailed], None],
        timeout_s: float = 60.0,
    ) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
        self._socket.bind(ANY_PORT)
        self._on_event = on_event
        self._timeout_s = timeout_s
        self._peer: bytes | None = None
        self._asking: AskPolicy | None = None
        self._asked_s = 0.0
        # Whether the controller knows that the policy has lost what it was told.
        self._loss_told = True
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(self._socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self._drain)
        self.ready = asyncio.Event()
        """Set when a policy process has reported that it can answer."""
        self.refused = 0
        """Messages that were not understood."""

    @property
    def address(self) -> str:
        """Where the policy process connects."""
        return bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def ask(self, ask: AskPolicy) -> None:
        """Send an ask; the answer or a failure is told later.

        While no process is connected, the ask waits for one, as long as any ask waits for an
        answer.

        Parameters
        ----------
        ask : AskPolicy
            The ask.
        """
        self._asking = ask
        self._asked_s = time.monotonic()
        if self._peer is not None:
            self._send(self._peer, ask)
        elif not self._loss_told:
            # The next process will know nothing: everything has to be told again.
            self._loop.call_soon(self.fail, "its process is started anew")

    def _send(self, peer: bytes, ask: AskPolicy) -> None:
        self._socket.send_multipart([peer, _MESSAGE.dump_json(ask)], zmq.NOBLOCK)
        # ZeroMQ's descriptor is edge-triggered: a send may have swallowed the edge of a reply.
        self._loop.call_soon(self._drain)

    def fail(self, message: str) -> None:
        """Note that the process has gone, and give up the ask in flight, if there is one.

        Parameters
        ----------
        message : str
            What has happened to the policy.
        """
        self._peer = None
        self.ready.clear()
        asking, self._asking = self._asking, None
        self._loss_told = asking is not None
        if asking is not None:
            self._on_event(PolicyFailed(asking.request, message, forgot=True))

    def check_timeout(self) -> bool:
        """Give up an ask that has not been answered in time.

        Returns
        -------
        bool
            True if one was given up: the process hangs, and should be started anew.
        """
        late = self._asking is not None and time.monotonic() - self._asked_s > self._timeout_s
        if late:
            self.fail(f"no answer within {self._timeout_s:g} s")
        return late

    def _drain(self) -> None:
        while True:
            try:
                peer, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.ZMQError:
                return
            if parts == [_HELLO]:
                if self._peer is not None and peer != self._peer:
                    self.fail("its process was started anew")
                self._peer = peer
                self.ready.set()
                if self._asking is not None:
                    self._send(peer, self._asking)
                continue
            try:
                message = _MESSAGE.validate_json(parts[0]) if len(parts) == 1 else None
            except ValidationError:
                message = None
            if message is None or isinstance(message, AskPolicy) or peer != self._peer:
                self.refused += 1
            elif self._asking is not None and message.request == self._asking.request:
                self._asking = None
                self._on_event(message)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._descriptor)
        self._socket.close(linger=0)


def serve_policy(host: PolicyHost, address: str, should_stop: Callable[[], bool]) -> None:
    """Answer asks until told to stop: the main loop of the policy's process.

    Parameters
    ----------
    host : PolicyHost
        The policy.
    address : str
        Where the agent listens.
    should_stop : callable
        Asked several times a second whether to end.

    Raises
    ------
    PolicyError
        If the agent sends something else than an ask.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 500)
    socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
    socket.connect(check_address(address))
    socket.send(_HELLO)
    try:
        while not should_stop():
            if not socket.poll(_POLL_MS):
                continue
            ask = _MESSAGE.validate_json(socket.recv())
            if not isinstance(ask, AskPolicy):
                raise PolicyError(f"the agent sent a {ask.type} message: it should only ask")
            try:
                answer: PolicyReplied | PolicyFailed = host.answer(ask)
            except PolicyError as error:
                answer = PolicyFailed(ask.request, str(error), forgot=False)
            socket.send(_MESSAGE.dump_json(answer))
    finally:
        socket.close()
