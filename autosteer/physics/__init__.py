"""The mathematics that simulation and analysis share: pure functions, no I/O."""

from autosteer.physics.geometry import Detector, module_mask
from autosteer.physics.motion import Travel
from autosteer.physics.panels import PanelCuts
from autosteer.physics.unit_cell import (
    Centering,
    UnitCell,
    cell_parameters,
    lattice_type,
    primitive_transform,
)

__all__ = [
    "Centering",
    "Detector",
    "PanelCuts",
    "Travel",
    "UnitCell",
    "cell_parameters",
    "lattice_type",
    "module_mask",
    "primitive_transform",
]
