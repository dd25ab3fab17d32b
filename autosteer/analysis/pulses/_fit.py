"""Joint refinement of lines: Fisher scoring with damping, all shots of a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from autosteer.analysis.pulses._streak_model import (
    PER_SPIKE,
    Likelihood,
    StreakModel,
    Streaks,
    with_better,
)

_STEPS = 8
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-6, 1e6
_LESS, _MORE = 0.2, 8.0
# No step is longer than this, or the line leaves what it was found on.
_LONGEST_PHASE_BINS, _LONGEST_CENTER_BINS = 2.0, 2.0
_LONGEST_KICK_BINS = 3.0


def refine(model: StreakModel, counts: Tensor, streaks: Streaks) -> tuple[Streaks, Likelihood]:
    """Raise the likelihood of lines.

    Parameters
    ----------
    model : StreakModel
        The law.
    counts : Tensor of float64, shape (n, n_channels, n_bins)
        Sinograms.
    streaks : Streaks
        Lines to start from, within a bin or two of the truth.

    Returns
    -------
    Streaks
        Lines of highest likelihood.
    Likelihood
        Of these.

    References
    ----------
    .. [1] M. R. Osborne, Biometrics 48, 1249 (1992), on Fisher scoring with damping.
    """
    best = model.likelihood(counts, streaks)
    damping = torch.full_like(best.value, _FIRST_DAMPING)
    for _ in range(_STEPS):
        moved = streaks.moved(_limited(_step(best, damping), streaks))
        tried = model.likelihood(counts, moved)
        better = tried.value > best.value
        streaks, best = with_better(streaks, moved, better), with_better(best, tried, better)
        damping = torch.where(better, damping * _LESS, damping * _MORE)
        damping = damping.clamp(_LEAST_DAMPING, _MOST_DAMPING)
    return streaks, best


def _step(likelihood: Likelihood, damping: Tensor) -> Tensor:
    """Solve for the step, shape (n, p)."""
    even, scale = _without_units(likelihood.information)
    even = even + torch.diag_embed((damping[:, None] + 1e-9).expand_as(scale))
    factor, _ = torch.linalg.cholesky_ex(even)
    solved = torch.cholesky_solve((likelihood.gradient * scale)[..., None], factor)[..., 0]
    return (solved * scale).nan_to_num()


def _without_units(information: Tensor) -> tuple[Tensor, Tensor]:
    """Scale information to a diagonal of ones; return it and the scales, shape (n, p)."""
    scale = information.diagonal(dim1=1, dim2=2).clamp(min=1e-12).rsqrt()
    return information * scale[:, :, None] * scale[:, None, :], scale


def _limited(step: Tensor, streaks: Streaks) -> Tensor:
    """Shorten steps that are too long."""
    m = streaks.n_spikes
    kick = streaks.kick[:, None].abs().clamp(min=1)
    longest = torch.cat(
        [
            (_LONGEST_PHASE_BINS / kick).expand(-1, m),
            torch.full_like(streaks.center, _LONGEST_CENTER_BINS),
            torch.full_like(step[:, : (PER_SPIKE - 2) * m], torch.inf),
            torch.full_like(kick, _LONGEST_KICK_BINS),
            torch.full_like(kick, torch.inf),
        ],
        dim=1,
    )
    factor = (step.abs() / longest).amax(dim=1, keepdim=True).clamp(min=1)
    return step / factor


def phase_covariance(likelihood: Likelihood, n_spikes: int) -> Tensor:
    """Return the covariance of the phases of lines.

    Parameters
    ----------
    likelihood : Likelihood
        At its maximum.
    n_spikes : int
        Lines of each shot, m.

    Returns
    -------
    Tensor, shape (n, m, m)
        Covariances [rad^2]; NaN where the information is singular.
    """
    even, scale = _without_units(likelihood.information)
    inverse, failed = torch.linalg.inv_ex(even)
    phases = inverse[:, :n_spikes, :n_spikes] * (
        scale[:, :n_spikes, None] * scale[:, None, :n_spikes]
    )
    singular = (failed != 0) | (phases.diagonal(dim1=1, dim2=2) <= 0).any(dim=1)
    covariance: Tensor = phases.masked_fill(singular[:, None, None], torch.nan)
    return covariance
