"""Cells of benchmarks are made once, and as far as the budget goes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import _cells
import numpy as np
import pytest
from _cells import Cells, Job, fill, version_of_the_code
from _courses import Course
from _intervals import bootstrap_ratio, upper_bound


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_cells, "CACHE", tmp_path)


def test_a_cell_is_made_once() -> None:
    made: list[int] = []
    cells = Cells("test", 100.0, "v1")
    jobs = [Job(cells, partial(_note, made, n), {"seed": n}) for n in (1, 2)]
    assert len(list(fill(jobs))) == 2
    assert len(list(fill(jobs))) == 2
    assert made == [1, 2]
    assert cells.known(seed=2) == 20
    assert Cells("test", 100.0, "v2").known(seed=2) is None


def _note(made: list[int], number: int) -> int:
    made.append(number)
    return 10 * number


def test_nothing_is_begun_when_the_budget_is_used_up() -> None:
    cells = Cells("test", -1.0, "v1")
    assert list(fill([Job(cells, partial(_note, [], 1), {"seed": 1})])) == []
    assert list(fill([Job(cells, partial(_note, [], 1), {"seed": 1})], processes=2)) == []


def test_comments_do_not_change_the_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_cells, "ROOT", tmp_path)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: _Listed())
    versions = []
    for text in ('"""A."""\nx = 1\n', '"""B."""\nx = 1  # one\n', "x = 2\n"):
        (tmp_path / "a.py").write_text(text)
        versions.append(version_of_the_code())
    assert versions[0] == versions[1] != versions[2]


class _Listed:
    stdout = b"a.py\0"


def test_a_course_is_held_from_where_it_stays_good() -> None:
    course = Course(level=0.9, hold_s=2.0)
    for t_s, share in enumerate([0.1, 0.95, 0.5, 0.92, 0.93]):
        course.add(float(t_s), share, 0.0)
        assert not course.held
    course.add(5.0, 0.99, 0.0)
    assert course.held
    assert (course.first_s, course.held_since_s) == (1.0, 3.0)


def test_intervals() -> None:
    # No event in n trials: 1 - 0.05**(1/n), the rule of three.
    assert upper_bound(0, 60) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert upper_bound(4, 4) == 1.0
    assert bootstrap_ratio([2.0, 2.0, 2.0], [1.0, 1.0], np.median) == (2.0, 2.0, 2.0)
    ratio, low, high = bootstrap_ratio([1.0, 2.0, 6.0], [1.0, 1.0], np.mean)
    assert ratio == pytest.approx(3.0)
    assert 1.0 <= low < ratio < high <= 6.0
