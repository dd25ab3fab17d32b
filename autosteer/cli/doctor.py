"""``autosteer doctor``: checks what a run will need, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._output import clear_errors, print_line


def doctor(
    file: Annotated[
        Path | None, typer.Argument(help="Experiment file whose needs are checked as well.")
    ] = None,
    devices: Annotated[
        bool, typer.Option(help="Connect the devices of the file; nothing moves.")
    ] = True,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the findings as one JSON list.")
    ] = False,
) -> None:
    """Check versions, packages, sockets, ports, disk, GPU, and the devices of an experiment."""
    import dataclasses
    import json

    from rich.console import Console
    from rich.table import Table

    from autosteer.cli._experiment import read_experiment
    from autosteer.cli._names import resolve
    from autosteer.service.checks import check_devices, check_experiment, check_machine

    with clear_errors():
        findings = list(check_machine())
        if file is not None:
            experiment, _ = read_experiment(file)
            findings += check_experiment(experiment, resolve)
            if devices and experiment.simulation is None:
                findings.append(check_devices(experiment, resolve))
        if json_output:
            print_line(json.dumps([dataclasses.asdict(finding) for finding in findings]))
        else:
            table = Table(box=None, padding=(0, 2))
            for heading in ("", "check", "found", "what to do"):
                table.add_column(heading, overflow="fold")
            marks = {"good": "[green]good[/]", "note": "[yellow]note[/]", "bad": "[red]bad[/]"}
            for one in findings:
                table.add_row(marks[one.status], one.check, one.found, one.remedy)
            Console().print(table)
        if any(finding.status == "bad" for finding in findings):
            raise typer.Exit(1)
