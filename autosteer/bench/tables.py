"""Summaries as rows of text, as Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autosteer.bench.metrics import Proportion, Spread
from autosteer.bench.summaries import Summary

_NOTHING = "-"

Column = tuple[str, Callable[[Summary], str]]


def _columns(level: float) -> list[Column]:
    """Give headings, and what stands below them."""
    return [
        ("policy", lambda one: one.policy),
        ("runs", _runs),
        ("simple regret", lambda one: _spread(one.simple_regret)),
        (f"held {level:g}", lambda one: _proportion(one.held)),
        ("beam [s]", lambda one: _spread(one.cost_to_hold["beam_s"])),
        ("shots", lambda one: _spread(one.cost_to_hold["shots"])),
        ("moves", lambda one: _spread(one.cost_to_hold["moves"])),
        ("sample [ul]", lambda one: _spread(one.cost_to_hold["sample_ul"])),
        ("mean regret", lambda one: _spread(one.cumulative_regret)),
        ("limit broken", lambda one: _proportion(one.violated)),
        ("hypervolume", lambda one: _spread(one.hypervolume)),
        ("ask [cpu ms]", lambda one: _number(1000 * one.ask_cpu_s)),
        ("run [cpu s]", lambda one: _number(one.run_cpu_s)),
    ]


def _runs(one: Summary) -> str:
    if one.unfit:
        return _NOTHING
    return str(one.runs) if one.runs == one.wanted else f"{one.runs} of {one.wanted}"


def _number(value: float, digits: int = 3) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "never"
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _spread(spread: Spread) -> str:
    if math.isnan(spread.median):
        return ""
    if spread.low == spread.high:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low, 2)} to {_number(spread.high, 2)})"


def _proportion(proportion: Proportion | None) -> str:
    if proportion is None or not proportion.total:
        return ""
    low, high = (f"{100 * end:.0f}" for end in (proportion.low, proportion.high))
    return f"{proportion.count}/{proportion.total} ({low} to {high} %)"


def rows_of(summaries: Sequence[Summary], level: float) -> tuple[list[str], list[list[str]]]:
    """Arrange summaries as a table.

    Parameters
    ----------
    summaries : sequence of Summary
        Policies on the same scenario.
    level : float
        Share that is to be held.

    Returns
    -------
    headings : list of str
        Headings; columns in which nothing stands are left out.
    rows : list of list of str
        A row for each policy.
    """
    columns = [
        (heading, texts)
        for heading, text in _columns(level)
        if any(texts := [text(one) for one in summaries])
    ]
    rows = [[texts[row] for _, texts in columns] for row in range(len(summaries))]
    return [heading for heading, _ in columns], rows


def notes_of(summaries: Sequence[Summary]) -> Iterator[str]:
    """Say what the table cannot.

    Parameters
    ----------
    summaries : sequence of Summary
        Policies on the same scenario.

    Yields
    ------
    str
        Why a policy is not for this scenario, what has failed, and what ended otherwise than
        planned.
    """
    for one in summaries:
        if one.unfit:
            yield f"{one.policy} is not for this scenario: {_line(one.unfit)}"
        for failure in one.failures:
            yield f"{one.policy} failed, {_line(failure)}"
        for ending in one.endings:
            yield f"{one.policy} ended early, {_line(ending)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def markdown_of(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown.

    Parameters
    ----------
    headings : sequence of str
        Headings.
    rows : sequence of sequence of str
        Rows of as many cells.

    Returns
    -------
    str
        Its lines.
    """
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def json_of(summary: Summary) -> dict[str, Any]:
    """Give a summary as JSON-able values.

    Parameters
    ----------
    summary : Summary
        The summary.

    Returns
    -------
    dict
        Its fields; None where a number is not finite.
    """
    return {name: _plain(value) for name, value in asdict(summary).items()}


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case float() if not math.isfinite(value):
            return None
        case float():
            return round(value, 6)
        case _:
            return value
