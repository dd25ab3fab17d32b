"""Where the work of an analysis is done: in this process, or in several."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from autosteer.contracts import AnalysisError, WorkerDiedError

Work = Callable[[Any], Any]

# Items that wait beside the one that a worker has: it need not wait for the next.
_WAITING_A_WORKER = 1
# A worker that dies as often over one item alone dies of it.
_MOST_ATTEMPTS = 2

_work: Work | None = None


class Executor(Protocol):
    """Does the same work on many items; a context manager, which ends its workers.

    Every item gives one result, in the order of the items, whatever becomes of single workers.
    Workers are started as the queue needs them, up to the given number.
    """

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        """Work on items; no more of them are taken at a time than keep the workers busy."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the workers."""
        ...


class InProcessExecutor:
    """Works in this process.

    Parameters
    ----------
    make : callable
        Makes what does the work: a function of one item.

    Examples
    --------
    >>> with InProcessExecutor(lambda: abs) as executor:
    ...     list(executor.map([-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self, make: Callable[[], Work]) -> None:
        self._work = make()

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        """Work on items one after the other.

        Parameters
        ----------
        items : iterable
            The items.

        Returns
        -------
        iterator
            A result for each item.
        """
        return map(self._work, items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class ProcessExecutor:
    """Works in processes on this machine.

    Parameters
    ----------
    make : callable
        Makes what does the work, once in each process; it, the items and the results must be
        such that pickle can take them along.
    max_workers : int
        Most processes.

    Raises
    ------
    AnalysisError
        If there is to be no process.

    Notes
    -----
    Where a process dies, what was under way is worked on again, one item at a time until all of
    it is done: so an item that kills its process is told from those that were beside it.
    """

    def __init__(self, make: Callable[[], Work], max_workers: int) -> None:
        if max_workers < 1:
            raise AnalysisError(f"{max_workers} processes: there must be at least one")
        self._make = make
        self._max_workers = max_workers
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._max_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            # What cannot be loaded there is to be said, not to be died of.
            initargs=(pickle.dumps(self._make),),
        )

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
            If a process dies over an item each time; every item before it has been given.
        """
        under_way: deque[tuple[int, Any, Future[Any]]] = deque()
        numbered = enumerate(items)
        most = self._max_workers * (1 + _WAITING_A_WORKER)
        while True:
            for number, item in itertools.islice(numbered, most - len(under_way)):
                under_way.append((number, item, self._submit(item)))
            if not under_way:
                return
            try:
                result = under_way[0][2].result()
            except BrokenProcessPool:
                yield from self._again([(number, item) for number, item, _ in under_way])
                under_way.clear()
            else:
                under_way.popleft()
                yield result

    def _submit(self, item: Any) -> Future[Any]:
        """Give an item to the pool; if that has broken, the future says so."""
        try:
            return self._pool.submit(_do, item)
        except BrokenProcessPool as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def _restart(self) -> None:
        self._pool.shutdown()
        self._pool = self._start()

    def _again(self, items: list[tuple[int, Any]]) -> Iterator[Any]:
        """Work on items one at a time, after a process has died."""
        self._restart()
        for number, item in items:
            for _ in range(_MOST_ATTEMPTS):
                try:
                    result = self._submit(item).result()
                    break
                except BrokenProcessPool:
                    self._restart()
            else:
                raise WorkerDiedError(number, _MOST_ATTEMPTS)
            yield result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _begin(make: bytes) -> None:
    """Prepare a process for its work; what goes wrong is told by the first item."""
    global _work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _work = pickle.loads(make)()
    except Exception as error:
        _work = partial(_fail, error)


def _end_with_parent() -> None:
    """End this process when the one that started it does, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fail(error: Exception, item: Any) -> Any:
    """Do no work: its preparation has failed."""
    raise error


def _do(item: Any) -> Any:
    """Work on an item, in a process that is prepared."""
    if _work is None:
        raise RuntimeError("the process has not been prepared")
    return _work(item)
