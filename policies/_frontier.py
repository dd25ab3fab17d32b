"""A front of several objectives, the volume below it, and what a further place would add."""

from __future__ import annotations

import numpy as np
import torch
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from numpy.typing import NDArray

from autosteer.policies._knowledge import expected_excess

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# The reference lies below the front by this share of its extent.
_BELOW = 0.1


def unbeaten(values: Float) -> Bool:
    """Tell which rows no other row beats; of equal rows, perhaps one only.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        Objectives, more is better.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether a row belongs to the front.
    """
    if values.shape[1] == 1:
        best: Bool = values[:, 0] == values[:, 0].max(initial=-np.inf)
        return best
    front: Bool = is_non_dominated(torch.from_numpy(np.ascontiguousarray(values))).numpy()
    return front


def extent_of(front: Float, others: Float) -> Float:
    """Return how far a front reaches along each objective.

    Parameters
    ----------
    front : ndarray of float64, shape (n, k)
        The front, n at least 1.
    others : ndarray of float64, shape (m, k)
        Values whose spread counts instead where the front has none.

    Returns
    -------
    ndarray of float64, shape (k,)
        Extents, positive.
    """
    extent = np.ptp(front, axis=0)
    spread = np.ptp(np.concatenate([front, others]), axis=0)
    extent = np.where(extent > 0, extent, spread)
    reached: Float = np.where(extent > 0, extent, 1.0)
    return reached


def reference_below(front: Float, extent: Float) -> Float:
    """Return a reference point somewhat below the worst values along a front [1]_.

    Parameters
    ----------
    front : ndarray of float64, shape (n, k)
        The front, n at least 1.
    extent : ndarray of float64, shape (k,)
        How far it reaches along each objective.

    Returns
    -------
    ndarray of float64, shape (k,)
        The reference.

    References
    ----------
    .. [1] H. Ishibuchi, N. Akedo, Y. Nojima, Proc. GECCO 2011, 649,
       doi:10.1145/2001576.2001666.
    """
    reference: Float = front.min(axis=0) - _BELOW * extent
    return reference


class Frontier:
    """The volume that a front dominates, and the room above it, cut into boxes.

    Parameters
    ----------
    front : ndarray of float64, shape (n, k)
        Objectives, more is better; n may be 0.
    reference : ndarray of float64, shape (k,)
        What is below it in any objective counts nothing.
    """

    def __init__(self, front: Float, reference: Float) -> None:
        above = front[(front > reference).all(axis=1)]
        if len(reference) == 1:
            top = above.max(axis=0, initial=reference[0])
            self._low, self._high = top[None], np.full((1, 1), np.inf)
            self.volume = float(top[0] - reference[0])
            return
        cut = FastNondominatedPartitioning(
            ref_point=torch.from_numpy(reference), Y=torch.from_numpy(above)
        )
        self._low, self._high = (bounds.numpy() for bounds in cut.get_hypercell_bounds())
        self.volume = float(cut.compute_hypervolume()) if len(above) else 0.0
        """Volume between the front and the reference."""

    def expected_gain(self, mean: Float, sd: Float) -> Float:
        r"""Return by how much places are expected to raise the volume.

        For independent normal objectives the expectation is a sum over the boxes of the room above
        the front, of products over the objectives [1]_.

        Parameters
        ----------
        mean, sd : ndarray of float64, shape (m, k)
            What is expected of each place.

        Returns
        -------
        ndarray of float64, shape (m,)
            The gain, not negative.

        References
        ----------
        .. [1] K. Yang, M. Emmerich, A. Deutz, T. Bäck, J. Glob. Optim. 75, 3 (2019),
           doi:10.1007/s10898-019-00798-7.
        """
        gain = np.ones((len(mean), len(self._low)))
        for along in range(mean.shape[1]):
            here, width = mean[:, along, None], np.maximum(sd[:, along, None], 1e-12)
            above_low = expected_excess(here, width, self._low[:, along])
            gain *= above_low - expected_excess(here, width, self._high[:, along])
        summed: Float = np.maximum(gain.sum(axis=1), 0.0)
        return summed
