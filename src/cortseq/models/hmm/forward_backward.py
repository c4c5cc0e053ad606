"""Filtering and smoothing of a hidden Markov chain, trials side by side, compiled.

Arrays are (time, trial, state): a step of all trials is one matrix product. A trial ends after `length` bins.
A bin without data has log-emission 0 in every state.

    predicted_t = p(s_t | y_<t) = belief_{t-1} A
    belief_t    = p(s_t | y_<=t) = predicted_t b_t / p(y_t | y_<t)
    smoothed_t  = p(s_t | all y) = belief_t * (A ratio_{t+1}),    ratio_t = smoothed_t / predicted_t

Transitions that inputs tilt, A_jk(t) = a_jk w_tk / z_tj with z_t = a w_t, take the same products:

    predicted_t = ((belief_{t-1} / z_t) a) * w_t
    smoothed_t  = belief_t * (a (w_{t+1} * ratio_{t+1})) / z_{t+1}

Beliefs are normalised at every bin, so nothing under- or overflows however long a trial is (Rabiner 1989,
Proc IEEE 77:257; the backward pass in the form of Kitagawa 1987, JASA 82:1032, needs no emissions and no
scale).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS

# Smallest normal numbers. A bin whose probability, relative to its likeliest state, is below is worked out in
# logarithms.
_SMALL = 1e8


Passed = tuple[np.ndarray, np.ndarray, np.ndarray]


def forward(log_b: np.ndarray, length: np.ndarray, initial: np.ndarray, transition: np.ndarray) -> Passed:
    """Return predicted and belief (time, trial, state), and log p(y_t | y_<t) (time, trial).

    All are 0 past a trial's end. log_b (time, trial, state): log p(y_t | s_t). Beliefs have the precision of
    `transition`; so has each log p, however far log_b is from 0, where log_b is in double precision.
    """
    belief, peak, small = _relative(log_b, transition.dtype)
    initial = initial.astype(belief.dtype)
    predicted, log_prob = _forward(belief, log_b, peak, length, initial, transition, small)
    return predicted, belief, log_prob


def forward_tilted(
    log_b: np.ndarray, length: np.ndarray, initial: np.ndarray, transition: np.ndarray, tilt: np.ndarray
) -> Passed:
    """Return what `forward` does, with transitions that inputs tilt.

    tilt (time, trial, state): w, in the precision of `transition`, the largest of each bin being 1.
    """
    belief, peak, small = _relative(log_b, transition.dtype)
    initial, total = initial.astype(belief.dtype), tilt @ transition.T
    predicted, log_prob = _forward_tilted(
        belief, log_b, peak, length, initial, transition, tilt, total, small
    )
    return predicted, belief, log_prob


def _relative(log_b: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, float]:
    """Return exp(log_b - peak) (time, trial, state), peak (time, trial), and what counts as small in it."""
    peak = log_b.max(-1)
    peak[peak == -np.inf] = 0.0  # no state can emit the bin
    belief = np.empty(log_b.shape, dtype)
    np.exp(np.subtract(log_b, peak[..., None], out=belief, casting="same_kind"), out=belief)
    return belief, peak, _SMALL * float(np.finfo(belief.dtype).tiny)


@njit(**OPTIONS)
def _forward(b, log_b, peak, length, initial, transition, small):
    """Return predicted and log p(y_t | y_<t); b = exp(log_b - peak) becomes the belief."""
    n_time, n_trials, n = b.shape
    predicted, log_prob = np.empty_like(b), np.zeros((n_time, n_trials))
    for t in range(n_time):
        if t == 0:
            predicted[0, :] = initial
        else:
            np.dot(b[t - 1], transition, predicted[t])
        for r in range(n_trials):
            prior, posterior = predicted[t, r], b[t, r]
            if t >= length[r]:
                posterior[:] = 0
                continue
            total = np.dot(prior, posterior)
            if total < small:
                log_prob[t, r] = _update_logarithmic(prior, log_b[t, r], posterior)
                continue
            log_prob[t, r] = peak[t, r] + np.log(total)
            scale = 1 / total
            for k in range(n):
                posterior[k] *= prior[k] * scale
    return predicted, log_prob


@njit(**OPTIONS)
def _forward_tilted(b, log_b, peak, length, initial, transition, tilt, total, small):
    """Return what `_forward` does; total (time, trial, state): z."""
    n_time, n_trials, n = b.shape
    predicted, log_prob = np.empty_like(b), np.zeros((n_time, n_trials))
    share = np.empty_like(b[0])
    for t in range(n_time):
        if t == 0:
            predicted[0, :] = initial
        else:
            share[:] = b[t - 1] / total[t]
            np.dot(share, transition, predicted[t])
            predicted[t] *= tilt[t]
        for r in range(n_trials):
            prior, posterior = predicted[t, r], b[t, r]
            if t >= length[r]:
                posterior[:] = 0
                continue
            likelihood = np.dot(prior, posterior)
            if likelihood < small:
                log_prob[t, r] = _update_logarithmic(prior, log_b[t, r], posterior)
                continue
            log_prob[t, r] = peak[t, r] + np.log(likelihood)
            for k in range(n):
                posterior[k] *= prior[k] / likelihood
    return predicted, log_prob


@njit(**OPTIONS)
def _update_logarithmic(prior, log_b, posterior):
    """Return log sum_k prior_k b_k where the likeliest states are all but excluded by the past.

    Where no state can emit the bin: -inf, and the posterior is the prior.
    """
    joint = np.log(prior) + log_b
    top = joint.max()
    if top == -np.inf:
        posterior[:] = prior
        return top
    joint = np.exp(joint - top)
    total = joint.sum()
    posterior[:] = joint / total
    return top + np.log(total)


@njit(**OPTIONS)
def backward(belief, predicted, length, transposed):
    """Return smoothed probabilities (time, trial, state); `predicted` becomes the ratio.

    transposed: A^T (to, from), contiguous. Expected transitions i -> j are A_ij sum_t belief_{t-1, i}
    ratio_{t, j}.
    """
    n_time, n_trials, n = belief.shape
    smoothed = np.empty_like(belief)
    for t in range(n_time - 1, -1, -1):
        if t < n_time - 1:
            np.dot(predicted[t + 1], transposed, smoothed[t])
        for r in range(n_trials):
            s, ratio, b = smoothed[t, r], predicted[t, r], belief[t, r]
            if t >= length[r] - 1:
                s[:] = b  # the last bin, and zeros past it
            else:
                s *= b
            for k in range(n):
                ratio[k] = s[k] / ratio[k] if ratio[k] > 0 else 0.0
    return smoothed


def backward_tilted(
    belief: np.ndarray, predicted: np.ndarray, length: np.ndarray, transposed: np.ndarray, tilt: np.ndarray
) -> np.ndarray:
    """Return what `backward` does, (time, trial, state); `tilt` as of `forward_tilted`."""
    total = tilt @ transposed
    return np.asarray(_backward_tilted(belief, predicted, length, transposed, tilt, total))


@njit(**OPTIONS)
def _backward_tilted(belief, predicted, length, transposed, tilt, total):
    """Return smoothed probabilities (time, trial, state); `predicted` becomes the ratio."""
    n_time, n_trials, n = belief.shape
    smoothed = np.empty_like(belief)
    entered = np.empty_like(belief[0])
    for t in range(n_time - 1, -1, -1):
        if t < n_time - 1:
            entered[:] = predicted[t + 1] * tilt[t + 1]
            np.dot(entered, transposed, smoothed[t])
            smoothed[t] /= total[t + 1]
        for r in range(n_trials):
            s, ratio, b = smoothed[t, r], predicted[t, r], belief[t, r]
            if t >= length[r] - 1:
                s[:] = b  # the last bin, and zeros past it
            else:
                s *= b
            for k in range(n):
                ratio[k] = s[k] / ratio[k] if ratio[k] > 0 else 0.0
    return smoothed
