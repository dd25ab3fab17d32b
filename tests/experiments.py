"""Small experiments for the tests."""

from __future__ import annotations

import copy
from typing import Any

from autosteer.contracts import Experiment, parse_experiment

_BASE: dict[str, Any] = {
    "name": "test",
    "mode": "auto",
    "devices": {
        "motor_x": {"class": "autosteer.devices:EpicsMotor", "prefix": "SIM:X"},
        "motor_y": {"class": "autosteer.devices:EpicsMotor", "prefix": "SIM:Y"},
        "beam": {"class": "autosteer.devices:EpicsSignalRO", "prefix": "SIM:BEAM:INTENSITY"},
    },
    "knobs": {
        "x": {
            "device": "motor_x",
            "low": -0.1,
            "high": 0.1,
            "units": "mm",
            "tolerance": 0.001,
            "settle_s": 0.05,
        },
        "y": {"device": "motor_y", "low": -0.4, "high": 0.4, "units": "mm", "tolerance": 0.002},
    },
    "source": {"kind": "tables", "rate_hz": 100},
    "objective": {
        "name": "hits",
        "column": "indexing.hit",
        "reduce": "fraction",
        "where": [{"column": "machine.beam_intensity", "above": 0.2}],
    },
    "policy": {"class": "autosteer.policies:RandomPolicy"},
    "dwell": {"shots": 40, "max_s": 3.0},
    "stop": {"duration_s": 12.0},
    "simulation": {
        "ioc": {
            "motors": {
                "X": {"start": -0.012, "low": -0.12, "high": 0.12, "velocity": 0.5},
                "Y": {"start": 0.2, "low": -0.5, "high": 0.5, "velocity": 2.0},
            }
        },
        "beamline": {
            "kind": "sfx",
            "jet": {
                "across": "X",
                "along": "Y",
                "aligned_across_mm": 0.022,
                "aligned_along_mm": -0.06,
                "diameter_um": 80,
            },
        },
    },
}


def experiment_data(**changes: Any) -> dict[str, Any]:
    """Give the plain data of a small experiment, with dotted paths changed."""
    data = copy.deepcopy(_BASE)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = data
        for key in parents:
            node = node.setdefault(key, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return data


def experiment(**changes: Any) -> Experiment:
    """Give a small experiment: two motors of the simulated jet, hits as objective."""
    return parse_experiment(experiment_data(**changes), "test")
