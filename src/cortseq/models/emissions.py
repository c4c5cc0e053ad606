"""Emission distributions of the models that are not recurrent: numpy, parameters per state or bin.

Parameters are arrays (..., feature) that broadcast against y (trial, time, feature).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from scipy.special import gammaln

from cortseq.errors import CortseqError
from cortseq.models.base import Data, Params

MIN_SD = 0.03  # of the training sd: the floor of every Gaussian, as of the networks
MIN_RATE = 1e-7  # expected counts per bin: the explicit floor of every baseline, as of the networks


class Emission(Protocol):
    """What one bin's observation is drawn from, given parameters."""

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        """Parameters from all valid bins."""

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Nats, (trial, time)."""

    def mean(self, p: Params) -> np.ndarray: ...

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray: ...

    def n_free(self, n_features: int) -> int:
        """Free parameters of one set."""


class PoissonEmission:
    """Independent Poisson counts; rates are training means, never below MIN_RATE when scored."""

    def __init__(self, n_features: int):
        pass

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        return {"rate": y[valid].mean(0)}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        rate = np.maximum(p["rate"], MIN_RATE)
        return (y * np.log(rate) - rate - gammaln(y + 1.0)).sum(-1)

    def mean(self, p: Params) -> np.ndarray:
        return p["rate"]

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        return np.asarray(rng.poisson(np.maximum(p["rate"], MIN_RATE)))

    def n_free(self, n_features: int) -> int:
        return n_features


class CategoricalEmission:
    """One label a bin; y (trial, time) integers, parameters (..., label).

    Training frequencies; where a label of the alphabet never occurs in training, half a count is added to all.
    """

    def __init__(self, n_features: int):
        self.n_features = n_features

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        counts = np.bincount(y[valid].astype(int), minlength=self.n_features).astype(float)
        counts += 0.5 * (counts.min() == 0)
        return {"probability": counts / counts.sum()}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        table = np.broadcast_to(np.log(p["probability"]), (*y.shape, self.n_features))
        return np.take_along_axis(table, y[..., None].astype(int), -1)[..., 0]

    def mean(self, p: Params) -> np.ndarray:
        return p["probability"]

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        edges = p["probability"].cumsum(-1)
        return (rng.random((*edges.shape[:-1], 1)) > edges[..., :-1]).sum(-1)

    def n_free(self, n_features: int) -> int:
        return n_features - 1


class GaussianEmission:
    """Independent Gaussian channels; no family's sd is below MIN_SD of the training sd."""

    def __init__(self, n_features: int):
        pass

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        return {"mean": y[valid].mean(0), "sd": varying(y[valid].std(0))}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        z = (y - p["mean"]) / p["sd"]
        return (-0.5 * z**2 - np.log(p["sd"]) - 0.5 * np.log(2 * np.pi)).sum(-1)

    def mean(self, p: Params) -> np.ndarray:
        return p["mean"]

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        return np.asarray(rng.normal(p["mean"], p["sd"]))

    def n_free(self, n_features: int) -> int:
        return 2 * n_features


def varying(sd: np.ndarray) -> np.ndarray:
    """`sd` of training channels; CortseqError where one is constant, which leaves no scale to score on."""
    if (sd == 0).any():
        raise CortseqError(
            "a channel is constant in the training trials",
            key="channel",
            value=int(np.argmin(sd)),
            fix="leave it out",
        )
    return sd


EMISSIONS: dict[str, Any] = {
    "counts": PoissonEmission,
    "symbols": CategoricalEmission,
    "signal": GaussianEmission,
}


def emission_of(data: Data) -> Emission:
    """The emission of a recording's track."""
    return EMISSIONS[data.track](data.n_features)


def forecasts(data: Data, horizons: Sequence[int], log_prob: Callable[[int], np.ndarray]) -> np.ndarray:
    """`log_prob(h)` (trial, time) = log p(y_t | y_0 .. y_{t-h}) of each horizon, (1, trial, time, horizon).

    NaN where bin t is missing and where it is fewer than h bins from the start of the trial (t < h - 1).
    """
    t = np.arange(data.y.shape[1])
    for h in horizons:
        if h < 1:
            raise CortseqError("a horizon is at least one bin", key="horizons", value=h)
    rows = [np.where(data.valid & (t >= h - 1), log_prob(h), np.nan) for h in horizons]
    return np.stack(rows, -1)[None]


def delayed(y: np.ndarray, bins: int, before: Any = 0) -> np.ndarray:
    """y (trial, time, ...) of `bins` bins ago; `before` where that is before the trial."""
    out = np.full_like(y, before)
    if bins < y.shape[1]:
        out[:, bins:] = y[:, : y.shape[1] - bins]
    return out
