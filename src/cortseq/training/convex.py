"""Convex read-outs: penalised Poisson / multinomial regression and ridge on fixed features.

Features are rotated to the eigenbasis of their covariance and scaled to unit variance there, which
makes the problem well conditioned; the penalty is on the weights as they stand in the original basis,
0.5 * penalty * |C|^2 per bin, the intercept is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize

from cortseq import observations
from cortseq.models.base import Data, Params

if TYPE_CHECKING:
    from cortseq.models.recurrent import Recurrent

_CHUNK = 64


def fit_readout(model: Recurrent, p: Params, train: Data, valid: Data, penalties) -> tuple[Params, float]:
    """Read-out parameters for fixed cell parameters `p` of one member, and the penalty that validation chose."""
    observation = observations.OBSERVATIONS[train.track](train.n_features, train.bin_width)
    features, y = _bins(model, p, train)
    features_valid, y_valid = _bins(model, p, valid)
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean.astype(np.float32)
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    keep = values > values[-1] * 1e-10
    spread = np.sqrt(values[keep])
    rotate = vectors[:, keep] / spread
    z = torch.from_numpy((centred @ rotate).astype(np.float32))
    z_valid = torch.from_numpy(((features_valid - mean) @ rotate).astype(np.float32))
    solve = _ridge_path if train.track == "signal" else _likelihood_path
    start = np.asarray(p["readout_bias"], np.float64)
    best: tuple[float, np.ndarray, np.ndarray, float] = (np.inf, start, start, 0.0)
    events = max(float(train.n_events().sum()), 1.0)
    for penalty, weight, bias in solve(observation, p, z, y, spread, start, penalties, events):
        eta = z_valid @ torch.from_numpy(weight.T.astype(np.float32)) + torch.from_numpy(
            bias.astype(np.float32)
        )
        loss = -float(observation.log_prob(p, eta, y_valid).double().sum())
        if loss < best[0]:
            best = (loss, weight, bias, float(penalty))
    weight = best[1] @ rotate.T
    readout = {"readout_weight": weight, "readout_bias": best[2] - weight @ mean}
    found = {name: torch.from_numpy(value.astype(np.float32)) for name, value in readout.items()}
    if train.track == "signal":
        found["log_sd"] = _residual_sd(observation, {**p, **found}, features, y)
    return found, best[3]


def _bins(model: Recurrent, p: Params, data: Data):
    """Features (bin, hidden) float32 and observations of the valid bins."""
    from cortseq.models.recurrent import tensors

    features, seen = [], []
    with torch.no_grad():
        for first in range(0, len(data.y), _CHUNK):
            x, y, valid = tensors(model, p, data, slice(first, first + _CHUNK), torch.float32)
            features.append(model.scan(p, x)[valid].numpy())
            seen.append(y[valid])
    return np.concatenate(features), torch.cat(seen)


def _likelihood_path(observation, p: Params, z, y, spread, start, penalties, events):
    """Warm-started L-BFGS down the path; the objective is per event."""
    n_out, n_in = len(start), z.shape[1]
    inverse = torch.from_numpy((1 / spread**2).astype(np.float32))
    theta = np.concatenate([np.zeros(n_out * n_in), start])

    def objective(flat: np.ndarray, penalty: float):
        t = torch.from_numpy(flat.astype(np.float32)).requires_grad_()
        weight, bias = t[:-n_out].reshape(n_out, n_in), t[-n_out:]
        loss = -observation.log_prob(p, z @ weight.T + bias, y).sum() / events
        loss = loss + 0.5 * penalty * (weight**2 * inverse).sum() / events
        (gradient,) = torch.autograd.grad(loss, t)
        return loss.item(), gradient.double().numpy()

    for penalty in penalties:
        found = minimize(
            objective,
            theta,
            args=(penalty * len(z),),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 30, "ftol": 1e-7, "gtol": 1e-6},
        )
        theta = found.x
        yield penalty, theta[:-n_out].reshape(n_out, n_in), theta[-n_out:]


def _ridge_path(observation, p: Params, z, y, spread, start, penalties, events):
    """Closed form: min sum |t - C f - d|^2 + penalty * n |C|^2 for standardised targets t."""
    target = observation.encode(p, y).double().numpy()
    bias = target.mean(0)
    cross = z.double().numpy().T @ (target - bias) / len(z)  # z is white: its Gram matrix is the identity
    for penalty in penalties:
        yield penalty, (cross / (1 + penalty / spread[:, None] ** 2)).T, bias


def _residual_sd(observation, p: Params, features: np.ndarray, y) -> torch.Tensor:
    """log sd of the standardised residuals on training trials."""
    eta = torch.from_numpy(features.astype(np.float32)) @ p["readout_weight"].T + p["readout_bias"]
    return (observation.encode(p, y).float() - eta).std(0).clamp_min(1e-6).log()
