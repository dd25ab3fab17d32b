"""``autosteer bench``: policies measured on scenarios."""

from __future__ import annotations

import typer

from autosteer.cli.bench_policies import bench_policies

app = typer.Typer(help="Measure policies on simulated scenarios.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Measure policies on simulated scenarios."""


app.command("policies")(bench_policies)
