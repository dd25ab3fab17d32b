"""Bayesian optimisation with BoTorch: noise from the shots, pending points, the same ask again."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition.analytic import PosteriorMean
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.exceptions.warnings import OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.outcome import Standardize
from botorch.optim.optimize import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from scipy.stats import qmc
from torch import Tensor

from autosteer.contracts import PolicyError, Problem
from autosteer.policies._ledger import Float, Ledger
from autosteer.policies._links import LinkName, make_link


class BayesianPolicy:
    """Gaussian process and noisy expected improvement, over the box of the knobs.

    The first points are a scrambled Sobol sequence. After that, a Gaussian process is fitted to
    the newest outcome of every point, each with the variance that its shots gave, and the next
    points maximise the logarithm of the noisy expected improvement [1]_ [2]_, given the points that
    are still pending. Every ask draws from a stream of its own, so that the same ask after the
    same ingests gives the same suggestion, and its cost is capped by evaluations, not by time.

    Parameters
    ----------
    problem : Problem
        Knobs and objective.
    link : {"identity", "arcsine"}, default "identity"
        Scale on which the model sees the objective; ``arcsine`` is for fractions.
    n_initial : int, default 6
        Points measured before the model takes over.
    mc_samples : int, default 64
        Posterior samples of the acquisition function.
    raw_samples : int, default 64
        Places at which the acquisition function is tried first.
    restarts : int, default 4
        The best of them from which it is climbed.
    max_iterations : int, default 40
        Steps of each climb.

    Raises
    ------
    PolicyError
        If the knobs' limits are not finite and in order, or a count is not positive.

    References
    ----------
    .. [1] S. Ament et al., NeurIPS 36 (2023), arXiv:2310.20708.
    .. [2] B. Letham et al., Bayesian Anal. 14, 495 (2019), doi:10.1214/18-BA1110.

    Examples
    --------
    >>> policy = BayesianPolicy(Problem.of({"x": (-1.0, 1.0)}, "hits", seed=3))
    >>> [point] = policy.suggest(1)
    >>> policy.ingest([{**point, "hits": 0.4, "hits_sem": 0.05}])
    >>> policy.best()["hits"]
    0.4
    """

    def __init__(
        self,
        problem: Problem,
        *,
        link: LinkName = "identity",
        n_initial: int = 6,
        mc_samples: int = 64,
        raw_samples: int = 64,
        restarts: int = 4,
        max_iterations: int = 40,
    ) -> None:
        counts = {
            "n_initial": n_initial,
            "mc_samples": mc_samples,
            "raw_samples": raw_samples,
            "restarts": restarts,
            "max_iterations": max_iterations,
        }
        for name, count in counts.items():
            if count < 1:
                raise PolicyError(f"{name} is {count}: it must be at least 1")
        self._ledger = Ledger(problem)
        self._sign = self._ledger.sign
        self._link = make_link(link)
        self._seed = problem.seed
        self._n_initial = n_initial
        self._mc_samples = mc_samples
        self._raw_samples = raw_samples
        self._restarts = restarts
        self._max_iterations = max_iterations
        self._opened = 0
        self._asks = 0
        self._reasons: dict[str, str] = {}
        # The model of the measured points; None when they have changed since it was fitted.
        self._model: SingleTaskGP | None = None

    def suggest(self, num_points: int) -> list[dict[str, Any]]:
        """Propose points.

        Parameters
        ----------
        num_points : int
            Points wanted, at least 1.

        Returns
        -------
        list of dict
            ``_id`` and one entry per knob.

        Raises
        ------
        PolicyError
            If `num_points` is not positive.
        """
        if num_points < 1:
            raise PolicyError(f"num_points is {num_points}: it must be at least 1")
        known = len(self._ledger.measured)
        dimension = len(self._ledger.names)
        if known < max(self._n_initial, 2):
            points = _sobol_points(dimension, self._seed, self._opened, num_points)
            self._opened += num_points
            suggested = self._ledger.suggest(points)
            for point in suggested:
                reason = f"opening point: {known} of {self._n_initial} places are measured"
                self._reasons[point["_id"]] = reason
            return suggested
        candidates, reasons = self._acquire(num_points)
        suggested = self._ledger.suggest(candidates)
        for point, reason in zip(suggested, reasons, strict=True):
            self._reasons[point["_id"]] = reason
        return suggested

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take measured points; a later one of the same ``_id`` replaces the earlier.

        Parameters
        ----------
        points : sequence of mapping
            ``_id``, one entry per knob, the objective, and perhaps its ``_sem``. Points that were
            never suggested are welcome.
        """
        self._ledger.ingest(points)
        self._model = None

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take suggestions that could not be measured: the policy keeps away from them.

        Parameters
        ----------
        points : sequence of mapping
            The suggestions.
        """
        self._ledger.register_failures(points)

    def best(self) -> dict[str, Any]:
        """Return the place where the posterior mean is best.

        Returns
        -------
        dict
            Knobs, posterior mean under the objective's name and its ``_sd``; empty before the
            first measurement. With fewer than two points, the better of them.
        """
        if len(self._ledger.measured) < 2:
            return self._ledger.best_measured()
        model = self._fitted()
        measured = self._measured_x()
        dimension = len(self._ledger.names)
        spread = torch.from_numpy(_sobol_points(dimension, self._seed + 1, 0, 128))
        places = torch.cat([measured, spread])
        with torch.no_grad():
            means = model.posterior(places).mean.squeeze(-1)
        top = places[means.topk(min(3, len(places))).indices]
        with _calm():
            best, _ = optimize_acqf(
                PosteriorMean(model),
                bounds=self._bounds(),
                q=1,
                num_restarts=len(top),
                batch_initial_conditions=top.unsqueeze(1),
                options={"maxiter": self._max_iterations},
                retry_on_optimization_warning=False,
            )
        [mean], [sd] = self._expect(best)
        position = self._ledger.low + best[0].numpy() * (self._ledger.high - self._ledger.low)
        return {
            **dict(zip(self._ledger.names, position.tolist(), strict=True)),
            self._ledger.objective: float(mean),
            f"{self._ledger.objective}_sd": float(sd),
        }

    def explain(self, suggestion_id: str) -> str:
        """Say why a point was suggested.

        Parameters
        ----------
        suggestion_id : str
            ``_id`` of the suggestion.

        Returns
        -------
        str
            One line; empty for a point that was not suggested here.
        """
        return self._reasons.get(suggestion_id, "")

    def posterior(self, points: Sequence[Mapping[str, float]]) -> tuple[Float, Float]:
        """Return what the model expects at places, for plots.

        Parameters
        ----------
        points : sequence of mapping, length n
            Knobs by name.

        Returns
        -------
        mean, sd : ndarray of float64, shape (n,)
            Posterior mean and standard deviation of the objective.

        Raises
        ------
        PolicyError
            If fewer than two points are measured.
        """
        if len(self._ledger.measured) < 2:
            raise PolicyError("the model needs two measured points at least")
        rows = [[point[name] for name in self._ledger.names] for point in points]
        return self._expect(torch.from_numpy(self._ledger.unit(rows)))

    def checkpoint(self) -> dict[str, Any]:
        """Return the state as JSON-able values.

        Returns
        -------
        dict
            The state; after `restore` of it the next suggestion is the same.
        """
        return {"opened": self._opened, "asks": self._asks, "ledger": self._ledger.checkpoint()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `checkpoint` gave.

        Parameters
        ----------
        state : mapping
            The state.
        """
        self._opened = int(state["opened"])
        self._asks = int(state["asks"])
        self._ledger.restore(state["ledger"])
        self._model = None

    def _expect(self, places: Tensor) -> tuple[Float, Float]:
        """Return mean and standard deviation of the objective at places in the unit cube."""
        with torch.no_grad():
            posterior = self._fitted().posterior(places)
        mean = self._sign * posterior.mean.squeeze(-1).numpy()
        return self._link.inverse(mean, np.sqrt(posterior.variance.squeeze(-1).numpy()))

    def _measured_x(self) -> Tensor:
        rows = [point.x for point in self._ledger.measured.values()]
        return torch.from_numpy(self._ledger.unit(rows))

    def _bounds(self) -> Tensor:
        dimension = len(self._ledger.names)
        return torch.stack([
            torch.zeros(dimension, dtype=torch.float64),
            torch.ones(dimension, dtype=torch.float64),
        ])

    def _fitted(self) -> SingleTaskGP:
        """Fit the model to the measured points, if they have changed."""
        if self._model is not None:
            return self._model
        points = list(self._ledger.measured.values())
        values, variances = self._link.forward(
            np.array([point.mean for point in points]),
            np.array([point.sem for point in points]),
            np.array([point.n for point in points]),
        )
        model = SingleTaskGP(
            self._measured_x(),
            torch.from_numpy(self._sign * values).unsqueeze(-1),
            None if variances is None else torch.from_numpy(variances).unsqueeze(-1),
            outcome_transform=Standardize(1),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        self._model = model
        return model

    def _acquire(self, num_points: int) -> tuple[Float, list[str]]:
        """Maximise the acquisition function, and say why the places it gives are good."""
        self._asks += 1
        avoid = [*self._ledger.pending.values(), *self._ledger.failed.values()]
        pending = torch.from_numpy(self._ledger.unit(avoid)) if avoid else None
        draw = self._seed * 1_000_003 + self._asks
        with torch.random.fork_rng(), _calm():
            torch.manual_seed(draw)
            model = self._fitted()
            acquisition = qLogNoisyExpectedImprovement(
                model,
                X_baseline=self._measured_x(),
                sampler=SobolQMCNormalSampler(torch.Size([self._mc_samples]), seed=draw % 2**31),
                X_pending=pending,
                prune_baseline=True,
                cache_root=True,
            )
            candidates, value = optimize_acqf(
                acquisition,
                bounds=self._bounds(),
                q=num_points,
                num_restarts=self._restarts,
                raw_samples=self._raw_samples,
                options={"maxiter": self._max_iterations, "seed": draw % 2**31},
                sequential=num_points > 1,
                retry_on_optimization_warning=False,
            )
        means, sds = self._expect(candidates)
        values = torch.as_tensor(value).expand(num_points)
        reasons = [
            f"expects {float(mean):.4g} +- {float(sd):.2g}, log improvement {float(gain):.3g}"
            for mean, sd, gain in zip(means, sds, values, strict=True)
        ]
        unit: Float = candidates.numpy()
        return unit, reasons


@contextlib.contextmanager
def _calm() -> Generator[None]:
    """Leave out warnings that say nothing here.

    Near the end of a search the acquisition function is flat, and a climb that stops there is at
    its top; a little jitter on a nearly singular matrix is how the library deals with repeats.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.filterwarnings("ignore", "Optimization failed", RuntimeWarning)
        yield


def _sobol_points(dimension: int, seed: int, first: int, count: int) -> Float:
    """Return a stretch of a scrambled Sobol sequence in the unit cube, shape (count, dimension)."""
    engine = qmc.Sobol(dimension, rng=np.random.default_rng(seed))
    # Whole powers of two keep the balance of the sequence.
    points: Float = engine.random_base2((first + count - 1).bit_length())
    return points[first : first + count]
