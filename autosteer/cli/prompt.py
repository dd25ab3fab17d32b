"""``RE(steer(...))``: a whole run as a plan, at the prompt of somebody's own RunEngine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine

from autosteer.cli._experiment import read_experiment
from autosteer.cli._live import make_display
from autosteer.cli._names import resolve
from autosteer.contracts import ProcessError
from autosteer.devices.channel_access import prepare_clients, simulated_channel_access
from autosteer.devices.ioc import start_repeater
from autosteer.service.equipment import Prompt
from autosteer.service.session import Session
from autosteer.steering.events import Operator
from autosteer.steering.plan import Plan

_POLL_S = 0.05


def steer(
    engine: RunEngine,
    file: Path | str,
    devices: Mapping[str, Any] | None = None,
    *,
    mode: str = "auto",
    duration_s: float | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Run an experiment file as a Bluesky plan, in one run of the given RunEngine.

    Streams, analysis and policy run in processes of their own, which the plan starts and ends. A
    Ctrl-C pauses the engine at the next checkpoint, as with any plan: then ``RE.resume()`` goes
    on, and ``RE.abort()`` ends everything.

    Parameters
    ----------
    engine : RunEngine
        The engine that runs the plan.
    file : path-like
        The experiment file.
    devices : mapping of str to device, optional
        Connected devices by their names in the file; the others are made from the file.
    mode : {"observe", "suggest", "approve", "auto"}, default "auto"
        How far it may go.
    duration_s : float, optional
        Time from the first shot; that of the file if left out [s].
    overrides : sequence of str, optional
        Overrides of the file, as ``dotted.path=value``.

    Returns
    -------
    generator
        A plan; it returns the run's directory.

    Examples
    --------
    ``RE(steer(RE, "experiment.yaml", {"jet_x": jet_x, "jet_y": jet_y}))``
    """
    given = [*overrides, f"mode={mode}"]
    given += [f"stop.duration_s={duration_s}"] * (duration_s is not None)
    experiment, data = read_experiment(Path(file), given)
    if experiment.simulation is not None:
        simulated_channel_access(experiment.simulation.ioc.port)
        start_repeater()
    # Now, in the caller's thread, and not later in that of the session, which ends with the run.
    prepare_clients()
    for earlier in threading.enumerate():
        if isinstance(earlier, _Beside):
            earlier.join()
    prompt = Prompt(engine, dict(devices or {}))
    return _steer(Session(experiment, data, resolve, make_display(False), prompt), prompt)


def _steer(session: Session, prompt: Prompt) -> Plan:
    """Run a session beside the plan that carries its decisions out."""
    beside = _Beside(session)

    def run() -> Plan:
        beside.start()
        while prompt.actuator is None or not session.ready:
            beside.check()
            yield from bps.sleep(_POLL_S)
        yield from prompt.actuator.plan()

    def end() -> Plan:
        beside.end()
        # The rest of the session, its simulated motors for example, outlives the plan by a moment.
        while beside.is_alive() and not session.closed:
            yield from bps.sleep(_POLL_S)
        prompt.release()

    yield from bpp.finalize_wrapper(run(), end())
    beside.check()
    return str(session.directory.path) if session.directory else ""


class _Beside(threading.Thread):
    """Runs a session on an event loop beside the RunEngine's; the program waits for its end."""

    def __init__(self, session: Session) -> None:
        super().__init__(name="autosteer", daemon=False)
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the session to its end."""
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._session.run()

    def end(self) -> None:
        """Have the session end now, if it has not ended by itself."""
        agent = self._session.agent
        if self._loop is not None and agent is not None and self.is_alive():
            abort = Operator("abort", who="the end of the plan")
            self._loop.call_soon_threadsafe(agent.command, abort)

    def check(self) -> None:
        """Raise what has ended the session, if an error has."""
        if self._error is not None:
            raise ProcessError(f"the run has failed: {self._error}") from self._error
