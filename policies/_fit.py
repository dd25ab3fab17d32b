"""Finds the hyperparameters of a surrogate with BoTorch."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Generator
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
from torch import Tensor

from autosteer.policies._covariance import Covariance, Hyperparameters

Float = NDArray[np.float64]

# Priors, in units of the box and of the data's spread. Lengths of a tenth of the box up to the
# whole of it are usual at a beamline.
_LENGTH_PRIOR = (-1.0, 0.7)
_SCALE_PRIOR = (0.0, 1.0)
# Correlation time, in the unit that it is given in.
_TIME_PRIOR = (0.0, 1.0)
_DOME_LENGTH_PRIOR = (-0.5, 0.7)
_DOME_SCALE_PRIOR = (-3.0, 1.5)
_FIRST_FIT_STEPS = 75
_REFIT_STEPS = 15


def fit(
    x: Float,
    y: Float,
    variance: Float | None,
    *,
    with_time: bool,
    begin_with: Hyperparameters | None,
) -> Hyperparameters:
    """Find the hyperparameters that maximise the posterior density.

    Parameters
    ----------
    x : ndarray of float64, shape (n, n_inputs)
        Places in the unit cube, n at least 1; a last column is time, where there is one.
    y : ndarray of float64, shape (n,)
        Values, about 0 and of unit size.
    variance : ndarray of float64, shape (n,), optional
        Their variances; None: one for all, which is found, too.
    with_time : bool
        Whether the last column is time.
    begin_with : Hyperparameters, optional
        Result of an earlier fit: a few steps from there are enough.

    Returns
    -------
    Hyperparameters
        Where the fit ended.
    """
    with warnings.catch_warnings(), _double_precision(), _own_chance():
        warnings.simplefilter("ignore", NumericalWarning)
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.filterwarnings("ignore", "Optimization failed", RuntimeWarning)
        parts = _Kernel(x.shape[1] - with_time, with_time)
        model = SingleTaskGP(
            torch.from_numpy(x),
            torch.from_numpy(y).unsqueeze(-1),
            None if variance is None else torch.from_numpy(variance).unsqueeze(-1),
            covar_module=parts.whole,
            outcome_transform=None,
        )
        if begin_with is not None:
            parts.set(begin_with.covariance)
            model.mean_module.initialize(constant=begin_with.constant)
            if variance is None and begin_with.noise is not None:
                model.likelihood.initialize(noise=begin_with.noise)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={
                "options": {"maxiter": _FIRST_FIT_STEPS if begin_with is None else _REFIT_STEPS}
            },
        )
    with torch.no_grad():
        return Hyperparameters(
            parts.covariance,
            float(model.mean_module.constant),
            float(model.likelihood.noise) if variance is None else None,
        )


class _Kernel:
    """The covariance in GPyTorch, with its priors.

    Parameters
    ----------
    n_places : int
        Knobs.
    with_time : bool
        Whether time follows them.
    """

    def __init__(self, n_places: int, with_time: bool) -> None:
        places = tuple(range(n_places))
        self.bumps = ScaleKernel(
            RBFKernel(
                ard_num_dims=n_places, active_dims=places, lengthscale_prior=_prior(_LENGTH_PRIOR)
            ),
            outputscale_prior=_prior(_SCALE_PRIOR),
        )
        self.dome = ScaleKernel(
            QuadraticKernel(
                ard_num_dims=n_places,
                active_dims=places,
                lengthscale_prior=_prior(_DOME_LENGTH_PRIOR),
            ),
            outputscale_prior=_prior(_DOME_SCALE_PRIOR),
        )
        self.time: MaternKernel | None = None
        whole = self.bumps + self.dome
        if with_time:
            self.time = MaternKernel(
                nu=0.5, active_dims=(n_places,), lengthscale_prior=_prior(_TIME_PRIOR)
            )
            whole = whole * self.time
        self.whole: Kernel = whole.double()
        self.set(
            Covariance(
                np.full(n_places, math.exp(_LENGTH_PRIOR[0])),
                math.exp(_SCALE_PRIOR[0]),
                np.full(n_places, math.exp(_DOME_LENGTH_PRIOR[0])),
                math.exp(_DOME_SCALE_PRIOR[0]),
                math.exp(_TIME_PRIOR[0]) if with_time else None,
            )
        )

    @property
    def covariance(self) -> Covariance:
        """The same function in NumPy, which takes a hundredth of the effort."""
        with torch.no_grad():
            return Covariance(
                self.bumps.base_kernel.lengthscale.numpy().ravel().copy(),
                float(self.bumps.outputscale),
                self.dome.base_kernel.lengthscale.numpy().ravel().copy(),
                float(self.dome.outputscale),
                None if self.time is None else float(self.time.lengthscale),
            )

    def set(self, covariance: Covariance) -> None:
        """Take all numbers from a covariance.

        Parameters
        ----------
        covariance : Covariance
            Of as many knobs, and with time if this is.
        """
        self.bumps.base_kernel.lengthscale = torch.from_numpy(covariance.lengths)
        self.bumps.outputscale = _double(covariance.scale)
        self.dome.base_kernel.lengthscale = torch.from_numpy(covariance.dome_lengths)
        self.dome.outputscale = _double(covariance.dome_scale)
        if self.time is not None and covariance.time_length is not None:
            self.time.lengthscale = _double(covariance.time_length)


def _prior(numbers: tuple[float, float]) -> LogNormalPrior:
    """Make a lognormal prior from mean and standard deviation of the logarithm."""
    loc, scale = map(_double, numbers)
    return LogNormalPrior(loc, scale)


def _double(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


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
