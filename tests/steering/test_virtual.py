"""A whole run on the virtual clock: deterministic, and settings hold only their own shots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autosteer.contracts import INDEXING, MACHINE, MotorFacts, Problem, make_batch
from autosteer.policies import GridPolicy, RandomPolicy
from autosteer.sims.virtual import VirtualBeamline
from autosteer.sims.worlds import make_world
from autosteer.steering.virtual import VirtualRun, VirtualTimes
from tests.experiments import experiment

KNOBS = {"x": (-0.1, 0.1), "y": (-0.4, 0.4)}


def run(seed: int, **changes: Any) -> VirtualRun:
    made = VirtualRun(
        experiment(**changes),
        VirtualBeamline(experiment(**changes), make_world(experiment(**changes), seed)),
        RandomPolicy(Problem.of(KNOBS, "hits", seed=seed)),
    )
    assert made.run().ok
    return made


def test_the_same_seed_is_the_same_run() -> None:
    first, again, other = run(1), run(1), run(2)
    assert first.controller.outcomes == again.controller.outcomes
    assert first.controller.outcomes != other.controller.outcomes
    assert first.controller.moves >= 8


def test_every_shot_is_accounted_for() -> None:
    controller = run(1).controller
    shots = controller.observer.shots
    pending = sum(c.pending for c in controller.observer.join_counters.values())
    assert shots.folded == sum(outcome.n_shots for outcome in controller.outcomes.values())
    assert shots.analysed - shots.folded - shots.outside <= pending + 30
    for counters in controller.observer.join_counters.values():
        assert counters.late == counters.duplicate == counters.future == 0


class PositionWorld:
    """A beamline whose shots hit exactly where x > 0, and whose results come late and unevenly."""

    def __init__(self, seed: int) -> None:
        self._inner = VirtualBeamline(experiment(), make_world(experiment(), seed))
        self._rng = np.random.default_rng(seed)
        self._start_ns = 0

    def facts(self) -> dict[str, MotorFacts]:
        return self._inner.facts()

    def interlocks(self) -> dict[str, float]:
        return {}

    def move(self, knobs: Mapping[str, float], now_ns: int) -> int:
        return self._inner.move(knobs, now_ns)

    def readbacks(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, str, float, bool]]:
        yield from self._inner.readbacks(from_ns, to_ns)

    def tables(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, str, pa.RecordBatch]]:
        self._start_ns = self._start_ns or from_ns
        times = np.arange(from_ns, to_ns, 10_000_000)
        seconds = (times - self._start_ns) / 1e9
        x = self._inner._travels["X"].position(seconds)
        ids = 1 + (times - self._start_ns) // 10_000_000
        keys: dict[str, Any] = {"pulse_id": ids, "timestamp": times}
        delay_ns = int(self._rng.integers(0, 700_000_000))
        yield (
            int(times[-1]),
            "machine",
            make_batch(MACHINE, {**keys, "beam_intensity": ids * 0 + 1}),
        )
        yield int(times[-1]) + delay_ns, "indexing", make_batch(INDEXING, {**keys, "hit": x > 0})


class ListPolicy:
    """Goes through a list of places."""

    def __init__(self, places: Sequence[tuple[float, float]]) -> None:
        self._places = list(enumerate(places))

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        number, (x, y) = self._places.pop(0)
        return [{"_id": f"p{number}", "x": x, "y": y}]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        pass


@pytest.mark.parametrize("seed", range(3))
def test_a_shot_belongs_to_where_the_knobs_were_at_its_pulse(seed: int) -> None:
    # The knob jumps across zero each time: one shot of another setting would spoil the mean.
    places = [(0.08 * (-1) ** number, 0.1 * number % 0.3) for number in range(40)]
    made = VirtualRun(experiment(stop__then="stay"), PositionWorld(seed), ListPolicy(places))
    assert made.run().ok
    outcomes = [o for o in made.controller.outcomes.values() if o.estimates]
    assert len(outcomes) >= 6
    for outcome in outcomes:
        assert outcome.estimates["hits"].mean == float(outcome.readback["x"] > 0)


def test_a_grid_on_the_virtual_clock_ends_by_itself() -> None:
    policy = GridPolicy(Problem.of(KNOBS, "hits"), points_per_knob=3)
    made = VirtualRun(
        experiment(stop__duration_s=None),
        VirtualBeamline(experiment(), make_world(experiment(), 4)),
        policy,
        VirtualTimes(step_s=0.2, ask_s=0.05),
    )
    finish = made.run()
    assert finish.ok
    assert "all 9 points of the grid are measured" in finish.reason
    assert made.controller.moves == 10
