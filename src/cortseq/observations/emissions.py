"""Emission distributions of the models that are not recurrent: numpy, parameters per state or bin.

Parameters are arrays (..., feature) that broadcast against y (trial, time, feature).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import gammaln

from cortseq import observations
from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    from cortseq.observations import conway_maxwell
else:
    conway_maxwell = lazy("cortseq.observations.conway_maxwell")  # it brings the compiler

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

    def n_free(self, n_features: int, sets: int = 1) -> int:
        """Free parameters of `sets` sets of means; dispersions and standard deviations are shared by them."""


class CountEmission:
    """Counts of independent units, a one-parameter exponential family for a given dispersion per unit:

        log p(y) = y a - b + h(y),    a and b functions of the mean ("rate") and of "dispersion" (unit,)

    Rates are never below MIN_RATE when scored. Sums over bins that share a rate are all that the likelihood
    of a dispersion needs: see `dispersion`.
    """

    bounds: tuple[float, float] | None = None  # of the log dispersion; None: there is none
    like_poisson = 0.0  # the log dispersion of (nearly) Poisson counts

    def __init__(self, n_features: int, support: int = 0):
        self.support = support

    def natural(self, p: Params) -> tuple[np.ndarray, np.ndarray]:
        """a and b, both (..., unit)."""
        raise NotImplementedError

    def base(self, p: Params, y: np.ndarray) -> np.ndarray:
        """h(y), (..., unit)."""
        raise NotImplementedError

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        seen = y[valid]
        rate, n = seen.mean(0), np.array([len(seen)])
        return {"rate": rate, **self.dispersion(rate[None], n, seen.sum(0)[None], seen)}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        a, b = self.natural(p)
        return (y * a - b + self.base(p, y)).sum(-1)

    def log_prob_states(self, p: Params, y: np.ndarray) -> np.ndarray:
        """log p(y | state) for rates (state, unit), (..., state), as one product of matrices."""
        a, b = self.natural(p)
        return y @ a.T - b.sum(1) + self.base(p, y).sum(-1, keepdims=True)

    def mean(self, p: Params) -> np.ndarray:
        return p["rate"]

    def n_free(self, n_features: int, sets: int = 1) -> int:
        return n_features * (sets + (self.bounds is not None))

    def dispersion(self, rate: np.ndarray, n: np.ndarray, total: np.ndarray, y: np.ndarray) -> Params:
        """{"dispersion": (unit,)} of greatest likelihood, {} for Poisson.

        `rate` (group, unit); `n` (group,) how many bins have that rate (or their responsibilities), `total`
        (group, unit) their summed counts, `y` (bin, unit) all counts. A silent unit gets the Poisson value.
        """
        if self.bounds is None:
            return {}
        found = [
            self._best(rate[:, [j]], n, total[:, j], y[:, j]) if total[:, j].any() else self.like_poisson
            for j in range(rate.shape[1])
        ]
        return {"dispersion": np.exp(found)}

    def fit_dispersion(self, rate: np.ndarray, y: np.ndarray) -> Params:
        """`dispersion` where every bin has its own rate (bin, unit); rates within 1 % are taken as one."""
        if self.bounds is None:
            return {}
        found = []
        for r, counts in zip(np.maximum(rate, MIN_RATE).T, y.T, strict=True):
            group = np.unique(np.round(100 * np.log(r)), return_inverse=True)[1]
            n, rates, total = (np.bincount(group, weights) for weights in (None, r, counts))
            found.append(self.dispersion((rates / n)[:, None], n, total[:, None], counts[:, None]))
        return {"dispersion": np.concatenate([f["dispersion"] for f in found])}

    def _best(self, rate: np.ndarray, n: np.ndarray, total: np.ndarray, y: np.ndarray) -> float:
        """The log dispersion of one unit."""
        from scipy.optimize import minimize_scalar

        values, times = np.unique(y, return_counts=True)
        times = times * (n.sum() / len(y))  # responsibilities may be of a part of the bins

        def loss(log_dispersion: float) -> float:
            p = {"rate": rate, "dispersion": np.exp([log_dispersion])}
            a, b = self.natural(p)
            return float(n @ b[:, 0] - total @ a[:, 0] - times @ self.base(p, values[:, None])[:, 0])

        return float(minimize_scalar(loss, bounds=self.bounds, method="bounded", options={"xatol": 1e-4}).x)


class PoissonEmission(CountEmission):
    """y ~ Poisson(rate)."""

    def natural(self, p: Params) -> tuple[np.ndarray, np.ndarray]:
        rate = np.maximum(p["rate"], MIN_RATE)
        return np.log(rate), rate

    def base(self, p: Params, y: np.ndarray) -> np.ndarray:
        return -gammaln(y + 1.0)

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        return np.asarray(rng.poisson(np.maximum(p["rate"], MIN_RATE)))


class NegativeBinomialEmission(CountEmission):
    """Variance rate + dispersion rate^2: counts that vary more than their mean."""

    bounds = observations.LOG_ALPHA
    like_poisson = observations.LOG_ALPHA[0]

    def natural(self, p: Params) -> tuple[np.ndarray, np.ndarray]:
        rate, alpha = np.maximum(p["rate"], MIN_RATE), p["dispersion"]
        raised = np.log1p(alpha * rate)
        return np.log(rate) - raised, raised / alpha

    def base(self, p: Params, y: np.ndarray) -> np.ndarray:
        alpha = p["dispersion"]
        rising = gammaln(y + 1 / alpha) - gammaln(1 / alpha) + y * np.log(alpha)
        return rising - gammaln(y + 1.0)

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        mean = np.maximum(p["rate"], MIN_RATE)
        return rng.poisson(rng.gamma(1 / p["dispersion"], p["dispersion"] * mean))


class ConwayMaxwellEmission(CountEmission):
    """Dispersion nu above 1: counts that vary less than their mean; see `cortseq.observations.conway_maxwell`."""

    bounds = observations.LOG_NU

    def natural(self, p: Params) -> tuple[np.ndarray, np.ndarray]:
        return conway_maxwell.natural(np.maximum(p["rate"], MIN_RATE), _units(p["dispersion"]), self.support)

    def base(self, p: Params, y: np.ndarray) -> np.ndarray:
        return -_units(p["dispersion"]) * gammaln(y + 1.0)

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        mean = np.maximum(p["rate"], MIN_RATE)
        return conway_maxwell.draw(mean, _units(p["dispersion"]), self.support, rng)


def _units(dispersion: np.ndarray) -> np.ndarray:
    """(unit,) of a dispersion that may have been repeated over leading axes."""
    return dispersion.reshape(-1, dispersion.shape[-1])[0]


class CategoricalEmission:
    """One label a bin; y (trial, time) integers, parameters (..., label).

    Training frequencies; where a label of the alphabet never occurs in training, half a count is added to all.
    """

    def __init__(self, n_features: int, support: int = 0):
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

    def n_free(self, n_features: int, sets: int = 1) -> int:
        return sets * (n_features - 1)


class GaussianEmission:
    """Independent Gaussian channels; no family's sd is below MIN_SD of the training sd."""

    def __init__(self, n_features: int, support: int = 0):
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

    def n_free(self, n_features: int, sets: int = 1) -> int:
        return n_features * (sets + 1)


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
    "poisson": PoissonEmission,
    "negative_binomial": NegativeBinomialEmission,
    "conway_maxwell": ConwayMaxwellEmission,
    "categorical": CategoricalEmission,
    "gaussian": GaussianEmission,
}


def emission_of(shape: Data | dict) -> Any:
    """The emission of a recording's observation model; `shape`: its Data, or the card of a fit to it."""
    known = shape if isinstance(shape, dict) else vars(shape)
    return EMISSIONS[known["observation"]](known["n_features"], known["support"])


def with_dispersion(means: Params, p: Params) -> Params:
    """`means` and, where `p` has them, the dispersions."""
    return means | {k: p[k] for k in ("dispersion",) if k in p}


def forecasts(data: Data, horizons: Sequence[int], log_prob: Callable[[int], np.ndarray]) -> np.ndarray:
    """`log_prob(h)` (trial, time) = log p(y_t | y_0 .. y_{t-h}) of each horizon, (1, trial, time, horizon).

    NaN where there is none, see `reached`.
    """
    known = reached(data, horizons)
    return np.where(known, np.stack([log_prob(h) for h in horizons], -1), np.nan)[None]


def reached(data: Data, horizons: Sequence[int]) -> np.ndarray:
    """Bins that have a forecast, (trial, time, horizon): not missing, and begun no earlier than the trial (t >= h - 1)."""
    farthest(horizons)
    return data.valid[..., None] & (np.arange(data.y.shape[1])[:, None] >= np.asarray(horizons) - 1)


def farthest(horizons: Sequence[int]) -> int:
    """The largest horizon; CortseqError where there is none, or one is below one bin."""
    if not len(horizons) or min(horizons) < 1:
        raise CortseqError("horizons are bins ahead, at least one", key="horizons", value=list(horizons))
    return max(horizons)


def encoded(track: str, y: np.ndarray, n_features: int) -> np.ndarray:
    """Labels one-hot, (..., label); counts and signals as they are."""
    return np.eye(n_features)[y.astype(int)] if track == "symbols" else y


def delayed(y: np.ndarray, bins: int, before: Any = 0) -> np.ndarray:
    """y (trial, time, ...) of `bins` bins ago; `before` where that is before the trial."""
    out = np.full_like(y, before)
    if bins < y.shape[1]:
        out[:, bins:] = y[:, : y.shape[1] - bins]
    return out
