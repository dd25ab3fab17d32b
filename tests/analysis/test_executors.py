"""Executors: every item gives a result in its order, whatever becomes of workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autosteer.analysis.executors import Executor, InProcessExecutor, ProcessExecutor
from autosteer.analysis.ray_executor import RayExecutor
from autosteer.contracts import AnalysisError, WorkerDiedError
from tests.analysis.work import (
    make_dying,
    make_dying_once,
    make_nothing,
    make_refusing,
    make_square,
)

SQUARES = [value * value for value in range(12)]


pytestmark = pytest.mark.usefixtures("tests_can_be_imported")


def in_processes(make: Callable[[], Any]) -> Executor:
    return ProcessExecutor(make, 2)


def on_ray(make: Callable[[], Any]) -> Executor:
    pytest.importorskip("ray", reason="Ray is not installed")
    return RayExecutor(make, 2)


SLOW = pytest.mark.slow
KINDS = [InProcessExecutor, in_processes, pytest.param(on_ray, marks=SLOW)]
KINDS_WITH_WORKERS = [in_processes, pytest.param(on_ray, marks=SLOW)]


@pytest.mark.parametrize("kind", KINDS)
def test_results_come_in_order(kind: Callable[..., Executor]) -> None:
    with kind(make_square) as executor:
        assert list(executor.map(range(12))) == SQUARES
        assert list(executor.map([])) == []
        assert list(executor.map([5])) == [25]


@pytest.mark.parametrize("kind", KINDS_WITH_WORKERS)
def test_nothing_is_lost_when_a_worker_dies(kind: Callable[..., Executor], tmp_path: Path) -> None:
    with kind(partial(make_dying_once, tmp_path)) as executor:
        assert list(executor.map(range(12))) == SQUARES
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("kind", KINDS_WITH_WORKERS)
def test_an_item_that_kills_its_workers_is_named(kind: Callable[..., Executor]) -> None:
    with kind(make_dying) as executor:
        with pytest.raises(WorkerDiedError, match=r"item 3: .* died") as error:
            list(executor.map(range(12)))
        assert error.value.number == 3
        # Without it the work can go on.
        assert list(executor.map(range(4, 12))) == SQUARES[4:]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_the_work_come_through(kind: Callable[..., Executor]) -> None:
    with kind(make_refusing) as executor, pytest.raises(ValueError, match="7 is no good"):
        list(executor.map([7]))


def test_work_that_cannot_be_prepared_says_why() -> None:
    with ProcessExecutor(make_nothing, 1) as executor, pytest.raises(OSError, match="no such disk"):
        list(executor.map([1]))


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_taken_as_they_are_needed(kind: Callable[..., Executor]) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for value in range(1000):
            taken.append(value)
            yield value

    with kind(make_square) as executor:
        results = executor.map(items())
        assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) < 20


def test_no_worker_is_an_error() -> None:
    with pytest.raises(AnalysisError, match="at least one"):
        ProcessExecutor(make_square, 0)
    with pytest.raises(AnalysisError, match="at least one"):
        RayExecutor(make_square, 0)


def test_a_cluster_that_does_not_answer_is_an_error_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(AnalysisError, match=rf"no Ray cluster answers at {address}"):
            RayExecutor(make_square, 1, address=address)
