"""Linear memory of a reservoir: how much of each past input a linear read-out can recover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.matrices import square
from cortseq.notebook import Drawn

PHI: dict[str, Callable[..., Any]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}
_WASHOUT = 1000  # at least, and as many steps as 10 of the longest lags
_SHUFFLES = 100


@dataclass(frozen=True, repr=False)
class MemoryCapacity(Drawn):
    """Memory capacity of a reservoir, in all and by lag.

    Attributes
    ----------
    total : sum of `per_lag`, in steps.
    per_lag : (max_lag,) capacities of lags 1 .. max_lag, between 0 and 1.
    null : what chance gives a lag.
    """

    total: float
    per_lag: np.ndarray
    null: float


def memory_capacity(
    weights: ArrayLike,
    input_weights: ArrayLike,
    max_lag: int,
    n_steps: int,
    leak: float = 1.0,
    nonlinearity: Literal["identity", "tanh", "relu"] = "identity",
    seed: int = 0,
) -> MemoryCapacity:
    """MC_k = r^2 between u_{t-k} and its best linear prediction from h_t, out of sample; lag 0 = last input.

    h_t = (1 - a) h_{t-1} + a phi(W h_{t-1} + w u_t), a = leak, u uniform on [-1, 1]. Read-outs are least
    squares, fitted to one half of the steps and judged on the other, both ways. The mean r^2 of 100 shuffled
    inputs, c, is taken off each lag, (r^2 - c) / (1 - c); lags that are no better than the best of these are
    0 (Dambre et al. 2012, Sci Rep 2:514). Lags 0, 1, ... sum to at most N. Jaeger 2001, GMD report 152.

    Parameters
    ----------
    weights : (n, n)
    input_weights : (n,).
    n_steps : of both halves, more than 4 n, after a washout.

    Raises
    ------
    CortseqError : shapes, too few steps, or states that leave the finite numbers.
    """
    w, into = square(weights), np.asarray(input_weights, dtype=np.float64)
    n = len(w)
    if into.shape != (n,):
        raise CortseqError("input_weights hold one value per unit", value=into.shape, fix=f"give {n} values")
    if max_lag < 1 or n_steps <= 4 * n or n_steps <= 4 * max_lag:
        raise CortseqError(
            "max_lag is at least 1, and n_steps more than 4 max_lag and 4 units", value=(max_lag, n_steps)
        )
    if nonlinearity not in PHI:
        raise CortseqError(f"nonlinearity is one of {', '.join(PHI)}", key="nonlinearity", value=nonlinearity)
    rng = np.random.default_rng(seed)
    washout = max(_WASHOUT, 10 * max_lag)
    u = rng.uniform(-1, 1, washout + n_steps)
    states = _run(w, into, u, leak, PHI[nonlinearity])[washout:]
    past = np.lib.stride_tricks.sliding_window_view(u, max_lag + 1)[washout - max_lag :, -2::-1]
    shuffled = np.stack([rng.permutation(u[washout:]) for _ in range(_SHUFFLES)], 1)
    r2 = _explained(states, np.concatenate([past, shuffled], 1))
    found, chance = r2[:max_lag], r2[max_lag:]
    per_lag = np.where(found > chance.max(), (found - chance.mean()) / (1 - chance.mean()), 0.0)
    return MemoryCapacity(float(per_lag.sum()), per_lag, float(chance.mean()))


def _run(w: np.ndarray, into: np.ndarray, u: np.ndarray, leak: float, phi: Any) -> np.ndarray:
    """Return states after every input, (time, n)."""
    states = np.empty((len(u), len(w)))
    h = np.zeros(len(w))
    with np.errstate(over="ignore", invalid="ignore"):
        for t, value in enumerate(u):
            h = (1 - leak) * h + leak * phi(w @ h + into * value)
            states[t] = h
    if not np.isfinite(states).all() or np.abs(states).max() > 1e100:
        raise CortseqError("the reservoir left the finite numbers", key="weights", fix="lower the radius")
    return states


def _explained(states: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return squared correlation of each target (time, k) with its prediction, mean over the two halves."""
    halves = np.array_split(np.arange(len(states)), 2)
    r2 = []
    for fitted, judged in (halves, halves[::-1]):
        centre = states[fitted].mean(0)
        scale = states[fitted].std(0)
        scale[scale == 0] = 1  # units that no input reaches
        weight = np.linalg.lstsq((states[fitted] - centre) / scale, targets[fitted], rcond=None)[0]
        guess = (states[judged] - centre) / scale @ weight
        guess, truth = guess - guess.mean(0), targets[judged] - targets[judged].mean(0)
        power = (guess**2).sum(0) * (truth**2).sum(0)
        r2.append((guess * truth).sum(0) ** 2 / np.where(power > 0, power, 1))
    return np.asarray(np.mean(r2, 0))
