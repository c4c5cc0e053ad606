"""Filtering and smoothing of a hidden Markov chain, trials side by side, compiled.

Arrays are (time, trial, state): a step of all trials is one matrix product. A trial ends after `length` bins. A
bin without data has log-emission 0 in every state.

    predicted_t = p(s_t | y_<t) = belief_{t-1} A,    belief_t = p(s_t | y_<=t) = predicted_t b_t / p(y_t | y_<t)
    smoothed_t  = p(s_t | all y) = belief_t * (A ratio_{t+1}),    ratio_t = smoothed_t / predicted_t

Beliefs are normalised at every bin, so nothing under- or overflows however long a trial is (Rabiner 1989, Proc
IEEE 77:257; the backward pass in the form of Kitagawa 1987, JASA 82:1032, needs no emissions and no scale).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cortseq.training.kernels.functions import OPTIONS

_SMALL = (
    1e-200  # below this a bin's probability, relative to its likeliest state, is worked out in logarithms
)


@njit(**OPTIONS)
def forward(log_b, length, initial, transition):
    """predicted, belief (time, trial, state) and log p(y_t | y_<t) (time, trial); past a trial's end all are 0.

    log_b (time, trial, state): log p(y_t | s_t); it becomes `belief`.
    """
    n_time, n_trials, n = log_b.shape
    predicted = np.empty((n_time, n_trials, n))
    log_prob, work = np.zeros((n_time, n_trials)), np.empty(n)
    for t in range(n_time):
        if t == 0:
            predicted[0, :] = initial
        else:
            np.dot(log_b[t - 1], transition, predicted[t])
        for r in range(n_trials):
            if t < length[r]:
                log_prob[t, r] = _update(predicted[t, r], log_b[t, r], work)
            else:
                log_b[t, r] = 0.0
    return predicted, log_b, log_prob


@njit(**OPTIONS)
def _update(prior, log_b, work):
    """log sum_k prior_k b_k; log_b becomes the posterior. Where no state can emit the bin: -inf and the prior."""
    top = log_b.max()
    if top == -np.inf:
        log_b[:] = prior
        return top
    total = 0.0
    for k in range(prior.size):
        work[k] = prior[k] * math.exp(log_b[k] - top)
        total += work[k]
    if total < _SMALL:
        return _update_logarithmic(prior, log_b)
    for k in range(prior.size):
        log_b[k] = work[k] / total
    return top + np.log(total)


@njit(**OPTIONS)
def _update_logarithmic(prior, log_b):
    """The same where the likeliest states are all but excluded by the past."""
    joint = np.log(prior) + log_b
    top = joint.max()
    if top == -np.inf:
        log_b[:] = prior
        return top
    joint = np.exp(joint - top)
    total = joint.sum()
    log_b[:] = joint / total
    return top + np.log(total)


@njit(**OPTIONS)
def backward(belief, predicted, length, transposed):
    """smoothed (time, trial, state); `predicted` becomes the ratio. transposed: A^T (to, from), contiguous.

    Expected transitions i -> j are A_ij sum_t belief_{t-1, i} ratio_{t, j}.
    """
    n_time, n_trials, n = belief.shape
    smoothed = np.empty((n_time, n_trials, n))
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
