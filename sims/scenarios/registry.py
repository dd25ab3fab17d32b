"""Finds the scenarios of this package, and those that other packages add by entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Self

import yaml

from autosteer.contracts import ExperimentFileError, NameResolutionError

GROUP = "autosteer.scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """An experiment file on a simulated beamline, to try policies on.

    Parameters
    ----------
    name : str
        Its name.
    title : str
        What it is about, in one line.
    file : Path
        The experiment file.
    tags : frozenset of str
        What is special about it: ``constrained``, ``drift``, ``pareto``.
    """

    name: str
    title: str
    file: Path
    tags: frozenset[str] = frozenset()

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """Make the scenario of an experiment file.

        Parameters
        ----------
        file : Path
            The file; ``metadata.purpose`` is the title, ``metadata.tags`` names tags, separated by
            commas.

        Returns
        -------
        Scenario
            The scenario, named as the file is, without its suffix.

        Raises
        ------
        ExperimentFileError
            If the file does not hold sections.
        """
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ExperimentFileError(str(file), [("(file)", "it must hold a mapping of sections")])
        metadata = data.get("metadata") or {}
        tags = (tag.strip() for tag in str(metadata.get("tags", "")).split(","))
        return cls(
            file.stem, str(metadata.get("purpose", "")), file, frozenset(tag for tag in tags if tag)
        )


def scenarios() -> Mapping[str, Scenario]:
    """Find all scenarios: those of this package, then those of others.

    Returns
    -------
    mapping of str to Scenario
        Scenarios by name, ours in alphabetic order.

    Raises
    ------
    NameResolutionError
        If an entry point gives no scenario, or one whose name is taken.
    """
    own = sorted(Path(__file__).parent.glob("*.yaml"))
    found = {file.stem: Scenario.from_file(file) for file in own}
    for source, scenario in _added():
        if scenario.name in found:
            raise NameResolutionError(
                f"{source} adds a scenario '{scenario.name}', and there is one already: rename it"
            )
        found[scenario.name] = scenario
    return found


def _added() -> Iterator[tuple[str, Scenario]]:
    """Give the scenarios of other packages, each with the entry point that adds it."""
    for point in entry_points(group=GROUP):
        source = f"entry point '{point.name} = {point.value}' of '{GROUP}'"
        try:
            value = point.load()
            made = value if isinstance(value, Scenario) else value()
        except Exception as error:
            raise NameResolutionError(f"{source} cannot be loaded: {error}") from error
        if not isinstance(made, Scenario):
            raise NameResolutionError(f"{source} gives no Scenario but a {type(made).__name__}")
        yield source, made
