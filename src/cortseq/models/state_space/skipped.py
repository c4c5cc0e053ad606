"""Forecasts of signals whose bins are predicted from their own bin before, too: exact Gaussians.

    z_t = A z_{t-1} + offset_t + w_t,    y_t = D y_{t-1} + C z_t + d + v_t

With m, P the moments of z_t, K = Cov[z_t, y_t] and S = Cov[y_t], all given y_0 .. y_{t-h}, one bin more is

    P' = A P A' + Q,   X = A K D,   K' = P' C' + X,   S' = D S D + C P' C' + R + C X + X' C'

Where bin t - 1 is missing from the recording, the prediction of bin t knows that: D is 0 and R is 1 there, at
every distance, as one bin ahead.
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
    follows = np.zeros_like(data.valid)
    follows[:, 1:] = data.valid[:, :-1]
    mean, cross, covariance = _one_bin_ahead(readout, p, data, belief, follows)
    found = [readout.log_prob(p, data, belief)]
    constant = np.log(readout.common["scale"]).sum()
    for lead in range(1, deepest):
        belief = belief.shifted(p, offset)
        mean, cross, covariance = _one_more(readout, p, belief, follows, mean, cross, covariance)
        scored = np.full(data.valid.shape, np.nan)
        for u in range(len(covariance)):
            alike = belief.row == u
            for t in range(lead, z.shape[1]):
                scored[alike, t] = _log_density(z[alike, t] - mean[alike, t], covariance[u, t])
        found.append(scored - constant)
    return found


def _one_bin_ahead(
    readout: Signals, p: Params, data: Data, belief: Belief, follows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (trial, time, channel), K (row, time, latent, channel) and S of one bin ahead.

    follows : (trial, time), whether the bin before is known.
    """
    mean = (readout.expected(p, data, belief) - readout.common["centre"]) / readout.common["scale"]
    cross = belief.covariance @ p["loading"].T
    return mean, cross, p["loading"] @ cross + _noise(p, _of_rows(follows, belief))


def _one_more(
    readout: Signals,
    p: Params,
    belief: Belief,
    follows: np.ndarray,
    mean: np.ndarray,
    cross: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the moments one bin further; `belief` is that of the latents there."""
    loading, kept = p["loading"], readout.common["skip"] * follows[:, 1:, None]
    further = np.full_like(mean, np.nan)
    further[:, 1:] = kept * mean[:, :-1] + p["level"] + belief.mean[:, 1:] @ loading.T
    spread, moved = np.full_like(covariance, np.nan), np.full_like(cross, np.nan)
    known = _of_rows(follows, belief)[:, 1:]
    skip = readout.common["skip"] * known[..., None]
    shared = p["transition"] @ cross[:, :-1] * skip[..., None, :]
    own = belief.covariance[:, 1:] @ loading.T
    moved[:, 1:] = own + shared
    both = loading @ shared
    spread[:, 1:] = skip[..., None] * covariance[:, :-1] * skip[..., None, :] + _noise(p, known)
    spread[:, 1:] += loading @ own + both + both.swapaxes(-1, -2)
    return further, moved, spread


def _of_rows(follows: np.ndarray, belief: Belief) -> np.ndarray:
    """Return what is the same in all trials of a row, (row, time), of (trial, time)."""
    return follows[np.unique(belief.row, return_index=True)[1]]


def _noise(p: Params, follows: np.ndarray) -> np.ndarray:
    """Return R, (row, time, channel, channel): that of training bins, 1, where the bin before is missing."""
    return np.where(follows[..., None, None], np.diag(p["sd"] ** 2), np.eye(len(p["sd"])))


def _log_density(error: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the log density (trial,) of errors (trial, channel) with one covariance."""
    low = np.linalg.cholesky(covariance)
    z = np.linalg.solve(low, error.T)
    constant = np.log(np.diag(low)).sum() + 0.5 * len(covariance) * LOG_2PI
    return np.asarray(-0.5 * (z**2).sum(0) - constant)
