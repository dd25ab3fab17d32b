"""``autosteer calibrate``: what an analysis has to know of its instrument, from data."""

from __future__ import annotations

import typer

from autosteer.cli.calibrate_geometry import calibrate_geometry
from autosteer.cli.calibrate_pulses import calibrate_pulses

app = typer.Typer(
    help="Learn the instrument from data: a detector's geometry, a streaking spectrometer.",
    no_args_is_help=True,
)
app.command("geometry")(calibrate_geometry)
app.command("pulses")(calibrate_pulses)
