"""Forecasts of a hidden Markov model: exact, or the mean over sampled futures of an autoregressive one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cortseq._lazy import special
from cortseq.data import Params
from cortseq.models.hmm import em, steered
from cortseq.models.hmm.autoregressive import AutoregressiveStates
from cortseq.observations import StateEmission
from cortseq.observations.states import Block

_IMAGINED = 2_000_000  # rows times states that sampled forecasts hold at once


def forecasts(
    emission: StateEmission, p: Params, block: Block, horizons: Sequence[int], samples: int, seed: list[int]
) -> Iterator[np.ndarray]:
    """Yield log p(y_t | y_0 .. y_{t-h}) of a block for each horizon h, (time, trial) in nats.

    Parameters
    ----------
    p : parameters of one member.
    samples, seed : of the futures of an autoregressive emission; others are exact.
    """
    log_b = emission.log_prob(p, block)
    _, belief, one = em.forward(emission, p, block)
    for h in horizons:
        if h == 1:
            log_prob = one
        elif isinstance(emission, AutoregressiveStates):
            rng = np.random.default_rng([*seed, h, int(block.trials[0])])
            log_prob = imagined(emission, p, block, belief, h, samples, rng)
        elif steered.steers(p):
            log_prob = mixed(steered.ahead(p, block, belief, h), log_b)
        else:
            log_prob = ahead(p, belief, log_b, h)
        yield log_prob + block.constant


def ahead(p: Params, belief: np.ndarray, log_b: np.ndarray, h: int) -> np.ndarray:
    """Return log p(y_t | y_0 .. y_{t-h}) exactly, (time, trial) in nats; NaN for t < h - 1.

    Parameters
    ----------
    belief : (time, trial, state), p(s_t = k | y_<=t).
    log_b : (time, trial, state), log p(y_t | k) without the block's constant, which the result lacks too.
    h : bins ahead.
    """
    weight = np.full(belief.shape, np.nan)
    if h <= len(belief):
        weight[h - 1] = p["initial"] @ np.linalg.matrix_power(p["transition"], h - 1)
        weight[h:] = belief[:-h] @ np.linalg.matrix_power(p["transition"], h)
    return mixed(weight, log_b)


def mixed(weight: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """Return log sum_k weight_k exp(log_b_k), (time, trial), of arrays (time, trial, state)."""
    with np.errstate(divide="ignore"):
        return np.asarray(special.logsumexp(np.log(weight) + log_b, axis=-1))


def imagined(
    emission: AutoregressiveStates,
    p: Params,
    block: Block,
    belief: np.ndarray,
    h: int,
    samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return log p(y_t | y_0 .. y_{t-h}) of an autoregressive emission, (time, trial) in nats.

    log of the mean over `samples` futures of h - 1 bins of p(y_t | future); NaN for t < h - 1.

    Parameters
    ----------
    belief : (time, trial, state), p(s_t = k | y_<=t).
    h : bins ahead.
    """
    z, seen = emission.observed(block)
    out = np.full(block.shape, np.nan)
    size = max(1, _IMAGINED // (samples * len(p["initial"])))
    for t in range(h - 1, len(out)):
        for part in np.array_split(np.arange(out.shape[1]), -(-out.shape[1] // size)):
            now = np.repeat(part, samples)
            before, rows = None, np.tile(p["initial"], (len(now), 1))
            if t >= h:
                before = np.where(seen[t - h, now, None], z[t - h, now], np.nan)
                rows = p["transition"][draw_rows(belief[t - h, now], rng)]
            for _ in range(h - 1):
                state = draw_rows(rows, rng)
                before, rows = emission.step(p, state, before, rng), p["transition"][state]
            with np.errstate(divide="ignore"):
                joint = special.logsumexp(np.log(rows) + emission.log_density(p, before, z[t, now]), axis=1)
            out[t, part] = special.logsumexp(joint.reshape(-1, samples), axis=1) - np.log(samples)
    return out


def draw_rows(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one index (row,) from each row of the distributions p (row, index)."""
    edges = p.cumsum(1)
    return np.asarray((rng.random((len(p), 1)) * edges[:, -1:] >= edges[:, :-1]).sum(1))
