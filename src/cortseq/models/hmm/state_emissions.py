"""What each state of a hidden Markov model emits: likelihoods and expected statistics as matrix products.

For the exponential families log p(y | k) = F(y) . w_k + c(y): all bins and states are one product F W^T, and the
M-step needs one product gamma^T F. A bin without data is a row of zeros: it weighs nothing and says nothing.
Parameters are arrays (state, ...).

Every estimate is the maximum a posteriori under a conjugate prior worth `prior` bins of what all training bins
have in common (`overall`), so that no rate, probability or variance reaches 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from cortseq.data import Data, Params
from cortseq.observations.emissions import (
    MIN_RATE,
    MIN_SD,
    CategoricalEmission,
    CountEmission,
    emission_of,
    varying,
)

_LOG_2PI = float(np.log(2 * np.pi))
_NUMBERS, _FEWEST = 1 << 18, 32  # in one array of a block (2 MB: it stays in the cache); trials of a block


@dataclass(frozen=True)
class Block:
    """Some trials, time first; rows of `features` and `pairs` are (time, trial) flattened, `constant` is c(y)."""

    trials: np.ndarray
    length: np.ndarray
    features: Any
    constant: np.ndarray
    pairs: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.constant.shape  # type: ignore[return-value]


class StateEmission:
    """An emission whose log-density is linear in features F(y).

    `names`: its parameters; `common`: those that all states share, set before any block is made.
    """

    names: tuple[str, ...]
    overall: Params
    n_shared = 0  # free parameters that all states share
    whole = False  # whether features are whole numbers, which single precision holds exactly

    def __init__(self, n_features: int, prior: float = 1.0):
        self.n_features, self.prior = n_features, prior
        self.common: Params = {}

    def blocks(self, data: Data, n_states: int, precision: type = float) -> list[Block]:
        """Trials by falling length, cut so that arrays fit the cache; bins after a trial's last valid one left out.

        `precision`: of products with features that are whole numbers; others stay in double precision.
        """
        length = np.where(data.valid.any(1), data.valid.shape[1] - data.valid[:, ::-1].argmax(1), 0)
        order = np.argsort(-length, kind="stable")
        size = max(_FEWEST, _NUMBERS // (max(1, int(length.max())) * n_states))
        pieces = [order[i : i + size] for i in range(0, len(order), size)]
        precision = precision if self.whole else float
        return [self._block(data, trials, length[trials], precision) for trials in pieces]

    def _block(self, data: Data, trials: np.ndarray, length: np.ndarray, precision: type) -> Block:
        n_time = max(1, int(length.max()))
        valid = data.valid[trials, :n_time].T
        features, constant, *pairs = self.features(data.y[trials, :n_time].swapaxes(0, 1), valid)
        constant = np.where(valid, constant, 0.0)
        return Block(trials, length, features.astype(precision, copy=False), constant, *pairs)

    def standardise(self, train: Data) -> None:
        """Set `common` from training data."""

    def features(self, y: np.ndarray, valid: np.ndarray) -> tuple:
        """F(y) (time * trial, column), c(y) (time, trial), and maybe `pairs`, of y (time, trial[, feature])."""
        raise NotImplementedError

    def weights(self, p: Params) -> np.ndarray:
        """w (state, column)."""
        raise NotImplementedError

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """log p(y | state) but for the block's `constant`, (time, trial, state)."""
        weights = self.weights(p).astype(block.features.dtype)
        return np.asarray(block.features @ weights.T).reshape(*block.shape, -1)

    def statistics(self, block: Block, gamma: np.ndarray) -> Params:
        """Expected sums, to be added over blocks; gamma (time * trial, state)."""
        return {"sums": np.asarray((block.features.T @ gamma).T, float)}

    def pool(self, sums: Params) -> None:
        """Set `overall` from the sums over all training bins (one state)."""
        raise NotImplementedError

    def maximise(self, sums: Params) -> Params:
        """Parameters from expected sums."""
        raise NotImplementedError

    def log_prior(self, p: Params) -> float:
        """Log density of the prior but for a constant: EM climbs this plus the log-likelihood."""
        raise NotImplementedError

    def mean(self, p: Params) -> np.ndarray:
        """E[y | state], (state, feature)."""
        raise NotImplementedError

    def expect(self, p: Params, block: Block, weight: np.ndarray) -> np.ndarray:
        """sum_k weight_k E[y | k, y before], (time, trial, feature)."""
        return weight @ self.mean(p)

    def draw(self, p: Params, state: np.ndarray, before, rng: np.random.Generator) -> np.ndarray:
        """One bin of every trial; `before` is the bin before, None in the first."""
        raise NotImplementedError

    def n_free(self) -> int:
        """Free parameters of a state."""
        return self.n_features


class PoissonStates(StateEmission):
    """Independent Poisson counts, log p = y . log(rate) - sum rate - sum log y!; Gamma prior around the overall rates."""

    names: tuple[str, ...] = ("rate",)
    whole = True

    def features(self, y, valid):
        return _with_ones([y], valid), -gammaln(y + 1.0).sum(-1)

    def weights(self, p):
        rate = np.maximum(p["rate"], MIN_RATE)
        return np.c_[np.log(rate), -rate.sum(1)]

    def pool(self, sums):
        total = sums["sums"]
        self.overall = {"rate": np.maximum(total[:, :-1] / total[:, -1:], MIN_RATE)}

    def maximise(self, sums):
        s = sums["sums"]
        return {"rate": (s[:, :-1] + self.prior * self.overall["rate"]) / (s[:, -1:] + self.prior)}

    def log_prior(self, p):
        rate = np.maximum(p["rate"], MIN_RATE)
        return float(self.prior * (self.overall["rate"] * np.log(rate) - rate).sum())

    def mean(self, p):
        return p["rate"]

    def draw(self, p, state, before, rng):
        return rng.poisson(p["rate"][state])


class DispersedStates(PoissonStates):
    """Counts with one dispersion per unit that all states share: negative binomial or Conway-Maxwell.

    log p = y . a_k - sum b_k + sum h(y), a and b functions of rates and dispersions (`emissions.CountEmission`). The
    M-step sets rates as for Poisson counts, whose mean is that of any exponential family, and then the dispersions
    that are likeliest given the rates (Meng & Rubin 1993, Biometrika 80:267).
    """

    names = ("rate", "dispersion")
    whole = False  # their base measure is worked out from them

    def __init__(self, counts: CountEmission, n_features: int, prior: float):
        super().__init__(n_features, prior)
        self.counts, self.n_shared = counts, n_features

    def standardise(self, train):
        self.seen = train.y[train.valid]

    def features(self, y, valid):
        return _with_ones([y], valid), 0.0

    def weights(self, p):
        a, b = self.counts.natural(p)
        return np.c_[a, -b.sum(1)]

    def log_prob(self, p, block):
        base = self.counts.base(p, block.features[:, :-1]).sum(1)
        return super().log_prob(p, block) + base.reshape(*block.shape, 1)

    def maximise(self, sums):
        p, s = super().maximise(sums), sums["sums"]
        return p | self.counts.dispersion(p["rate"], s[:, -1], s[:, :-1], self.seen)

    def draw(self, p, state, before, rng):
        return self.counts.draw({"rate": p["rate"][state], "dispersion": p["dispersion"]}, rng)


class CategoricalStates(StateEmission):
    """One label a bin; Dirichlet prior around the overall frequencies."""

    names = ("probability",)
    whole = True

    def features(self, y, valid):
        known = valid.ravel()
        row = np.concatenate([[0], known.cumsum()])
        label = y.reshape(-1)[known].astype(int)
        shape = (valid.size, self.n_features)
        return csr_matrix((np.ones(len(label)), label, row), shape), 0.0

    def weights(self, p):
        with np.errstate(divide="ignore"):
            return np.log(p["probability"])

    def pool(self, sums):
        total = sums["sums"]
        total = total + 0.5 * (total.min() == 0)
        self.overall = {"probability": total / total.sum()}

    def maximise(self, sums):
        s = sums["sums"] + self.prior * self.overall["probability"]
        return {"probability": s / s.sum(1, keepdims=True)}

    def log_prior(self, p):
        return float(self.prior * (self.overall["probability"] * self.weights(p)).sum())

    def mean(self, p):
        return p["probability"]

    def draw(self, p, state, before, rng):
        return CategoricalEmission(self.n_features).draw({"probability": p["probability"][state]}, rng)

    def n_free(self):
        return self.n_features - 1


class GaussianStates(StateEmission):
    """Independent Gaussian channels, standardised on training data; normal-inverse-gamma prior around mean 0, sd 1."""

    names: tuple[str, ...] = ("mean", "sd")

    def standardise(self, train):
        y = train.y[train.valid]
        self.common = {"centre": y.mean(0), "scale": varying(y.std(0))}

    def _standard(self, y):
        return (y - self.common["centre"]) / self.common["scale"]

    def _back(self, z):
        return self.common["centre"] + self.common["scale"] * z

    def features(self, y, valid):
        z = self._standard(y)
        constant = -0.5 * self.n_features * _LOG_2PI - np.log(self.common["scale"]).sum()
        return _with_ones([z, z**2], valid), constant

    def weights(self, p):
        return _gaussian_weights(p["mean"], p["sd"])

    def pool(self, sums):
        self.overall = {}

    def maximise(self, sums):
        mean, sd = _gaussian(sums["sums"], self.prior)
        return {"mean": mean, "sd": sd}

    def log_prior(self, p):
        return _gaussian_prior(p["mean"], p["sd"], self.prior)

    def mean(self, p):
        return self._back(p["mean"])

    def draw(self, p, state, before, rng):
        return self._back(rng.normal(p["mean"][state], p["sd"][state]))

    def n_free(self):
        return 2 * self.n_features


class AutoregressiveStates(GaussianStates):
    """z_t = A_k z_{t-1} + b_k + noise of sd_k per channel, standardised; a bin after no data has a Gaussian of its own.

    Prior: A_k, b_k around the regression over all training bins, sd_k around its residual sd; that regression around each
    channel's own (A diagonal), for few bins say little about a matrix of many channels (Litterman 1986, J Bus Econ Stat
    4:25). Poritz 1982, ICASSP; Hamilton 1989, Econometrica 57:357.
    """

    names = ("start_mean", "start_sd", "dynamics", "offset", "sd")

    def features(self, y, valid):
        z = np.where(valid[..., None], self._standard(y), 0.0)
        follows = valid.copy()
        follows[0] = False
        follows[1:] &= valid[:-1]
        first, constant = super().features(y, valid & ~follows)
        pairs = _with_ones([z, np.roll(z, 1, axis=0)], follows)
        return first, constant, pairs

    def log_prob(self, p, block):
        """The quadratic forms |(z_t - A z_{t-1} - b) / sd|^2, one state after another."""
        out = super().log_prob(p, block).reshape(block.constant.size, -1)
        there = block.pairs[:, -1]
        for k, (theta, sd) in enumerate(zip(_joined(p), p["sd"], strict=True)):
            residual = block.pairs[:, : len(sd)] / sd - block.pairs[:, len(sd) :] @ (theta / sd)
            out[:, k] -= 0.5 * np.einsum("ij,ij->i", residual, residual) + there * np.log(sd).sum()
        return out.reshape(*block.shape, -1)

    def weights(self, p):
        return _gaussian_weights(p["start_mean"], p["start_sd"])

    def statistics(self, block, gamma):
        gram = [block.pairs.T @ (g[:, None] * block.pairs) for g in gamma.T]
        return {**super().statistics(block, gamma), "gram": np.stack(gram)}

    def pool(self, sums):
        n, gram = self.n_features, sums["gram"][0]
        own = np.diagonal(gram[n:, :n]) / (np.diagonal(gram[n:, n:])[:n] + 1)
        left = np.diagonal(gram)[:n] - own * np.diagonal(gram[n:, :n])
        diagonal = np.concatenate([np.diag(own), np.zeros((1, n))])
        self.overall = {"theta": diagonal, "variance": (left + 1) / (gram[-1, -1] + 1)}
        theta, sd = self._regress(sums["gram"])
        self.overall = {"theta": theta[0], "variance": sd[0] ** 2}

    def _regress(self, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta (state, column, channel) = [A^T; b] and sd (state, channel) by penalised least squares."""
        n, k, theta0 = self.n_features, self.prior, self.overall["theta"]
        zz, zy, yy = gram[:, n:, n:], gram[:, n:, :n], np.einsum("kii->ki", gram[:, :n, :n])
        theta = np.linalg.solve(zz + k * np.eye(n + 1), zy + k * theta0)
        square = yy - 2 * (theta * zy).sum(1) + (theta * (zz @ theta)).sum(1)
        square = square.clip(0) + k * (((theta - theta0) ** 2).sum(1) + self.overall["variance"])
        return theta, np.sqrt(square / (gram[:, -1:, -1] + k)).clip(MIN_SD)

    def maximise(self, sums):
        mean, first_sd = _gaussian(sums["sums"], self.prior)
        theta, sd = self._regress(sums["gram"])
        rows = {"dynamics": theta[:, :-1].swapaxes(1, 2).copy(), "offset": theta[:, -1].copy(), "sd": sd}
        return {"start_mean": mean, "start_sd": first_sd, **rows}

    def log_prior(self, p):
        away = ((_joined(p) - self.overall["theta"]) ** 2).sum(1) + self.overall["variance"]
        own = -0.5 * self.prior * (2 * np.log(p["sd"]) + away / p["sd"] ** 2).sum()
        return float(own) + _gaussian_prior(p["start_mean"], p["start_sd"], self.prior)

    def expect(self, p, block, weight):
        weight = weight.reshape(block.constant.size, -1)
        z = (weight * block.features[:, -1:]) @ p["start_mean"]
        for k, theta in enumerate(_joined(p)):
            z += weight[:, k, None] * (block.pairs[:, self.n_features :] @ theta)
        return self._back(z).reshape(*block.shape, -1)

    def observed(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Standardised z (time, trial, channel), 0 where missing, and which bins are there (time, trial)."""
        assert block.pairs is not None
        n, f, g = self.n_features, block.features, block.pairs
        return (f[:, :n] + g[:, :n]).reshape(*block.shape, n), (f[:, -1] + g[:, -1]).reshape(block.shape) > 0

    def draw(self, p, state, before, rng):
        z = None if before is None else self._standard(before)
        return self._back(self.step(p, state, z, rng))

    def step(self, p: Params, state: np.ndarray, before, rng: np.random.Generator) -> np.ndarray:
        """Standardised z_t given z_{t-1} (row, channel); where that is NaN, or is None, a first bin."""
        mean, sd = p["start_mean"][state], p["start_sd"][state]
        if before is not None:
            known = ~np.isnan(before[:, :1])
            onward = np.einsum("rij,rj->ri", p["dynamics"][state], before) + p["offset"][state]
            mean, sd = np.where(known, onward, mean), np.where(known, p["sd"][state], sd)
        return rng.normal(mean, sd)

    def log_density(self, p: Params, before, z: np.ndarray) -> np.ndarray:
        """log p(z_t | z_{t-1}, state) but for the constant, (row, state), of standardised rows as in `step`."""
        before = np.full(z.shape, np.nan) if before is None else before
        known = ~np.isnan(before[:, 0])
        pairs = _with_ones([z, before], known)
        first = _with_ones([z, z**2], ~known)
        rows = np.arange(len(z))
        return self.log_prob(p, Block(rows, rows, first, np.zeros((1, len(z))), pairs))[0]

    def n_free(self):
        return self.n_features * (self.n_features + 4)


def _joined(p: Params) -> np.ndarray:
    """[A^T; b], (state, column, channel)."""
    return np.concatenate([p["dynamics"].swapaxes(1, 2), p["offset"][:, None]], 1)


def _with_ones(columns: list[np.ndarray], valid: np.ndarray) -> np.ndarray:
    """Columns and ones, (time * trial, column); rows of zeros where not valid."""
    out = np.concatenate([*columns, np.ones((*valid.shape, 1))], -1)
    out[~valid] = 0
    return out.reshape(valid.size, -1)


def _gaussian_weights(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Of z, z^2 and 1 in sum_d -(z - mean)^2 / (2 sd^2) - log sd."""
    precision = sd**-2.0
    rest = (-0.5 * precision * mean**2 - np.log(sd)).sum(1)
    return np.c_[precision * mean, -0.5 * precision, rest]


def _gaussian(sums: np.ndarray, prior: float) -> tuple[np.ndarray, np.ndarray]:
    """mean and sd (state, channel) from the sums of z, z^2 and 1."""
    first, second = np.split(sums[:, :-1], 2, axis=1)
    n = sums[:, -1:]
    mean = first / (n + prior)
    square = (second - 2 * mean * first + n * mean**2).clip(0) + prior * (mean**2 + 1)
    return mean, np.sqrt(square / (n + prior)).clip(MIN_SD)


def _gaussian_prior(mean: np.ndarray, sd: np.ndarray, prior: float) -> float:
    return float(-0.5 * prior * (2 * np.log(sd) + (mean**2 + 1) / sd**2).sum())


def emission_of_states(shape: Data | dict, prior: float, autoregressive: bool) -> StateEmission:
    """The emission of a recording (its Data, or the card of a fit to it); `autoregressive` concerns signals."""
    known = shape if isinstance(shape, dict) else vars(shape)
    n = known["n_features"]
    if known["observation"] in ("negative_binomial", "conway_maxwell"):
        return DispersedStates(emission_of(known), n, prior)
    of_signals = AutoregressiveStates if autoregressive else GaussianStates
    kinds = {"counts": PoissonStates, "symbols": CategoricalStates, "signal": of_signals}
    return kinds[known["track"]](n, prior)
