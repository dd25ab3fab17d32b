"""Points of earlier searches, from tables and from what other optimizers wrote down."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from autosteer.contracts import PolicyError, Problem

Row = Mapping[str, Any]


def read_points(path: Path, problem: Problem) -> list[dict[str, Any]]:
    """Read the points of a file.

    Parameters
    ----------
    path : Path
        ``.csv``: a table with a column per knob and quantity, as Xopt writes its data; ``.yaml``:
        a dump of Xopt; ``.json``: a snapshot of Ax, or a checkpoint of an optimizer of blop, of
        Xopt's kind or made by `as_blop_optimizer`.
    problem : Problem
        What the points are wanted for.

    Returns
    -------
    list of dict
        Points for a policy's ``ingest``; see `points_of_rows`.

    Raises
    ------
    PolicyError
        If the file cannot be read, is none of these, or lacks a column.
    """
    readers = {".csv": _csv_rows, ".yaml": _yaml_rows, ".yml": _yaml_rows, ".json": _json_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise PolicyError(f"{path}: points are read from {', '.join(readers)} and run folders")
    try:
        rows = reader(path)
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise PolicyError(
            f"{path} is no {path.suffix} file with points: {type(error).__name__}: {error}"
        ) from error
    return points_of_rows(rows, problem, str(path))


def points_of_rows(rows: Iterable[Row], problem: Problem, where: str) -> list[dict[str, Any]]:
    """Make points of rows.

    Rows without a finite value of an objective, a limit or the context were no measurements, and
    are left out, and so are those that lie outside the limits of the knobs.

    Parameters
    ----------
    rows : iterable of mapping
        One entry per knob and quantity, with standard errors as ``name_sem`` (or variances as
        ``name_var``) and shots as ``name_n`` where they are known.
    problem : Problem
        What the points are wanted for.
    where : str
        Name of the file, for the points' ``_id`` and for messages.

    Returns
    -------
    list of dict
        Points: ``_id``, one entry per knob, ``name``, ``name_sem`` and ``name_n`` per quantity.

    Raises
    ------
    PolicyError
        If a column is missing or holds something else than numbers, or no row is of use.
    """
    rows = list(rows)
    needed = (
        *problem.knobs,
        *(aim.name for aim in problem.objectives),
        *(limit.name for limit in problem.limits),
        *problem.context,
    )
    columns = {name for row in rows for name in row}
    missing = [name for name in needed if name not in columns]
    if missing:
        there = ", ".join(sorted(columns)) or "no columns"
        raise PolicyError(f"{where} has no column '{missing[0]}': it has {there}")
    points = []
    for number, row in enumerate(rows):
        values = {name: _number(row, name, where, number) for name in needed}
        inside = all(one.low <= values[name] <= one.high for name, one in problem.knobs.items())
        if inside and all(map(math.isfinite, values.values())):
            extra = _extras(row, problem, where, number)
            points.append({"_id": f"{Path(where).name}:{number}", **values, **extra})
    if not points:
        raise PolicyError(
            f"{where}: none of {len(rows)} rows has all values and lies within the knobs' limits"
        )
    return points


def _extras(row: Row, problem: Problem, where: str, number: int) -> dict[str, float]:
    """Read errors, shots and diagnostics, as far as they are there."""
    found = {aim.name: _number(row, aim.name, where, number) for aim in problem.diagnostics}
    for name in problem.quantities:
        variance = _number(row, f"{name}_var", where, number)
        if variance >= 0:
            found[f"{name}_sem"] = math.sqrt(variance)
        for suffix in ("sem", "n"):
            value = _number(row, f"{name}_{suffix}", where, number)
            if math.isfinite(value):
                found[f"{name}_{suffix}"] = value
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _number(row: Row, name: str, where: str, number: int) -> float:
    value = row.get(name)
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise PolicyError(
            f"{where}: column '{name}' holds {value!r} in row {number + 1}, which is no number"
        ) from None


def _csv_rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _yaml_rows(path: Path) -> list[Row]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping) or not isinstance(content.get("data"), Mapping):
        raise PolicyError(f"{path} is no dump of Xopt: it has no 'data'")
    return _transposed(content["data"])


def _transposed(columns: Mapping[str, Mapping[Any, Any]]) -> list[Row]:
    """Make rows of columns, each a mapping from the number of the row."""
    numbers = dict.fromkeys(number for column in columns.values() for number in column)
    return [{name: column.get(number) for name, column in columns.items()} for number in numbers]


def _json_rows(path: Path) -> list[Row]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if "experiment" in content:
        return _ax_rows(content["experiment"])
    if "places" in content:
        measured: Mapping[str, Row] = content["measured"]
        return [{**content["places"][name], **values} for name, values in measured.items()]
    if "generator" in content:
        return list(content["generator"]["data"])
    raise PolicyError(f"{path} is no snapshot of Ax and no checkpoint of a blop optimizer")


def _ax_rows(experiment: Mapping[str, Any]) -> list[Row]:
    """Read a snapshot as Ax 1.3 writes it: places in the trials, means and errors in tables."""
    rows: list[Row] = []
    for index, trial in experiment["trials"].items():
        row: dict[str, Any] = dict(trial["generator_run"]["arms"][0]["parameters"])
        tables = experiment["data_by_trial"].get(index, {}).get("value", [])
        for _, data in tables:
            table = json.loads(data["df"]["value"])
            for number, name in table["metric_name"].items():
                row[name] = table["mean"][number]
                row[f"{name}_sem"] = table["sem"][number]
        rows.append(row)
    return rows
