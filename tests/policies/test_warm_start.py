"""Points of earlier searches are read from what the optimizers wrote, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autosteer.contracts import Aim, OutcomeLimit, PolicyError, Problem, Range
from autosteer.policies.peers import AxPolicy, vocs_of_problem
from autosteer.policies.warm_start import points_of_rows, read_points

torch.set_num_threads(1)

PROBLEM = Problem.of({"x": (-1.0, 1.0), "y": (0.0, 10.0)}, "signal", seed=4)


def test_a_table_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "scan.csv"
    path.write_text(
        "row,x,y,signal,signal_var,signal_n,xopt_error\n"
        "0,0.5,1,3.5,0.04,10,False\n"
        "1,0.25,2,,,,True\n"
        "2,1.5,2,9.0,0.04,10,False\n"
    )
    [point] = read_points(path, PROBLEM)
    assert point == {
        "_id": "scan.csv:0",
        "x": 0.5,
        "y": 1.0,
        "signal": 3.5,
        "signal_sem": pytest.approx(0.2),
        "signal_n": 10.0,
    }


def test_a_snapshot_of_ax_is_read_with_its_errors(tmp_path: Path) -> None:
    policy = AxPolicy(PROBLEM)
    told = []
    for value in (0.1, 0.4):
        [point] = policy.suggest(1)
        told.append({**point, "signal": value, "signal_sem": 0.05})
        policy.ingest(told[-1:])
    policy.suggest(1)
    path = tmp_path / "ax.json"
    path.write_text(json.dumps(policy.checkpoint()["client"]))
    points = read_points(path, PROBLEM)
    assert [{**point, "_id": ""} for point in points] == [{**one, "_id": ""} for one in told]
    other = AxPolicy(PROBLEM.with_seed(9))
    other.ingest(points)
    assert other.best()["signal"] == 0.4


# blop calls what Ax calls deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_checkpoints_of_blop_are_read(tmp_path: Path) -> None:
    from blop.ax.optimizer import AxOptimizer
    from blop.xopt.optimizer import XoptOptimizer
    from xopt.generators.bayesian import ExpectedImprovementGenerator

    from autosteer.policies.peers.ax import describe

    generator = ExpectedImprovementGenerator(vocs=vocs_of_problem(PROBLEM))
    optimizers: dict[str, Any] = {
        "xopt": XoptOptimizer(generator, checkpoint_path=str(tmp_path / "xopt.json")),
        "ax": AxOptimizer(**describe(PROBLEM), checkpoint_path=str(tmp_path / "ax.json")),
    }
    for name, optimizer in optimizers.items():
        [point] = optimizer.register_suggestions([{"x": 0.5, "y": 2.0}])
        optimizer.ingest([{**point, "signal": 0.7}])
        optimizer.checkpoint()
        [read] = read_points(tmp_path / f"{name}.json", PROBLEM)
        assert (read["x"], read["y"], read["signal"]) == (0.5, 2.0, 0.7)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "x,signal\n1,2\n", "a.csv has no column 'y': it has signal, x"),
        ("a.csv", "x,y,signal\n0,2,high\n", "column 'signal' holds 'high' in row 1"),
        ("a.csv", "x,y,signal\n5,2,1\n", "none of 1 rows"),
        ("a.csv", "", "no column 'x': it has no columns"),
        ("a.yaml", "vocs: {}\n", "no dump of Xopt"),
        ("a.yaml", "a: [", "no .yaml file"),
        ("a.json", "{}", "no snapshot of Ax"),
        ("a.json", "[", "no .json file"),
        ("a.json", '{"experiment": {}}', "no .json file with points: KeyError"),
        ("a.h5", "", "points are read from .csv"),
    ],
)
def test_a_file_without_points_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, content: str, text: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(PolicyError, match=text):
        read_points(tmp_path / name, PROBLEM)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        read_points(tmp_path / "a.csv", PROBLEM)


def test_limits_and_context_are_needed_and_diagnostics_are_welcome() -> None:
    problem = Problem(
        {"x": Range(0.0, 1.0)},
        (Aim("signal"),),
        limits=(OutcomeLimit("dose", below=1.0),),
        context=("drift",),
        diagnostics=(Aim("halo"),),
    )
    row = {"x": 0.5, "signal": 1.0, "dose": 0.2, "drift": 3.0, "halo": 4.0, "note": "ok"}
    [point] = points_of_rows([row], problem, "scan")
    assert point == {"_id": "scan:0", **{name: row[name] for name in row if name != "note"}}
    del row["drift"]
    with pytest.raises(PolicyError, match="no column 'drift'"):
        points_of_rows([row], problem, "scan")
