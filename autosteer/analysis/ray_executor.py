"""Work of an analysis on a Ray cluster: an actor for each GPU, or for each core."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from autosteer.analysis.executors import Work
from autosteer.contracts import AnalysisError, WorkerDiedError

_MOST_ATTEMPTS = 3
_PATIENCE_S = 5.0


def _check_that_something_answers(address: str | None) -> None:
    """Refuse an address at once where nothing listens: Ray itself tries for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except OSError as error:
        raise AnalysisError(
            f"no Ray cluster answers at {address} ({error}): start one with 'ray start --head', or "
            "leave the address out to have one on this machine"
        ) from error


class RayExecutor:
    """Works in actors of Ray.

    Parameters
    ----------
    make : callable
        Makes what does the work, once in each actor.
    max_workers : int
        Most actors. They are started as the queue needs them.
    gpus_per_worker : float, default 0
        GPUs that each actor takes for itself; 1 for an actor per GPU.
    address : str, optional
        Address of a running cluster; without it one is started on this machine and ended with
        the executor.

    Raises
    ------
    AnalysisError
        If Ray is not installed, nothing answers at the address, or there is to be no actor.
    """

    def __init__(
        self,
        make: Callable[[], Work],
        max_workers: int,
        *,
        gpus_per_worker: float = 0,
        address: str | None = None,
    ) -> None:
        if max_workers < 1:
            raise AnalysisError(f"{max_workers} actors: there must be at least one")
        try:
            import ray
        except ImportError as error:
            raise AnalysisError(
                "Ray is not installed: pip install 'autosteer[ray]', or work without it"
            ) from error
        self._ray = ray
        self._max_workers = max_workers
        self._own = not ray.is_initialized()
        if self._own:
            _check_that_something_answers(address)
            ray.init(
                address=address,
                num_cpus=None if address else max_workers,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        self._made = ray.put(make)
        self._actor = ray.remote(num_gpus=gpus_per_worker)(_Actor)
        self._idle: list[Any] = []
        self._n_actors = 0

    def _free_actor(self) -> Any:
        """Take an actor that has nothing to do, or start one; None if all are busy."""
        if self._idle:
            return self._idle.pop()
        if self._n_actors < self._max_workers:
            self._n_actors += 1
            return self._actor.remote(self._made)
        return None

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        """Work on items.

        Parameters
        ----------
        items : iterable
            The items.

        Yields
        ------
        object
            A result for each item, in their order.

        Raises
        ------
        WorkerDiedError
            If an actor dies over an item each time.
        """
        busy: dict[Any, tuple[Any, int, Any, int]] = {}
        try:
            yield from self._share(items, busy)
        finally:
            # What is still under way is given up, and so are those who work on it.
            for actor, *_ in busy.values():
                self._ray.kill(actor)
                self._n_actors -= 1

    def _share(
        self, items: Iterable[Any], busy: dict[Any, tuple[Any, int, Any, int]]
    ) -> Iterator[Any]:
        """Share items between actors; `busy` says who works on what, and for which time."""
        ray = self._ray
        numbered = enumerate(items)
        waiting: deque[tuple[int, Any, int]] = deque()
        done: dict[int, Any] = {}
        next_out = 0
        exhausted = False
        while True:
            # What is done and not yet fetched counts as under way: it takes memory, too.
            while not exhausted and len(waiting) + len(busy) + len(done) < 2 * self._max_workers:
                number, item = next(numbered, (-1, None))
                exhausted = number < 0
                if not exhausted:
                    waiting.append((number, item, 1))
            while waiting and (actor := self._free_actor()) is not None:
                number, item, attempt = waiting.popleft()
                busy[actor.work.remote(item)] = (actor, number, item, attempt)
            if not busy:
                return
            (reference,), _ = ray.wait(list(busy), num_returns=1)
            actor, number, item, attempt = busy.pop(reference)
            try:
                done[number] = ray.get(reference)
                self._idle.append(actor)
            except ray.exceptions.RayTaskError as error:
                self._idle.append(actor)
                raise error.as_instanceof_cause() from error
            except ray.exceptions.RayActorError as error:
                self._n_actors -= 1
                if attempt == _MOST_ATTEMPTS:
                    raise WorkerDiedError(number, attempt) from error
                waiting.appendleft((number, item, attempt + 1))
            while next_out in done:
                yield done.pop(next_out)
                next_out += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for actor in self._idle:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()


class _Actor:
    """Holds what does the work."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._work = make()

    def work(self, item: Any) -> Any:
        """Work on an item."""
        return self._work(item)
