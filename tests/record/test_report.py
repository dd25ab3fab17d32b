"""The report of a recorded run: what is drawn of a policy's beliefs, what is said to be missing."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from autosteer.cli._beliefs import beliefs_of
from autosteer.cli.report import write_report_of
from autosteer.contracts import Best, Estimate, Outcome, ParetoPoint, parse_experiment
from autosteer.record.history import read_bests
from autosteer.record.run_directory import RunDirectory, open_run_directory
from autosteer.sims.scenarios import scenarios
from autosteer.steering.events import LOG_LINE, PolicyReplied, Stamped

START_NS = 1_795_000_000_000_000_000


class Broken:
    """A policy that has a model and cannot be asked."""

    def __init__(self, problem: Any) -> None:
        pass

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        return []

    def ingest(self, points: Any) -> None:
        raise RuntimeError("the model is lost")

    def best(self) -> dict[str, Any]:
        return {}

    def posterior(self, points: Any) -> Any:
        raise NotImplementedError


def recorded(folder: Path, settings: int = 12, **changes: Any) -> RunDirectory:
    """Write down a run of the scenario with two objectives, as a session would have."""
    run = RunDirectory(folder)
    folder.mkdir()
    data = yaml.safe_load(scenarios()["aperture_pareto"].file.read_text("utf-8"))
    run.experiment.write_text(yaml.safe_dump({**data, **changes}))
    run.start.write_text(json.dumps({"run_uid": "0123456789", "versions": {}}))
    rng = np.random.default_rng(1)
    lines = []
    for number in range(settings):
        aperture, beamstop = rng.uniform(5, 100), rng.uniform(5, 60)
        lit = 1 - math.exp(-((aperture / 30) ** 2))
        means = {"signal": 240 * lit, "background": 3 + aperture**2 * beamstop / 2000}
        outcome = Outcome(
            suggestion_id=f"s{number}",
            readback={"aperture": aperture, "beamstop": beamstop},
            estimates={name: Estimate(mean, 0.5, 60) for name, mean in means.items()},
            n_shots=60,
            first_pulse_id=1 + 60 * number,
            last_pulse_id=60 + 60 * number,
            t_last_shot_ns=START_NS + (number + 1) * 1_000_000_000,
            elapsed_s=0.5,
            sample_used_nl=None,
            final=True,
        )
        lines.append(asdict(outcome))
    run.outcomes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.decisions.write_text("")
    run.messages.write_text("")
    return run


def titles(page: str) -> list[str]:
    return [part.partition("<")[0] for part in page.split("<h2>")[1:]]


def test_the_front_is_drawn_and_its_places_are_listed(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    page = write_report_of(run.path).read_text()
    for title in (
        "Objectives against each other",
        "What the policy believes",
        "Map of the two most important knobs",
        "Pareto front",
    ):
        assert title in titles(page)
    rows = page.split("<h2>Pareto front</h2>")[1].split("</table>")[0].count("<tr>") - 1
    assert f"the {rows} places that no other one beats" in page
    assert "not drawn" not in page


def test_beliefs_are_those_of_a_policy_that_was_told_the_outcomes(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", settings=25)
    experiment = parse_experiment(yaml.safe_load(run.experiment.read_text()), "run")
    beliefs = beliefs_of(experiment, run)
    assert [(one.objective, one.knob) for one in beliefs.slices] == [
        (objective, knob)
        for knob in ("aperture", "beamstop")
        for objective in ("signal", "background")
    ]
    signal = beliefs.slices[0]
    expected = 240 * -np.expm1(-((signal.position / 30) ** 2))
    assert np.abs(signal.mean - expected).max() < 25
    assert [one.knobs for one in beliefs.maps] == [("aperture", "beamstop")] * 2
    assert beliefs.maps[0].mean.shape == (len(beliefs.maps[0].y), len(beliefs.maps[0].x))
    assert len(beliefs.front) >= 3
    assert beliefs.missing == ()


def test_a_policy_that_raises_leaves_a_note_and_the_other_plots(tmp_path: Path) -> None:
    policy = {"class": f"{Broken.__module__}:Broken"}
    page = write_report_of(recorded(tmp_path / "run", policy=policy).path).read_text()
    assert "believes is not drawn: the model is lost" in page
    assert "Objective against time" in titles(page)
    assert "Objectives against each other" in titles(page)
    assert "What the policy believes" not in titles(page)


@pytest.mark.parametrize("name", ["RandomPolicy", "GridPolicy"])
def test_a_policy_without_a_model_believes_nothing(tmp_path: Path, name: str) -> None:
    policy = {"class": f"autosteer.policies:{name}"}
    page = write_report_of(recorded(tmp_path / "run", policy=policy).path).read_text()
    assert "What the policy believes" not in titles(page)
    assert "Pareto front" not in titles(page)
    assert "not drawn" not in page


def test_a_run_without_outcomes_has_a_report_all_the_same(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", settings=0)
    run.outcomes.unlink()
    page = write_report_of(run.path).read_text()
    assert "believes is not drawn" in page
    assert "Decisions" in titles(page)


def test_what_was_called_best_is_read_from_the_log(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    place = {"aperture": 30.0, "beamstop": 20.0}
    point = ParetoPoint(place, {"signal": 100.0}, {"signal": math.nan})
    best = Best(place, 100.0, 1.0, (point,))
    events = [PolicyReplied(n, (), best if n else None, "", 0.1) for n in range(3)]
    lines = [
        LOG_LINE.dump_json(Stamped(n, START_NS + n, event)).decode()
        for n, event in enumerate(events)
    ]
    run.controller.write_text("\n".join([*lines, '{"type":"policy", "from": "another version"}']))
    found = read_bests(open_run_directory(run.path))
    assert [t_ns - START_NS for t_ns, _ in found] == [1, 2]
    assert found[0][1].knobs == place
    assert found[0][1].front[0].mean == {"signal": 100.0}
    assert "then called best" in write_report_of(run.path).read_text()
