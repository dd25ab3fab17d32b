"""Learns one quantity: link, model, and when to fit its hyperparameters again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim
from autosteer.policies._chain import Chained, Model, Situated, factor_between
from autosteer.policies._covariance import Hyperparameters
from autosteer.policies._curved_links import LogitLink, LogLink
from autosteer.policies._ledger import Table
from autosteer.policies._links import IdentityLink, Link, LinkName, make_link
from autosteer.policies._surrogate import Data, Surrogate

Float = NDArray[np.float64]

# Up to so many points every change is fitted anew; afterwards, when they have grown by this much.
_ALWAYS_FIT = 40
_GROWTH = 1.1
# Linearisation has converged when it moves values by less than this, in standard deviations.
_CONVERGED = 0.05
_LARGEST_MOVE = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A quantity as learned from a table.

    Parameters
    ----------
    surrogate : Model
        The model.
    link : Link
        The scale that it lives on.
    """

    surrogate: Model
    link: Link

    def noise(self, mean: Float, shots: Float | None) -> Float:
        """Return the variance, on the model's scale, that measurements will have.

        Parameters
        ----------
        mean : ndarray of float64, shape (m,)
            What is expected at the places, on that scale.
        shots : ndarray of float64, shape (m,) or (), optional
            Shots of each; None: as usual.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances.
        """
        given = self.link.noise(mean, shots)
        return np.where(np.isfinite(given), given, float(np.median(self.surrogate.noise_variance)))

    def natural(self, x: Float) -> tuple[Float, Float]:
        """Return what is expected at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        mean, sd : ndarray of float64, shape (m,)
            Mean and standard deviation of the quantity, in its unit.
        """
        return self.link.natural(self.surrogate.mean(x), np.sqrt(self.surrogate.variance(x)))

    def natural_at(self, latent: float) -> float:
        """Return the quantity at a value on the model's scale.

        Parameters
        ----------
        latent : float
            Value on the model's scale.

        Returns
        -------
        float
            The quantity, in its unit.
        """
        mean, _ = self.link.natural(np.array([latent]), np.zeros(1))
        return float(mean[0])


class Learner:
    """Learns a quantity again and again as its table grows.

    Hyperparameters go on from the last fit, and are fitted when the table has grown by a tenth.

    Parameters
    ----------
    aim : Aim
        The quantity.
    link : {"auto", "identity", "log"}
        Its scale.
    with_time : bool, default False
        Whether the last input is time.
    """

    def __init__(self, aim: Aim, link: LinkName, *, with_time: bool = False) -> None:
        self._aim = aim
        self._link_name = link
        self._with_time = with_time
        # By the kind of link: scales differ, and so do the hyperparameters on them.
        self._hyperparameters: dict[type[Link], Hyperparameters] = {}
        self._fitted_at = 0
        self._bounds: list[float] = []
        # What the last time of learning began with.
        self._before: tuple[int, dict[type[Link], Hyperparameters]] = (0, {})

    def learn(
        self,
        x: Float,
        table: Table,
        below: Model | None = None,
        *,
        bounds: Sequence[float] = (),
        now: Float | None = None,
    ) -> Learned:
        """Learn from a table.

        Parameters
        ----------
        x : ndarray of float64, shape (n, n_inputs)
            Inputs of the model, n at least 2.
        table : Table
            The quantity at these.
        below : Model, optional
            Model of a diagnostic that the quantity follows.
        bounds : sequence of float, optional
            Values that the quantity is taken to reach somewhere, in its unit; see `Surrogate`.
        now : ndarray of float64, shape (n_more,), optional
            Present values of the inputs that are no knobs, the last ones of `x`.

        Returns
        -------
        Learned
            The model.
        """
        self._before = (self._fitted_at, dict(self._hyperparameters))
        link = make_link(self._link_name, table, self._aim)
        kind = type(link)
        self._bounds = [link.latent(bound) for bound in bounds]
        due = (
            len(table) <= _ALWAYS_FIT
            or kind not in self._hyperparameters
            or len(table) >= _GROWTH * self._fitted_at
        )
        if due:
            self._fitted_at = len(table)
        more = 0 if now is None else len(now)
        latent = link.start(table)
        prior, factor = np.zeros(len(table)), 0.0
        if below is not None:
            under = below.mean(x[:, : x.shape[1] - more])
            value, variance = link.linearised(table, latent)
            expected = float(np.std(value)) / max(float(np.std(under)), 1e-12)
            factor = factor_between(
                under, value, np.zeros(len(value)) if variance is None else variance, expected
            )
            prior = factor * under
        # Hyperparameters and values depend on each other: after a fit, twice.
        for _ in range(2 if due else 1):
            latent = self._settle(x, table, link, latent, prior, fit=due)
        value, variance = link.linearised(table, latent)
        own = self._model(Data(x, value - prior, variance), kind, fit=due)
        self._hyperparameters[kind] = own.hyperparameters
        model: Model = own if now is None else Situated(own, now)
        return Learned(model if below is None else Chained(below, factor, model), link)

    def _settle(
        self, x: Float, table: Table, link: Link, latent: Float, prior: Float, *, fit: bool
    ) -> Float:
        """Linearise about the model's own values until both agree."""
        for number in range(link.rounds):
            value, variance = link.linearised(table, latent)
            data = Data(x, value - prior, variance)
            surrogate = self._model(data, type(link), fit=fit and number == 0)
            self._hyperparameters[type(link)] = surrogate.hyperparameters
            move = prior + surrogate.mean(x) - latent
            width = np.sqrt(1.0 if variance is None else 1.0 + variance)
            latent = latent + np.clip(move, -_LARGEST_MOVE, _LARGEST_MOVE)
            if np.max(np.abs(move) / width) < _CONVERGED:
                break
        return latent

    def _model(self, data: Data, kind: type[Link], *, fit: bool) -> Surrogate:
        return Surrogate(
            data,
            with_time=self._with_time,
            begin_with=self._hyperparameters.get(kind),
            refit=fit,
            bounds=self._bounds,
        )

    def checkpoint(self, *, learned: bool) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Parameters
        ----------
        learned : bool
            Whether the present table has been learned: it will have to be learned again then, with
            the same result.

        Returns
        -------
        dict
            The state.
        """
        now = (self._fitted_at, self._hyperparameters)
        fitted_at, hyperparameters = self._before if learned else now
        return {
            "fitted_at": fitted_at,
            "hyperparameters": {
                kind.__name__: found.as_json() for kind, found in hyperparameters.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._fitted_at = int(state["fitted_at"])
        kinds = {kind.__name__: kind for kind in (IdentityLink, LogLink, LogitLink)}
        self._hyperparameters = {
            kinds[kind]: Hyperparameters.from_json(found)
            for kind, found in state["hyperparameters"].items()
        }
