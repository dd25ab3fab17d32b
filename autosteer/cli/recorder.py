"""``autosteer recorder``: writes every table of a run to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors


def recorder(
    directory: Annotated[Path, typer.Argument(help="Folder of the recording.")],
    run_uid: Annotated[str, typer.Option(help="Identifier of the run.")],
    producer: Annotated[
        list[str] | None,
        typer.Option(help="Producer as name, or name=tcp://127.0.0.1:port to bind that port."),
    ] = None,
    outside: Annotated[
        list[str] | None,
        typer.Option(help="Producer that is not part of the run, as name=tcp://127.0.0.1:port."),
    ] = None,
    outside_since: Annotated[
        int, typer.Option(help="What such a producer has sent before is refused, in ns UTC.")
    ] = 0,
    plugin: Annotated[
        list[str] | None, typer.Option(help="Module that registers table kinds.")
    ] = None,
) -> None:
    """Receive tables from producers and write them, until interrupted."""
    import time

    import zmq

    from autosteer.cli._experiment import import_plugins
    from autosteer.contracts import WireError
    from autosteer.service.child import ChildRuntime, configure_logging
    from autosteer.stream import ANY_PORT, Inlet, Recorder

    with clear_errors():
        configure_logging()
        runtime = ChildRuntime("recorder")
        import_plugins(plugin or (), "--plugin")
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        inlets, elsewhere = {}, {}
        for entry in producer or ():
            name, _, address = entry.partition("=")
            inlets[name] = Inlet(context, address or ANY_PORT, "bind", "tables")
        for entry in outside or ():
            name, _, address = entry.partition("=")
            elsewhere[name] = Inlet(context, address, "connect", "tables")

        def note(error: WireError) -> None:
            runtime.log.warning("refused", error=type(error).__name__, reason=str(error))

        writer = Recorder(directory, run_uid, inlets, elsewhere, note, outside_since)
        runtime.tell("ready", addresses={name: inlet.address for name, inlet in inlets.items()})
        next_report_s = 0.0
        quiet_since_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            if writer.step():
                quiet_since_s = now_s
            if now_s >= next_report_s:
                runtime.tell("counters", **writer.counters)
                next_report_s = now_s + 1.0
            if not runtime.should_stop():
                continue
            writer.leave_outside()
            # Go on while tables still come, or until every stream has ended.
            if writer.all_ended or now_s - quiet_since_s > 1.0:
                break
        writer.close()
        runtime.tell("counters", **writer.counters)
