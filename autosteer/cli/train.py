"""``autosteer train``: networks, from simulated data."""

from __future__ import annotations

import typer

from autosteer.cli.train_pulses import train_pulses

app = typer.Typer(help="Train networks on simulated data.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Train networks on simulated data."""


app.command("pulses")(train_pulses)
