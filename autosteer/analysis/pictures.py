"""Pictures of frames with their spots, for people to look at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from autosteer.analysis._bad_values import is_bad
from autosteer.analysis.spots import Spots
from autosteer.contracts import AnalysisError
from autosteer.physics import Detector

Float = NDArray[np.float64]

_INCHES = 11.0
_DOTS_PER_INCH = 150
_GAP_PX = 6
_D_ANGSTROM = (40.0, 20.0, 10.0, 7.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.8, 1.5, 1.2, 1.0)
# The colours span what all but these shares of the pixels hold.
_DARKEST, _BRIGHTEST = 0.01, 0.999
_INK, _SPOT, _RING = "gray_r", "#d1242f", "#0969da"


def draw_spots(
    path: Path,
    frame: NDArray[Any],
    spots: Spots,
    *,
    title: str,
    detector: Detector | None = None,
    wavelength_angstrom: float | None = None,
) -> None:
    """Draw a frame with circles about its spots, as a PNG picture.

    With a geometry the panels stand where they do in the laboratory, seen along the beam, with
    circles of resolution if the wavelength is known too. Without one they stand in rows.

    Parameters
    ----------
    path : Path
        File to write.
    frame : ndarray, shape (n_panels, n_slow, n_fast)
        The frame [detector counts].
    spots : Spots
        Its spots, and no others.
    title : str
        What to write above it.
    detector : Detector, optional
        Geometry.
    wavelength_angstrom : float, optional
        Wavelength [angstrom].

    Raises
    ------
    AnalysisError
        If the file cannot be written.
    """
    layout = _InRows(frame.shape) if detector is None else _InLaboratory(detector)
    values = frame.astype(np.float32)
    bad = is_bad(frame)
    if bad is not None:
        values[bad] = np.nan
    picture = layout.assemble(values)
    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    known = values[np.isfinite(values)]
    lowest, highest = np.quantile(known, (_DARKEST, _BRIGHTEST)) if known.size else (0.0, 1.0)
    # The root lets faint spots be seen beside bright ones.
    shades = PowerNorm(0.5, vmin=float(lowest), vmax=float(max(highest, lowest + 1)), clip=True)
    image = axes.imshow(picture, cmap=_INK, norm=shades, interpolation="nearest")
    down, right = layout.place(spots.panel, spots.slow_px, spots.fast_px)
    axes.scatter(right, down, s=60, facecolors="none", edgecolors=_SPOT, linewidths=0.7)
    if isinstance(layout, _InLaboratory) and wavelength_angstrom is not None:
        _draw_rings(axes, layout, wavelength_angstrom, picture.shape)
    axes.set(title=title, xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, label="detector counts", shrink=0.6, pad=0.01)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise AnalysisError(f"{path}: cannot write the picture ({error.strerror})") from error


class _InRows:
    """Panels in rows, where nothing is known of how they stand."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        n_panels, self._n_slow, self._n_fast = shape
        # About as wide as high.
        aspect = self._n_slow / self._n_fast
        self._columns = max(1, min(n_panels, round(math.sqrt(n_panels * aspect))))
        self._rows = -(-n_panels // self._columns)

    def assemble(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make one picture of a frame; NaN where there is no panel."""
        height = self._rows * (self._n_slow + _GAP_PX) - _GAP_PX
        width = self._columns * (self._n_fast + _GAP_PX) - _GAP_PX
        picture = np.full((height, width), np.nan, dtype=np.float32)
        for panel, of_panel in enumerate(values):
            down, right = self._corner(panel)
            picture[down : down + self._n_slow, right : right + self._n_fast] = of_panel
        return picture

    def place(self, panel: Any, slow_px: Any, fast_px: Any) -> tuple[Float, Float]:
        """Return row and column of positions on panels in the picture."""
        down, right = self._corner(panel)
        return down + slow_px, right + fast_px

    def _corner(self, panel: Any) -> tuple[Any, Any]:
        row, column = panel // self._columns, panel % self._columns
        return row * (self._n_slow + _GAP_PX), column * (self._n_fast + _GAP_PX)


class _InLaboratory:
    """Panels where they stand, seen along the beam."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        n_panels, n_slow, n_fast = detector.frame_shape
        panel, slow, fast = np.meshgrid(np.arange(n_panels), (0, n_slow - 1), (0, n_fast - 1))
        corners = detector.positions_mm(panel.ravel(), slow.ravel(), fast.ravel())[:, :2]
        self._first = corners.min(axis=0) / detector.pixel_size_mm
        extent = corners.max(axis=0) / detector.pixel_size_mm - self._first
        self._shape = (math.ceil(extent[1]) + 2, math.ceil(extent[0]) + 2)

    def assemble(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make one picture of a frame; NaN where there is no panel."""
        down, right = self.place(*(index.ravel() for index in np.indices(values.shape)))
        picture = np.full(self._shape, np.nan, dtype=np.float32)
        # A turned panel would leave holes: what is rounded down is written before what is nearest.
        for rounded in (np.floor, np.ceil, np.rint):
            picture[rounded(down).astype(np.intp), rounded(right).astype(np.intp)] = values.ravel()
        return picture

    def place(self, panel: Any, slow_px: Any, fast_px: Any) -> tuple[Float, Float]:
        """Return row and column of positions on panels in the picture."""
        position = self.detector.positions_mm(panel, slow_px, fast_px)
        right, down = (position[:, :2] / self.detector.pixel_size_mm - self._first).T
        return down, right

    @property
    def beam(self) -> tuple[float, float]:
        """Row and column of the beam in the picture."""
        return -float(self._first[1]), -float(self._first[0])


def _draw_rings(
    axes: Any, layout: _InLaboratory, wavelength_angstrom: float, shape: tuple[int, ...]
) -> None:
    """Draw the circles of some resolutions that fit into the picture."""
    detector = layout.detector
    middle = np.array(detector.panel_shape) / 2
    panels = np.arange(detector.n_panels)
    distance = detector.positions_mm(
        panels, np.full(len(panels), middle[0]), np.full(len(panels), middle[1])
    )[:, 2].mean()
    down, right = layout.beam
    corner = math.hypot(max(down, shape[0] - down), max(right, shape[1] - right))
    for d in _D_ANGSTROM:
        if d <= wavelength_angstrom / 2:
            continue
        angle = 2 * math.asin(wavelength_angstrom / (2 * d))
        radius = distance * math.tan(angle) / detector.pixel_size_mm
        if not 30 < radius < corner:
            continue
        axes.add_patch(Circle((right, down), radius, fill=False, color=_RING, lw=0.6, alpha=0.6))
        label = (right + radius * math.sqrt(0.5), down + radius * math.sqrt(0.5))
        if 0 < label[0] < shape[1] and 0 < label[1] < shape[0]:
            axes.text(*label, f"{d:g} Å", color=_RING, fontsize=8, ha="center", va="center")
