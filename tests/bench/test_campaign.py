"""Campaigns: every trial has a result, and what has been run is not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autosteer.analysis.executors import Executor, InProcessExecutor, ProcessExecutor
from autosteer.analysis.ray_executor import RayExecutor
from autosteer.bench import Campaign, Cell, Course, PolicyEntry, Unfinished
from autosteer.bench.campaign import Result, default_folder
from autosteer.bench.fingerprint import fingerprint
from autosteer.cli._trials import cells_of, prepare
from autosteer.contracts import WorkerDiedError
from autosteer.sims.scenarios import scenarios
from tests.bench.courses import course, same


def cell(seed: int, **data: Any) -> Cell:
    return Cell("here", "some", seed, {"seed": seed, **data}, "abc")


def work(one: Cell) -> Result:
    if one.seed == 3:
        return Unfinished("unfit", "not for odd ones")
    return Unfinished("failed", "no luck") if one.seed == 2 else course([0.1, one.seed / 10])


class Dying(InProcessExecutor):
    """An executor whose workers die over the second item of each list that is longer than one."""

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        first, *rest = list(items)
        yield self._work(first)
        if rest:
            raise WorkerDiedError(1, 2)


def run(folder: Path, cells: Sequence[Cell], executor: Executor) -> dict[int, Result]:
    return {one.seed: result for one, result in Campaign(folder).run(cells, executor)}


def test_courses_are_kept_and_failures_are_not(tmp_path: Path) -> None:
    cells = [cell(seed) for seed in (1, 2, 3, 4)]
    made = run(tmp_path / "new", cells, InProcessExecutor(lambda: work))
    assert list(made) == [1, 2, 3, 4]
    again = [Campaign(tmp_path / "new").kept(one) for one in cells]
    for seed in (1, 4):
        first, kept = made[seed], again[seed - 1]
        assert isinstance(first, Course)
        assert isinstance(kept, Course)
        assert same(first, kept)
        assert (kept.wall_s, kept.ask_cpu_s, kept.reason) == (1.5, 0.2, "9 s have passed")
    assert again[1] is None
    assert again[2] == Unfinished("unfit", "not for odd ones")
    assert not list(tmp_path.rglob(".*"))


def test_a_course_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    list(campaign.run([cell(1)], InProcessExecutor(lambda: work)))
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    for broken in (b"", whole[:100], b"PK" + whole[2:200]):
        file.write_bytes(broken)
        assert campaign.kept(cell(1)) is None


def test_trials_that_kill_workers_fail_and_the_others_go_on(tmp_path: Path) -> None:
    made = run(tmp_path, [cell(seed) for seed in (1, 4, 5, 6)], Dying(lambda: work))
    assert sorted(made) == [1, 4, 5, 6]
    assert [type(made[seed]) for seed in (1, 4, 5, 6)] == [Course, Unfinished, Course, Unfinished]
    assert made[4] == Unfinished("failed", str(WorkerDiedError(1, 2)))


def test_the_key_depends_on_everything_but_names() -> None:
    assert cell(1).key == Cell("there", "other", 1, {"seed": 1}, "abc").key
    others = [cell(2), cell(1, dwell=3), Cell("here", "some", 1, {"seed": 1}, "abd")]
    assert len({cell(1).key, *(one.key for one in others)}) == 4


def test_other_packages_count_in_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fingerprint() == fingerprint(["autosteer"]) == fingerprint()
    made = set()
    for name, text in {"first": "a = 1", "second": "a = 1", "third": "a = 2"}.items():
        # The same package in three states, each in a folder of its own.
        package = tmp_path / name / "somewhere"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(text)
        monkeypatch.setattr("autosteer.bench.fingerprint._of_package", _uncached())
        with monkeypatch.context() as inside:
            inside.syspath_prepend(str(package.parent))
            made.add(fingerprint(["somewhere"]))
    assert len(made) == 2
    assert fingerprint() not in made


def _uncached() -> Callable[[str], str]:
    from autosteer.bench import fingerprint as module

    inner: Callable[[str], str] = getattr(module._of_package, "__wrapped__", module._of_package)
    return inner


def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert default_folder() == Path("/there/autosteer/bench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache/autosteer/bench"


SHORT = ["stop.duration_s=3"]


def real_cells(policy: str, scenario: str, seeds: Sequence[int] = (1,)) -> list[Cell]:
    return cells_of(scenarios()[scenario], PolicyEntry.parse(policy), seeds, SHORT)


def in_processes(make: Callable[..., Any]) -> Executor:
    return ProcessExecutor(partial(make, alone=True), 2)


def on_ray(make: Callable[[], Any]) -> Executor:
    pytest.importorskip("ray", reason="Ray is not installed")
    return RayExecutor(make, 2)


@pytest.mark.usefixtures("tests_can_be_imported")
@pytest.mark.parametrize(
    "kind", [InProcessExecutor, in_processes, pytest.param(on_ray, marks=pytest.mark.slow)]
)
def test_wherever_a_trial_is_run_its_course_is_the_same(
    kind: Callable[[Any], Executor], tmp_path: Path
) -> None:
    cells = [*real_cells("bayes", "jet_2"), *real_cells("random", "detector_damage", (1, 2))]
    here = list(map(prepare(), cells))
    with kind(prepare) as executor:
        there = [result for _, result in Campaign(tmp_path).run(cells, executor)]
    for one, other in zip(here, there, strict=True):
        assert isinstance(one, Course)
        assert isinstance(other, Course)
        assert same(one, other)
    assert isinstance(here[1], Course)
    assert isinstance(here[2], Course)
    assert not same(here[1], here[2])


def test_nothing_is_begun_too_late() -> None:
    [one] = real_cells("random", "jet_2")
    assert prepare(begin_before_s=0.0)(one) == Unfinished("late")


def test_a_policy_may_decline_and_mistakes_are_failures() -> None:
    work_here = prepare()
    [declined] = real_cells("random,policy.class=tests.bench.policies:OneKnobOnly", "jet_2")
    assert work_here(declined) == Unfinished("unfit", "one knob only, not 2")
    [mistaken] = real_cells("random,policy.options.depth=3", "jet_2")
    made = work_here(mistaken)
    assert isinstance(made, Unfinished)
    assert made.kind == "failed"
    assert "unexpected keyword argument 'depth'" in made.message
    [raising] = real_cells("random,policy.class=tests.bench.policies:Raising", "jet_2")
    assert work_here(raising) == Unfinished(
        "failed", "PolicyError: Raising failed: ZeroDivisionError: division by zero"
    )
