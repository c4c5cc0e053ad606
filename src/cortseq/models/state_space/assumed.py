"""The assumed-density filter of counts: each bin makes a Gaussian of a Gaussian.

    p(z_t | y_<t) ~ N(m, P)  ->  p(z_t | y_<=t) ~ N(argmax, (P^-1 + C' W C)^-1),

the mode of N(z; m, P) p(y_t | z) and the inverse of its expected curvature there. W is the curvature of the
log-likelihood by eta (Laplace's approximation; Eden et al. 2004, Neural Comput 16:971).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.state_space import latent
from cortseq.models.state_space.latent import Belief, Filtered

if TYPE_CHECKING:
    from cortseq.models.state_space.counts import Counts

STEPS, HALVINGS = 30, 12  # of Newton, and of one of its steps
ROUNDING = 1e-11  # of a log-likelihood: what rounding may take off an ascent
_SMALL = 1e-7  # sds: a step that is not worth another


def filtered(readout: Counts, p: Params, data: Data) -> Filtered:
    """Return the beliefs of all trials; `p` are the parameters of one member."""
    offset, n_time, n = latent.offsets(p, data), data.valid.shape[1], len(p["offset"])
    before, after = np.empty((2, *offset.shape))
    spread, left = np.empty((2, len(offset), n_time, n, n))
    for t in range(n_time):
        if t == 0:
            before[:, 0], spread[:, 0] = offset[:, 0], p["start_noise"]
        else:
            before[:, t] = after[:, t - 1] @ p["transition"].T + offset[:, t]
            spread[:, t] = p["transition"] @ left[:, t - 1] @ p["transition"].T + p["noise"]
        seen = data.valid[:, t]
        y = np.where(seen[:, None], data.y[:, t], 0.0)
        mean, covariance, _ = updated(readout, p, y, before[:, t], spread[:, t])
        after[:, t] = np.where(seen[:, None], mean, before[:, t])
        left[:, t] = np.where(seen[:, None, None], covariance, spread[:, t])
    row = np.arange(len(offset))
    return Filtered(Belief(before, spread, row), Belief(after, left, row), np.zeros((len(offset), n_time)))


def updated(
    readout: Counts, p: Params, y: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mode and covariance of N(z; mean, covariance) p(y | z) in every row, and its log integral.

    The integral is Laplace's approximation, without h(y). The search is in x, z = mean + L x, where the prior
    has covariance 1.

    Parameters
    ----------
    p : parameters of one member.
    y : (row, unit).
    mean, covariance : (row, latent) and (row, latent, latent).

    Returns
    -------
    Arrays (row, latent), (row, latent, latent) and (row,).
    """
    low = np.linalg.cholesky(covariance)
    loading, level = p["loading"] @ low, mean @ p["loading"].T + p["level"]
    transposed, x = loading.swapaxes(1, 2), np.zeros_like(mean)
    value = readout.likelihood(p, level, y)
    for _ in range(STEPS):
        eta = level + np.einsum("rni,ri->rn", loading, x)
        slope, curvature = readout.slopes(p, eta, y)
        inner = np.eye(mean.shape[1]) + transposed @ (curvature[..., None] * loading)
        toward = np.einsum("rni,rn->ri", loading, slope) - x
        step = np.linalg.solve(inner, toward[..., None])[..., 0]
        x, value, moved = _stepped(readout, p, y, (level, loading), x, step, value)
        if np.abs(moved).max(initial=0.0) < _SMALL:
            break
    factor = np.linalg.cholesky(inner)
    root = np.linalg.solve(factor, low.swapaxes(1, 2))
    evidence = value - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    return mean + np.einsum("rij,rj->ri", low, x), root.swapaxes(1, 2) @ root, evidence


def _stepped(
    readout: Counts,
    p: Params,
    y: np.ndarray,
    seen: tuple[np.ndarray, np.ndarray],
    x: np.ndarray,
    step: np.ndarray,
    value: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x after `step`, halved where it is no ascent, its value and the step that was taken.

    `seen`: eta at x = 0 (trial, unit), and how it moves with x (trial, unit, latent).
    """
    for _ in range(HALVINGS):
        there = x + step
        eta = seen[0] + np.einsum("rni,ri->rn", seen[1], there)
        reached = readout.likelihood(p, eta, y) - 0.5 * (there**2).sum(-1)
        lower = ~(reached >= value - ROUNDING * np.abs(value))
        if not lower.any():
            return there, reached, step
        step = np.where(lower[:, None], 0.5 * step, step)
    step = np.where(lower[:, None], 0.0, step)
    return x + step, np.where(lower, value, reached), step
