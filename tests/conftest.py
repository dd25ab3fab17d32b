"""What every test gets: loopback-only EPICS, no pending tasks, no left-over processes."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from autosteer.devices.channel_access import free_port, loopback_environment

# Before anything imports a Channel Access library: nothing may leave this machine, and the ports
# are this process's own.
os.environ.update(loopback_environment(free_port(), free_port()), OMP_NUM_THREADS="1")

settings.register_profile("autosteer", derandomize=True, deadline=None)
settings.load_profile("autosteer")


@pytest.fixture
async def task_watch() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks behind."""
    yield
    current = asyncio.current_task()
    pending = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    for task in pending:
        task.cancel()
    assert not pending, f"the test left tasks behind: {pending}"


@pytest.fixture(autouse=True)
def watch_tasks_of_async_tests(request: pytest.FixtureRequest) -> None:
    """Put `task_watch` around every asynchronous test."""
    function = getattr(request.node, "obj", None)
    if inspect.iscoroutinefunction(function):
        request.getfixturevalue("task_watch")


@pytest.fixture(autouse=True)
def no_leftover_processes() -> Iterator[None]:
    """Fail a test that leaves child processes behind."""
    # Python keeps this process for pools of processes, for as long as it runs itself.
    resource_tracker.ensure_running()
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    yield
    left = [child for child in me.children(recursive=True) if child.pid not in before]
    names = [child.name() for child in left]
    for child in left:
        child.kill()
    psutil.wait_procs(left, timeout=5)
    assert not left, f"the test left processes behind: {names}"


@pytest.fixture
def real_data() -> Path:
    """Return the folder of measured data, or skip where there is none."""
    folder = os.environ.get("AUTOSTEER_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AUTOSTEER_DATA names no folder with measured data")
    return Path(folder)


@pytest.fixture
def tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes find the modules of the tests: they take over the path of modules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
