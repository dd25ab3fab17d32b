"""Simulated beamlines, crystals and detectors, for trying a whole run without beam.

`autosteer.sims.spot_lists` is not handed on here, since it is also run with ``python -m``.
"""

from autosteer.sims.beamline import JetBeamline, Shot, ShotTruth
from autosteer.sims.crystals import LYSOZYME, CrystalSimulator, Reflections
from autosteer.sims.frames import FrameSimulator, FrameTruth, highest_resolution
from autosteer.sims.tables import TableSimulator
from autosteer.sims.truth import (
    JET_TRUTH,
    PULSE_TRUTH,
    RecordedPulses,
    RecordedTruth,
    TruthLog,
    read_pulse_truth,
    read_truth,
)
from autosteer.sims.xleap import PairChances, PulseTruth, XleapMachine

__all__ = [
    "JET_TRUTH",
    "LYSOZYME",
    "PULSE_TRUTH",
    "CrystalSimulator",
    "FrameSimulator",
    "FrameTruth",
    "JetBeamline",
    "PairChances",
    "PulseTruth",
    "RecordedPulses",
    "RecordedTruth",
    "Reflections",
    "Shot",
    "ShotTruth",
    "TableSimulator",
    "TruthLog",
    "XleapMachine",
    "highest_resolution",
    "read_pulse_truth",
    "read_truth",
]
