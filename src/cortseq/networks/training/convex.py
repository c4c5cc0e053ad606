"""Read-outs on fixed features: penalised regression of counts and labels, and ridge; convex but for mixtures.

The penalty is 0.5 * penalty * |C|^2 per bin, the intercept is free. Ridge is closed form: moments of the
features summed in double precision, then one Cholesky solution per penalty. For the others features are
rotated to the eigenbasis of their covariance and scaled to unit variance there, which makes the problem well
conditioned; the penalty stays on the weights in the original basis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch
from scipy.optimize import minimize

from cortseq.data import Data, Params
from cortseq.networks.network import Network, before
from cortseq.observations import skipped
from cortseq.observations.base import Readout

_CHUNK = 128  # trials run at once
_BLOCK = 4096  # bins converted to double precision at once: bounds memory
Solution = tuple[float, dict[str, np.ndarray], np.ndarray]  # penalty, parameters, eta of the validation bins


def fit_readout(
    network: Network, p: Params, train: Data, valid: Data, penalties: np.ndarray
) -> tuple[Params, float]:
    """Return the read-out for one member's fixed cell `p`; validation chooses of `penalties` (penalty,)."""
    observation = network.observation
    features, y, last = _bins(network, p, train)
    features_valid, y_valid, last_valid = _bins(network, p, valid)
    if train.kind.has_scale:
        features, target = _targets(observation, p, features, y, last)
        path = _ridge_path(features, target, features_valid, penalties)
    else:
        events = max(float(train.n_events().sum()), 1.0)
        path = _likelihood_path(observation, p, features, y, features_valid, penalties, events)
    best: tuple[float, Params, float] = (np.inf, {}, 0.0)
    for penalty, readout, predicted in path:
        found = {name: torch.from_numpy(value.astype(np.float32)) for name, value in readout.items()}
        eta = torch.from_numpy(predicted.astype(np.float32))
        eta = eta if last_valid is None else skipped(p, eta, last_valid)
        loss = -float(observation.log_prob(p | found, eta, y_valid).double().sum())
        if loss < best[0] or not best[1]:
            best = (loss, found, float(penalty))
    found = best[1]
    if train.kind.has_scale:
        found["log_sd"] = _residual_sd(found, features, target)
    return found, best[2]


def ridge(
    features: np.ndarray, targets: np.ndarray, penalties: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights (target, feature), intercepts that minimise sum |t - C f - d|^2 + penalty n |C|^2, per penalty.

    `features` (bin, feature) and `targets` (bin, target), n the number of bins.
    """
    mean, centre = features.mean(0, dtype=np.float64), targets.mean(0, dtype=np.float64)
    gram, cross = _moments(features, mean, targets - centre)
    for penalty in penalties:
        raised = gram + penalty * np.eye(len(gram))
        weight = scipy.linalg.cho_solve(scipy.linalg.cho_factor(raised, overwrite_a=True), cross).T
        yield weight, centre - weight @ mean


def _moments(features: np.ndarray, mean: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariances per bin of features with each other and with centred targets, double precision."""
    gram, cross = np.zeros((len(mean), len(mean))), np.zeros((len(mean), targets.shape[1]))
    for first in range(0, len(features), _BLOCK):
        f = features[first : first + _BLOCK] - mean
        gram += f.T @ f
        cross += f.T @ targets[first : first + _BLOCK]
    return gram / len(features), cross / len(features)


def _bins(network: Network, p: Params, data: Data) -> tuple[np.ndarray, torch.Tensor, torch.Tensor | None]:
    """Features (bin, hidden) float32 and observations of the valid bins; what a skip sees (else None)."""
    features, seen = [], []
    lasts: list[Any] = []
    with torch.no_grad():
        for first in range(0, len(data.y), _CHUNK):
            x, y, valid = network.tensors(p, data, slice(first, first + _CHUNK), torch.float32)
            features.append(network.outputs(p, x)[valid].numpy())
            seen.append(y[valid])
            last = before(p, x, valid)
            lasts.append(None if last is None else last[valid])
    return np.concatenate(features), torch.cat(seen), None if lasts[0] is None else torch.cat(lasts)


def _targets(
    observation: Readout, p: Params, features: np.ndarray, y: torch.Tensor, last: torch.Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Features and standardised signals; with a skip, what it leaves of them in bins that have one before."""
    target = observation.encode(p, y)
    if last is not None:
        known = ~last.isnan().any(-1)
        features, target = features[known.numpy()], (target - p["skip"] * last)[known]
    return features, target.double().numpy()


def _likelihood_path(
    observation: Readout,
    p: Params,
    features: np.ndarray,
    y: torch.Tensor,
    features_valid: np.ndarray,
    penalties: np.ndarray,
    events: float,
) -> Iterator[Solution]:
    """Warm-started L-BFGS down the path, the objective per event; dispersions of counts are learned too."""
    start = np.asarray(p["readout_bias"], np.float64)
    mean = features.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(_moments(features, mean, np.zeros((len(features), 0)))[0])
    keep = values > values[-1] * 1e-10
    rotate = vectors[:, keep] / np.sqrt(values[keep])
    z = torch.from_numpy(((features - mean) @ rotate).astype(np.float32))
    z_valid = ((features_valid - mean) @ rotate).astype(np.float32)
    n_out, n_in = len(start), z.shape[1]
    spread = [np.asarray(p["log_dispersion"], np.float64)] if "log_dispersion" in p else []
    ends = np.cumsum([n_out * n_in, n_out, *map(len, spread)])
    inverse = torch.from_numpy((1 / values[keep]).astype(np.float32))
    theta = np.concatenate([np.zeros(n_out * n_in), start, *spread])

    def parts(t: Any) -> dict[str, Any]:
        """Weights on z, biases and, where there are any, dispersions."""
        names = ("readout_weight", "readout_bias", "log_dispersion")
        split = {
            n: t[b - size : b] for n, b, size in zip(names, ends, np.diff(ends, prepend=0), strict=False)
        }
        return split | {"readout_weight": split["readout_weight"].reshape(n_out, n_in)}

    def objective(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        t = torch.from_numpy(flat.astype(np.float32)).requires_grad_()
        q = parts(t)
        weight = q["readout_weight"]
        loss = -observation.log_prob(p | q, z @ weight.T + q["readout_bias"], y).sum() / events
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
        q = parts(theta)
        weight, bias = q["readout_weight"], q["readout_bias"]
        back = weight @ rotate.T
        eta = z_valid @ weight.T.astype(np.float32) + bias
        yield penalty, q | {"readout_weight": back, "readout_bias": bias - back @ mean}, eta


def _ridge_path(
    features: np.ndarray, target: np.ndarray, features_valid: np.ndarray, penalties: np.ndarray
) -> Iterator[Solution]:
    """Ridge on standardised targets."""
    for penalty, (weight, bias) in zip(penalties, ridge(features, target, penalties), strict=True):
        readout = {"readout_weight": weight, "readout_bias": bias}
        yield penalty, readout, features_valid @ weight.T + bias


def _residual_sd(p: Params, features: np.ndarray, target: np.ndarray) -> torch.Tensor:
    """Return the log sd of the standardised residuals on training trials, (channel,)."""
    eta: torch.Tensor = (
        torch.from_numpy(features.astype(np.float32)) @ p["readout_weight"].T + p["readout_bias"]
    )
    return (torch.from_numpy(target.astype(np.float32)) - eta).std(0).clamp_min(1e-6).log()
