"""Negative log-likelihoods fused with their gradient: eta (row, feature) becomes d loss / d eta in place.

`bias` is added to eta first, and the gradient for it to `d_bias`. Rows are time-major, row t * n_trials + k;
`mask` (time, trial) is 0 where a bin is missing. Sums are accumulated in double precision. What does not
depend on the read-out (ln y!) is left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from cortseq.compiled.conway_maxwell import moments, tables
from cortseq.compiled.functions import OPTIONS, exp
from cortseq.data import Data
from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE
from cortseq.observations.conway_maxwell import LOG_NU
from cortseq.observations.gaussian import MIN_LOG_SD
from cortseq.observations.negative_binomial import LOG_ALPHA

# Log rates are held between -16 and 9. Compiled code is kept on disk by the date of this file alone: change
# this line where the bounds change.
# Observations of counts, in the order of `counts`' argument `kind`.
KINDS = ("poisson", "negative_binomial", "conway_maxwell")
# Observations that have a compiled head; others run on the generic engine.
OBSERVATIONS = (*KINDS, "categorical", "gaussian")


@njit(**OPTIONS)
def poisson(
    eta: np.ndarray,
    bias: np.ndarray,
    d_bias: np.ndarray,
    mask: np.ndarray,
    counts: np.ndarray,
    trials: np.ndarray,
    first: int,
) -> float:
    """Sum exp(eta) - y eta over valid bins, eta held in its range; counts are (trial, time, unit).

    y of bin t of the batch's trial k is counts[trials[k], first + t].

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
def categorical(
    eta: np.ndarray, bias: np.ndarray, d_bias: np.ndarray, mask: np.ndarray, symbols: np.ndarray
) -> float:
    """Sum log sum exp(eta) - eta[y] over valid bins; symbols (time, trial)."""
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
def gaussian(
    eta: np.ndarray,
    bias: np.ndarray,
    d_bias: np.ndarray,
    mask: np.ndarray,
    target: np.ndarray,
    known: np.ndarray,
    log_sd: np.ndarray,
    d_log_sd: np.ndarray,
) -> float:
    """Sum 0.5 z^2 + log sd, z = (target - eta) / sd, target (time, trial, channel) standardised.

    sd is 1 where `known` (time, trial) is false: with a skip the target is what it leaves, and there it had
    nothing. d_log_sd is added to; no gradient passes where log_sd is held at its lowest value.
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
            if not known[t, k]:
                for j in range(row.size):
                    d = row[j] + bias[j] - target[t, k, j]
                    loss += 0.5 * d * d
                    row[j] = d
                    d_bias[j] += d
                continue
            for j in range(row.size):
                z = (target[t, k, j] - row[j] - bias[j]) * precision[j]
                loss += 0.5 * z * z + held[j]
                if log_sd[j] >= MIN_LOG_SD:
                    d_log_sd[j] += 1 - z * z
                row[j] = -z * precision[j]
                d_bias[j] += row[j]
    return loss


@njit(forceinline=True, **OPTIONS)
def _poisson(eta: float, y: float) -> tuple[float, float, float]:
    """Return the loss of one count without the constant ln y!, and its derivatives.

    They are d loss / d eta, and 0.0 in place of d loss / d log-dispersion: Poisson has none.
    """
    held = min(max(eta, MIN_LOG_RATE), MAX_LOG_RATE)
    rate = exp(held)
    return rate - y * held, rate - y if held == eta else 0.0, 0.0


@njit(forceinline=True, **OPTIONS)
def _negative_binomial(eta: float, y: float, alpha: float) -> tuple[float, float, float]:
    """Return loss, d loss / d eta and d loss / d ln alpha of one count; variance mean + alpha mean^2."""
    held = min(max(eta, MIN_LOG_RATE), MAX_LOG_RATE)
    rate = exp(held)
    raised = math.log1p(alpha * rate)
    loss = (y + 1 / alpha) * raised - y * held
    d_log = (y * alpha + 1) * rate / (1 + alpha * rate) - raised / alpha
    for k in range(1, int(y)):
        loss -= math.log1p(alpha * k)
        d_log -= alpha * k / (1 + alpha * k)
    return loss, (rate - y) / (1 + alpha * rate) if held == eta else 0.0, d_log


@njit(forceinline=True, **OPTIONS)
def _conway_maxwell(
    eta: float, y: float, nu: float, power: np.ndarray, log_factorial: np.ndarray, smallest: float
) -> tuple[float, float, float]:
    """Return loss with ln y!, d loss / d eta, d loss / d ln nu; see `cortseq.compiled.conway_maxwell`."""
    high = nu * math.log(power.size - 1)
    held = min(max(eta, MIN_LOG_RATE), high)
    log_z, mean, _, logs = moments(held, nu, power, log_factorial, smallest)
    seen = log_factorial[int(y)] if y < power.size else math.lgamma(y + 1)
    d_log = nu * (seen - logs)
    if eta > high:  # the end itself moves with nu
        d_log += (mean - y) * high
    return log_z - y * held + nu * seen, mean - y if held == eta else 0.0, d_log


@njit(**OPTIONS)
def _each(
    kind: int,
    eta: np.ndarray,
    bias: np.ndarray,
    y: np.ndarray,
    dispersion: np.ndarray,
    power: np.ndarray,
    log_factorial: np.ndarray,
    smallest: float,
    d_log: np.ndarray,
) -> float:
    """-log p of all units of a bin; eta (unit,) becomes its derivative, d_log that by log dispersions."""
    loss = 0.0
    for j in range(y.size):
        x = float(eta[j] + bias[j])
        if kind == 0:
            one, eta[j], d_log[j] = _poisson(x, y[j])
        elif kind == 1:
            one, eta[j], d_log[j] = _negative_binomial(x, y[j], dispersion[j])
        else:
            one, eta[j], d_log[j] = _conway_maxwell(x, y[j], dispersion[j], power[j], log_factorial, smallest)
        loss += one
    return loss


@njit(**OPTIONS)
def _responsibilities(logits: np.ndarray, bias: np.ndarray, losses: np.ndarray, share: np.ndarray) -> float:
    """-ln sum_m w_m exp(-losses_m); `share` becomes the components' shares of it, logits their gradient."""
    top = np.max(logits + bias)
    norm = top + math.log(np.sum(np.exp(logits + bias - top)))
    best = -np.inf
    for m in range(losses.size):
        share[m] = logits[m] + bias[m] - norm - losses[m]
        best = max(best, share[m])
    total = best + math.log(np.sum(np.exp(share - best)))
    for m in range(losses.size):
        share[m] = math.exp(share[m] - total)
        logits[m] = math.exp(logits[m] + bias[m] - norm) - share[m]
    return -total


@njit(**OPTIONS)
def counts(
    eta: np.ndarray,
    bias: np.ndarray,
    d_bias: np.ndarray,
    mask: np.ndarray,
    indptr: np.ndarray,
    unit: np.ndarray,
    value: np.ndarray,
    rows: np.ndarray,
    first: int,
    kind: int,
    components: int,
    dispersion: np.ndarray,
    power: np.ndarray,
    log_factorial: np.ndarray,
    d_log_dispersion: np.ndarray,
) -> float:
    """Sum -log p(y) without ln y! (kind 2: with it) over valid bins, for what `poisson` cannot do.

    kind: 0 Poisson, 1 negative binomial, 2 Conway-Maxwell; `dispersion` (unit,) is alpha or nu, and
    d_log_dispersion is added to. A row of eta is one number per unit or, of a mixture, `components` logits
    and then components x units numbers.
    """
    n_time, n_trials = mask.shape
    n, logits = d_log_dispersion.size, components if components > 1 else 0
    smallest = 1e-17 if eta.itemsize == 8 else 1e-9
    y, d_log = np.empty(n), np.empty((components, n))
    losses, share, loss = np.empty(components), np.ones(components), 0.0
    for t in range(n_time):
        for k in range(n_trials):
            row = eta[t * n_trials + k]
            if mask[t, k] == 0:
                row[:] = 0
                continue
            y[:] = 0
            at = rows[k] + first + t
            for e in range(indptr[at], indptr[at + 1]):
                y[unit[e]] = value[e]
            for m in range(components):
                part = slice(logits + m * n, logits + (m + 1) * n)
                losses[m] = _each(
                    kind, row[part], bias[part], y, dispersion, power, log_factorial, smallest, d_log[m]
                )
            loss += _responsibilities(row[:logits], bias[:logits], losses, share) if logits else losses[0]
            for m in range(components):
                for j in range(n):
                    row[logits + m * n + j] *= share[m]
                    d_log_dispersion[j] += share[m] * d_log[m, j]
            for j in range(row.size):
                d_bias[j] += row[j]
    return loss


class Dispersed:
    """`counts` with one step's dispersions (their logs, numpy; None for Poisson)."""

    def __init__(self, data: Data, components: int, log_dispersion: np.ndarray | None):
        self.kind, self.components, n = KINDS.index(data.observation), components, data.n_features
        low, high = (LOG_ALPHA, LOG_ALPHA, LOG_NU)[self.kind]
        raw = np.zeros(n) if log_dispersion is None else log_dispersion.astype(float)
        self.free = (raw >= low) & (raw <= high)
        self.dispersion = np.exp(np.clip(raw, low, high))
        self.tables = tables(self.dispersion, data.support)

    def __call__(self, *arguments: Any) -> float:
        """Return the summed loss; arguments as of `counts`, d_log_dispersion last, or None."""
        *common, d_log_dispersion = arguments
        found = np.zeros(len(self.dispersion))
        loss: float = counts(*common, self.kind, self.components, self.dispersion, *self.tables, found)
        if d_log_dispersion is not None:
            d_log_dispersion += (found * self.free).astype(d_log_dispersion.dtype)
        return loss
