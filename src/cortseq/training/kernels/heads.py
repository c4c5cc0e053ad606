"""Negative log-likelihoods fused with their gradient: eta (row, feature) becomes d loss / d eta in place.

`bias` is added to eta first, and the gradient for it to `d_bias`. Rows are time-major, row t * n_trials + k;
`mask` (time, trial) is 0 where a bin is missing. Sums are accumulated in double precision. What does not depend on the read-out (ln y!) is left out.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE, MIN_LOG_SD
from cortseq.training.kernels.functions import OPTIONS, exp


@njit(**OPTIONS)
def poisson(eta, bias, d_bias, mask, counts, trials, first):
    """sum over valid bins of exp(eta) - y eta, eta held in its range; y = counts[trials[k], first + t].

    No gradient passes where eta is held. Zero counts are computed with: that is one pass of vectors, where
    visiting the others would be two of single numbers. Sums run per feature first, for the same reason.
    """
    n_time, n_trials = mask.shape
    number = eta.dtype.type
    zero, low, high = number(0), number(MIN_LOG_RATE), number(MAX_LOG_RATE)
    totals = np.zeros(eta.shape[1], eta.dtype)
    loss = 0.0
    for t in range(n_time):
        totals[:] = 0
        for k in range(n_trials):
            row, y = eta[t * n_trials + k], counts[trials[k], first + t]
            if mask[t, k] == 0:
                row[:] = 0
                continue
            for j in range(row.size):
                x, count = row[j] + bias[j], number(y[j])
                held = min(max(x, low), high)
                rate = exp(held)
                totals[j] += rate - count * held
                d = zero if (x < low) | (x > high) else rate - count
                d_bias[j] += d
                row[j] = d
        for j in range(totals.size):
            loss += totals[j]
    return loss


@njit(**OPTIONS)
def categorical(eta, bias, d_bias, mask, symbols):
    """sum over valid bins of log sum exp(eta) - eta[y]; symbols (time, trial)."""
    n_time, n_trials = mask.shape
    loss = 0.0
    for t in range(n_time):
        for k in range(n_trials):
            row = eta[t * n_trials + k]
            if mask[t, k] == 0:
                row[:] = 0
                continue
            top = row[0] + bias[0]
            for j in range(row.size):
                row[j] += bias[j]
                top = max(top, row[j])
            label = symbols[t, k]
            loss += top - row[label]
            total = eta.dtype.type(0)
            for j in range(row.size):
                row[j] = exp(row[j] - top)
                total += row[j]
            loss += math.log(total)
            for j in range(row.size):
                row[j] /= total
            row[label] -= 1
            for j in range(row.size):
                d_bias[j] += row[j]
    return loss


@njit(**OPTIONS)
def gaussian(eta, bias, d_bias, mask, target, log_sd, d_log_sd):
    """sum of 0.5 z^2 + log sd, z = (target - eta) / sd, target (time, trial, channel) standardised.

    d_log_sd is added to; no gradient passes where log_sd is held at its lowest value.
    """
    n_time, n_trials = mask.shape
    loss = 0.0
    held = np.maximum(log_sd, eta.dtype.type(MIN_LOG_SD))
    precision = np.exp(-held)
    for t in range(n_time):
        for k in range(n_trials):
            row = eta[t * n_trials + k]
            if mask[t, k] == 0:
                row[:] = 0
                continue
            for j in range(row.size):
                z = (target[t, k, j] - row[j] - bias[j]) * precision[j]
                loss += 0.5 * z * z + held[j]
                if log_sd[j] >= MIN_LOG_SD:
                    d_log_sd[j] += 1 - z * z
                row[j] = -z * precision[j]
                d_bias[j] += row[j]
    return loss
