"""Forecasts of signals whose bins are predicted from their own bin before, too: exact Gaussians.

    z_t = A z_{t-1} + offset_t + w_t,    y_t = D y_{t-1} + C z_t + d + v_t

With m, P the moments of z_t, K = Cov[z_t, y_t] and S = Cov[y_t], all given y_0 .. y_{t-h}, one bin more is

    P' = A P A' + Q,   X = A K D,   K' = P' C' + X,   S' = D S D + C P' C' + R + C X + X' C'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.state_space import latent
from cortseq.models.state_space.latent import Belief
from cortseq.observations.gaussian import LOG_2PI

if TYPE_CHECKING:
    from cortseq.models.state_space.signals import Signals


def forecasts(readout: Signals, p: Params, data: Data, deepest: int) -> list[np.ndarray]:
    """Return log p(y_t | y_0 .. y_{t-h}) for h = 1 .. deepest, each (trial, time) in nats."""
    z, offset = readout.standard(data), latent.offsets(p, data)
    belief = readout.filtered(p, data).predicted
    mean, cross, covariance = _one_bin_ahead(readout, p, data, belief)
    found = [readout.log_prob(p, data, belief)]
    constant = np.log(readout.common["scale"]).sum()
    for lead in range(1, deepest):
        belief = belief.shifted(p, offset)
        mean, cross, covariance = _one_more(readout, p, belief, mean, cross, covariance)
        scored = np.full(data.valid.shape, np.nan)
        for u in range(len(covariance)):
            mine = belief.row == u
            for t in range(z.shape[1]):
                if t >= lead:
                    scored[mine, t] = _log_density(z[mine, t] - mean[mine, t], covariance[u, t])
        found.append(scored - constant)
    return found


def _one_bin_ahead(
    readout: Signals, p: Params, data: Data, belief: Belief
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (trial, time, channel), K (row, time, latent, channel) and S of one bin ahead.

    Trials of a row have the same gaps. Where the bin before is missing, R is 1.
    """
    loading = p["loading"]
    before = np.zeros_like(data.valid)
    before[:, 1:] = data.valid[:, :-1]
    mean = (readout.expected(p, data, belief) - readout.common["centre"]) / readout.common["scale"]
    cross = belief.covariance @ loading.T
    first = np.array([np.flatnonzero(belief.row == u)[0] for u in range(len(belief.covariance))])
    own = np.where(before[first][..., None, None], np.diag(p["sd"] ** 2), np.eye(len(p["sd"])))
    return mean, cross, loading @ cross + own


def _one_more(
    readout: Signals, p: Params, belief: Belief, mean: np.ndarray, cross: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the moments one bin further; `belief` is that of the latents there."""
    skip, loading = readout.common["skip"], p["loading"]
    further = np.full_like(mean, np.nan)
    further[:, 1:] = skip * mean[:, :-1] + p["level"] + belief.mean[:, 1:] @ loading.T
    spread, moved = np.full_like(covariance, np.nan), np.full_like(cross, np.nan)
    shared = p["transition"] @ cross[:, :-1] * skip
    own = belief.covariance[:, 1:] @ loading.T
    moved[:, 1:] = own + shared
    both = loading @ shared
    spread[:, 1:] = skip[:, None] * covariance[:, :-1] * skip + loading @ own + both + both.swapaxes(-1, -2)
    spread[:, 1:] += np.diag(p["sd"] ** 2)
    return further, moved, spread


def _log_density(error: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the log density (trial,) of errors (trial, channel) with one covariance."""
    low = np.linalg.cholesky(covariance)
    z = np.linalg.solve(low, error.T)
    constant = np.log(np.diag(low)).sum() + 0.5 * len(covariance) * LOG_2PI
    return np.asarray(-0.5 * (z**2).sum(0) - constant)
