"""Detector geometry: from a pixel of a panel to a scattering vector, and back.

Laboratory axes: x along a flat detector's fast axis, y along its slow axis, z along the beam,
right-handed. The scattering vector is q = k_out - k_in with abs(k) = 1/wavelength, so that
abs(q) = 1/d: no 2 pi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_AXIS_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Flat panels in space; a frame is an array of shape (panel, slow, fast).

    Parameters
    ----------
    origin_mm : ndarray of float64, shape (n_panels, 3)
        Centre of each panel's pixel (0, 0) from the sample [mm].
    slow_axis, fast_axis : ndarray of float64, shape (n_panels, 3)
        Unit vectors along which the pixel indices grow; refined ones may be a little longer or
        shorter, and not quite at right angles.
    pixel_size_mm : float
        Edge of the square pixels [mm].
    panel_shape : (int, int)
        Pixels of each panel along (slow, fast).
    panel_sizes : ndarray of int64, shape (n_panels, 2), optional
        Pixels of each panel along (slow, fast) where panels differ; `panel_shape` then holds the
        largest, and what it has beyond a panel is padding.

    Raises
    ------
    ValueError
        If shapes do not agree, an axis is not a unit vector, or a panel exceeds `panel_shape`.
    """

    origin_mm: Float
    slow_axis: Float
    fast_axis: Float
    pixel_size_mm: float
    panel_shape: tuple[int, int]
    panel_sizes: Int | None = None

    def __post_init__(self) -> None:
        n_panels = len(self.origin_mm)
        for name in ("origin_mm", "slow_axis", "fast_axis"):
            shape = getattr(self, name).shape
            if shape != (n_panels, 3):
                raise ValueError(f"{name} has shape {shape}: expected ({n_panels}, 3)")
        for name in ("slow_axis", "fast_axis"):
            norms = np.linalg.norm(getattr(self, name), axis=1)
            if not np.allclose(norms, 1.0, atol=_AXIS_TOLERANCE):
                raise ValueError(f"{name} holds vectors of length {norms.min()} to {norms.max()}")
        if not self.pixel_size_mm > 0:
            raise ValueError(f"pixel_size_mm is {self.pixel_size_mm}: it must be positive")
        if self.panel_sizes is None:
            return
        if self.panel_sizes.shape != (n_panels, 2) or np.any(self.panel_sizes > self.panel_shape):
            raise ValueError(
                f"panel_sizes {self.panel_sizes.tolist()} do not fit {n_panels} panels of at most "
                f"{self.panel_shape} pixels"
            )

    @classmethod
    def flat(
        cls,
        shape: tuple[int, int],
        pixel_size_mm: float,
        distance_mm: float,
        beam_center_px: tuple[float, float],
    ) -> Self:
        """Make one panel that stands square to the beam.

        Parameters
        ----------
        shape : (int, int)
            Pixels along (slow, fast).
        pixel_size_mm : float
            Pixel edge [mm].
        distance_mm : float
            Sample to detector along the beam [mm].
        beam_center_px : (float, float)
            Where the beam meets the panel, (slow, fast); 0 is the first pixel's centre.

        Returns
        -------
        Detector
            Detector with one panel: fast along +x, slow along +y.
        """
        slow, fast = beam_center_px
        return cls(
            origin_mm=np.array([[-fast * pixel_size_mm, -slow * pixel_size_mm, distance_mm]]),
            slow_axis=np.array([[0.0, 1.0, 0.0]]),
            fast_axis=np.array([[1.0, 0.0, 0.0]]),
            pixel_size_mm=pixel_size_mm,
            panel_shape=shape,
        )

    @property
    def n_panels(self) -> int:
        """Number of panels."""
        return len(self.origin_mm)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of a frame, (panel, slow, fast)."""
        return (self.n_panels, *self.panel_shape)

    @property
    def sizes(self) -> Int:
        """Pixels of each panel along (slow, fast), shape (n_panels, 2)."""
        if self.panel_sizes is not None:
            return self.panel_sizes
        return np.broadcast_to(np.array(self.panel_shape, dtype=np.int64), (self.n_panels, 2))

    def on_panels(self) -> NDArray[np.bool_]:
        """Say which pixels of a frame are no padding.

        Returns
        -------
        ndarray of bool, shape (n_panels, n_slow, n_fast)
            True on a panel.
        """
        slow, fast = (np.arange(length) for length in self.panel_shape)
        n_slow, n_fast = self.sizes.T
        within: NDArray[np.bool_] = (slow < n_slow[:, None])[:, :, None] & (fast < n_fast[:, None])[
            :, None, :
        ]
        return within

    def positions_mm(self, panel: ArrayLike, slow_px: ArrayLike, fast_px: ArrayLike) -> Float:
        """Return where pixels stand in the laboratory.

        Parameters
        ----------
        panel : array_like of int, shape (n,)
            Panel index.
        slow_px, fast_px : array_like of float, shape (n,)
            Position on the panel; whole numbers are pixel centres.

        Returns
        -------
        ndarray of float64, shape (n, 3)
            Position from the sample [mm].
        """
        index = np.asarray(panel, dtype=np.intp)
        slow = np.asarray(slow_px, dtype=np.float64)[..., None] * self.pixel_size_mm
        fast = np.asarray(fast_px, dtype=np.float64)[..., None] * self.pixel_size_mm
        position: Float = (
            self.origin_mm[index] + slow * self.slow_axis[index] + fast * self.fast_axis[index]
        )
        return position

    def scattering_vectors(
        self, panel: ArrayLike, slow_px: ArrayLike, fast_px: ArrayLike, wavelength_angstrom: float
    ) -> Float:
        """Return the scattering vectors of pixels.

        Parameters
        ----------
        panel : array_like of int, shape (n,)
            Panel index.
        slow_px, fast_px : array_like of float, shape (n,)
            Position on the panel; whole numbers are pixel centres.
        wavelength_angstrom : float
            Wavelength [angstrom].

        Returns
        -------
        ndarray of float64, shape (n, 3)
            q = k_out - k_in [1/angstrom], beam along +z.
        """
        position = self.positions_mm(panel, slow_px, fast_px)
        direction = position / np.linalg.norm(position, axis=-1, keepdims=True)
        q: Float = (direction - np.array([0.0, 0.0, 1.0])) / wavelength_angstrom
        return q

    def project(self, k_out: ArrayLike) -> tuple[NDArray[np.intp], Float, Float]:
        """Find where scattered rays meet the detector.

        Parameters
        ----------
        k_out : array_like of float, shape (n, 3)
            Directions of the rays, any length.

        Returns
        -------
        panel : ndarray of int, shape (n,)
            Panel that each ray meets, -1 for none.
        slow_px, fast_px : ndarray of float64, shape (n,)
            Position on the panel; NaN where none is met.
        """
        rays = np.asarray(k_out, dtype=np.float64)
        panel = np.full(len(rays), -1, dtype=np.intp)
        slow = np.full(len(rays), np.nan)
        fast = np.full(len(rays), np.nan)
        for index, (n_slow, n_fast) in enumerate(self.sizes):
            # Solve origin + s * slow + f * fast = t * ray, for all rays at once.
            normal = np.cross(self.fast_axis[index], self.slow_axis[index])
            along = rays @ normal
            axes = np.stack([self.slow_axis[index], self.fast_axis[index]]) * self.pixel_size_mm
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = (self.origin_mm[index] @ normal) / along
                offset = rays * scale[:, None] - self.origin_mm[index]
                s, f = (offset @ np.linalg.pinv(axes)).T
            inside = (
                (scale > 0)
                & (s >= -0.5)
                & (s < n_slow - 0.5)
                & (f >= -0.5)
                & (f < n_fast - 0.5)
                & (panel < 0)
            )
            panel[inside], slow[inside], fast[inside] = index, s[inside], f[inside]
        return panel, slow, fast


def module_mask(
    shape: tuple[int, int], modules: tuple[int, int], gap_px: tuple[int, int]
) -> NDArray[np.bool_]:
    """Say which pixels of an assembled detector lie on a module rather than in a gap.

    Parameters
    ----------
    shape : (int, int)
        Pixels along (slow, fast).
    modules : (int, int)
        Equal modules along (slow, fast).
    gap_px : (int, int)
        Insensitive pixels between modules along (slow, fast).

    Returns
    -------
    ndarray of bool, shape (slow, fast)
        True on a module.

    Raises
    ------
    ValueError
        If the modules and gaps do not fill the shape evenly.

    Examples
    --------
    >>> module_mask((1, 7), (1, 2), (0, 1)).astype(int)
    array([[1, 1, 1, 0, 1, 1, 1]])
    """
    lines = []
    for length, count, gap in zip(shape, modules, gap_px, strict=True):
        module, rest = divmod(length - (count - 1) * gap, count)
        if rest or module <= 0 or gap < 0:
            raise ValueError(
                f"{count} modules with gaps of {gap} px do not fill {length} px evenly"
            )
        lines.append(np.arange(length) % (module + gap) < module)
    mask: NDArray[np.bool_] = np.logical_and.outer(*lines)
    return mask
