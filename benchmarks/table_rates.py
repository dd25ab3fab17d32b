"""The loop on result tables, without pixels: 2 kHz for a minute, and then faster until it gives.

python benchmarks/table_rates.py [--duration 60] [--ramp-duration 15] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from typing import Any

from _cells import ROOT, Cells, table
from _runs import run_experiment

EXPERIMENT = ROOT / "examples" / "result_tables" / "experiment.yaml"
RATES_HZ = (2000, 10_000, 33_000, 100_000, 200_000, 400_000, 800_000, 1_600_000)


def run(rate_hz: int, duration_s: float) -> dict[str, Any]:
    """Run once at a rate."""
    settings = {
        "source.rate_hz": rate_hz,
        "dwell.shots": rate_hz // 2,
        "join.slots": max(8192, 4 * rate_hz),
    }
    with tempfile.TemporaryDirectory() as folder:
        done = run_experiment(EXPERIMENT, folder, duration_s, settings=settings)
        if done.returncode:
            return {"error": done.stderr.decode()[-300:]}
        summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def main() -> None:
    """Run the rates and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--ramp-duration", type=float, default=15.0)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    arguments = parser.parse_args()
    cells = Cells("table_rates", arguments.budget_s)
    rows = []
    for number, rate_hz in enumerate(RATES_HZ):
        duration_s = arguments.ramp_duration if number else arguments.duration
        cell = cells.get(
            partial(run, rate_hz, duration_s),
            rate_hz=rate_hz,
            duration_s=duration_s,
        )
        if cell is None:
            break
        if "error" in cell:
            print(f"{rate_hz} Hz: the run failed: {cell['error']}", file=sys.stderr)
            break
        rows.append(row_of(rate_hz, cell))
        print(f"{rate_hz} Hz: p99 {cell['latency_p99_s']:.3f} s", file=sys.stderr)
        if rows[-1]["gave"]:
            break
    print(table(rows))


def row_of(rate_hz: int, cell: dict[str, Any]) -> dict[str, Any]:
    """Give the row of a rate."""
    counters = cell["counters"]
    lost = sum(c["dropped"] for c in counters["source"]["tables"].values())
    agent = counters["agent"]
    lost += sum(join["late"] + join["future"] for join in agent["join"].values())
    lost += sum(stream["lost_messages"] for stream in agent["received"].values())
    span_s = cell["duration_s"]
    gave = [
        what
        for what, happened in (
            ("source", cell["rate_hz"] < 0.98 * rate_hz),
            ("latency", cell["latency_p99_s"] > 0.1),
            ("loss", lost > 0),
        )
        if happened
    ]
    return {
        "rate [Hz]": rate_hz,
        "reached [Hz]": cell["rate_hz"],
        "sent": cell["frames_sent"],
        "recorded": counters["recorder"]["rows"]["indexing"],
        "lost": lost,
        "p50 [s]": cell["latency_p50_s"],
        "p99 [s]": cell["latency_p99_s"],
        "moves": cell["moves"],
        **{
            f"{name} cores": cell["run_cpu_s"][name] / span_s
            for name in ("agent", "source", "recorder", "policy")
        },
        "agent [MiB]": cell["memory_mib"]["agent"],
        "gave": ", ".join(gave),
    }


if __name__ == "__main__":
    main()
