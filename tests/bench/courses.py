"""Courses made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autosteer.bench import Course


def course(
    recommended: Sequence[float], actual: Sequence[float] | None = None, **changes: Any
) -> Course:
    """Make a course with a moment every second, ten shots a second and a move every other."""
    count = len(recommended)
    given: dict[str, Any] = {
        "beam_s": np.arange(count, dtype=np.float64),
        "shots": 10 * np.arange(count),
        "moves": np.arange(count) // 2,
        "sample_ul": np.full(count, np.nan),
        "share_recommended": np.array(recommended, np.float64),
        "share_actual": np.array(recommended if actual is None else actual, np.float64),
        "violated": np.zeros(count, np.bool_),
        "point_violated": np.zeros(2, np.bool_),
        "point_values": np.zeros((2, 1)),
        "front": np.zeros((0, 1)),
        "has_limits": False,
        "asks": 4,
        "ask_cpu_s": 0.2,
        "wall_s": 1.5,
        "ok": True,
        "reason": "9 s have passed",
    }
    return Course(**{**given, **changes})


def same(one: Course, other: Course) -> bool:
    """Tell whether two courses are equal but for the time that they took."""
    names = set(Course.__dataclass_fields__) - {"wall_s", "ask_cpu_s"}
    return all(
        np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
        for a, b in ((getattr(one, name), getattr(other, name)) for name in names)
    )
