"""Sockets over TCP on loopback: nothing is lost silently, and garbage harms nobody."""

from __future__ import annotations

import asyncio
import socket as plain_socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from autosteer.contracts import AddressError
from autosteer.stream import (
    ANY_PORT,
    AsyncReader,
    Broadcast,
    DroppingBacklog,
    Inlet,
    Outlet,
    Producer,
    RealClock,
    Received,
    Receiver,
    Spool,
    check_address,
)
from autosteer.stream.wire import Part, Parts
from tests.stream.tables import RUN, indexing, machine


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


def receive(
    inlet: Inlet, count: int, meanwhile: Callable[[], object] = lambda: None
) -> list[list[Part]]:
    """Receive a number of messages, and do something while waiting, up to 60 s."""
    messages: list[list[Part]] = []
    give_up = time.monotonic() + 60
    while len(messages) < count:
        meanwhile()
        inlet.socket.poll(10)
        messages += inlet.receive(count - len(messages))
        if time.monotonic() > give_up:
            raise TimeoutError(f"{len(messages)} of {count} messages came")
    return messages


def free_address() -> str:
    """Find an address that nobody listens on."""
    with plain_socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def test_tables_frames_and_heartbeats_reach_every_consumer(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    inlets = [Inlet(context, ANY_PORT, "bind", "tables") for _ in range(2)]
    outlets = {
        "agent": Outlet(context, inlets[0].address, "connect", DroppingBacklog(100)),
        "recorder": Outlet(context, inlets[1].address, "connect", Spool(tmp_path / "spool")),
    }
    producer = Producer("source", RUN, RealClock(), outlets)
    for first in (1, 4):
        producer.publish("machine", machine([first, first + 1, first + 2]))
    producer.publish("indexing", indexing([1, 2]))
    producer.end()
    for inlet in inlets:
        receiver = Receiver(RUN)
        received: list[Received] = []
        while sum(r.header.end_of_stream for r in received) < 2:
            messages = receive(inlet, 1, producer.tend)
            received += [r for r in map(receiver.accept, messages) if r]
        tables = [r for r in received if r.batch is not None]
        assert [r.header.seq for r in tables if r.header.kind == "machine"] == [0, 1]
        assert [r.header.last_pulse_id for r in tables] == [3, 6, 2]
        assert receiver.counters["source", "machine"].shots == 6
        assert not receiver.refused
        inlet.close()
    assert producer.counters["agent"] == {"out": 8, "dropped": 0, "pending": 0}
    producer.close()


def test_a_consumer_that_does_not_listen_costs_the_oldest_and_everything_is_counted(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    address = free_address()
    outlet = Outlet(context, address, "connect", DroppingBacklog(3))
    for number in range(10):
        outlet.send([b"t", b"h", str(number).encode()], shots=2)
    assert (outlet.sent_shots, outlet.dropped_shots, outlet.pending_shots) == (0, 14, 6)
    late = Inlet(context, address, "bind", "tables")
    while not outlet.flush():
        late.socket.poll(10)
    assert [bytes(m[2]) for m in receive(late, 3)] == [b"7", b"8", b"9"]
    assert (outlet.sent_shots, outlet.dropped_shots, outlet.pending_shots) == (6, 14, 0)
    outlet.close(0)
    late.close()


def test_what_is_pending_at_the_end_counts_as_dropped(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    address = free_address()
    outlet = Outlet(context, address, "connect", DroppingBacklog(3))
    outlet.send([b"t", b"h", b"b"], shots=5)
    outlet.close(0)
    assert (outlet.sent_shots, outlet.dropped_shots, outlet.pending_shots) == (0, 5, 0)


def test_a_spool_loses_nothing_and_keeps_the_order(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    address = free_address()
    path = tmp_path / "spool"
    outlet = Outlet(context, address, "connect", Spool(path, memory_bytes=2000))
    bodies = [str(number).encode() * 100 for number in range(200)]
    for body in bodies[:150]:
        outlet.send([b"t", b"h", body], shots=1)
    assert path.stat().st_size > 20_000
    late = Inlet(context, address, "bind", "tables")
    for body in bodies[150:]:
        outlet.send([b"t", b"h", body], shots=1)
    got: list[bytes] = []
    while len(got) < 200:
        outlet.flush()
        late.socket.poll(10)
        got += [bytes(m[2]) for m in late.receive(64)]
    assert got == bodies
    assert outlet.dropped_shots == 0
    outlet.close(0)
    assert not path.exists()
    late.close()


def test_viewers_may_come_and_go(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    broadcast = Broadcast(context)
    viewer = context.socket(zmq.SUB)
    viewer.connect(broadcast.address)
    viewer.subscribe(b"machine")
    parts: Parts = [b"machine", b"{}", b""]
    while not viewer.poll(10):
        broadcast.send([b"other", b"{}", b""])
        broadcast.send(parts)
    assert viewer.recv_multipart() == parts
    viewer.close()
    broadcast.close()


def test_plain_bytes_on_the_port_do_not_stop_the_stream(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    inlet = Inlet(context, ANY_PORT, "bind", "tables")
    port = int(inlet.address.rsplit(":", 1)[1])
    for junk in (b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 40, b"\xff" * 64):
        with plain_socket.create_connection(("127.0.0.1", port)) as scanner:
            scanner.sendall(junk)
    outlet = Outlet(context, inlet.address, "connect", DroppingBacklog(10))
    stranger = context.socket(zmq.PUSH)
    stranger.connect(inlet.address)
    stranger.send_multipart([b"what", b"is", b"this", b"?"])
    producer = Producer("source", RUN, RealClock(), {"agent": outlet})
    producer.publish("machine", machine([1]))
    receiver = Receiver(RUN)
    taken: list[Received] = []
    while not any(r.batch is not None for r in taken) or not receiver.refused:
        taken += [r for r in map(receiver.accept, receive(inlet, 1, producer.tend)) if r]
    assert receiver.refused == {"WireError": 1}
    stranger.close(linger=0)
    producer.close()
    inlet.close()


async def test_the_async_reader_drains_everything_in_bounded_bites(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    inlet = Inlet(context, ANY_PORT, "bind", "tables")
    outlet = Outlet(context, inlet.address, "connect", DroppingBacklog(1000))
    bites: list[int] = []
    done = asyncio.Event()

    def take(messages: list[list[Part]]) -> None:
        bites.append(len(messages))
        if sum(bites) == 500:
            done.set()

    reader = AsyncReader(inlet, take, limit=16)
    for number in range(500):
        outlet.send([b"t", b"h", str(number).encode()], 1)
    async with asyncio.timeout(30):
        while not done.is_set():
            outlet.flush()
            await asyncio.sleep(0)
    assert max(bites) <= 16
    reader.close()
    outlet.close(0)
    inlet.close()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("tcp://0.0.0.0:5000", "loopback"),
        ("tcp://*:5000", "loopback"),
        ("tcp://example.org:5000", "loopback"),
        ("tcp://127.0.0.1:99999", "no address"),
        ("127.0.0.1:5000", "no address"),
        ("ipc:///tmp/x", "no address"),
    ],
)
def test_addresses_beyond_this_machine_and_malformed_ones_are_refused(
    address: str, text: str
) -> None:
    with pytest.raises(AddressError, match=text):
        check_address(address)


def test_a_port_that_is_taken_says_so(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    first = Inlet(context, ANY_PORT, "bind", "tables")
    with pytest.raises(AddressError, match=r"cannot bind .*Address already in use"):
        Inlet(context, first.address, "bind", "tables")
    first.close()
