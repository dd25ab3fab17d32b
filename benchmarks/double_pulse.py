"""Pulse pairs at a wanted delay: a machine tuned from a bad start, 1000 pulses a second.

Runs the example for a minute of beam per seed and prints one row a seed. The truth of the
simulator is read afterwards, from its own file, for the score alone.

    python benchmarks/double_pulse.py [--seeds 10] [--duration 60] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np
from _cells import ROOT, Cells, table
from _runs import run_to_score

from autosteer.cli._experiment import read_experiment
from autosteer.contracts import Experiment
from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.sims import read_pulse_truth
from autosteer.sims.worlds import wanted_delays
from autosteer.sims.xleap import attainable_share, pair_share

EXPERIMENT = ROOT / "examples" / "double_pulse" / "experiment.yaml"
START_S = 1.0
# The last measurement takes this long; before it, the knobs may be on their way to the best place.
END_S = 0.3


def machine(experiment: Experiment) -> SimulatedXleap:
    """Return the simulated machine."""
    if experiment.simulation is None or experiment.simulation.beamline.kind != "xleap":
        raise SystemExit("the experiment simulates no X-ray laser")
    return experiment.simulation.beamline


def run(seed: int, duration_s: float) -> dict[str, Any]:
    """Run once, and score it."""
    experiment, _ = read_experiment(EXPERIMENT)
    window_as, config = wanted_delays(experiment), machine(experiment)
    summary, truth, stall_s = run_to_score(EXPERIMENT, duration_s, seed, read_pulse_truth)
    seconds = (truth.timestamp - truth.timestamp[0]) / 1e9
    attainable = attainable_share(window_as, config)
    share = pair_share(truth.chances, window_as, config) / attainable
    smooth = np.convolve(share, np.ones(200) / 200, "valid")
    reached = np.flatnonzero(smooth >= 0.9)
    keys = (
        "frames_sent",
        "frames_analysed",
        "rate_hz",
        "latency_p50_s",
        "latency_p99_s",
        "decision_latency_p99_s",
        "moves",
        "pulses_abstained",
        "phases_audited",
        "phases_disagreed",
        "objective_final",
        "run_cpu_s",
    )
    return {
        **{key: summary[key] for key in keys},
        "sorted": sum(one["sorted"] for one in summary["bins"]),
        "attainable": attainable,
        "share_start": float(share[seconds < START_S].mean()),
        "share_end": float(share[seconds > seconds[-1] - END_S].mean()),
        "reached_s": float(seconds[reached[0]]) if len(reached) else float("nan"),
        "host_stall_s": stall_s,
    }


def passed(cell: dict[str, Any]) -> bool:
    """Tell whether the knobs were left where pairs are nearly as frequent as they can be."""
    return bool(cell["share_start"] <= 0.2 and cell["share_end"] >= 0.9)


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    arguments = parser.parse_args()
    cells = Cells("double_pulse", arguments.budget_s)
    rows = []
    for seed in range(1, arguments.seeds + 1):
        cell = cells.get(
            partial(run, seed, arguments.duration), seed=seed, duration_s=arguments.duration
        )
        if cell is None:
            break
        rows.append({
            "seed": seed,
            "rate [Hz]": cell["rate_hz"],
            "analysed/sent": cell["frames_analysed"] / cell["frames_sent"],
            "result p50 [s]": cell["latency_p50_s"],
            "p99 [s]": cell["latency_p99_s"],
            "moves": cell["moves"],
            "phases that disagree": f"{cell['phases_disagreed']} of {cell['phases_audited']}",
            "sorted": cell["sorted"],
            "share at start": cell["share_start"],
            "first at 0.9 [s]": cell["reached_s"],
            "at end": cell["share_end"],
            "longest host stall [s]": cell["host_stall_s"],
            "passed": "yes" if passed(cell) else "NO",
        })
        print(f"seed {seed}: {rows[-1]['passed']}", file=sys.stderr)
    print(table(rows))
    passes = sum(row["passed"] == "yes" for row in rows)
    print(f"{passes} of {len(rows)} seeds end with 90 % of the pairs that are attainable or more")


if __name__ == "__main__":
    main()
