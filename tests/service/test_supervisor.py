"""The supervisor: processes that start, die, come back and end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from autosteer.contracts import ProcessError
from autosteer.service import supervisor as supervision
from autosteer.service.supervisor import Child, Supervisor
from autosteer.service.usage import UsageMeter

Trouble = list[tuple[str, str, bool]]


def recorder(folder: Path) -> Child:
    arguments = ["recorder", str(folder / "tables"), "--run-uid", "run-1", "--producer", "source"]
    return Child("recorder", arguments, restart=lambda _: arguments)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_process_reports_dies_comes_back_and_ends(tmp_path: Path) -> None:
    trouble: Trouble = []
    supervisor = Supervisor(tmp_path, lambda *what: trouble.append(what), lambda *_: None)
    meter = UsageMeter()
    child = recorder(tmp_path)
    try:
        ready = await supervisor.start(child)
        assert ready["addresses"]["source"].startswith("tcp://127.0.0.1:")
        await until(lambda: child.counters)
        first = child.pid
        meter.sample({"recorder": first})
        supervisor.kill("recorder")
        await until(lambda: child.restarts == 1 and child.pid not in {None, first})
        await until(lambda: child.ready is not ready)
        [(name, what, again)] = trouble
        assert (name, again) == ("recorder", True)
        assert "ended unasked with code -9" in what
        meter.sample({"recorder": child.pid})
        assert meter.cpu_s["recorder"] > 0
        assert meter.memory_mib["recorder"] > 10
        assert meter.run_cpu_s["recorder"] <= meter.cpu_s["recorder"]
    finally:
        await supervisor.stop_all()
    assert child.pid is None
    assert child.process is not None
    assert child.process.returncode == 0
    assert len(trouble) == 1


async def test_a_process_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda *_: None, lambda *_: None)
    try:
        with pytest.raises(ProcessError, match=r"'policy' ended with code 2 .*No such file"):
            await supervisor.start(
                Child("policy", ["policy", "nowhere.yaml", "--connect", "tcp://127.0.0.1:9"])
            )
    finally:
        await supervisor.stop_all()


async def test_a_process_that_hangs_is_killed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "_STOP_TIMEOUT_S", 0.2)
    trouble: Trouble = []
    supervisor = Supervisor(tmp_path, lambda *what: trouble.append(what), lambda *_: None)
    child = recorder(tmp_path)
    try:
        await supervisor.start(child)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        await supervisor.stop("recorder")
    finally:
        # Everything is ended at the end, what was ended before as well.
        await supervisor.stop_all()
    assert trouble == [("recorder", "did not end when asked, and was killed", False)]
    assert child.pid is None


async def test_a_process_without_restart_stays_dead(tmp_path: Path) -> None:
    trouble: Trouble = []
    supervisor = Supervisor(tmp_path, lambda *what: trouble.append(what), lambda *_: None)
    child = recorder(tmp_path)
    child.restart = None
    try:
        await supervisor.start(child)
        supervisor.kill("recorder")
        await until(lambda: trouble)
        assert not trouble[0][2]
        assert child.pid is None
    finally:
        await supervisor.stop_all()
