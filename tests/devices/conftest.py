"""One soft IOC for all tests of the room: Channel Access keeps its ports for a process's life."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from autosteer.devices.channel_access import prepare_clients
from tests.devices.ioc_process import IocProcess


@pytest.fixture(scope="session")
def ioc_ports() -> tuple[int, int]:
    return int(os.environ["EPICS_CA_SERVER_PORT"]), int(os.environ["EPICS_CA_REPEATER_PORT"])


@pytest.fixture
def ioc(ioc_ports: tuple[int, int]) -> Iterator[IocProcess]:
    process = IocProcess(*ioc_ports)
    process.start()
    # Only now: a client library that finds no repeater would start one.
    prepare_clients()
    yield process
    process.kill()
