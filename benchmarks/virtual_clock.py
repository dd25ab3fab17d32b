"""How much faster than the beam a run on the virtual clock goes, and where the time is spent.

python benchmarks/virtual_clock.py [--duration 60]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from _cells import ROOT, table

from autosteer.cli._experiment import read_experiment
from autosteer.cli._policies import make_policy, pin_threads
from autosteer.sims.virtual import VirtualBeamline
from autosteer.sims.worlds import make_world
from autosteer.steering.virtual import VirtualRun, VirtualTimes

EXPERIMENT = ROOT / "examples" / "jet_alignment" / "experiment.yaml"


def simulator_alone(duration_s: float, step_s: float) -> float:
    """Return the processor time of the simulated beamline without a controller."""
    experiment, _ = read_experiment(EXPERIMENT, ["source.rate_hz=120"])
    beamline = VirtualBeamline(experiment, make_world(experiment, 1))
    begin_s = time.process_time()
    step_ns = round(step_s * 1e9)
    for start_ns in range(0, round(duration_s * 1e9), step_ns):
        for _ in beamline.readbacks(start_ns, start_ns + step_ns):
            pass
        for _ in beamline.tables(start_ns, start_ns + step_ns):
            pass
    return time.process_time() - begin_s


def whole_run(duration_s: float, step_s: float, policy: str) -> float:
    """Return the processor time of a run with controller and policy."""
    overrides = ["source.rate_hz=120", f"stop.duration_s={duration_s}", f"policy.class={policy}"]
    if "Bayesian" not in policy:
        overrides.append("policy.options={}")
    experiment, _ = read_experiment(EXPERIMENT, overrides)
    run = VirtualRun(
        experiment,
        VirtualBeamline(experiment, make_world(experiment, 1)),
        make_policy(experiment),
        VirtualTimes(step_s=step_s),
    )
    begin_s = time.process_time()
    run.run()
    return time.process_time() - begin_s


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=60.0)
    duration_s = parser.parse_args().duration
    pin_threads()
    rows: list[dict[str, Any]] = []
    for step_s in (0.1, 0.5):
        rows.append({
            "what": "simulator alone, 120 Hz",
            "step [s]": step_s,
            "cpu [s]": (used := simulator_alone(duration_s, step_s)),
            "times real time": duration_s / used,
        })
        for policy in ("RandomPolicy", "BayesianPolicy"):
            used = whole_run(duration_s, step_s, f"autosteer.policies:{policy}")
            rows.append({
                "what": f"whole run, {policy}",
                "step [s]": step_s,
                "cpu [s]": used,
                "times real time": duration_s / used,
            })
    print(table(rows))


if __name__ == "__main__":
    main()
