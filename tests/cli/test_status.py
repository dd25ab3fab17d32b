"""What the display says of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from autosteer.cli._status import figures
from autosteer.steering.events import Operator
from tests.steering.rig import Rig


def words(rig: Rig) -> dict[str, Any]:
    """Give the lines of the display by their labels."""
    agent = SimpleNamespace(controller=rig.controller)
    session: Any = SimpleNamespace(agent=agent, experiment=rig.experiment)
    return {label.strip(): str(value) for label, value in figures(session)}


def test_the_setting_is_described_from_shots_to_rest() -> None:
    rig = Rig()
    rig.shots(30)
    assert words(rig)["setting"].startswith("start, ")
    rig.reply()
    rig.shots(30)
    assert words(rig)["setting"] == "moving for decision 1"
    rig.readback("x", 0.01, moving=True)
    rig.post(Operator("abort", "Ctrl-C"))
    assert words(rig)["setting"] == "finished, still moving: x"
    rig.readback("x", 0.012)
    assert words(rig)["setting"] == "finished, the knobs are at rest"
    assert rig.controller.observer.positions["x"] == 0.012


def test_a_question_and_a_hold_are_told() -> None:
    rig = Rig("approve")
    rig.shots(30)
    rig.reply()
    rig.shots(30)
    assert words(rig)["setting"] == "waiting for approval: y or n, and Enter"
    rig.wait(5)
    assert "holding: the newest shot is" in words(rig)["setting"]
