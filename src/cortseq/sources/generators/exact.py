"""Exact likelihoods of hidden Markov chains and Poisson counts, and draws from chains."""

from __future__ import annotations

import numpy as np

from cortseq._lazy import special
from cortseq.observations.poisson import log_pmf


def forward_filter(initial: np.ndarray, transition: np.ndarray, log_emission: np.ndarray) -> np.ndarray:
    """Return log p(y_t | y_<t) in nats, (trial, time), of a hidden Markov chain, exactly.

    p(y_t | y_<t) = sum_s p(s_t = s | y_<t) p(y_t | s), the belief p(s_t | y_<t) being carried forward.

    Parameters
    ----------
    initial : (state,) distribution in the first bin.
    transition : (from, to).
    log_emission : (trial, time, state), log p(y_t | s) in nats.
    """
    belief = np.broadcast_to(initial, log_emission[:, 0].shape)
    log_prob = np.empty(log_emission.shape[:2])
    for t in range(log_emission.shape[1]):
        joint = safe_log(belief) + log_emission[:, t]
        log_prob[:, t] = special.logsumexp(joint, axis=1)
        belief = np.exp(joint - log_prob[:, t, None]) @ transition
    return log_prob


def symbol_filter(initial: np.ndarray, moves: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Return log p(x_t | x_<t) of a hidden chain exactly, in nats, (trial, time).

    The chain emits moves[symbol, from, to].
    """
    belief = np.broadcast_to(initial, (len(symbols), len(initial)))
    log_prob = np.empty(symbols.shape)
    for t in range(symbols.shape[1]):
        joint = np.einsum("rs,rsz->rz", belief, moves[symbols[:, t]])
        p = joint.sum(1)
        log_prob[:, t] = safe_log(p)
        belief = joint / p[:, None]
    return log_prob


def poisson_log_prob(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return log p of counts (trial, time, unit), summed over units, in nats, (trial, time).

    sum_n y log mu - mu - log y!
    """
    return np.asarray(log_pmf(counts, expected).sum(-1))


def sample_chain(
    rng: np.random.Generator, initial: np.ndarray, transition: np.ndarray, trials: int, bins: int
) -> np.ndarray:
    """Return states (trial, time) of a Markov chain."""
    states = np.empty((trials, bins), int)
    states[:, 0] = draw_rows(rng, np.tile(initial, (trials, 1)))
    for t in range(1, bins):
        states[:, t] = draw_rows(rng, transition[states[:, t - 1]])
    return states


def draw_rows(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Return one index per row of the distributions p (row, index)."""
    cumulative = p.cumsum(1)
    return np.asarray((rng.random((len(p), 1)) * cumulative[:, -1:] >= cumulative).sum(1))


def safe_log(p: np.ndarray) -> np.ndarray:
    """Return log p, of any shape, with 0 log 0 = 0 once multiplied by p.

    The floor is the smallest positive number.
    """
    return np.asarray(np.log(np.maximum(p, np.finfo(float).tiny)))
