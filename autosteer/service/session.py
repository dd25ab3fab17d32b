"""A session: one run from the experiment file to the summary, with every process it needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
import yaml

from autosteer.contracts import Experiment
from autosteer.devices.channel_access import simulated_channel_access
from autosteer.record.run_directory import (
    RunDirectory,
    make_run_directory,
    write_json,
    write_sorted_shots,
)
from autosteer.service.child import configure_logging
from autosteer.service.equipment import Prompt, Resolve, make_agent
from autosteer.service.recorders import RunRecorders
from autosteer.service.summary import RunSummary, summarize
from autosteer.service.supervisor import Child, Supervisor
from autosteer.service.usage import UsageMeter
from autosteer.service.versions import versions
from autosteer.steering.agent import Agent
from autosteer.steering.events import Action, Announce, Fault, Finish, Operator

_DRAIN_S = 5.0
_SAMPLE_S = 1.0


class Display(Protocol):
    """Shows a run to people."""

    def progress(self, text: str) -> None:
        """Say what is being done before the first shot and after the last."""
        ...

    def running(self, session: Session) -> None:
        """Begin to show the run."""
        ...

    def action(self, action: Action) -> None:
        """Show what the controller asked for."""
        ...

    def close(self) -> None:
        """Stop showing."""
        ...


class Session:
    """One run.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    data : mapping
        The same as plain data, for the record.
    resolve : callable
        Finds what a name of a group stands for.
    display : Display
        Shows the run to people.
    prompt : Prompt, optional
        Somebody else's RunEngine and devices, which run the plan.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Mapping[str, Any],
        resolve: Resolve,
        display: Display,
        prompt: Prompt | None = None,
    ) -> None:
        self.experiment = experiment
        self.uid = uuid.uuid4().hex[:16]
        self.agent: Agent | None = None
        self.directory: RunDirectory | None = None
        self.channel_access: dict[str, str] = {}
        self.usage = UsageMeter()
        self.ready = False
        """Whether everything stands, and the plan may begin."""
        self.closed = False
        """Whether the agent has ended, and nothing will be moved any more."""
        self._data = data
        self._resolve = resolve
        self._display = display
        self._prompt = prompt
        self._log = structlog.get_logger()
        self._stops = 0
        # When the shots were let come [ns UTC]; 0 before.
        self._went_ns = 0

    def interrupt(self) -> None:
        """Take a Ctrl-C: the first ends after the move in flight, the second stops the motors."""
        self._stops += 1
        if self.agent is not None:
            self.agent.command(Operator("stop" if self._stops == 1 else "abort", who="Ctrl-C"))

    async def run(self) -> RunSummary:
        """Run from start to end.

        Returns
        -------
        RunSummary
            The result, which stands in the run's directory as well.
        """
        parent = Path(self.experiment.record.directory)
        run = self.directory = make_run_directory(parent, self.experiment.name, self.uid)
        self._write_start(run)
        recorders = RunRecorders(run)
        supervisor = Supervisor(run.logs, self._note_trouble, self._note_notice)
        log = (run.logs / "agent.log").open("a", encoding="utf-8")
        configure_logging(log)
        self._log = structlog.get_logger().bind(process="agent", run_uid=self.uid)
        try:
            # The RunEngine prints what it does: that belongs to the log, not to the terminal.
            with contextlib.redirect_stdout(sys.stdout if self._prompt else log):
                agent = await self._prepare(run, supervisor, recorders)
                self.ready = True
                finish = await self._steer(agent, supervisor)
        finally:
            await self._shut_down(supervisor)
            recorders.close()
            log.close()
        children = {name: child.counters for name, child in supervisor.children.items()}
        summary = summarize(str(run.path), self.experiment, agent, finish, children, self.usage)
        write_json(run.summary, summary.model_dump(mode="json"))
        sorter = agent.controller.observer.sorter
        if sorter is not None:
            write_sorted_shots(run.sorted_shots, sorter.shots)
        return summary

    def _write_start(self, run: RunDirectory) -> None:
        """Record what is about to be started."""
        run.experiment.write_text(yaml.safe_dump(dict(self._data), sort_keys=False), "utf-8")
        write_json(
            run.start,
            {
                "run_uid": self.uid,
                "experiment": self.experiment.name,
                "mode": self.experiment.mode,
                "seed": self.experiment.seed,
                "time": time.time(),
                "versions": versions(),
            },
        )

    async def _prepare(
        self, run: RunDirectory, supervisor: Supervisor, recorders: RunRecorders
    ) -> Agent:
        """Start every process and connect every device."""
        experiment = self.experiment
        file = str(run.experiment)
        if experiment.simulation is not None:
            self._display.progress("starting the soft IOC")
            self.channel_access = simulated_channel_access(experiment.simulation.ioc.port)
            await supervisor.start(Child("ioc", ["ioc", file]))
        self._display.progress("connecting the devices")
        agent = self.agent = make_agent(
            experiment,
            self.uid,
            self._resolve,
            recorders,
            lambda action: self._take_action(action, recorders),
            lambda error: self._log.error("internal error", exc_info=error),
            lambda: supervisor.kill("policy"),
            self._prompt,
        )
        self._display.progress("starting the recorder and the policy")
        producers = self._producers()
        taken = await self._start_recorder(run, supervisor, producers)
        addresses = {name: agent.add_producer(name) for name in producers}
        policy = Child(
            "policy",
            ["policy", file, "--connect", agent.policy.address],
            restart=_same(["policy", file, "--connect", agent.policy.address]),
        )
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(supervisor.start(policy))
                starting.create_task(self._start_source(run, supervisor, addresses, taken))
        except ExceptionGroup as group:
            # The first to fail says why; the others were only cancelled for it.
            raise group.exceptions[0] from None
        await agent.policy.ready.wait()
        return agent

    def _producers(self) -> list[str]:
        """List who sends tables in this run: the simulated source, and each worker."""
        names = ["source"] if self.experiment.simulation is not None else []
        if self.experiment.worker_section is not None:
            names += [f"worker-{n}" for n in range(self.experiment.worker_section.workers)]
        return names

    def _outside_streams(self, addresses: Sequence[str]) -> dict[str, list[str]]:
        """Deal the addresses of somebody else's streams out to the workers."""
        section = self.experiment.worker_section
        if section is None:
            return {}
        each = len(addresses) // section.workers
        return {
            f"worker-{n}": list(addresses[n * each : (n + 1) * each])
            for n in range(section.workers)
        }

    async def _start_recorder(
        self, run: RunDirectory, supervisor: Supervisor, producers: list[str]
    ) -> dict[str, str]:
        """Start the recorder; return where it takes the tables of each producer."""
        since_ns = time.time_ns()

        def arguments(entries: list[str]) -> list[str]:
            options = [word for entry in entries for word in ("--producer", entry)]
            for producer in self.experiment.source.producers:
                options += ["--outside", f"{producer.name}={producer.recorder}"]
            options += ["--outside-since", str(since_ns)]
            options += [word for name in self.experiment.plugins for word in ("--plugin", name)]
            return ["recorder", str(run.tables), "--run-uid", self.uid, *options]

        def again(ready: Mapping[str, Any]) -> list[str]:
            return arguments([f"{name}={where}" for name, where in ready["addresses"].items()])

        ready = await supervisor.start(Child("recorder", arguments(producers), restart=again))
        addresses: dict[str, str] = ready["addresses"]
        return addresses

    async def _start_source(
        self,
        run: RunDirectory,
        supervisor: Supervisor,
        agent: Mapping[str, str],
        recorder: Mapping[str, str],
    ) -> None:
        """Start the simulated source, if there is to be one, and the workers."""
        file = str(run.experiment)
        source = self.experiment.source

        def options(name: str) -> list[str]:
            return [
                *("--run-uid", self.uid),
                *("--agent", agent[name]),
                *("--recorder", recorder[name]),
                *("--directory", str(run.simulation if name == "source" else run.logs)),
            ]

        streams: dict[str, list[str]] = {}
        if self.experiment.simulation is not None:
            self._display.progress("starting the simulated beamline and the analysis")
            child = Child("source", ["source", file, *options("source")])
            streams = (await supervisor.start(child))["frames"]
        elif source.kind != "tables":
            self._display.progress("starting the analysis")
            streams = self._outside_streams(source.addresses)
        outside = self.experiment.simulation is None

        def arguments(name: str, _: Mapping[str, Any]) -> list[str]:
            since = ["--outside-since", str(self._went_ns)] if outside else []
            frames = [word for address in streams[name] for word in ("--frames", address)]
            return ["worker", file, "--name", name, *frames, *options(name), *since]

        workers = [
            supervisor.start(Child(name, arguments(name, {}), partial(arguments, name)))
            for name in streams
        ]
        await asyncio.gather(*workers)

    def _take_action(self, action: Action, recorders: RunRecorders) -> None:
        recorders.take(action)
        if isinstance(action, Announce):
            self._log.log(_LEVELS[action.level], action.text)
        self._display.action(action)

    def _note_trouble(self, name: str, what: str, again: bool) -> None:
        """Tell the controller that a process has died."""
        self._log.warning("trouble", child=name, what=what, restarted=again)
        if self.agent is None:
            return
        if name == "policy":
            self.agent.policy.fail(f"its process {what}")
        fatal = not again and name not in {"ioc", "recorder"}
        text = what + ("; it is started anew" if again else "")
        self.agent.post(Fault(f"process '{name}'", text, fatal=fatal))

    def _note_notice(self, name: str, text: str) -> None:
        """Tell the controller, and by it people and record, what a process has noticed."""
        self._log.warning("notice", child=name, text=text)
        if self.agent is not None:
            self.agent.post(Fault(name, text, fatal=False))

    async def _sample(self, supervisor: Supervisor) -> None:
        """Meter the processes."""
        while True:
            pids = {name: child.pid for name, child in supervisor.children.items()}
            self.usage.sample({"agent": os.getpid(), **pids})
            await asyncio.sleep(_SAMPLE_S)

    async def _steer(self, agent: Agent, supervisor: Supervisor) -> Finish:
        """Let the shots come, and run until the controller finishes."""
        self._display.running(self)
        sampling = asyncio.create_task(self._sample(supervisor))
        try:
            self._went_ns = time.time_ns()
            for name in supervisor.children.keys() & set(self._producers()):
                supervisor.command(name, "go")
            for producer in self.experiment.source.producers:
                agent.add_outside_producer(producer.name, producer.agent)
            return await agent.run()
        finally:
            sampling.cancel()

    async def _shut_down(self, supervisor: Supervisor) -> None:
        """Stop the producers, take what they have sent, for the accounts, and end everything."""
        self._display.progress("stopping: the source, the analysis, the recorder")
        try:
            await supervisor.stop("source")
            workers = [name for name in supervisor.children if name.startswith("worker")]
            await supervisor.stop(*workers)
            if self.agent is not None and supervisor.children.keys() & set(self._producers()):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_S):
                        await self.agent.all_ended.wait()
            if self.agent is not None:
                await self.agent.close()
            self.closed = True
            if self._prompt is not None:
                # An engine stops the motors once more when its plan has ended.
                await self._prompt.idle(_DRAIN_S)
        finally:
            await supervisor.stop_all()
            self._display.close()


_LEVELS = {"info": 20, "warning": 30, "error": 40}


def _same(arguments: list[str]) -> Callable[[Mapping[str, Any]], list[str]]:
    """Start a process anew with the arguments that it had."""
    return lambda _: arguments
