"""Scenarios: experiment files on simulated beamlines, ours and those of other packages.

A package adds one by an entry point of the group ``autosteer.scenarios``, whose value is a
`Scenario` or a callable that gives one.
"""

from autosteer.sims.scenarios.registry import Scenario, scenarios

__all__ = ["Scenario", "scenarios"]
