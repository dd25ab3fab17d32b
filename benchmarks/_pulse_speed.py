"""Speed of estimators of pulses: calls, and two processes at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from _pulse_scores import shots_of

from autosteer.analysis.pulses import PulseEstimator, load_estimator
from autosteer.analysis.pulses.dciphr import DciphrEstimator, Networks
from autosteer.analysis.pulses.familiarity import Familiarity, statistics
from autosteer.analysis.pulses.weights import Weights
from autosteer.contracts.pulse_simulation import SimulatedMrco

CASES: dict[str, tuple[tuple[str, int | None, int], ...]] = {
    "matched": (
        *[("cpu", 2, batch) for batch in (1, 16, 64, 256, 1024)],
        ("cpu", None, 256),
        *[("cuda", 2, batch) for batch in (1, 1024)],
    ),
    "dciphr-small": (
        *[("cpu", 2, batch) for batch in (1, 16, 64, 256, 1024)],
        ("cpu", None, 256),
        *[("cuda", 2, batch) for batch in (1, 1024)],
    ),
    "dciphr": (
        *[("cpu", 2, batch) for batch in (1, 64)],
        *[("cuda", 2, batch) for batch in (1, 1024)],
    ),
}
"""Device, sub-spikes and batch of what is timed."""


def speed(
    name: str, n_spikes: int | None, batch: int, device: str, seconds: float
) -> dict[str, float]:
    """Time calls, input from and output to memory of the processor."""
    shots = shots_of(SimulatedMrco(), max(batch, 512), 1, n_spikes).sinograms
    estimator = _estimator(name, device)
    estimator.characterize(shots[:batch])
    times: list[float] = []
    start = 0
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(times) < 3:
        some = np.take(shots, range(start, start + batch), axis=0, mode="wrap")
        start += batch
        begin_s = time.perf_counter()
        estimator.characterize(some)
        times.append(time.perf_counter() - begin_s)
    return {
        "shots_per_s": batch / float(np.mean(times)),
        "p50_ms": 1e3 * float(np.quantile(times, 0.5)),
        "p99_ms": 1e3 * float(np.quantile(times, 0.99)),
    }


def two_processes(name: str, batch: int, seconds: float) -> float:
    """Return the shots per second of two processes together, one thread each."""
    with ProcessPoolExecutor(2, get_context("spawn"), _one_thread) as pool:
        # The first calls import and load, so that the timed ones begin together.
        list(pool.map(speed, [name] * 2, [None] * 2, [batch] * 2, ["cpu"] * 2, [0.1] * 2))
        timed = pool.map(speed, [name] * 2, [None] * 2, [batch] * 2, ["cpu"] * 2, [seconds] * 2)
        return sum(one["shots_per_s"] for one in timed)


def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def _estimator(name: str, device: str) -> PulseEstimator:
    """Make an estimator; one without weights in the package with random ones that find two."""
    if name != "dciphr":
        return load_estimator(name, device=device)
    shots = shots_of(SimulatedMrco(), 1000, 2, None)
    familiarity = Familiarity.learn(
        statistics(torch.from_numpy(shots.sinograms.astype(np.float32))),
        torch.from_numpy(np.minimum(shots.truth.n_spikes, 4)),
    )
    torch.manual_seed(0)
    networks = Networks(20.0)
    with torch.no_grad():
        # The longest way: every shot goes through the larger network of the phase.
        dict(networks.named_parameters())["count.head.6.bias"][2] = 100.0
    tensors: dict[str, Any] = {
        **{f"networks.{name}": value for name, value in networks.state_dict().items()},
        **{f"familiarity.{name}": value for name, value in familiarity.tensors().items()},
        "calibration.temperature": torch.tensor(1.0),
        "calibration.sigma_scale": torch.tensor(1.0),
        "calibration.confusion": torch.eye(5),
    }
    return DciphrEstimator(Weights("dciphr", (16, 512), tensors, {}), device=device)
