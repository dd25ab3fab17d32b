"""What the plan writes into the run besides devices: decisions, and which of them moved a motor."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from autosteer.contracts import Decision


class DecisionRecord:
    """A bluesky Readable that shows one decision, a scalar a column.

    Parameters
    ----------
    knobs : sequence of str
        Knobs, each of which gets a column with its target.
    policy : str
        Name of the policy, for the configuration.
    """

    name = "decision"
    parent = None

    def __init__(self, knobs: Sequence[str], policy: str) -> None:
        self._knobs = tuple(knobs)
        self._policy = policy
        self._decision: Decision | None = None
        self._time_s = 0.0

    def show(self, decision: Decision) -> None:
        """Choose the decision that the next `read` gives.

        Parameters
        ----------
        decision : Decision
            The decision.
        """
        self._decision = decision
        self._time_s = decision.t_ns / 1e9

    @property
    def hints(self) -> dict[str, Any]:
        """Columns of interest for live tables."""
        return {"fields": ["decision_number", "decision_status"]}

    def _values(self) -> dict[str, Any]:
        decision = self._decision
        if decision is None:
            raise RuntimeError("no decision was chosen before reading")
        refusal = decision.refusal
        return {
            "number": decision.number,
            "suggestion": decision.suggestion.id,
            "status": decision.status,
            "check": "" if refusal is None else refusal.check,
            "reason": "" if refusal is None else refusal.reason,
            "why": decision.suggestion.why,
            "last_pulse_id": decision.last_pulse_id,
            "last_shot_time": decision.t_last_shot_ns / 1e9,
            "final": int(decision.final),
            **{
                f"target_{name}": decision.suggestion.knobs.get(name, math.nan)
                for name in self._knobs
            },
        }

    def read(self) -> dict[str, Any]:
        """Give the chosen decision.

        Returns
        -------
        dict
            Reading by column.
        """
        return {
            f"decision_{name}": {"value": value, "timestamp": self._time_s}
            for name, value in self._values().items()
        }

    def describe(self) -> dict[str, Any]:
        """Describe the columns.

        Returns
        -------
        dict
            Data key by column.
        """
        text = ("suggestion", "status", "check", "reason", "why")
        whole = ("number", "last_pulse_id", "final")
        keys = dict.fromkeys(text, "string") | dict.fromkeys(whole, "integer")
        keys |= {"last_shot_time": "number"} | {f"target_{name}": "number" for name in self._knobs}
        return {
            f"decision_{name}": {"source": "autosteer", "dtype": dtype, "shape": []}
            for name, dtype in keys.items()
        }

    def read_configuration(self) -> dict[str, Any]:
        """Give the policy's name.

        Returns
        -------
        dict
            Reading by name.
        """
        return {"decision_policy": {"value": self._policy, "timestamp": self._time_s}}

    def describe_configuration(self) -> dict[str, Any]:
        """Describe the configuration.

        Returns
        -------
        dict
            Data key by name.
        """
        return {"decision_policy": {"source": "autosteer", "dtype": "string", "shape": []}}


class DecisionNumber:
    """A bluesky Readable that says which decision the motors have followed."""

    name = "decision_id"
    parent = None
    hints: dict[str, Any] = {"fields": ["decision_id"]}  # ruff: ignore[mutable-class-default]

    def __init__(self) -> None:
        self.number = 0

    def read(self) -> dict[str, Any]:
        """Give the number.

        Returns
        -------
        dict
            Reading by column.
        """
        return {"decision_id": {"value": self.number, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        """Describe the column.

        Returns
        -------
        dict
            Data key by column.
        """
        return {"decision_id": {"source": "autosteer", "dtype": "integer", "shape": []}}

    def read_configuration(self) -> dict[str, Any]:
        """Give nothing: there is no configuration.

        Returns
        -------
        dict
            Empty.
        """
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Describe nothing: there is no configuration.

        Returns
        -------
        dict
            Empty.
        """
        return {}
