"""The model of one quantity: a Gaussian process on the unit cube, fitted by BoTorch."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.exceptions.warnings import OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.warnings import NumericalWarning
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from torch import Tensor

from autosteer.contracts import PolicyError

Float = NDArray[np.float64]

# Priors, in units of the box and of the data's spread. Lengths of a tenth of the box up to the
# whole of it are usual at a beamline.
_LENGTH_PRIOR = (-1.0, 0.7)
_SCALE_PRIOR = (0.0, 1.0)
# Correlation time, in the unit that it is given in.
_TIME_PRIOR = (0.0, 1.0)
_DOME_LENGTH_PRIOR = (-0.5, 0.7)
_DOME_SCALE_PRIOR = (-3.0, 1.5)
# Noise that is added to tell repeated places apart, relative to the prior variance; ten times as
# much each time that it is not enough.
_JITTER = 1e-8
_MOST_TRIES = 6
_FIRST_FIT_STEPS = 75
_REFIT_STEPS = 15

Hyperparameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a surrogate learns from.

    Parameters
    ----------
    x : ndarray of float64, shape (n, n_inputs)
        Places in the unit cube; a last column is time, where there is one.
    y : ndarray of float64, shape (n,)
        Values, more is better.
    variance : ndarray of float64, shape (n,), or None
        Variances of the values; None where they are to be learned, one for all.
    """

    x: Float
    y: Float
    variance: Float | None


class Surrogate:
    """A Gaussian process with its data, ready to predict.

    The kernel is a squared exponential with a length of its own for every knob, and a quadratic
    function beside it, which a peak is on a logarithmic scale; times an exponential in time where
    drift is to be followed. Hyperparameters maximise the posterior density; a fit begins where an
    earlier one has ended, which takes a few steps only.

    Parameters
    ----------
    data : Data
        At least two places.
    with_time : bool, default False
        Whether the last column of x is time.
    begin_with : mapping, optional
        `hyperparameters` of an earlier fit to begin with.
    steps : int, optional
        Steps of the fit at most; 0 takes `begin_with` as it is.
    least_unit : float, optional
        Smallest unit in which the prior thinks, instead of the spread of the values.
    """

    def __init__(
        self,
        data: Data,
        *,
        with_time: bool = False,
        begin_with: Hyperparameters | None = None,
        steps: int | None = None,
        least_unit: float = 1e-9,
    ) -> None:
        self._offset = float(np.mean(data.y))
        self._unit = max(float(np.std(data.y)), least_unit)
        x = torch.from_numpy(data.x)
        y = torch.from_numpy((data.y - self._offset) / self._unit).unsqueeze(-1)
        variance = None
        if data.variance is not None:
            variance = torch.from_numpy(data.variance / self._unit**2).unsqueeze(-1)
        with warnings.catch_warnings(), _double_precision(), _own_chance():
            warnings.simplefilter("ignore", NumericalWarning)
            warnings.simplefilter("ignore", OptimizationWarning)
            warnings.filterwarnings("ignore", "Optimization failed", RuntimeWarning)
            model = SingleTaskGP(
                x,
                y,
                variance,
                covar_module=_kernel(data.x.shape[1], with_time),
                outcome_transform=None,
            )
            if begin_with is not None:
                model.load_state_dict(dict(begin_with), strict=False)
            if steps is None:
                steps = _FIRST_FIT_STEPS if begin_with is None else _REFIT_STEPS
            if steps:
                fit_gpytorch_mll(
                    ExactMarginalLogLikelihood(model.likelihood, model),
                    optimizer_kwargs={"options": {"maxiter": steps}},
                )
        self.hyperparameters: Hyperparameters = {
            name: value
            for name, value in model.state_dict().items()
            if "noise" not in name or variance is None
        }
        self._kernel = model.covar_module
        with torch.no_grad():
            constant = float(model.mean_module.constant)
            noise = model.likelihood.noise.expand(len(x)).numpy().copy()
        self._constant = constant
        self.noise_variance = self._unit**2 * noise
        """Variance of each value, given or learned, shape (n,)."""
        self._set(data.x, y.squeeze(-1).numpy() - constant, noise)

    def _set(self, x: Float, residual: Float, noise: Float) -> None:
        self.x, self._residual, self._noise = x, residual, noise
        covariance = self._prior(x, x)
        covariance[np.diag_indices(len(x))] += noise
        self._root = _root_of(covariance)
        self._weights = cho_solve((self._root, True), residual)

    def _prior(self, a: Float, b: Float) -> Float:
        with torch.no_grad():
            value: Float = self._kernel(torch.from_numpy(a), torch.from_numpy(b)).to_dense().numpy()
        return value

    @property
    def lengths(self) -> Float:
        """Length scale of each knob, in units of the box, shape (n_knobs,)."""
        first = self._kernel
        while not hasattr(first, "lengthscale") or first.lengthscale is None:
            first = first.kernels[0] if hasattr(first, "kernels") else first.base_kernel
        value: Float = first.lengthscale.detach().numpy().ravel()
        return value

    def mean(self, x: Float) -> Float:
        """Return the posterior mean at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Means.
        """
        mean: Float = self._offset + self._unit * (
            self._constant + self._prior(x, self.x) @ self._weights
        )
        return mean

    def _whitened(self, x: Float) -> Float:
        """Return the part of the prior at places that the data explain, shape (n, m)."""
        value: Float = solve_triangular(self._root, self._prior(self.x, x), lower=True)
        return value

    def covariance(self, a: Float, b: Float) -> Float:
        """Return the posterior covariance between places.

        Parameters
        ----------
        a : ndarray of float64, shape (m, n_inputs)
            Places.
        b : ndarray of float64, shape (k, n_inputs)
            Other places.

        Returns
        -------
        ndarray of float64, shape (m, k)
            Covariances.
        """
        value: Float = self._unit**2 * (self._prior(a, b) - self._whitened(a).T @ self._whitened(b))
        return value

    def variance(self, x: Float) -> Float:
        """Return the posterior variance at places.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Places.

        Returns
        -------
        ndarray of float64, shape (m,)
            Variances, not negative.
        """
        explained = np.sum(self._whitened(x) ** 2, axis=0)
        with torch.no_grad():
            prior = self._kernel(torch.from_numpy(x), diag=True).numpy()
        variance: Float = self._unit**2 * np.maximum(prior - explained, 1e-12)
        return variance

    def awaiting(self, x: Float, variance: Float) -> Surrogate:
        """Return the model as it will be when pending places are measured.

        Their values are taken to come out at the mean, so that means stay what they are and only
        variances shrink.

        Parameters
        ----------
        x : ndarray of float64, shape (m, n_inputs)
            Pending places.
        variance : ndarray of float64, shape (m,)
            Variances that their values will have.

        Returns
        -------
        Surrogate
            The model; this one stays as it is.
        """
        if not len(x):
            return self
        later = object.__new__(Surrogate)
        later.__dict__.update(self.__dict__)
        believed = (self.mean(x) - self._offset) / self._unit - self._constant
        later._set(
            np.concatenate([self.x, x]),
            np.concatenate([self._residual, believed]),
            np.concatenate([self._noise, variance / self._unit**2]),
        )
        return later


@contextlib.contextmanager
def _double_precision() -> Generator[None]:
    """Make constants in double precision, whatever others have made the default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _own_chance() -> Generator[None]:
    """Draw from a stream of its own: a fit that fails begins again at values drawn from priors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _root_of(covariance: Float) -> Float:
    """Return the Cholesky root; places that repeat need some noise to tell them apart."""
    jitter = _JITTER * float(np.mean(np.diag(covariance)))
    for _ in range(_MOST_TRIES):
        try:
            root: Float = cholesky(covariance + jitter * np.eye(len(covariance)), lower=True)
        except LinAlgError:
            jitter *= 10
        else:
            return root
    raise PolicyError(
        f"the model of {len(covariance)} points is singular: do their errors come to nothing?"
    )


def _kernel(n_inputs: int, with_time: bool) -> Kernel:
    """Make the kernel with its priors."""
    n_places = n_inputs - with_time
    places = tuple(range(n_places))
    bumps = RBFKernel(
        ard_num_dims=n_places, active_dims=places, lengthscale_prior=_prior(_LENGTH_PRIOR)
    )
    dome = QuadraticKernel(
        ard_num_dims=n_places, active_dims=places, lengthscale_prior=_prior(_DOME_LENGTH_PRIOR)
    )
    scaled = ScaleKernel(bumps, outputscale_prior=_prior(_SCALE_PRIOR))
    scaled_dome = ScaleKernel(dome, outputscale_prior=_prior(_DOME_SCALE_PRIOR))
    kernel: Kernel = scaled + scaled_dome
    time = MaternKernel(nu=0.5, active_dims=(n_places,), lengthscale_prior=_prior(_TIME_PRIOR))
    if with_time:
        kernel = kernel * time
    kernel = kernel.double()
    bumps.lengthscale = math.exp(_LENGTH_PRIOR[0])
    dome.lengthscale = math.exp(_DOME_LENGTH_PRIOR[0])
    scaled.outputscale = math.exp(_SCALE_PRIOR[0])
    scaled_dome.outputscale = math.exp(_DOME_SCALE_PRIOR[0])
    if with_time:
        time.lengthscale = math.exp(_TIME_PRIOR[0])
    return kernel


def _prior(numbers: tuple[float, float]) -> LogNormalPrior:
    """Make a lognormal prior from mean and standard deviation of the logarithm."""
    loc, scale = torch.tensor(numbers, dtype=torch.float64)
    return LogNormalPrior(loc, scale)


class QuadraticKernel(Kernel):  # type: ignore[misc]
    """Quadratic functions of the inputs, about the middle of the box."""

    has_lengthscale = True

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Return the covariances.

        Parameters
        ----------
        x1, x2 : Tensor, shape (n, d) and (m, d)
            Inputs.
        diag : bool, default False
            Whether only the diagonal is wanted.
        **params
            Not used.

        Returns
        -------
        Tensor, shape (n, m) or (n,)
            Covariances.
        """
        first, second = (x1 - 0.5) / self.lengthscale, (x2 - 0.5) / self.lengthscale
        if diag:
            along: Tensor = ((first * second).sum(-1) + 1) ** 2
            return along
        full: Tensor = (first @ second.transpose(-2, -1) + 1) ** 2
        return full
