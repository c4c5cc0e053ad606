"""Regressors of the coupled GLM, and what they predict: filtered pasts, and valid bins as rows."""

from __future__ import annotations

import numpy as np

from cortseq.data import Data, Params
from cortseq.observations import MIN_SD


def standardised(p: Params, y: np.ndarray) -> np.ndarray:
    """Return a signal (..., channel) in training sds about the training mean."""
    return np.asarray((y - p["signal_mean"]) / p["signal_scale"])


def targets(p: Params, data: Data) -> np.ndarray:
    """Return what the valid bins hold, as the losses want it: (feature, bin)."""
    y = data.kind.encoded(data.y[data.valid], data.n_features)
    if data.kind.has_scale:
        y = standardised(p, y)
    return np.ascontiguousarray(y.T, float)


def bins(design: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the valid bins (bin, regressor) of (trial, time, regressor), not copied where all are valid."""
    return design.reshape(valid.size, design.shape[-1]) if valid.all() else design[valid]


def filtered(y: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """sum_l B_lf y_m(t - l), (trial, time, filter x feature), from bins strictly before t.

    As products with banded matrices, over stretches of time no shorter than the history.
    """
    trials, n_time, n = y.shape
    lags, n_filters = basis.shape
    if not n_filters:
        return np.zeros((trials, n_time, 0))
    length = min(n_time, max(lags, 64))
    padded = np.concatenate([np.zeros((trials, lags, n)), y, np.zeros((trials, length, n))], 1)
    band = np.zeros((length, n_filters, length + lags))
    for t in range(length):
        band[t, :, t : t + lags] = basis[::-1].T
    band = band.reshape(length * n_filters, length + lags)
    out = np.empty((trials, n_time, n_filters * n))
    for first in range(0, n_time, length):
        stretch = (band @ padded[:, first : first + length + lags]).reshape(trials, length, -1)
        out[:, first : first + length] = stretch[:, : n_time - first]
    return out


def residual_sd(p: Params, features: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return sqrt(RSS / (n - df)) of the training bins (channel,), in training sds.

    df = 1 + sum_j s_j / (s_j + penalty).

    s are the eigenvalues of the features' covariance (Hastie, Tibshirani & Friedman 2009, 7.6).
    """
    spread = np.zeros(0)
    if features.shape[1]:
        spread = np.linalg.eigvalsh(np.atleast_2d(np.cov(features.T, bias=True))).clip(0)
    freedom = 1 + (spread / (spread + penalty)).sum()
    residual = y - (p["weight"] @ features.T + p["bias"][:, None])
    return np.asarray(np.maximum(np.sqrt((residual**2).sum(1) / max(len(features) - freedom, 1.0)), MIN_SD))
