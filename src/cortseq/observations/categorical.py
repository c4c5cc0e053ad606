"""Labels: one of an alphabet in every bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, sparse, special
from cortseq.observations import arrays, states
from cortseq.observations.base import Distribution, Params, Readout

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class CategoricalLoss:
    """log sum_k exp(eta_k) - eta_y, y one-hot over the outputs (output, bin)."""

    separable = False

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the softmax of eta over the outputs, (output, bin)."""
        e = np.exp(eta - eta.max(0))
        return np.asarray(e / e.sum(0))

    def value(self, eta: np.ndarray, mean: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the loss of all bins in nats, one number, as outputs are not separable; y (output, bin)."""
        top = eta.max(0)
        return np.asarray(np.log(np.exp(eta - top).sum(0)).sum() + top.sum() - (y * eta).sum())

    def curvature(self, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return the second derivative of `value` along `change` (output, bin), a single number."""
        return np.asarray((mean * change**2).sum() - ((mean * change).sum(0) ** 2).sum())

    def variance(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return p (1 - p) of each label's frequency p, (output,), half a count added to every label."""
        p = (total + 0.5) / (total.sum() + 0.5 * len(total))
        return np.asarray(p * (1 - p) + 1e-9)

    def start(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the log frequency of each label, (output,), half a count added to every label."""
        p = total + 0.5
        return np.asarray(np.log(p / p.sum()))


class CategoricalReadout(Readout):
    """p(label) = softmax(eta); the network sees the label one-hot."""

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return biases (label,) at the training frequencies, half a count added to every label."""
        frequency = np.bincount(y[valid].astype(int), minlength=self.n_features) + 0.5
        return {"readout_bias": np.log(frequency / frequency.sum())}

    def encode(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return labels (integers) one-hot; probabilities (floating point, (..., n_features)) as they are."""
        if y.is_floating_point():
            return y
        return torch.nn.functional.one_hot(y.long(), self.n_features).to(p["readout_bias"].dtype)

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return ln softmax(eta)_y in nats, (...), for eta (..., label) and labels y (...)."""
        return torch.log_softmax(eta, -1).gather(-1, y.long().unsqueeze(-1)).squeeze(-1)

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return 0 for every bin, (trial, time): every part of the loss depends on learned parameters."""
        return torch.zeros(y.shape, dtype=torch.float64)

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return the probability of each label, (..., label)."""
        return torch.softmax(eta, -1)

    def tangent(self, p: Params, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Return how the probabilities move, (..., label, k), when eta moves by `moved` (..., label, k)."""
        return softmax_tangent(torch.softmax(eta, -1), moved)

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw a label for every eta (..., label): integers (...)."""
        return arrays.chosen(torch.softmax(eta, -1), generator)


class CategoricalStates(states.StateEmission):
    """One label per bin and state; Dirichlet prior around the overall frequencies."""

    names = ("probability",)
    whole = True
    default_prior = 1.0  # chosen on validation trials of birdsong

    def features(self, y: np.ndarray, valid: np.ndarray, precision: type = float) -> tuple[Any, ...]:
        """Return one-hot labels, sparse (time * trial, label), 0 where a bin is missing."""
        known = valid.ravel()
        row = np.concatenate([[0], known.cumsum()])
        label = y.reshape(-1)[known].astype(int)
        shape = (valid.size, self.n_features)
        return (sparse.csr_matrix((np.ones(len(label), precision), label, row), shape),)

    def weights(self, p: Params) -> np.ndarray:
        """Return log probabilities, (state, label)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(p["probability"]))

    def pool(self, sums: Params) -> None:
        """Set `overall` to the label frequencies; half a count is added to all labels if one never occurs."""
        total = sums["sums"]
        total = total + 0.5 * (total.min() == 0)
        self.overall = {"probability": total / total.sum()}

    def maximise(self, sums: Params) -> Params:
        """Return probabilities (state, label): expected counts and the prior's, normalised."""
        s = sums["sums"] + self.prior * self.overall["probability"]
        return {"probability": s / s.sum(1, keepdims=True)}

    def log_prior(self, p: Params) -> float:
        """Return the log Dirichlet density of all states' probabilities but for a constant."""
        return float(self.prior * (self.overall["probability"] * self.weights(p)).sum())

    def mean(self, p: Params) -> np.ndarray:
        """Return the probability of each label in each state, (state, label)."""
        return np.asarray(p["probability"])

    def draw(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a label for every trial, (trial,), from the probabilities of its state."""
        return np.asarray(self.distribution.draw({"probability": p["probability"][state]}, rng))

    def n_free(self) -> int:
        """Return the number of free parameters of a state, whose probabilities sum to 1."""
        return self.n_features - 1


class Categorical(Distribution):
    """One label a bin; y (trial, time) integers, parameter "probability" (..., label)."""

    track = "symbols"
    loss = CategoricalLoss()
    readout = CategoricalReadout
    states = CategoricalStates

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return training frequencies (label,); half a count is added to all labels if one never occurs."""
        counts = np.bincount(y[valid].astype(int), minlength=self.n_features).astype(float)
        counts += 0.5 * (counts.min() == 0)
        return {"probability": counts / counts.sum()}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return the log probability in nats of labels y, (trial, time)."""
        table = np.broadcast_to(np.log(p["probability"]), (*y.shape, self.n_features))
        return np.take_along_axis(table, y[..., None].astype(int), -1)[..., 0]

    def mean(self, p: Params) -> np.ndarray:
        """Return the probabilities themselves, (..., label)."""
        return np.asarray(p["probability"])

    def around(self, mean: np.ndarray, p: Params) -> Params:
        """Return parameters whose probabilities are `mean` (..., label)."""
        return {"probability": mean}

    def from_eta(self, eta: np.ndarray, p: Params) -> Params:
        """Return parameters whose probabilities are softmax(eta), (..., label)."""
        return {"probability": special.softmax(eta, axis=-1)}

    def over_time(self, mean: np.ndarray, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return parameters whose probabilities are `mean` (time, label)."""
        return {"probability": mean}

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        """Draw labels, integers (...), from probabilities (..., label)."""
        edges = p["probability"].cumsum(-1)
        return np.asarray((rng.random((*edges.shape[:-1], 1)) > edges[..., :-1]).sum(-1))

    def n_free(self, n_features: int, sets: int = 1) -> int:
        """Return the number of free parameters of `sets` sets of probabilities, each with sum 1."""
        return sets * (n_features - 1)


def softmax_tangent(p: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """Return how a softmax moves with its logits.

    Parameters
    ----------
    p : (..., n) the softmax.
    moved : (..., n, k) tangent vectors of the logits.

    Returns
    -------
    (..., n, k) tangent vectors of the softmax.
    """
    p = p.unsqueeze(-1)
    return p * (moved - (p * moved).sum(-2, keepdim=True))


def krichevsky_trofimov(context: np.ndarray, c: np.ndarray, n: np.ndarray, m: int) -> np.ndarray:
    """Return ln p of the labels after each context, probabilities integrated under Dirichlet(1/2, .., 1/2).

    Parameters
    ----------
    context, c : (pair,) context and count of every label that followed it.
    n : (context,) labels that followed each context.
    m : labels of the alphabet.

    Returns
    -------
    (context,) nats. Krichevsky & Trofimov 1981, IEEE Trans Inf Theory 27:199.
    """
    seen = np.bincount(context, special.gammaln(c + 0.5) - special.gammaln(0.5))
    return np.asarray(seen + special.gammaln(m / 2) - special.gammaln(n + m / 2))


OBSERVATION = Categorical
