"""Limits on measured quantities: where a point keeps them, and what would widen that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from autosteer.contracts import Aim, OutcomeLimit
from autosteer.policies._knowledge import hermite_nodes
from autosteer.policies._learner import Learned, Learner
from autosteer.policies._ledger import Ledger
from autosteer.policies._links import LinkName

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# Of many places at the edge those are chosen that look safe, and they look safer than they are:
# standard deviations count so many times.
_DOUBT = 1.2


class Fence:
    """What is known about the limits of a problem.

    A point is safe where every limit is kept with its stated probability, as far as the models of
    the limited quantities can tell [1]_.

    Parameters
    ----------
    limits : tuple of OutcomeLimit
        The limits.
    link : {"auto", "identity", "log"}
        Scale on which their models see the quantities.

    References
    ----------
    .. [1] Y. Sui et al., Proc. Mach. Learn. Res. 37, 997 (2015), arXiv:1507.04760.
    """

    def __init__(self, limits: tuple[OutcomeLimit, ...], link: LinkName) -> None:
        self._limits = limits
        self.learners = {
            limit.name: Learner(Aim(limit.name, fraction=limit.fraction), link) for limit in limits
        }
        self._learned: list[tuple[OutcomeLimit, Learned]] = []

    def __bool__(self) -> bool:
        return bool(self._limits)

    def learn(self, ledger: Ledger) -> None:
        """Learn the limited quantities from what was measured.

        Parameters
        ----------
        ledger : Ledger
            At least one point, at which every limited quantity is known.
        """
        self._learned = []
        for limit in self._limits:
            table = ledger.table(limit.name)
            bounds = [bound for bound in (limit.above, limit.below) if bound is not None]
            learned = self.learners[limit.name].learn(table.x, table, bounds=bounds)
            self._learned.append((limit, learned))

    def chance(self, x: Float) -> Float:
        """Return how much more probable it is than required that the limits are kept.

        Parameters
        ----------
        x : ndarray of float64, shape (n, n_knobs)
            Places.

        Returns
        -------
        ndarray of float64, shape (n,)
            The smallest difference of all limits; a place is safe where it is not negative.
        """
        least = np.full(len(x), np.inf)
        for limit, kept in self._kept(x):
            least = np.minimum(least, kept - limit.probability)
        return least

    def doubtful(self, x: Float) -> tuple[Bool, Float]:
        """Tell which places are not safe, and how probable it is that they turn out to be.

        Parameters
        ----------
        x : ndarray of float64, shape (n, n_knobs)
            Places.

        Returns
        -------
        unsafe : ndarray of bool, shape (n,)
            Whether a limit is not kept with its stated probability.
        kept : ndarray of float64, shape (n,)
            The smallest probability of all limits that they are kept.
        """
        unsafe, least = np.zeros(len(x), np.bool_), np.ones(len(x))
        for limit, kept in self._kept(x):
            unsafe |= kept < limit.probability
            least = np.minimum(least, kept)
        return unsafe, least

    def active(self, x: Float) -> list[tuple[str, float]]:
        """Name the limits that keep a place from going on.

        Parameters
        ----------
        x : ndarray of float64, shape (n_knobs,)
            The place.

        Returns
        -------
        list of (str, float)
            Quantity and chance that its limit is kept, of the limits for which more than half of
            the risk that they leave is used.
        """
        kept = [(limit, float(chance[0])) for limit, chance in self._kept(x[None])]
        return [
            (limit.name, chance) for limit, chance in kept if chance < (1 + limit.probability) / 2
        ]

    def _kept(self, x: Float) -> Iterator[tuple[OutcomeLimit, Float]]:
        """Give the chance that each limit is kept at places."""
        for limit, learned in self._learned:
            mean = learned.surrogate.mean(x)
            sd = _DOUBT * np.sqrt(learned.surrogate.variance(x))
            low, high = _bounds(limit, learned)
            yield limit, ndtr((high - mean) / sd) - ndtr((low - mean) / sd)

    def widening(self, x: Float, choices: Float, gain: Float, shots: Float | None) -> Float:
        """Return by how much a measurement is expected to raise the best that is safe.

        Parameters
        ----------
        x : ndarray of float64, shape (c, n_knobs)
            Candidates for the measurement.
        choices : ndarray of float64, shape (m, n_knobs)
            Places that could become safe by it.
        gain : ndarray of float64, shape (m,)
            By how much each is better than the best that is safe now; negative where it is worse.
        shots : ndarray of float64, shape (), optional
            Shots of the measurement; None: as usual.

        Returns
        -------
        ndarray of float64, shape (c,)
            The expected rise, by quadrature over the outcome.
        """
        nodes, weights = hermite_nodes()
        promising = gain > 0
        if not promising.any():
            return np.zeros(len(x))
        choices, gain = choices[promising], gain[promising]
        chances = np.ones((len(nodes), len(x), len(choices)), np.bool_)
        for limit, learned in self._learned:
            model = learned.surrogate
            noise = learned.noise(x, shots)
            shift = model.covariance(x, choices) / np.sqrt(model.variance(x) + noise)[:, None]
            sd = _DOUBT * np.sqrt(np.maximum(model.variance(choices) - shift**2, 1e-12))
            low, high = _bounds(limit, learned)
            reach = float(ndtri(limit.probability)) * sd
            mean = model.mean(choices)
            for number, node in enumerate(nodes):
                moved = mean + node * shift
                chances[number] &= (moved + reach <= high) & (moved - reach >= low)
        best = np.where(chances, gain, 0.0).max(axis=2)
        rise: Float = weights @ best
        return rise


def _bounds(limit: OutcomeLimit, learned: Learned) -> tuple[float, float]:
    """Return the bounds on the model's scale."""
    low = -np.inf if limit.above is None else learned.link.latent(limit.above)
    high = np.inf if limit.below is None else learned.link.latent(limit.below)
    return low, high
