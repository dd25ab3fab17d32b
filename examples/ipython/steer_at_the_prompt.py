"""Steering at a Bluesky prompt: paste the lines into IPython, or run this file."""

import sys
from pathlib import Path

from bluesky import RunEngine

from autosteer import steer
from autosteer.devices import simulated_channel_access

# Only for simulated motors, and before the RunEngine, which loads the Channel Access library.
simulated_channel_access()

RE = RunEngine({})
experiment = Path(__file__).parents[1] / "result_tables" / "experiment.yaml"
duration_s = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0

# Documents of this run go wherever those of your other plans go.
documents: list[str] = []
RE.subscribe(lambda name, document: documents.append(name))  # type: ignore[no-untyped-call]

RE(steer(RE, experiment, duration_s=duration_s))
print(f"{documents.count('start')} run with {documents.count('event')} events")
