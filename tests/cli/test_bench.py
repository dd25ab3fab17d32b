"""``autosteer bench policies``, as people use it: tables, files, a cache that outlives a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from autosteer.cli.main import app
from autosteer.sims.scenarios import scenarios

cli = CliRunner()


def bench(cache: Path, *arguments: str) -> Result:
    common = ["--processes", "1", "--cache", str(cache), "--set", "stop.duration_s=4"]
    return cli.invoke(app, ["bench", "policies", *common, *arguments])


def test_two_policies_on_two_scenarios(tmp_path: Path) -> None:
    files = [
        *("--json", str(tmp_path / "made.json"), "--markdown", str(tmp_path / "made.md")),
        *("--plots", str(tmp_path / "plots"), "--level", "0.1"),
    ]
    chosen = ["--policy", "random", "--policy", "grid,policy.options.points_per_knob=3"]
    chosen += ["--scenario", "branin", "--scenario", "detector_damage", "--seeds", "2"]
    done = bench(tmp_path / "cache", *chosen, *files)
    assert done.exit_code == 0, done.output
    assert "8/8 detector_damage, grid,policy.options.points_per_knob=3, seed 2: " in done.stderr
    for text in ("branin: the Branin function", "detector_damage", "held 0.1", "limit broken"):
        assert text in done.stdout
    document = json.loads((tmp_path / "made.json").read_text())
    assert document["level"] == 0.1
    assert [one["scenario"] for one in document["scenarios"]] == ["branin", "detector_damage"]
    [random, grid] = document["scenarios"][1]["policies"]
    assert (random["policy"], random["runs"], grid["runs"]) == ("random", 2, 2)
    assert random["violated"]["total"] > 4
    page = (tmp_path / "made.md").read_text()
    assert page.count("### ") == 2
    assert page.count("\n| grid,policy.options.points_per_knob=3 | 2 | ") == 2
    assert sorted(one.name for one in (tmp_path / "plots").iterdir()) == [
        "branin.png",
        "detector_damage.png",
    ]
    # Nothing is run again, and the same is said.
    again = bench(tmp_path / "cache", *chosen, "--level", "0.1")
    assert again.stderr == ""
    assert again.stdout == done.stdout
    # Another seed is all that is left to run.
    third = bench(tmp_path / "cache", *chosen, "--seeds", "3", "--level", "0.1")
    assert [line.split()[0] for line in third.stderr.splitlines()] == [
        f"{n}/12" for n in range(9, 13)
    ]


def test_when_the_budget_is_used_up_the_table_says_so(tmp_path: Path) -> None:
    chosen = ["--policy", "random", "--scenario", "branin"]
    assert bench(tmp_path, *chosen, "--seeds", "2").exit_code == 0
    done = bench(tmp_path, *chosen, "--seeds", "3", "--budget-s", "0")
    assert done.exit_code == 0
    assert "1 trials were not begun in time" in done.stderr
    assert "2 of 3" in done.stdout


def test_policies_that_decline_and_fail_stop_nobody(tmp_path: Path) -> None:
    there = "policy.class=tests.bench.policies"
    chosen = [
        *("--policy", f"random,{there}:OneKnobOnly", "--policy", f"random,{there}:Raising"),
        *("--policy", "random", "--scenario", "branin", "--seeds", "1"),
    ]
    done = bench(tmp_path, *chosen)
    assert done.exit_code == 1
    assert "OneKnobOnly is not for this scenario: one knob only, not 2" in done.stdout
    assert "Raising failed, seed 1: PolicyError: Raising failed: ZeroDivisionError" in done.stdout
    assert "\nrandom " in done.stdout
    again = bench(tmp_path, *chosen)
    # Only what has failed is tried again.
    assert [line.split()[0] for line in again.stderr.splitlines()] == ["3/3"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy", "nowhere"], "neither package.module:Class nor a policy (bandit, bayes"),
        (["--scenario", "nowhere"], "'nowhere' is neither an experiment file nor a scenario"),
        (["--set", "dwell.shot=3"], "dwell.shot"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    done = bench(tmp_path, *arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_everything_is_listed() -> None:
    done = cli.invoke(app, ["bench", "policies", "--list"])
    assert done.exit_code == 0
    for one in scenarios().values():
        assert one.title in done.stdout
    assert "autosteer.policies:GridPolicy" in done.stdout


def _install_faraway(folder: Path) -> None:
    """Put a package with a scenario and a policy into a folder, as pip would."""
    package = folder / "faraway"
    package.mkdir()
    (package / "__init__.py").write_text("")
    text = scenarios()["branin"].file.read_text().replace("name: branin", "name: valley", 1)
    (package / "valley.yaml").write_text(text)
    (package / "ours.py").write_text(
        "from pathlib import Path\n"
        "from autosteer.policies import RandomPolicy\n"
        "from autosteer.sims.scenarios import Scenario\n"
        "VALLEY = Scenario.from_file(Path(__file__).parent / 'valley.yaml')\n"
        "class Wanderer(RandomPolicy):\n"
        "    pass\n"
    )
    record = folder / "faraway-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: faraway\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(
        "[autosteer.scenarios]\nvalley = faraway.ours:VALLEY\n\n"
        "[autosteer.policies]\nwanderer = faraway.ours:Wanderer\n"
    )


def test_another_package_adds_a_scenario_and_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("faraway", "faraway.ours"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    _install_faraway(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    listed = cli.invoke(app, ["bench", "policies", "--list"]).stdout
    assert "valley" in listed
    assert "faraway.ours:Wanderer" in listed
    files = ["--json", str(tmp_path / "made.json")]
    chosen = ["--policy", "wanderer", "--policy", "random", "--seeds", "1"]
    done = bench(
        tmp_path / "cache", *chosen, "--scenario", "valley", "--scenario", "branin", *files
    )
    assert done.exit_code == 0, done.output
    valley, branin = json.loads((tmp_path / "made.json").read_text())["scenarios"]
    wanderer, random = valley["policies"]
    assert (valley["scenario"], wanderer["policy"]) == ("valley", "wanderer")
    # The same policy in the same place, but for their names.
    assert wanderer["simple_regret"] == random["simple_regret"]
    assert valley["policies"][1]["cumulative_regret"] == branin["policies"][1]["cumulative_regret"]


def test_a_bench_that_was_killed_goes_on(tmp_path: Path) -> None:
    chosen = ["--policy", "random", "--scenario", "jet_2", "--scenario", "branin", "--seeds", "6"]
    common = ["--cache", str(tmp_path), "--set", "stop.duration_s=4"]
    two = ["--processes", "2"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "autosteer", "bench", "policies", *common, *chosen, *two],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    me = psutil.Process(killed.pid)
    while not list(tmp_path.glob("*.npz")) and killed.poll() is None:
        time.sleep(0.01)
    workers = me.children(recursive=True)
    killed.kill()
    killed.wait()
    # Its workers do not stay behind, busy or idle.
    assert not psutil.wait_procs(workers, timeout=60)[1]
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("[!.]*.npz")}
    assert 1 <= len(kept) <= 12
    done = bench(tmp_path, *chosen)
    assert done.exit_code == 0
    numbers = [line.split()[0] for line in done.stderr.splitlines()]
    assert numbers == [f"{number}/12" for number in range(len(kept) + 1, 13)]
    assert len(list(tmp_path.glob("[!.]*.npz"))) == 12
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
