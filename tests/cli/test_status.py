"""What the display says of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from autosteer.cli._status import figures
from autosteer.steering.controller import Controller
from autosteer.steering.events import Operator
from autosteer.stream import StreamCounters
from tests.experiments import experiment
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


def test_a_producer_that_is_not_heard_is_named() -> None:
    producer = {"agent": "tcp://127.0.0.1:5601", "recorder": "tcp://127.0.0.1:5602"}
    source = {
        "kind": "tables",
        "rate_hz": 100,
        "producers": [{"name": "daq", **producer}, {"name": "beam", **producer}],
    }
    outside = experiment(simulation=None, source=source)
    controller = Controller(outside, "auto")
    receiver = SimpleNamespace(counters={("beam", "machine"): StreamCounters()})
    agent = SimpleNamespace(controller=controller, receiver=receiver)
    session: Any = SimpleNamespace(agent=agent, experiment=outside)
    setting = str(dict(figures(session))["setting"])
    assert setting == "waiting for shots: nothing is heard from daq at tcp://127.0.0.1:5601"


def test_a_question_and_a_hold_are_told() -> None:
    rig = Rig("approve")
    rig.shots(30)
    rig.reply()
    rig.shots(30)
    assert words(rig)["setting"] == "waiting for approval: y or n, and Enter"
    rig.wait(5)
    assert "holding: the newest shot is" in words(rig)["setting"]
