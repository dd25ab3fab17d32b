"""The soft IOC in a process of its own, on private ports of the loopback interface."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from autosteer.contracts.simulation import SimulatedIoc, SimulatedMotor
from autosteer.devices.channel_access import loopback_environment
from autosteer.devices.ioc import serve, start_repeater

CONFIG = SimulatedIoc(
    motors={
        "X": SimulatedMotor(start=0.5, low=-1.0, high=1.0, velocity=5.0),
        "Y": SimulatedMotor(start=0.0, low=-1.0, high=1.0, velocity=5.0),
        "SLOW": SimulatedMotor(start=0.0, low=-10.0, high=10.0, velocity=0.5),
    }
)


class IocProcess:
    """Starts, kills and restarts the IOC at the same ports."""

    def __init__(self, server_port: int, repeater_port: int) -> None:
        self._environment = {**os.environ, **loopback_environment(server_port, repeater_port)}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.devices.ioc_process"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def wait_until(condition: object, what: str) -> None:
    """Wait for something to become true, a minute at most."""
    give_up = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < give_up, f"waited a minute for: {what}"
        time.sleep(0.01)


if __name__ == "__main__":
    start_repeater()
    asyncio.run(serve(CONFIG, lambda: print("ready", flush=True)))
