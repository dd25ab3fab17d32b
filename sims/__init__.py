"""Simulated beamlines, crystals and detectors, for trying a whole run without beam.

`autosteer.sims.spot_lists` is not handed on here, since it is also run with ``python -m``.
"""

from autosteer.sims.beamline import JetBeamline, Shot, ShotTruth
from autosteer.sims.crystals import LYSOZYME, CrystalSimulator, Reflections
from autosteer.sims.frames import FrameSimulator, FrameTruth, highest_resolution
from autosteer.sims.tables import TableSimulator
from autosteer.sims.truth import RecordedTruth, TruthLog, read_truth

__all__ = [
    "LYSOZYME",
    "CrystalSimulator",
    "FrameSimulator",
    "FrameTruth",
    "JetBeamline",
    "RecordedTruth",
    "Reflections",
    "Shot",
    "ShotTruth",
    "TableSimulator",
    "TruthLog",
    "highest_resolution",
    "read_truth",
]
