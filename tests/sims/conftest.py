"""Frames that several tests share."""

from __future__ import annotations

import pytest

from autosteer.contracts.simulation import SimulatedDetector
from autosteer.sims import FrameSimulator
from tests.sims.beamlines import detector_section, sfx


@pytest.fixture(scope="session")
def frames() -> FrameSimulator:
    """Return frames of the small detector; tests only read."""
    config = sfx(detector=SimulatedDetector(bank_frames=24, hot_pixels=12, dead_pixels=9))
    return FrameSimulator(detector_section(), config, seed=11)
