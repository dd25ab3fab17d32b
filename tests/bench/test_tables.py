"""Summaries and tables, of everything and of what is there so far."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autosteer.bench import Unfinished, summarize
from autosteer.bench.figures import draw_scenario
from autosteer.bench.tables import json_of, markdown_of, notes_of, rows_of
from tests.bench.courses import course

GOOD = course([0.1, 0.5, 0.96, 0.98])
BAD = course([0.1, 0.2, 0.3, 0.3])


def test_a_row_says_what_its_courses_say() -> None:
    made = summarize("some", {1: GOOD, 2: GOOD, 3: BAD}, 0.95)
    assert (made.runs, made.wanted) == (3, 3)
    assert made.simple_regret.median == pytest.approx(0.02)
    assert (made.held.count, made.held.total) == (2, 3)
    assert made.cost_to_hold["shots"].median == 20
    assert made.ask_cpu_s == pytest.approx(0.05)
    assert made.run_cpu_s == pytest.approx(0.2)
    assert made.violated is None
    headings, [row] = rows_of([made], 0.95)
    texts = dict(zip(headings, row, strict=True))
    assert texts["held 0.95"] == "2/3 (21 to 94 %)"
    assert texts["shots"] == "20 (20 to never)"
    assert texts["simple regret"].startswith("0.02 (")
    # Nothing is known of sample, limits and fronts.
    assert not {"sample [ul]", "limit broken", "hypervolume"} & set(headings)


def test_broken_limits_are_counted_over_all_places_of_all_runs() -> None:
    limited = course([0, 0], has_limits=True, point_violated=np.array([True, False, False]))
    made = summarize("some", {1: limited, 2: limited}, 0.95)
    assert made.violated is not None
    assert (made.violated.count, made.violated.total) == (2, 6)


def test_what_is_missing_is_marked() -> None:
    partly = summarize("partly", {1: GOOD, 2: None, 3: Unfinished("late")}, 0.95)
    unfit = summarize("unfit", dict.fromkeys((1, 2), Unfinished("unfit", "one\nknob only")), 0.95)
    failing = summarize("failing", {1: Unfinished("failed", "no luck"), 2: GOOD}, 0.95)
    early = summarize("early", {1: course([0, 0], ok=False, reason="moves fail")}, 0.95)
    summaries = [partly, unfit, failing, early]
    headings, rows = rows_of(summaries, 0.95)
    assert [row[headings.index("runs")] for row in rows] == ["1 of 3", "-", "1 of 2", "1"]
    assert list(notes_of(summaries)) == [
        "unfit is not for this scenario: one knob only",
        "failing failed, seed 1: no luck",
        "early ended early, seed 1: moves fail",
    ]
    lines = markdown_of(headings, rows).splitlines()
    assert len(lines) == 2 + len(summaries)
    assert {line.count("|") for line in lines} == {len(headings) + 1}


def test_json_knows_finite_numbers_only() -> None:
    document = json_of(summarize("some", {1: BAD}, 0.95))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["cost_to_hold"]["shots"] == {"median": None, "low": None, "high": None}
    assert document["held"]["count"] == 0


def test_a_picture_is_drawn_of_what_is_there(tmp_path: Path) -> None:
    with_sample = course([0.1, 0.5], sample_ul=np.array([0.0, 0.2]))
    draw_scenario(tmp_path / "a.png", "a", {"some": [GOOD, BAD], "none": [], "other": [BAD]})
    draw_scenario(tmp_path / "b.png", "b", {"some": [with_sample]})
    for name in ("a", "b"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
