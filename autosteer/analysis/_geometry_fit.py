"""Shifts of a detector, fitted together with the lattices of many crystals to their spots.

A spot on pixel X of the detector has the scattering vector q = (X/|X| - z)/wavelength; its lattice
has a point h A near it. What lies between them across the ray is an error of position, and what
lies along it is the excitation error, to which the detector is blind. Shifts of the detector are
common to all crystals; each crystal has its own rotation and, where its cell is free, its own
cell. Crystals are eliminated one by one (Schur complement), and so the cost grows with their
number only linearly.

References
----------
.. [1] B. Triggs et al., "Bundle adjustment: a modern synthesis", Lecture Notes in Computer Science
   1883, 298 (2000), on the elimination.
.. [2] N. K. Sauter et al., Acta Cryst. D70, 3299 (2014), on refining metrology from stills.
.. [3] P. J. Huber, Robust Statistics (1981), chapter 7, on the covariance of robust estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autosteer.physics import Detector

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_ITERATIONS = 40
_CONVERGED_MM = 1e-6
# Spots farther off than this many standard deviations hardly count (Cauchy weights).
_ROBUST_SIGMAS = 2.5
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_SMALLEST_SIGMA = 1e-6
_RIDGE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSpots:
    """Spots with their places, indices and lattices.

    Parameters
    ----------
    panel : ndarray of int64, shape (n,)
        Detector panel.
    slow_px, fast_px : ndarray of float64, shape (n,)
        Position on the panel [px].
    wavelength_angstrom : ndarray of float64, shape (n,)
        Wavelength of each spot's frame [angstrom].
    hkl : ndarray of float64, shape (n, 3)
        Miller indices.
    lattice : ndarray of int64, shape (n,)
        Number of each spot's lattice, from 0 on without gaps, increasing.
    """

    panel: Int
    slow_px: Float
    fast_px: Float
    wavelength_angstrom: Float
    hkl: Float
    lattice: Int

    def of_lattices(self, chosen: NDArray[np.bool_]) -> IndexedSpots:
        """Keep the spots of some lattices.

        Parameters
        ----------
        chosen : ndarray of bool, shape (n_lattices,)
            Which lattices.

        Returns
        -------
        IndexedSpots
            Their spots, the lattices numbered anew.
        """
        keep = chosen[self.lattice]
        numbers = np.cumsum(chosen) - 1
        return IndexedSpots(
            self.panel[keep],
            self.slow_px[keep],
            self.fast_px[keep],
            self.wavelength_angstrom[keep],
            self.hkl[keep],
            numbers[self.lattice[keep]],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """Which shifts of a detector are fitted, as a linear map from parameters.

    Parameters
    ----------
    directions : ndarray of float64, shape (n_parameters, n_panels, 3)
        Shift of each panel for a unit of each parameter [mm].
    """

    directions: Float

    @classmethod
    def whole(cls, n_panels: int, *, distance: bool) -> Shifts:
        """Shift all panels together across the beam, and perhaps along it.

        Parameters
        ----------
        n_panels : int
            Number of panels.
        distance : bool
            Whether the distance is fitted.

        Returns
        -------
        Shifts
            Two or three parameters: x, y, z.
        """
        axes = np.eye(3)[: 3 if distance else 2]
        return cls(np.repeat(axes[:, None, :], n_panels, axis=1))

    def with_panels(self, n_spots: Int) -> Shifts:
        """Shift panels across the beam, too, against each other.

        Parameters
        ----------
        n_spots : ndarray of int64, shape (n_panels,)
            Weight of each panel; one with 0 stays where it is.

        Returns
        -------
        Shifts
            These parameters, then those of x and of y. The weighted mean of the panels' own shifts
            is zero: it would be a shift of the whole.
        """
        used = np.flatnonzero(n_spots)
        if len(used) < 2:
            return self
        # An orthonormal basis of what is at right angles to the weights.
        basis = np.linalg.svd(n_spots[used][None].astype(np.float64))[2][1:]
        own = np.zeros((2, len(basis), len(n_spots), 3))
        for axis in range(2):
            own[axis][:, used, axis] = basis
        return Shifts(np.concatenate([self.directions, *own]))


@dataclass(frozen=True, slots=True, eq=False)
class GeometryFit:
    """Result of a fit.

    Parameters
    ----------
    shifts : Shifts
        What was fitted.
    parameters : ndarray of float64, shape (n_parameters,)
        Its parameters [mm].
    covariance : ndarray of float64, shape (n_parameters, n_parameters)
        Their covariance, from how much the crystals disagree [mm^2].
    reciprocal : ndarray of float64, shape (n_lattices, 3, 3)
        Reciprocal cell vectors in rows [1/angstrom].
    """

    shifts: Shifts
    parameters: Float
    covariance: Float
    reciprocal: Float

    @property
    def panel_shifts_mm(self) -> Float:
        """Shift of each panel, shape (n_panels, 3) [mm]."""
        return np.tensordot(self.parameters, self.shifts.directions, axes=1)

    def shifted(self, detector: Detector) -> Detector:
        """Put a detector where the fit found it.

        Parameters
        ----------
        detector : Detector
            The detector that was fitted.

        Returns
        -------
        Detector
            The same, shifted.
        """
        return replace(detector, origin_mm=detector.origin_mm + self.panel_shifts_mm)


def fit_shifts(
    detector: Detector,
    spots: IndexedSpots,
    reciprocal: Float,
    shifts: Shifts,
    *,
    free_cell: bool,
) -> GeometryFit:
    """Fit shifts of a detector and the lattices of all crystals.

    Parameters
    ----------
    detector : Detector
        The detector to start with.
    spots : IndexedSpots
        Spots of at least two lattices.
    reciprocal : ndarray of float64, shape (n_lattices, 3, 3)
        Reciprocal cell vectors in rows to start with [1/angstrom].
    shifts : Shifts
        What is fitted of the detector.
    free_cell : bool
        Whether each crystal has a cell of its own, or only an orientation.

    Returns
    -------
    GeometryFit
        The best shifts and lattices.
    """
    parameters = np.zeros(len(shifts.directions))
    for _ in range(_ITERATIONS):
        moved = replace(
            detector,
            origin_mm=detector.origin_mm + np.tensordot(parameters, shifts.directions, axes=1),
        )
        linear = _linearized(moved, spots, reciprocal, free_cell=free_cell)
        solution = _solve(linear, spots, shifts, len(reciprocal))
        parameters = parameters + solution.step
        reciprocal = _moved(reciprocal, solution.own_steps, free_cell=free_cell)
        if np.abs(solution.step).max(initial=0.0) < _CONVERGED_MM:
            break
    # What the crystals pull in different directions says how far the result may be off.
    inverse = np.linalg.pinv(solution.reduced, hermitian=True) / linear.efficiency
    n_lattices = len(reciprocal)
    spread = solution.scores.T @ solution.scores * n_lattices / max(1, n_lattices - 1)
    return GeometryFit(shifts, parameters, inverse @ spread @ inverse, reciprocal)


@dataclass(frozen=True, slots=True, eq=False)
class _Linearized:
    """Residuals of all spots about the present state, in frames with the ray as third axis.

    The robust weights count as fixed. The efficiency is the mean slope of the weighted residuals
    over the mean weight: by so much the equations exaggerate how well they determine the solution.
    """

    residual: Float
    weight: Float
    own: Float
    across: Float
    efficiency: float


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    """Step of the detector and of each lattice, how each lattice pulls, and the reduced matrix."""

    step: Float
    own_steps: Float
    scores: Float
    reduced: Float


def _linearized(
    detector: Detector, spots: IndexedSpots, reciprocal: Float, *, free_cell: bool
) -> _Linearized:
    """Compute residuals, robust weights and derivatives."""
    position = detector.positions_mm(spots.panel, spots.slow_px, spots.fast_px)
    length = np.linalg.norm(position, axis=1)
    ray = position / length[:, None]
    expected = np.einsum("ni,nij->nj", spots.hkl, reciprocal[spots.lattice])
    observed = (ray - np.array([0.0, 0.0, 1.0])) / spots.wavelength_angstrom[:, None]
    frame = _frames_about(ray)
    residual = np.einsum("nij,nj->ni", frame, observed - expected)
    sigma = np.array([
        max(MAD_TO_SIGMA * float(np.median(np.abs(part))), _SMALLEST_SIGMA)
        for part in (residual[:, :2], residual[:, 2])
    ])[[0, 0, 1]]
    squared = ((residual / sigma) ** 2).sum(axis=1)
    robust = 1 / (1 + squared / _ROBUST_SIGMAS**2)
    # The slope of the weighted residual is less than the weight, on average over directions.
    slope = robust - 2 / 3 * robust**2 * squared / _ROBUST_SIGMAS**2
    # How a lattice moves the expected point, and a shift of the detector the observed one.
    if free_cell:
        own = np.einsum("nh,nij->nihj", spots.hkl, frame).reshape(len(ray), 3, 9)
    else:
        own = np.cross(expected[:, None, :], frame)
    across = frame / (length * spots.wavelength_angstrom)[:, None, None]
    across[:, 2] = 0.0
    return _Linearized(
        residual=residual,
        weight=robust[:, None] / sigma**2,
        own=own,
        across=across,
        efficiency=float(slope.sum() / robust.sum()),
    )


def _solve(linear: _Linearized, spots: IndexedSpots, shifts: Shifts, n_lattices: int) -> _Solution:
    """Eliminate the lattices, solve for the detector, and go back to the lattices."""
    n_parameters, n_own = len(shifts.directions), linear.own.shape[2]
    reduced = np.zeros((n_parameters, n_parameters))
    scores = np.empty((n_lattices, n_parameters))
    own_steps = np.empty((n_lattices, n_own))
    gains = np.empty((n_lattices, n_own, n_parameters))
    bounds = np.searchsorted(spots.lattice, np.arange(n_lattices + 1))
    for index in range(n_lattices):
        chosen = slice(bounds[index], bounds[index + 1])
        common = np.einsum(
            "nij,pnj->nip", linear.across[chosen], shifts.directions[:, spots.panel[chosen]]
        ).reshape(-1, n_parameters)
        own = linear.own[chosen].reshape(-1, n_own)
        residual, weight = (part[chosen].ravel() for part in (linear.residual, linear.weight))
        weighted_own, weighted_common = own.T * weight, common.T * weight
        mixed = weighted_own @ common
        # residual = observed - expected: the detector moves the first, the lattice the second.
        block = weighted_own @ own
        # What a lattice's spots do not determine at all stays as it is.
        block += _RIDGE * np.trace(block) * np.eye(n_own)
        solved = np.linalg.solve(block, np.column_stack([mixed, weighted_own @ residual]))
        gains[index], own_steps[index] = solved[:, :-1], solved[:, -1]
        reduced += weighted_common @ common - mixed.T @ gains[index]
        scores[index] = mixed.T @ own_steps[index] - weighted_common @ residual
    step = np.linalg.pinv(reduced, hermitian=True) @ scores.sum(axis=0)
    return _Solution(step, own_steps + gains @ step, scores, reduced)


def _moved(reciprocal: Float, steps: Float, *, free_cell: bool) -> Float:
    """Apply the steps of the lattices."""
    if free_cell:
        return reciprocal + steps.reshape(-1, 3, 3)
    # Rotations by the vectors; q + w x q to first order.
    angle = np.linalg.norm(steps, axis=1)
    cross = np.cross(steps[:, None, :], np.eye(3)[None])
    sine = np.sinc(angle / np.pi)[:, None, None]
    versine = 0.5 * np.sinc(angle / (2 * np.pi))[:, None, None] ** 2
    turned: Float = reciprocal + reciprocal @ (sine * cross + versine * cross @ cross)
    return turned


def _frames_about(ray: Float) -> Float:
    """Give two unit vectors across each ray and the ray itself, as rows, shape (n, 3, 3)."""
    across = np.cross(ray, np.array([0.0, 1.0, 0.0]))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.stack([across, np.cross(ray, across), ray], axis=1)
