"""Our policies inside blop's plans, driven by a RunEngine, and inside Xopt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import blop.plans
import blop.protocols as theirs
import pytest
import torch
from bluesky.run_engine import RunEngine
from bluesky.utils import FailedStatus
from gest_api.generator import Generator
from gest_api.vocs import VOCS
from ophyd.sim import SynAxis
from ophyd_async.core import init_devices
from ophyd_async.sim import SimMotor
from xopt import Evaluator, Xopt

from autosteer.contracts import Aim, PolicyError, Problem, Range
from autosteer.policies import BayesianPolicy, GridPolicy, RandomPolicy
from autosteer.policies.peers import as_blop_optimizer, as_gest_generator, problem_of_vocs
from autosteer.policies.warm_start import read_points

torch.set_num_threads(1)

PROBLEM = Problem.of({"x": (-1.0, 1.0), "y": (0.0, 10.0)}, "signal", seed=4)


class Beamline:
    """Two simulated motors, and an evaluation of where they stood."""

    def __init__(self, axes: Sequence[Any]) -> None:
        self.axes = axes
        self.seen: list[str] = []
        self.broken = False

    def __call__(self, uid: Any, suggestions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if self.broken:
            raise ValueError("the detector saw noise alone")
        self.seen += [str(point["_id"]) for point in suggestions]
        return [
            {
                "_id": point["_id"],
                "signal": math.exp(-((point["x"] - 0.4) ** 2) / 0.2 - (point["y"] - 3) ** 2 / 10),
            }
            for point in suggestions
        ]


@pytest.fixture
def engine() -> RunEngine:
    return RunEngine({}, call_returns_result=False)


def ophyd_axes() -> list[Any]:
    return [SynAxis(name="x"), SynAxis(name="y")]


def problem_of(optimizer: Any, beamline: Beamline) -> Any:
    return theirs.OptimizationProblem(
        optimizer=optimizer,
        actuators=beamline.axes,
        sensors=[],
        evaluation_function=beamline,
    )


def test_a_policy_optimizes_inside_a_plan_of_blop(engine: RunEngine) -> None:
    optimizer = as_blop_optimizer(BayesianPolicy(PROBLEM), PROBLEM)
    beamline = Beamline(ophyd_axes())
    engine(blop.plans.optimize(problem_of(optimizer, beamline), iterations=12))
    assert len(set(beamline.seen)) == 12
    [(_, knobs, values)] = optimizer.get_best_points()
    assert abs(knobs["x"] - 0.4) < 0.2
    assert values["signal"] > 0.8
    # The motors stand where the last suggestion wanted them.
    assert beamline.axes[0].position == pytest.approx(optimizer._places[beamline.seen[-1]]["x"])


def test_motors_of_ophyd_async_are_driven_too(engine: RunEngine) -> None:
    with init_devices():
        x, y = SimMotor(name="x", instant=True), SimMotor(name="y", instant=True)
    beamline = Beamline([x, y])
    optimizer = as_blop_optimizer(RandomPolicy(PROBLEM), PROBLEM)
    engine(blop.plans.optimize(problem_of(optimizer, beamline), iterations=2, n_points=3))
    assert len(set(beamline.seen)) == 6
    assert len(optimizer.get_best_points()) == 1


def test_the_grid_says_when_the_plan_is_to_end(engine: RunEngine) -> None:
    optimizer = as_blop_optimizer(GridPolicy(PROBLEM, points_per_knob=3), PROBLEM)
    beamline = Beamline(ophyd_axes())
    engine(blop.plans.optimize(problem_of(optimizer, beamline), iterations=None))
    assert len(beamline.seen) == 9


def test_a_policy_that_never_stops_does_not_pretend_to(engine: RunEngine) -> None:
    optimizer = as_blop_optimizer(RandomPolicy(PROBLEM), PROBLEM)
    assert isinstance(optimizer, theirs.Optimizer)
    assert isinstance(optimizer, theirs.CanRegisterSuggestions)
    assert isinstance(optimizer, theirs.TrialFaultAware)
    assert isinstance(optimizer, theirs.Checkpointable)
    assert not isinstance(optimizer, theirs.SupportsStoppingCriteria)
    beamline = Beamline(ophyd_axes())
    with pytest.raises(ValueError, match="SupportsStoppingCriteria"):
        engine(blop.plans.optimize(problem_of(optimizer, beamline), iterations=None))


def test_a_failed_evaluation_is_a_failure_of_the_policy(engine: RunEngine) -> None:
    policy = RandomPolicy(PROBLEM)
    beamline = Beamline(ophyd_axes())
    beamline.broken = True
    with pytest.raises((ValueError, FailedStatus), match="noise alone"):
        engine(blop.plans.optimize(problem_of(as_blop_optimizer(policy, PROBLEM), beamline)))
    assert list(policy._ledger.failed) == ["s1"]
    assert not policy._ledger.pending


def test_points_of_a_person_are_measured_and_told(engine: RunEngine) -> None:
    optimizer = as_blop_optimizer(BayesianPolicy(PROBLEM), PROBLEM)
    beamline = Beamline(ophyd_axes())
    wanted = [{"x": 0.4, "y": 3.0}, {"x": -1.0, "y": 9.0}]
    engine(blop.plans.sample_suggestions(problem_of(optimizer, beamline), wanted))
    assert beamline.seen == ["registered-1", "registered-2"]
    assert optimizer.get_best_points()[0][2]["signal"] > 0.9


def test_a_baseline_is_a_point_that_nobody_suggested(engine: RunEngine) -> None:
    optimizer = as_blop_optimizer(BayesianPolicy(PROBLEM), PROBLEM)
    beamline = Beamline(ophyd_axes())
    engine(blop.plans.acquire_baseline(problem_of(optimizer, beamline), {"x": 0.0, "y": 5.0}))
    assert beamline.seen == ["baseline"]
    assert optimizer.get_best_points()[0][1] == {"x": 0.0, "y": 5.0}


def test_checkpoints_of_a_plan_go_on_where_it_stopped(engine: RunEngine, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    first = as_blop_optimizer(RandomPolicy(PROBLEM), PROBLEM, checkpoint_path=path)
    plan = blop.plans.optimize(
        problem_of(first, Beamline(ophyd_axes())), iterations=4, checkpoint_interval=2
    )
    engine(plan)
    again: Any = as_blop_optimizer(RandomPolicy(PROBLEM), PROBLEM, checkpoint_path=path)
    again.restore()
    assert again.get_best_points() == first.get_best_points()
    assert again.suggest() == first.suggest()
    points = read_points(path, PROBLEM)
    assert len(points) == 4
    assert max(point["signal"] for point in points) == first.get_best_points()[0][2]["signal"]
    nowhere: Any = as_blop_optimizer(RandomPolicy(PROBLEM), PROBLEM)
    for act in (nowhere.checkpoint, nowhere.restore):
        with pytest.raises(PolicyError, match="no checkpoint_path"):
            act()


def test_points_without_a_name_are_points_of_their_own() -> None:
    policy = RandomPolicy(PROBLEM)
    optimizer = as_blop_optimizer(policy, PROBLEM)
    optimizer.ingest([{"x": x, "y": 1.0, "signal": x} for x in (0.1, 0.2, 0.3)])
    assert len(policy._ledger.measured) == 3
    assert optimizer.get_best_points()[0][1]["x"] == 0.3


def test_with_several_objectives_the_pareto_set_is_best() -> None:
    problem = Problem({"x": Range(0.0, 1.0)}, (Aim("signal"), Aim("width", maximize=False)))

    class Told:
        def suggest(self, num_points: int) -> list[dict[str, Any]]:
            return []

        def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
            self.points = points

    policy = Told()
    optimizer = as_blop_optimizer(policy, problem)
    optimizer.ingest([
        {"_id": "a", "x": 0.1, "signal": (1.0, 0.1), "width": 1.0},
        {"_id": "b", "x": 0.2, "signal": 2.0, "width": 2.0},
        {"_id": "beaten", "x": 0.3, "signal": 1.0, "width": 2.0},
    ])
    assert {name for name, *_ in optimizer.get_best_points()} == {"a", "b"}
    assert policy.points[0]["signal_sem"] == 0.1


VOCS_XY = VOCS(
    variables={"x": [-1.0, 1.0], "y": [0.0, 10.0]},
    objectives={"signal": "MAXIMIZE"},
    constants={"shots": 100},
)


def read(inputs: dict[str, Any]) -> dict[str, float]:
    assert inputs["shots"] == 100
    height = math.exp(-((inputs["x"] - 0.4) ** 2) / 0.2 - (inputs["y"] - 3) ** 2 / 10)
    return {"signal": height, "signal_sem": 0.01}


def run_xopt(make: Callable[[Problem], Any], steps: int, **more: Any) -> Any:
    generator = as_gest_generator(make(problem_of_vocs(VOCS_XY, seed=3)), VOCS_XY)
    assert isinstance(generator, Generator)
    xopt = Xopt(generator=generator, evaluator=Evaluator(function=read), **more)
    for _ in range(steps):
        xopt.step()
    return xopt


@pytest.mark.filterwarnings("ignore")
def test_a_policy_generates_for_xopt(tmp_path: Path) -> None:
    dump = tmp_path / "xopt.yaml"
    xopt = run_xopt(BayesianPolicy, 10, xopt_dump_file=str(dump))
    assert len(xopt.data) == 10
    assert xopt.data["_id"].tolist() == [f"s{number}" for number in range(1, 11)]
    assert xopt.data["signal"].max() > 0.8
    best = xopt.generator.policy.best()
    assert abs(best["x"] - 0.4) < 0.2
    points = read_points(dump, PROBLEM)
    # Xopt rounds what it dumps.
    told = pytest.approx(xopt.data["signal"].tolist(), rel=1e-4)
    assert [point["signal"] for point in points] == told
    assert points[0]["signal_sem"] == 0.01


@pytest.mark.filterwarnings("ignore")
def test_points_that_xopt_drew_itself_are_told_too() -> None:
    generator = as_gest_generator(RandomPolicy(problem_of_vocs(VOCS_XY, seed=3)), VOCS_XY)
    xopt = Xopt(generator=generator, evaluator=Evaluator(function=read))
    xopt.random_evaluate(3, seed=1)
    xopt.step()
    assert len(xopt.generator.policy._ledger.measured) == 4
    with pytest.raises(ValueError, match="'s99' was not suggested here"):
        xopt.generator.ingest([{"_id": "s99", "x": 0.0, "y": 0.0, "signal": 1.0}])


def test_the_generator_gives_as_many_points_as_asked_for_or_says_so() -> None:
    policy = GridPolicy(problem_of_vocs(VOCS_XY), points_per_knob=2)
    generator = as_gest_generator(policy, VOCS_XY)
    assert len(generator.suggest(3)) == 3
    assert len(generator.suggest()) == 1
    with pytest.raises(ValueError, match="2 points are wanted, the policy has 0"):
        generator.suggest(2)
    with pytest.raises(ValueError, match="is to be explored"):
        as_gest_generator(policy, VOCS(variables={"x": [0, 1]}, objectives={"f": "EXPLORE"}))
