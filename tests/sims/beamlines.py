"""Descriptions of small beamlines that several tests share."""

from __future__ import annotations

from typing import Any

from autosteer.contracts.analysis_sections import DetectorSection
from autosteer.contracts.simulation import SimulatedJet, SimulatedSfx


def sfx(**sections: Any) -> SimulatedSfx:
    """Describe a beamline with one motor, ``x``, aligned at 0."""
    return SimulatedSfx(kind="sfx", jet=SimulatedJet(across="x", aligned_across_mm=0.0), **sections)


def detector_section(**changes: Any) -> DetectorSection:
    """Describe a detector that is small, but sees the water ring."""
    described: dict[str, Any] = {
        "shape": (250, 258),
        "pixel_size_um": 300.0,
        "distance_mm": 80.0,
        "beam_center_px": (121.3, 130.8),
        "wavelength_angstrom": 1.3,
        "saturation": 8000.0,
        "modules": (2, 2),
        "gap_px": (10, 8),
    }
    return DetectorSection(**{**described, **changes})
