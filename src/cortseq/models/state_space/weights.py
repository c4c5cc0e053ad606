"""The M-step of counts: weights of the latents in the log rate of each unit.

    maximise  sum_t E[y_t eta_t - exp(eta_t)] + log prior,    eta_t = C . z_t + d,  z_t ~ N(m_t, S_t)
    E[y eta - exp(eta)] = y (C . m + d) - exp(C . m + d + C S C' / 2)

(Macke et al. 2011, NIPS 24:1350). It is concave in C and d of each unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortseq.data import Data
from cortseq.models.state_space.latent import Posterior

_HALVINGS = 12  # of a Newton step
_BINS = 1024  # held at once
_HIGHEST = 20.0  # of an expected log rate: keeps a step that is too long finite


@dataclass(frozen=True)
class Prior:
    """A Gamma density of exp(d) about a rate and a Gaussian one of C about 0, each worth `bins` bins.

    Attributes
    ----------
    bins : how many bins.
    rate : (unit,), of the null; the precision of C is `bins * rate`.
    """

    bins: float
    rate: np.ndarray


def ascend(theta: np.ndarray, prior: Prior, parts: list[tuple[Data, Posterior]]) -> np.ndarray:
    """Return C and d of every unit after one Newton step, halved where it is no ascent.

    Parameters
    ----------
    theta : (unit, latent + 1), C and d before it.
    prior : of both.
    parts : training trials with their latents.

    Returns
    -------
    (unit, latent + 1).
    """
    value, gradient, curvature = _expected_loss(theta, prior, parts)
    step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
    length = np.ones((len(theta), 1))
    for _ in range(_HALVINGS):
        moved = theta - length * step
        there = _expected_loss(moved, prior, parts, slopes=False)[0]
        higher = ~(there <= value + 1e-9 * np.abs(value))
        if not higher.any():
            break
        length[higher] *= 0.5
    return np.where(higher[:, None], theta, moved)


def _expected_loss(
    theta: np.ndarray, prior: Prior, parts: list[tuple[Data, Posterior]], slopes: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return minus the expected log posterior density of each unit, its gradient and curvature.

    theta (unit, latent + 1): C and d.
    """
    n_units, n = theta.shape
    rate, level = prior.bins * prior.rate, np.minimum(theta[:, -1], _HIGHEST)
    value = np.exp(level) * prior.bins - rate * level + 0.5 * rate * (theta[:, :-1] ** 2).sum(1)
    gradient = rate[:, None] * theta
    gradient[:, -1] = prior.bins * np.exp(level) - rate
    curvature = np.zeros((n_units, n, n))
    curvature[:] = rate[:, None, None] * np.eye(n)
    curvature[:, -1, -1] = prior.bins * np.exp(level)
    for data, posterior in parts:
        eta, x, spread = log_mean(theta, data, posterior)
        y, mean = data.y[data.valid], np.exp(eta)
        at_mean = x @ theta.T
        value += mean.sum(0) - (y * at_mean).sum(0)
        if not slopes:
            continue
        gradient -= y.T @ x
        curvature[:, :-1, :-1] += (mean.T @ spread.reshape(len(x), -1)).reshape(n_units, n - 1, n - 1)
        for first in range(0, len(x), _BINS):
            some = slice(first, first + _BINS)
            away = np.repeat(x[None, some], n_units, 0)  # x + S C_n, (unit, bin, latent + 1)
            away[..., :-1] += (spread[some] @ theta[:, :-1].T).transpose(2, 0, 1)
            weighed = mean[some].T[..., None] * away
            gradient += weighed.sum(1)
            curvature += weighed.swapaxes(1, 2) @ away
    return value, gradient, curvature


def log_mean(
    theta: np.ndarray, data: Data, posterior: Posterior
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ln E[exp(eta)] of the valid bins, and their latents' moments.

    These are (bin, unit), then (m, 1) as (bin, latent + 1) and S as (bin, latent, latent).
    """
    belief = posterior.belief
    trial, time = np.nonzero(data.valid)
    spread = belief.covariance[belief.row[trial], time]
    x = np.concatenate([belief.mean[data.valid], np.ones((len(trial), 1))], 1)
    loading = theta[:, :-1]
    n = loading.shape[1]
    outer = (loading[:, :, None] * loading[:, None]).reshape(-1, n * n)
    half = 0.5 * spread.reshape(-1, n * n) @ outer.T
    return np.minimum(x @ theta.T + half, _HIGHEST), x, spread
