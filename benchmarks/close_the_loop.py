"""The stepping stone: 100 Hz of frames, a second of latency, motors driven by the result.

Runs the jet alignment for a minute of beam per seed and prints one row a seed. The truth of the
simulator is read afterwards, from its own file, for the score alone.

    python benchmarks/close_the_loop.py [--seeds 10] [--duration 60] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np
from _cells import ROOT, Cells, table
from _runs import run_to_score

from autosteer.sims import read_truth

EXPERIMENT = ROOT / "examples" / "jet_alignment" / "experiment.yaml"
END_S = 1.0


def run(seed: int, duration_s: float) -> dict[str, Any]:
    """Run once, and score it."""
    summary, truth, stall_s = run_to_score(EXPERIMENT, duration_s, seed, read_truth)
    seconds = (truth.timestamp - truth.timestamp[0]) / 1e9
    share = truth.p_hit / truth.p_hit_attainable
    at_end = seconds > seconds[-1] - END_S
    keys = (
        "frames_sent",
        "frames_analysed",
        "frames_indexed",
        "rate_hz",
        "latency_p50_s",
        "latency_p99_s",
        "decision_latency_p50_s",
        "decision_latency_p99_s",
        "information_age_p99_s",
        "set_latency_p99_s",
        "moves",
        "objective_first",
        "objective_best",
        "cpu_s",
    )
    return {
        **{key: summary[key] for key in keys},
        "share_start": float(share[seconds < END_S].mean()),
        "share_end": float(np.nanmean(share[at_end])),
        "attainable": float(truth.p_hit_attainable.max()),
        "host_stall_s": stall_s,
    }


def passed(cell: dict[str, Any]) -> bool:
    """Tell whether a run has reached every target."""
    return bool(
        cell["rate_hz"] >= 95
        and cell["frames_analysed"] / cell["frames_sent"] >= 0.99
        and cell["latency_p99_s"] <= 0.5
        and cell["decision_latency_p99_s"] <= 1.0
        and cell["moves"] >= 8
        and cell["share_start"] <= 0.2
        and cell["share_end"] >= 0.9
    )


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    arguments = parser.parse_args()
    cells = Cells("close_the_loop", arguments.budget_s)
    rows = []
    for seed in range(1, arguments.seeds + 1):
        cell = cells.get(
            partial(run, seed, arguments.duration),
            seed=seed,
            duration_s=arguments.duration,
        )
        if cell is None:
            break
        rows.append({
            "seed": seed,
            "rate [Hz]": cell["rate_hz"],
            "analysed/sent": cell["frames_analysed"] / cell["frames_sent"],
            "result p50 [s]": cell["latency_p50_s"],
            "p99 [s]": cell["latency_p99_s"],
            "decision p50 [s]": cell["decision_latency_p50_s"],
            "p99 [s] ": cell["decision_latency_p99_s"],
            "informed p99 [s]": cell["information_age_p99_s"],
            "set p99 [ms]": 1000 * cell["set_latency_p99_s"],
            "moves": cell["moves"],
            "share at start": cell["share_start"],
            "at end": cell["share_end"],
            "longest host stall [s]": cell["host_stall_s"],
            "passed": "yes" if passed(cell) else "NO",
        })
        print(f"seed {seed}: {rows[-1]['passed']}", file=sys.stderr)
    print(table(rows))
    print(f"{sum(row['passed'] == 'yes' for row in rows)} of {len(rows)} seeds reach every target")


if __name__ == "__main__":
    main()
