"""Finds the hyperparameters of a surrogate with BoTorch."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from botorch.exceptions.warnings import OptimizationWarning
from botorch.optim.core import scipy_minimize
from numpy.typing import NDArray
from torch import Tensor

from autosteer.policies._covariance import Covariance, Hyperparameters

Float = NDArray[np.float64]

# Lognormal priors, in units of the box and of the data's spread: mean and standard deviation of
# the logarithm. Lengths of a tenth of the box up to the whole of it are usual at a beamline.
PRIORS = {
    "lengths": (-1.0, 0.7),
    "scale": (0.0, 1.0),
    "dome_lengths": (-0.5, 0.7),
    "dome_scale": (-3.0, 1.5),
    "time_length": (0.0, 1.0),
    "noise": (-4.0, 1.0),
}
_LEAST_NOISE = 1e-4
# Noise that is added to tell repeated places apart, relative to the largest prior variance.
_JITTER = 1e-8
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
    density = Density(x, y, variance, with_time=with_time)
    if begin_with is not None:
        density.begin_with(begin_with)
    noise = density.logarithms.get("noise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)
        scipy_minimize(
            density.loss_and_slopes,
            density.parameters,
            bounds=None if noise is None else {"noise": (math.log(_LEAST_NOISE), None)},
            options={"maxiter": _FIRST_FIT_STEPS if begin_with is None else _REFIT_STEPS},
        )
    return density.hyperparameters


class Density:
    """The posterior density of hyperparameters, whose logarithms are the parameters.

    Parameters
    ----------
    x, y, variance, with_time
        As of `fit`.
    """

    def __init__(self, x: Float, y: Float, variance: Float | None, *, with_time: bool) -> None:
        n_knobs = x.shape[1] - with_time
        self._y = torch.from_numpy(y)
        self._given = None if variance is None else torch.from_numpy(variance)
        knobs = torch.from_numpy(x[:, :n_knobs])
        self._knobs, self._centred = knobs, knobs - 0.5
        self._lags: Tensor | None = None
        if with_time:
            times = torch.from_numpy(x[:, n_knobs])
            self._lags = (times[:, None] - times).abs()
        sizes = {"lengths": n_knobs, "scale": 1, "dome_lengths": n_knobs, "dome_scale": 1}
        if with_time:
            sizes["time_length"] = 1
        if variance is None:
            sizes["noise"] = 1
        self.logarithms = {
            name: torch.full((size,), PRIORS[name][0], dtype=torch.float64, requires_grad=True)
            for name, size in sizes.items()
        }
        self.constant = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What may be changed."""
        return {**self.logarithms, "constant": self.constant}

    def loss_and_slopes(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what is to be small, and its derivatives by the parameters."""
        loss = self._loss()
        slopes: tuple[Tensor, ...] = torch.autograd.grad(loss, tuple(self.parameters.values()))
        return loss.detach(), slopes

    def _loss(self) -> Tensor:
        """Return the negative logarithm of the density, per point and up to a constant."""
        values = {name: logarithm.exp() for name, logarithm in self.logarithms.items()}
        scaled = self._knobs / values["lengths"]
        squares = scaled.square().sum(1)
        apart = squares[:, None] + squares - 2 * scaled @ scaled.T
        along = self._centred / values["dome_lengths"]
        dome = (along @ along.T + 1).square()
        covariance = values["scale"] * torch.exp(-0.5 * apart) + values["dome_scale"] * dome
        if self._lags is not None:
            covariance = covariance * torch.exp(-self._lags / values["time_length"])
        noise = values["noise"].expand(len(self._y)) if self._given is None else self._given
        jitter = _JITTER * covariance.detach().diagonal().max()
        root = torch.linalg.cholesky(covariance + torch.diag(noise + jitter))
        white = torch.linalg.solve_triangular(root, (self._y - self.constant)[:, None], upper=False)
        loss = 0.5 * white.square().sum() + root.diagonal().log().sum()
        for name, logarithm in self.logarithms.items():
            mean, sd = PRIORS[name]
            loss = loss + (logarithm + 0.5 * ((logarithm - mean) / sd).square()).sum()
        per_point: Tensor = loss / len(self._y)
        return per_point

    def begin_with(self, found: Hyperparameters) -> None:
        """Take the numbers of an earlier fit, as far as there are such here.

        Parameters
        ----------
        found : Hyperparameters
            Its result.
        """
        numbers = found.as_json()
        with torch.no_grad():
            for name, logarithm in self.logarithms.items():
                if numbers[name] is not None:
                    logarithm.copy_(torch.from_numpy(np.log(np.array(numbers[name], ndmin=1))))
            self.constant.fill_(found.constant)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The numbers at present."""
        values = {name: np.exp(one.detach().numpy()) for name, one in self.logarithms.items()}
        number = {name: float(value[0]) for name, value in values.items()}
        covariance = Covariance(
            values["lengths"],
            number["scale"],
            values["dome_lengths"],
            number["dome_scale"],
            number.get("time_length"),
        )
        return Hyperparameters(covariance, float(self.constant.detach()), number.get("noise"))
