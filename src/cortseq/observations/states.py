"""What each state of a hidden Markov model emits: likelihoods and expected statistics as matrix products.

For the exponential families log p(y | k) = F(y) . w_k + c(y): all bins and states are one product F W^T, and
the M-step needs one product gamma^T F. A bin without data is a row of zeros: it weighs nothing and says
nothing. Parameters are arrays (state, ...).

Every estimate is the maximum a posteriori under a conjugate prior worth `prior` bins of what all training
bins have in common (`overall`), so that no rate, probability or variance reaches 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq.observations import arrays
from cortseq.observations.base import MIN_RATE, Params

if TYPE_CHECKING:
    from cortseq.data import Data

_NUMBERS, _FEWEST = 1 << 18, 32  # in one array of a block (2 MB: it stays in the cache); trials of a block
_MOST = 1 << 23  # features of a block that is made anew for each pass


@dataclass(frozen=True)
class Block:
    """Some trials, time first; `features`, `pairs`, `inputs` have rows (time, trial), `constant` is c(y).

    `made` returns the features. Those of compact counts are not kept: they are made anew whenever they are
    asked for, so a function asks for them once.
    """

    trials: np.ndarray
    length: np.ndarray
    made: Callable[[], Any]
    constant: np.ndarray
    pairs: np.ndarray | None = None
    inputs: np.ndarray | None = None  # (time * trial, input), where emissions or transitions depend on them

    @property
    def features(self) -> Any:
        """F(y) of each bin, (time * trial, column)."""
        return self.made()

    @property
    def shape(self) -> tuple[int, int]:
        """Bins and trials."""
        n_time, n_trials = self.constant.shape
        return n_time, n_trials


class Kept(tuple[Any, ...]):
    """Arrays of blocks that an M-step sees bin by bin: the sum of two holds the blocks of both."""

    def __radd__(self, other: int) -> Kept:
        """Return the blocks themselves: a sum begins with 0."""
        return self


class StateEmission:
    """Abstract: an emission whose log-density is linear in features F(y).

    Parameters
    ----------
    distribution : of one bin, with its number of features.
    prior : bins' worth of the overall emission; None: `default_prior`.

    Attributes
    ----------
    names : its parameters.
    common : parameters that all states share, set before any block is made.
    n_shared : free parameters that all states share.
    whole : whether features are whole numbers, which single precision holds exactly.
    """

    names: tuple[str, ...]
    overall: Params
    n_shared = 0
    whole = False
    # Chosen on validation trials of rat, head-direction, decision, zebrafish and worm recordings.
    default_prior = 10.0

    def __init__(self, distribution: Any, prior: float | None = None):
        self.distribution, self.n_features = distribution, int(distribution.n_features)
        self.prior = self.default_prior if prior is None else prior
        self.common: Params = {}

    def blocks(self, data: Data, n_states: int, precision: type = float) -> list[Block]:
        """Return blocks of trials by falling length that fit the cache, and end at the last valid bin.

        `precision`: of products with features that are whole numbers; others stay in double precision.
        """
        length = data.lengths
        order = np.argsort(-length, kind="stable")
        longest = max(1, int(length.max()))
        size = max(_FEWEST, _NUMBERS // (longest * n_states))
        if data.is_compact:
            size = max(1, min(size, _MOST // (longest * self.n_features)))
        pieces = [order[i : i + size] for i in range(0, len(order), size)]
        precision = precision if self.whole else float
        return [self._block(data, trials, length[trials], precision) for trials in pieces]

    def _block(self, data: Data, trials: np.ndarray, length: np.ndarray, precision: type) -> Block:
        n_time = max(1, int(length.max()))
        valid = data.valid[trials, :n_time].T

        def bins() -> np.ndarray:
            y = data.y[trials, :n_time].swapaxes(0, 1)
            return y.astype(np.int32) if data.is_compact else y

        constant = np.where(valid, self.constant(bins()), 0.0)
        if data.is_compact:
            return Block(trials, length, lambda: self.features(bins(), valid, precision)[0], constant)
        features, *pairs = self.features(bins(), valid, precision)
        return Block(trials, length, lambda: features, constant, *pairs)

    def standardise(self, train: Data) -> None:
        """Set `common` from training data."""

    def known(self, data: Data) -> np.ndarray | None:
        """Return E[y | inputs] in the overall emission, (trial, time, feature); None without inputs."""
        return None

    def constant(self, y: np.ndarray) -> np.ndarray | float:
        """Return c(y), (time, trial) or one number, of y (time, trial, feature)."""
        return 0.0

    def features(self, y: np.ndarray, valid: np.ndarray, precision: type = float) -> tuple[Any, ...]:
        """Return F(y) (time * trial, column) in a precision, maybe `pairs`; y (time, trial, feature)."""
        raise NotImplementedError

    def weights(self, p: Params) -> np.ndarray:
        """Return the weights w (state, column)."""
        raise NotImplementedError

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """Return log p(y | state) without the block's `constant`, (time, trial, state), nats."""
        return self._linear(p, block.features).reshape(*block.shape, -1)

    def _linear(self, p: Params, features: Any) -> np.ndarray:
        """Return F(y) . w of each state, (time * trial, state)."""
        weights = self.weights(p).astype(features.dtype)
        return np.asarray(features @ weights.T)

    def statistics(self, block: Block, gamma: np.ndarray) -> Params:
        """Return expected sums, to be added over blocks; gamma (time * trial, state) are responsibilities."""
        return {"sums": np.asarray((block.features.T @ gamma).T, float)}

    def pool(self, sums: Params) -> None:
        """Set `overall` from the sums over all training bins (one state)."""
        raise NotImplementedError

    def maximise(self, sums: Params) -> Params:
        """Return the parameters (state, ...) of greatest posterior density, from expected sums."""
        raise NotImplementedError

    def log_prior(self, p: Params) -> float:
        """Return the log density of the prior but for a constant; EM climbs this plus the log-likelihood."""
        raise NotImplementedError

    def mean(self, p: Params) -> np.ndarray:
        """Return E[y | state], (state, feature)."""
        raise NotImplementedError

    def expect(self, p: Params, block: Block, weight: np.ndarray) -> np.ndarray:
        """Return sum_k weight_k E[y | k, y before], (time, trial, feature); weight (time, trial, state)."""
        return np.asarray(weight @ self.mean(p))

    def draw(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw one bin of every trial; state (trial,), `before` the bin before, None in the first."""
        raise NotImplementedError

    def n_free(self) -> int:
        """Return the free parameters of a state."""
        return self.n_features


class CountStates(StateEmission):
    """Counts with one rate per state and unit, and one dispersion per unit that all states share.

    log p = y . a_k - sum b_k + sum h(y), a and b functions of rates and dispersions
    (`counts.CountDistribution`). Gamma prior around the overall rates. The M-step sets rates as for Poisson
    counts, whose mean is that of any exponential family, and then the dispersions that are likeliest given
    the rates (Meng & Rubin 1993, Biometrika 80:267).
    """

    def __init__(self, distribution: Any, prior: float | None = None):
        super().__init__(distribution, prior)
        self.spread = distribution.bounds is not None
        self.names = ("rate", "dispersion") if self.spread else ("rate",)
        self.n_shared = self.n_features if self.spread else 0
        self.whole = not self.spread  # a dispersion's base measure is worked out from the features

    def standardise(self, train: Data) -> None:
        """Keep the valid training bins (bin, unit): the M-step of dispersions needs every count."""
        self.seen = arrays.rows(train.y, train.valid) if self.spread else None

    def constant(self, y: np.ndarray) -> np.ndarray | float:
        """Return the base measure of counts (time, trial, unit), summed over units (time, trial).

        It is 0 where units have dispersions: it depends on them then, and `log_prob` adds it.
        """
        return 0.0 if self.spread else np.asarray(self.distribution.base(y, None).sum(-1))

    def features(self, y: np.ndarray, valid: np.ndarray, precision: type = float) -> tuple[Any, ...]:
        """Return counts and 1 of each bin, (time * trial, unit + 1)."""
        return (with_ones([y], valid, precision),)

    def weights(self, p: Params) -> np.ndarray:
        """Return a and -sum b, (state, unit + 1)."""
        a, b = self.distribution.terms(p)
        return np.asarray(np.c_[a, -b.sum(1)])

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """Return log p(y | state) without the block's constant, (time, trial, state), nats."""
        if not self.spread:
            return super().log_prob(p, block)
        features = block.features
        base = self.distribution.base(features[:, :-1], p["dispersion"]).sum(1)
        return np.asarray(self._linear(p, features) + base[:, None]).reshape(*block.shape, -1)

    def pool(self, sums: Params) -> None:
        """Set `overall` to the rates of all training bins, (1, unit)."""
        total = sums["sums"]
        self.overall = {"rate": np.maximum(total[:, :-1] / total[:, -1:], MIN_RATE)}

    def maximise(self, sums: Params) -> Params:
        """Return rates (state, unit) and, where there are any, the likeliest dispersions (unit,)."""
        s = sums["sums"]
        rate = (s[:, :-1] + self.prior * self.overall["rate"]) / (s[:, -1:] + self.prior)
        if not self.spread:
            return {"rate": rate}
        dispersion: Params = self.distribution.dispersion(rate, s[:, -1], s[:, :-1], self.seen)
        return {"rate": rate} | dispersion

    def log_prior(self, p: Params) -> float:
        """Return the log Gamma density of all rates but for a constant."""
        rate = np.maximum(p["rate"], MIN_RATE)
        return float(self.prior * (self.overall["rate"] * np.log(rate) - rate).sum())

    def mean(self, p: Params) -> np.ndarray:
        """Return the rates themselves, expected counts per bin (state, unit)."""
        return np.asarray(p["rate"])

    def draw(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw counts for every trial from its state, (trial, unit)."""
        return np.asarray(self.distribution.draw({**p, "rate": p["rate"][state]}, rng))


def with_ones(columns: list[np.ndarray], valid: np.ndarray, precision: type = float) -> np.ndarray:
    """Return columns (time, trial, ...) and ones as rows, (time * trial, column); zeros where not `valid`."""
    every = [*columns, np.ones((*valid.shape, 1))]
    out: np.ndarray = np.concatenate(every, -1, dtype=precision, casting="same_kind")
    out[~valid] = 0
    return out.reshape(valid.size, -1)
