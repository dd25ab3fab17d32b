"""Cells of long benchmarks, kept in a cache by what they depend on, so that a run resumes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "benchmarks" / ".cache"


def version_of_the_code() -> str:
    """Return a fingerprint of every file that a result can depend on."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "autosteer", "devices", "policies", "sims", "examples"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split(b"\0"))):
        path = ROOT / name.decode()
        if path.is_file() and path.suffix in {".py", ".yaml", ".safetensors"}:
            digest.update(name + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


class Cells:
    """Results by their parameters.

    Parameters
    ----------
    name : str
        Name of the benchmark.
    budget_s : float
        No new cell is begun after this time [s].
    """

    def __init__(self, name: str, budget_s: float) -> None:
        self._folder = CACHE / name / version_of_the_code()
        self._end_s = time.monotonic() + budget_s

    def get(self, make: Callable[[], Any], **parameters: Any) -> Any:
        """Return a cell, from the cache or made now; None if the budget is used up.

        Parameters
        ----------
        make : callable
            Makes the cell: a JSON-able value.
        **parameters
            What the cell depends on besides the code.

        Returns
        -------
        object
            The cell.
        """
        key = "-".join(f"{name}={value}" for name, value in sorted(parameters.items()))
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
        if path.exists():
            return json.loads(path.read_text())["value"]
        if time.monotonic() > self._end_s:
            return None
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"parameters": parameters, "value": value}))
        return value


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows as a table for a terminal and for Markdown alike.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the same keys.

    Returns
    -------
    str
        The table.
    """
    if not rows:
        return "(nothing measured)"
    names = list(rows[0])
    cells = [names, *[[_show(row[name]) for name in names] for row in rows]]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
