"""The policy behind its socket: answers, failures, restarts and garbage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import zmq

from autosteer.contracts import Best, PolicyError, Problem, Suggestion
from autosteer.policies import RandomPolicy
from autosteer.steering.events import AskPolicy, PolicyFailed, PolicyReplied
from autosteer.steering.policy_host import PolicyHost
from autosteer.steering.policy_process import PolicyClient, serve_policy

KNOBS = {"x": (0.0, 1.0)}
POINT = {"_id": "p", "x": 0.5, "hits": 0.25, "hits_sem": 0.1}


def ask(request: int, num_points: int = 1, *points: Mapping[str, Any]) -> AskPolicy:
    return AskPolicy(request, num_points, tuple(points), ())


class Moody:
    """A policy that fails when it is told so."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.points: list[dict[str, Any]] = [{"_id": "a", "x": 0.5}]

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        return self.points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        pass


class Talk:
    """A client, and servers in threads."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.events: asyncio.Queue[PolicyReplied | PolicyFailed] = asyncio.Queue()
        self.client = PolicyClient(self.context, self.events.put_nowait)
        self._servers: list[tuple[threading.Thread, threading.Event]] = []

    def serve(self, host: PolicyHost) -> None:
        end = threading.Event()
        thread = threading.Thread(
            target=serve_policy, args=(host, self.client.address, end.is_set), daemon=True
        )
        thread.start()
        self._servers.append((thread, end))

    async def answer(self) -> PolicyReplied | PolicyFailed:
        async with asyncio.timeout(60):
            return await self.events.get()

    async def close(self) -> None:
        for thread, end in self._servers:
            end.set()
            await asyncio.to_thread(thread.join)
        self.client.close()
        self.context.destroy(linger=0)


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    made = Talk()
    yield made
    await made.close()


async def test_an_ask_is_answered(talk: Talk) -> None:
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    async with asyncio.timeout(60):
        await talk.client.ready.wait()
    talk.client.ask(ask(1, 1, POINT))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.request == 1
    assert reply.best == Best({"x": 0.5}, 0.25, 0.1)
    [suggestion] = reply.suggestions
    assert 0 <= suggestion.knobs["x"] <= 1
    talk.client.ask(ask(2, 0))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.suggestions == ()


async def test_an_ask_waits_for_the_process(talk: Talk) -> None:
    talk.client.ask(ask(1, 1, POINT))
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.best == Best({"x": 0.5}, 0.25, 0.1)


async def test_after_a_loss_everything_is_asked_for_once_and_then_the_ask_waits(
    talk: Talk,
) -> None:
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    async with asyncio.timeout(60):
        await talk.client.ready.wait()
    talk.client.fail("its process was killed")
    talk.client.ask(ask(1))
    failure = await talk.answer()
    assert failure == PolicyFailed(1, "its process is started anew", forgot=True)
    talk.client.ask(ask(2, 1, POINT))
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.request == 2


async def test_a_policy_that_raises_fails_the_ask_and_goes_on(talk: Talk) -> None:
    moody = Moody()
    moody.error = RuntimeError("a matrix is singular")
    talk.serve(PolicyHost(moody, ["x"], "hits"))
    async with asyncio.timeout(60):
        await talk.client.ready.wait()
    talk.client.ask(ask(1))
    failure = await talk.answer()
    assert isinstance(failure, PolicyFailed)
    assert "Moody failed: RuntimeError: a matrix is singular" in failure.message
    assert not failure.forgot
    moody.error = None
    talk.client.ask(ask(2))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.suggestions == (Suggestion("a", {"x": 0.5}, ""),)


async def test_a_new_process_means_that_everything_was_forgotten(talk: Talk) -> None:
    slow = Moody()
    entered, leave = threading.Event(), threading.Event()

    def hang(num_points: int) -> list[dict[str, Any]]:
        entered.set()
        leave.wait()
        return []

    slow.suggest = hang  # type: ignore[method-assign]
    talk.serve(PolicyHost(slow, ["x"], "hits"))
    async with asyncio.timeout(60):
        await talk.client.ready.wait()
    talk.client.ask(ask(1))
    await asyncio.to_thread(entered.wait)
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    failure = await talk.answer()
    assert failure == PolicyFailed(1, "its process was started anew", forgot=True)
    talk.client.ask(ask(2))
    reply = await talk.answer()
    assert isinstance(reply, PolicyReplied)
    assert reply.request == 2
    leave.set()


async def test_garbage_on_the_port_is_counted_and_changes_nothing(talk: Talk) -> None:
    talk.serve(PolicyHost(RandomPolicy(Problem.of(KNOBS, "hits")), ["x"], "hits"))
    async with asyncio.timeout(60):
        await talk.client.ready.wait()
        stranger = talk.context.socket(zmq.DEALER)
        stranger.connect(talk.client.address)
        for message in ([b"garbage"], [b"{}", b"two"], [b'{"type":"ask"}']):
            stranger.send_multipart(message)
        while talk.client.refused < 3:
            await asyncio.sleep(0.005)
    talk.client.ask(ask(1))
    assert isinstance(await talk.answer(), PolicyReplied)
    stranger.close(linger=0)


async def test_an_answer_that_does_not_come_fails_in_time() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    events: list[PolicyReplied | PolicyFailed] = []
    client = PolicyClient(context, events.append, timeout_s=0.0)
    mute = context.socket(zmq.DEALER)
    mute.connect(client.address)
    mute.send(b"hello")
    async with asyncio.timeout(60):
        await client.ready.wait()
        client.ask(ask(7))
        while not client.check_timeout():
            await asyncio.sleep(0)
    assert events == [PolicyFailed(7, "no answer within 0 s", forgot=True)]
    mute.close(linger=0)
    client.close()
    context.destroy(linger=0)


@pytest.mark.parametrize(
    ("point", "text"),
    [({"x": 0.5}, "no '_id'"), ({"_id": "a"}, r"lacks the knob\(s\) \['x'\]")],
)
def test_suggestions_that_are_none_are_named(point: dict[str, Any], text: str) -> None:
    moody = Moody()
    moody.points = [point]
    with pytest.raises(PolicyError, match=text):
        PolicyHost(moody, ["x"], "hits").answer(ask(1))
