"""DIALS' search for a lattice on given spot lists; run by the Python that has DIALS.

Usage: ``_dials_indexing.py GIVEN.npz ANSWER.npz``. Basis vectors are combined to cells, those
like the known cell are kept, and the one that indexes most spots is the answer, fitted to these
spots by least squares. DIALS' own refinement, which needs images and a detector, is left out.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import numpy as np
from cctbx import crystal  # type: ignore[import-not-found]
from dials.algorithms.indexing.basis_vector_search import (  # type: ignore[import-not-found]
    combinations,
)
from dials.algorithms.indexing.basis_vector_search.fft1d import (  # type: ignore[import-not-found]
    FFT1D,
)
from dials.algorithms.indexing.basis_vector_search.real_space_grid_search import (  # type: ignore[import-not-found]
    RealSpaceGridSearch,
)
from numpy.typing import NDArray
from scitbx.array_family import flex  # type: ignore[import-not-found]

_COMBINATIONS = 50
_INDEXED = 0.3
_FITS = 3

Float = NDArray[np.float64]


def lattice_of(spots: Float, strategy: Any, target: Any) -> Float:
    """Return the cell vectors that index most spots, NaN for none."""
    vectors, _ = strategy.find_basis_vectors(flex.vec3_double(spots))
    models = combinations.candidate_orientation_matrices(vectors, max_combinations=_COMBINATIONS)
    best: Float = np.full((3, 3), np.nan)
    most = 0
    for model in combinations.filter_known_symmetry(models, target):
        basis = np.array([tuple(vector) for vector in model.get_real_space_vectors()])
        indices = spots @ basis.T
        near = (np.abs(indices - np.rint(indices)) < _INDEXED).all(axis=1).sum()
        if near > most:
            best, most = basis, near
    for _ in range(_FITS if most else 0):
        indices = spots @ best.T
        near = (np.abs(indices - np.rint(indices)) < _INDEXED).all(axis=1)
        fitted = np.linalg.lstsq(spots[near], np.rint(indices[near]), rcond=None)[0]
        best = np.asarray(fitted.T, dtype=np.float64)
    return best


def main() -> None:
    """Index all lists by each method."""
    given, answer = sys.argv[1:]
    with np.load(given) as file:
        lists, cell = file["q"].astype(float), tuple(file["cell"].tolist())
    target = crystal.symmetry(unit_cell=cell, space_group_symbol="P4")
    longest = 1.3 * max(cell[:3])
    found: dict[str, Any] = {}
    for name, strategy in (
        ("real_space_grid_search", RealSpaceGridSearch(longest, target.unit_cell())),
        ("fft1d", FFT1D(longest)),
    ):
        lattices, begin_s = np.full((len(lists), 3, 3), np.nan), time.process_time()
        for index, q in enumerate(lists):
            spots = q[np.isfinite(q[:, 0])]
            try:
                basis = lattice_of(spots, strategy, target)
            except (RuntimeError, AssertionError) as error:
                print(f"{name}, list {index}: {error}", file=sys.stderr)
                continue
            lattices[index] = _as_given(basis, cell)
        found[name], found[f"{name}_cpu_s"] = lattices, time.process_time() - begin_s
    np.savez(answer, **found)


def _as_given(basis: Float, cell: tuple[float, ...]) -> Float:
    """Order the cell vectors, in any order and sign, as the known cell has them."""
    best, least = basis, np.inf
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            candidate = basis[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(candidate) <= 0:
                continue
            off = float(np.abs(np.linalg.norm(candidate, axis=1) - cell[:3]).sum())
            if off < least:
                best, least = candidate, off
    return best


if __name__ == "__main__":
    main()
