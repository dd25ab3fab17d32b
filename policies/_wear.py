"""How arms are used up while they are shot at, and what their measurements say of them now."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Aim
from autosteer.policies._arms import Belief, Means, Shares
from autosteer.policies._errors import variance_per_shot
from autosteer.policies._ledger import Table

Float = NDArray[np.float64]

# What is thought possible of the shots after which an arm is used up.
_LIFETIMES = np.geomspace(200.0, 1e6, 38)
# An arm of which nobody knows for how many shots it lasts.
_UNKNOWN_LIFETIME = 1e4


def learn_arms(
    table: Table, arms: NDArray[np.intp], n_arms: int, aim: Aim, memory_shots: float | None
) -> tuple[Belief, float]:
    """Learn what arms are worth now, and how long they last.

    Parameters
    ----------
    table : Table
        Measurements, in the order of time.
    arms : ndarray of intp, shape (n,)
        Arm of each.
    n_arms : int
        Number of arms.
    aim : Aim
        The quantity.
    memory_shots : float or None
        Shots after which a shot counts 1/e; None: the lifetime to the power 2/3.

    Returns
    -------
    belief : Belief
        The arms, of which more is better.
    lifetime : float
        Shots after which an arm's share has fallen to 1/e; infinite where that is not asked.
    """

    def by_arm(values: Float) -> Float:
        sums: Float = np.bincount(arms, values, n_arms).astype(np.float64)
        return sums

    shots = np.where(np.isfinite(table.n), table.n, 1.0)
    share = np.clip(table.mean, 0.0, 1.0)
    lifetime = math.inf
    if aim.fraction and aim.maximize:
        lifetime = lifetime_shots(arms, share * shots, shots)
    known = lifetime if math.isfinite(lifetime) else _UNKNOWN_LIFETIME
    weight = shots * np.exp(-later_shots(arms, shots) / (memory_shots or known ** (2 / 3)))
    total = by_arm(weight)
    if aim.fraction:
        good = share if aim.maximize else 1 - share
        return Shares.learn(by_arm(weight * good), total), lifetime
    mean = by_arm(weight * aim.sign * table.mean) / np.maximum(total, 1e-300)
    errors = table.sem if np.isfinite(table.sem).any() else None
    counted = Table(table.x, table.mean, table.sem, shots, table.t_s, table.context)
    return Means.learn(mean, total, variance_per_shot(counted, errors) or 0.0), lifetime


def lifetime_shots(arms: NDArray[np.intp], successes: Float, shots: Float) -> float:
    r"""Estimate after how many shots an arm's share has fallen to 1/e, the same for all arms.

    With the share :math:`p_i e^{-s/L}` after s shots at arm i, the likelihood of the counts is
    maximal for p_i in closed form; that of L is averaged over its logarithm.

    Parameters
    ----------
    arms : ndarray of intp, shape (n,)
        Arm of each measurement, in the order of time.
    successes, shots : ndarray of float64, shape (n,)
        Its counts.

    Returns
    -------
    float
        The lifetime L [shots]; the middle of what is thought possible where nothing tells.
    """
    before: Float = later_shots(arms[::-1], shots[::-1])[::-1] + shots / 2
    visited, arm = np.unique(arms, return_inverse=True)
    exposure = np.zeros((len(_LIFETIMES), len(visited)))
    for row, lifetime in enumerate(_LIFETIMES):
        exposure[row] = np.bincount(arm, shots * np.exp(-before / lifetime), len(visited))
    found = np.bincount(arm, successes, len(visited))
    log_likelihood: Float = -np.log(np.maximum(exposure, 1e-300)) @ found
    log_likelihood = log_likelihood - np.sum(successes * before) / _LIFETIMES
    weight = np.exp(log_likelihood - log_likelihood.max())
    return float(np.exp(np.sum(weight * np.log(_LIFETIMES)) / np.sum(weight)))


def later_shots(arms: NDArray[np.intp], shots: Float) -> Float:
    """Return how many shots were taken at the same arm after each measurement.

    Parameters
    ----------
    arms : ndarray of intp, shape (n,)
        Arm of each measurement, in the order of time.
    shots : ndarray of float64, shape (n,)
        Its shots.

    Returns
    -------
    ndarray of float64, shape (n,)
        Shots.
    """
    later = np.zeros(len(arms))
    for arm in np.unique(arms):
        rows = np.flatnonzero(arms == arm)
        later[rows] = shots[rows].sum() - np.cumsum(shots[rows])
    return later


def level_left(share: Float, lives: float) -> float:
    r"""Return to which level arms will be used up, if always the best is shot at.

    Parameters
    ----------
    share : ndarray of float64, shape (n,)
        Share of each arm now.
    lives : float
        Shots to be taken, in lifetimes of an arm.

    Returns
    -------
    float
        The share that the best k arms come down to: :math:`\sum_i \ln(p_i / c)` is the number of
        lifetimes.
    """
    falling = -np.sort(-np.maximum(share, 1e-9))
    number = np.arange(1, len(falling) + 1)
    level = np.exp((np.cumsum(np.log(falling)) - lives) / number)
    # Arms come in as long as they lie above the level of those before them.
    return float(level.max())
