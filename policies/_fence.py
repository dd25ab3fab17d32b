"""Limits on measured quantities: where a point keeps them, and what would widen that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
Widening = Callable[[Float, Float | None], Float]

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

    def widening(self, choices: Float, gain: Float) -> Widening:
        """Return what tells how far measurements are expected to raise the best that is safe.

        Parameters
        ----------
        choices : ndarray of float64, shape (m, n_knobs)
            Places that could become safe by them.
        gain : ndarray of float64, shape (m,)
            By how much each is better than the best that is safe now; negative where it is worse.

        Returns
        -------
        callable
            Takes candidates for the measurement, an ndarray of float64 of shape (c, n_knobs), and
            its shots, None for as many as usual; gives the expected rise by each, shape (c,), by
            quadrature over the outcome.
        """
        choices, gain = choices[gain > 0], gain[gain > 0]
        edges = [_Edge(limit, learned, choices) for limit, learned in self._learned]
        nodes, weights = hermite_nodes()

        def rise(x: Float, shots: Float | None) -> Float:
            safe = np.ones((len(nodes), len(x), len(choices)), np.bool_)
            for edge in edges:
                safe &= edge.safe_after(x, shots, nodes)
            best = np.where(safe, gain, 0.0).max(axis=2, initial=0.0)
            expected: Float = weights @ best
            return expected

        return rise


class _Edge:
    """A limit at places that could become safe."""

    def __init__(self, limit: OutcomeLimit, learned: Learned, choices: Float) -> None:
        model = learned.surrogate
        self._learned = learned
        self._joint = model.towards(choices)
        self._mean, self._variance = model.mean(choices), model.variance(choices)
        self._low, self._high = _bounds(limit, learned)
        self._reach = float(ndtri(limit.probability))

    def safe_after(self, x: Float, shots: Float | None, nodes: Float) -> Bool:
        """Tell which are safe after measurements, shape (n_nodes, n_candidates, n_places)."""
        joint = self._joint(x)
        noise = self._learned.noise(joint.mean, shots)
        shift = joint.covariance / np.sqrt(joint.variance + noise)[:, None]
        reach = self._reach * _DOUBT * np.sqrt(np.maximum(self._variance - shift**2, 1e-12))
        moved = self._mean + nodes[:, None, None] * shift
        safe: Bool = (moved + reach <= self._high) & (moved - reach >= self._low)
        return safe


def _bounds(limit: OutcomeLimit, learned: Learned) -> tuple[float, float]:
    """Return the bounds on the model's scale."""
    low = -np.inf if limit.above is None else learned.link.latent(limit.above)
    high = np.inf if limit.below is None else learned.link.latent(limit.below)
    return low, high
