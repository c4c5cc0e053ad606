"""States of a hidden Markov model whose emissions depend on inputs (Bengio & Frasconi 1995, NIPS 7:427).

    counts    rate_kn(t) = exp(log rate_kn + B_kn . u_t), Poisson (Escola et al. 2011, Neural Comput 23:1071)
    signals   mean_kn + B_kn . u_t, and a standard deviation sd_kn
    labels    softmax over n of (log probability_kn + B_kn . u_t)

u are the inputs of the bin itself. `rate`, `mean` and `probability` are what a state emits where all inputs
are 0, at their means. Parameter `drive` is B as (state, input, feature).

The prior of B is a ridge about the weights that all bins share, which are those of one state about 0. It is
as strong as the information that `prior` bins hold about the weight of an input with variance 1: for a count
prior * rate, for a standardised signal prior / sd^2; for a label the precision is `prior` itself. A state
with few bins thus responds as the recording does on the whole; one with many has its own response.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortseq._lazy import special
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.hmm import tilt, weighted
from cortseq.models.hmm.autoregressive import regressed
from cortseq.models.predictive import Predictive
from cortseq.observations import Distribution, StateEmission, emission_of
from cortseq.observations.base import MIN_RATE
from cortseq.observations.categorical import CategoricalStates
from cortseq.observations.gaussian import GaussianStates
from cortseq.observations.states import Block, CountStates, Kept

_STEPS, _MOST = 2, 50  # of Newton in an M-step, and where the overall emission is found


class Driven(StateEmission):
    """Abstract: an emission with inputs, mixed into that without.

    Parameters
    ----------
    distribution : of one bin, with its number of features.
    prior : bins' worth of the overall emission; None: `default_prior`.
    n_inputs : inputs of a bin.
    """

    def __init__(self, distribution: Any, prior: float | None, n_inputs: int):
        super().__init__(distribution, prior)
        self.n_inputs = n_inputs
        self.names = (*self.names, "drive")

    def _block(self, data: Data, trials: np.ndarray, length: np.ndarray, precision: type) -> Block:
        assert data.inputs is not None
        block = super()._block(data, trials, length, precision)
        u = np.nan_to_num(data.inputs[trials, : block.shape[0]])  # NaN only where the bin is missing
        u = u.swapaxes(0, 1).reshape(-1, self.n_inputs)
        return replace(block, inputs=u.astype(precision))

    def bins(self, p: Params, k: int, u: np.ndarray) -> Params:
        """Return the distribution's parameters in state k, (..., feature), at inputs u (..., input)."""
        raise NotImplementedError

    def common_state(self) -> Params:
        """Return the overall emission as parameters of one state, (1, ...)."""
        return self.overall

    def known(self, data: Data) -> np.ndarray | None:
        """Return E[y | inputs] in the overall emission, (trial, time, feature)."""
        assert data.inputs is not None
        return np.asarray(self.distribution.mean(self.bins(self.common_state(), 0, data.inputs)))

    def expect(self, p: Params, block: Block, weight: np.ndarray) -> np.ndarray:
        """Return sum_k weight_k E[y | k, inputs], (time, trial, feature); weight (time, trial, state)."""
        assert block.inputs is not None
        u = block.inputs.astype(float, copy=False).reshape(*block.shape, -1)
        total = np.zeros((*block.shape, self.n_features))
        for k in range(weight.shape[-1]):
            total += weight[..., k, None] * self.distribution.mean(self.bins(p, k, u))
        return total

    def n_free(self) -> int:
        """Return the number of free parameters of a state, the weights of inputs among them."""
        return super().n_free() + self.n_inputs * self.n_features


class _Climbing(Driven):
    """Abstract: emissions whose best parameters have no closed form, and are approached by Newton's steps."""

    def pool(self, sums: Params) -> None:
        """Set `overall` to the regression of all training bins on the inputs."""
        super().pool(sums)
        self.overall["drive"] = np.zeros((1, self.n_inputs, self.n_features))
        self.overall = self._ascended(self.overall, sums, _MOST)

    def maximise(self, sums: Params) -> Params:
        """Return parameters of a higher posterior density than those of `sums["at"]`."""
        start = sums.get("at") or super().maximise(sums)
        if "drive" not in start:
            start = start | {"drive": np.repeat(self.overall["drive"], len(start[self.names[0]]), 0)}
        return self._ascended(start, sums, _STEPS)

    def _ascended(self, p: Params, sums: Params, steps: int) -> Params:
        raise NotImplementedError


class DrivenCounts(_Climbing, CountStates):
    """Poisson counts, rate_kn(t) = exp(log rate_kn + B_kn . u_t), held between 1e-7 and 8,100 a bin."""

    def bins(self, p: Params, k: int, u: np.ndarray) -> Params:
        """Return the rates of state k, (..., unit), at inputs u (..., input)."""
        return dict(self.distribution.from_eta(np.log(p["rate"][k]) + u @ p["drive"][k], {}))

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """Return log p(y | state, inputs) without the block's constant, (time, trial, state), nats."""
        theta, x, features = _joined(p), _with_one(block), block.features
        out = np.empty((len(x), len(theta)), x.dtype)
        size = max(1, weighted.NUMBERS // self.n_features)
        for first in range(0, len(x), size):
            some = slice(first, first + size)
            y, there = features[some, :-1], features[some, -1]
            for k, weights in enumerate(theta):
                eta = weighted.log_rates(x[some], weights)
                out[some, k] = np.einsum("tn,tn->t", y, eta) - there * np.exp(eta).sum(1)
        return out.reshape(*block.shape, -1)

    def statistics(self, block: Block, gamma: np.ndarray) -> Params:
        """Return expected sums, and the bins with responsibilities: gamma (time * trial, state) and x."""
        there = block.features[:, -1:]
        weight = gamma.astype(there.dtype, copy=False) * there
        return super().statistics(block, gamma) | {"bins": Kept([(block, weight)])}

    def _ascended(self, p: Params, sums: Params, steps: int) -> Params:
        theta = weighted.ascend(_joined(p), _Bins(sums["bins"]), self._density(), steps)
        return {"rate": np.maximum(np.exp(theta[:, -1]), MIN_RATE), "drive": theta[:, :-1]}

    def _density(self) -> weighted.Prior:
        return weighted.Prior(self.prior, self.overall["rate"][0], self.overall["drive"][0])

    def log_prior(self, p: Params) -> float:
        """Return the log density of rates and weights of inputs but for a constant."""
        return float(self._density().value(_joined(p)).sum())


class _Bins:
    """Blocks and responsibilities (bin, state) as `weighted.ascend` passes over them, again and again."""

    def __init__(self, kept: Kept):
        self.kept = kept

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield inputs and 1 (bin, input + 1), counts (bin, unit) and responsibilities of each block."""
        for block, weight in self.kept:
            yield _with_one(block), block.features[:, :-1], weight


class DrivenSignals(Driven, GaussianStates):
    """Gaussian channels, mean_kn + B_kn . u_t, standardised: a penalised regression in each state."""

    def common_state(self) -> Params:
        """Return the overall regression as parameters of one state, (1, ...)."""
        theta, sd = self.overall["theta"][None], np.sqrt(self.overall["variance"])[None]
        return {"drive": theta[:, :-1], "mean": theta[:, -1], "sd": sd}

    def bins(self, p: Params, k: int, u: np.ndarray) -> Params:
        """Return mean and sd of state k, (..., channel), in the signal's unit, at inputs u (..., input)."""
        mean = self._back(p["mean"][k] + u @ p["drive"][k])
        return {"mean": mean, "sd": self.common["scale"] * p["sd"][k]}

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """Return log p(y | state, inputs) without the block's constant, (time, trial, state), nats."""
        n, x, features = self.n_features, _with_one(block), block.features
        there, z = features[:, -1], features[:, :n]
        out = np.empty((len(x), len(p["sd"])))
        for k, sd in enumerate(p["sd"]):
            mean = x @ np.concatenate([p["drive"][k], p["mean"][k, None]])
            residual = (z - mean) / sd * there[:, None]
            out[:, k] = -0.5 * np.einsum("tn,tn->t", residual, residual) - there * np.log(sd).sum()
        return out.reshape(*block.shape, -1)

    def statistics(self, block: Block, gamma: np.ndarray) -> Params:
        """Return second moments of (u, 1) and z in each state, "xx", "xz" and "zz"."""
        n, features = self.n_features, block.features
        x, z, square = _with_one(block) * features[:, -1:], features[:, :n], features[:, n : 2 * n]
        weighed = [g[:, None] * x for g in gamma.T]
        return {
            "xx": np.stack([x.T @ w for w in weighed]),
            "xz": np.stack([w.T @ z for w in weighed]),
            "zz": np.asarray(gamma.T @ square, float),
        }

    def pool(self, sums: Params) -> None:
        """Set `overall` to the regression of all training bins on the inputs, about mean 0 and sd 1."""
        self.overall = {"theta": np.zeros(sums["xz"].shape[1:]), "variance": np.ones(self.n_features)}
        theta, sd = self._regress(sums)
        self.overall = {"theta": theta[0], "variance": sd[0] ** 2}

    def _regress(self, sums: Params) -> tuple[np.ndarray, np.ndarray]:
        return regressed(sums["xx"], sums["xz"], sums["zz"], self.prior, self.overall)

    def maximise(self, sums: Params) -> Params:
        """Return standardised means, sds and weights of inputs of greatest posterior density."""
        theta, sd = self._regress(sums)
        return {"mean": theta[:, -1].copy(), "sd": sd, "drive": theta[:, :-1].copy()}

    def log_prior(self, p: Params) -> float:
        """Return the log prior density but for a constant."""
        theta = np.concatenate([p["drive"], p["mean"][:, None]], 1)
        away = ((theta - self.overall["theta"]) ** 2).sum(1) + self.overall["variance"]
        return float(-0.5 * self.prior * (2 * np.log(p["sd"]) + away / p["sd"] ** 2).sum())


class DrivenLabels(_Climbing, CategoricalStates):
    """One label per bin, with probabilities softmax_n(log probability_kn + B_kn . u_t)."""

    def bins(self, p: Params, k: int, u: np.ndarray) -> Params:
        """Return the probabilities of state k, (..., label), at inputs u (..., input)."""
        return {"probability": special.softmax(np.log(p["probability"][k]) + u @ p["drive"][k], axis=-1)}

    def log_prob(self, p: Params, block: Block) -> np.ndarray:
        """Return log p(y | state, inputs), (time, trial, state), nats; 0 where a bin is missing."""
        assert block.inputs is not None
        row, label = block.features.nonzero()
        u, out = block.inputs[row], np.zeros((block.constant.size, len(p["drive"])))
        for k, probability in enumerate(p["probability"]):
            eta = np.log(probability) + u @ p["drive"][k]
            out[row, k] = eta[np.arange(len(row)), label] - special.logsumexp(eta, axis=1)
        return out.reshape(*block.shape, -1)

    def statistics(self, block: Block, gamma: np.ndarray) -> Params:
        """Return `total` (state, input, label), inputs summed over each label, beside counts and bins."""
        assert block.inputs is not None
        row = block.features.nonzero()[0]
        u, weight = block.inputs[row], np.asarray(gamma[row], float)
        labels = block.features[row].T
        total = np.stack([np.asarray(labels @ (w[:, None] * u), float).T for w in weight.T])
        return super().statistics(block, gamma) | {"total": total, "bins": Kept([(u, weight)])}

    def _ascended(self, p: Params, sums: Params, steps: int) -> Params:
        found = []
        for k in range(len(p["probability"])):
            pseudo = self.prior * self.overall["probability"]
            bins = [(u, weight[:, k : k + 1]) for u, weight in sums["bins"]]
            counts, total = sums["sums"][k : k + 1] + pseudo, sums["total"][k]
            given = tilt.Weighed(counts, pseudo.sum(1), total, bins, self.prior, self.overall["drive"][0])
            found.append(tilt.ascend(p["probability"][k : k + 1], p["drive"][k], given, steps))
        drive = np.stack([drive for _, drive in found])
        return {"probability": np.concatenate([a for a, _ in found]), "drive": drive}

    def log_prior(self, p: Params) -> float:
        """Return the log density of probabilities and weights of inputs but for a constant."""
        away = ((p["drive"] - self.overall["drive"]) ** 2).sum()
        return super().log_prior(p) - float(0.5 * self.prior * away)

    def n_free(self) -> int:
        """Return the number of free parameters of a state: softmax weights have a label too many."""
        return (1 + self.n_inputs) * (self.n_features - 1)


_STATES: dict[type[StateEmission], type[Driven]] = {
    CountStates: DrivenCounts,
    GaussianStates: DrivenSignals,
    CategoricalStates: DrivenLabels,
}


def driven_states(
    shape: Data | dict[str, Any], prior: float | None, n_inputs: int, autoregressive: bool = False
) -> Driven:
    """Return the emission with inputs; `shape` as in `observations.emission_of`.

    Raises
    ------
    CortseqError : counts that have a dispersion, or a signal that depends on the bin before.
    """
    emission = emission_of(shape)
    spread = "dispersion" in emission.states(emission, prior).names
    if autoregressive or spread or emission.states not in _STATES:
        name = shape["observation"] if isinstance(shape, dict) else shape.observation
        name = f"autoregressive {name}" if autoregressive else name
        raise CortseqError(
            f"a hidden Markov model takes no inputs where a bin is {name}; it does where it is poisson, "
            "gaussian or categorical",
            key="inputs",
            value=n_inputs,
            fix="`inputs: false` on the model leaves them out",
        )
    return _STATES[emission.states](emission, prior, n_inputs)


@dataclass(frozen=True)
class DrivenPredictive(Predictive):
    """The mixture over states of emissions with inputs; worked out state by state when it is needed.

    Attributes
    ----------
    bins : "inputs" (trial, time, input).
    states, p : the emission, and one member's parameters.
    """

    states: Driven | None = None
    p: Params | None = None

    def at(self, trials: slice) -> DrivenPredictive:
        """Return the distributions of some trials."""
        assert self.weight is not None
        return replace(self, bins={"inputs": self.bins["inputs"][trials]}, weight=self.weight[trials])

    def cdf(self, emission: Distribution, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each feature on its own, (trial, time, feature), for y of that shape."""
        total = np.zeros(y.shape)
        for weight, bins in self._each():
            total += weight * emission.cdf(bins, y)
        return total

    def moments(self, emission: Distribution) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each feature, (trial, time, feature)."""
        first, second = 0.0, 0.0
        for weight, bins in self._each():
            mean = emission.mean(bins)
            first = first + weight * mean
            second = second + weight * (emission.variance(bins) + mean**2)
        return np.asarray(first), np.asarray(second - first**2)

    def _each(self) -> Iterator[tuple[np.ndarray, Params]]:
        """Yield the weight (trial, time, 1) and the parameters (trial, time, feature) of each state."""
        assert self.weight is not None and self.states is not None and self.p is not None
        for k in range(self.weight.shape[-1]):
            yield self.weight[..., k, None], self.states.bins(self.p, k, self.bins["inputs"])


def _joined(p: Params) -> np.ndarray:
    """Return the weights of (u, 1), (state, input + 1, unit)."""
    rate = np.maximum(p["rate"], MIN_RATE)
    return np.concatenate([p["drive"], np.log(rate)[:, None]], 1)


def _with_one(block: Block) -> np.ndarray:
    """Return the inputs of every bin and 1, (time * trial, input + 1)."""
    assert block.inputs is not None
    return np.concatenate([block.inputs, np.ones((len(block.inputs), 1), block.inputs.dtype)], 1)
