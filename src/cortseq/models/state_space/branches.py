"""Kernels of the particle filter of a switching linear dynamical system: move on, update, select.

Particles of a trial are rows; one is the Gaussian N(m, P) of the latent after one sequence of states, and its
log weight. Shapes: log_weight (trial, particle), mean (trial, particle, latent), covariance (trial, particle,
latent, latent), state (trial, particle).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS
from cortseq.models.state_space.kalman import _add_product, _back_substitute, _factorise, _forward_substitute

_STEPS, _HALVINGS, _ROUNDING, _SMALL = 30, 12, 1e-11, 1e-4  # of Newton's search, see `assumed`


@njit(**OPTIONS)
def moved(
    log_weight: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
    state: np.ndarray,
    log_switch: np.ndarray,
    pull: np.ndarray,
    transition: np.ndarray,
    offset: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return every particle moved on in every state: log weights, means, covariances and states.

    Parameters
    ----------
    log_switch : (from, to), log p(to | from) at a latent of 0.
    pull : (to, latent), what a latent adds to the logits.
    transition, noise : (state, latent, latent).
    offset : (state, trial, latent), b + B u of the bin that is entered.

    Returns
    -------
    Arrays (trial, state * particle, ..), those in the first state first: selection then takes about its share
    of each state.
    """
    n_trials, n_particles, n = mean.shape
    n_states = len(transition)
    size = n_particles * n_states
    weight, to = np.empty((n_trials, size)), np.empty((n_trials, size), np.int64)
    m, p = np.empty((n_trials, size, n)), np.empty((n_trials, size, n, n))
    logits, product = np.empty(n_states), np.empty((n, n))
    turned = np.ascontiguousarray(transition.transpose(0, 2, 1))
    for r in range(n_trials):
        for i in range(n_particles):
            logits[:] = log_switch[state[r, i]]
            if state[r, i] < n_states:  # the first state is drawn whatever the latent is
                _add_product(pull, mean[r, i], 1.0, logits)
            logits -= _log_sum(logits)
            for k in range(n_states):
                b = k * n_particles + i
                weight[r, b], to[r, b] = log_weight[r, i] + logits[k], k
                m[r, b] = offset[k, r]
                _add_product(transition[k], mean[r, i], 1.0, m[r, b])
                np.dot(transition[k], covariance[r, i], product)
                np.dot(product, turned[k], p[r, b])
                p[r, b] += noise[k]
    return weight, m, p, to


@njit(**OPTIONS)
def _log_sum(x: np.ndarray) -> float:
    top = x.max()
    if top == -np.inf:
        return top
    return top + np.log(np.exp(x - top).sum())


@njit(**OPTIONS)
def updated(
    mean: np.ndarray, covariance: np.ndarray, info: np.ndarray, given: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and covariances after factors exp(h . z - z . J z / 2), and the log of what they leave.

    info : (trial, latent, latent), J. given : (trial, latent), h. The last is (trial, particle), the log of
    the integral of each particle's Gaussian times the factor.
    """
    m, v, evidence = mean.copy(), np.empty(covariance.shape), np.empty(mean.shape[:2])
    n = mean.shape[2]
    low, inner, root = np.zeros((n, n)), np.zeros((n, n)), np.empty((n, n))
    product, surprise, change = np.empty((n, n)), np.empty(n), np.empty(n)
    for r in range(len(mean)):
        for i in range(mean.shape[1]):
            _factorise(covariance[r, i], low)
            root[:] = low.T
            np.dot(info[r], low, product)
            square = np.dot(root, product)
            for j in range(n):
                square[j, j] += 1.0
            _factorise(square, inner)
            _forward_substitute(inner, root)
            np.dot(root.T, root, v[r, i])
            surprise[:], change[:] = given[r], 0.0
            _add_product(info[r], mean[r, i], -1.0, surprise)
            _add_product(v[r, i], surprise, 1.0, change)
            total = 0.0
            for j in range(n):
                total += 0.5 * mean[r, i, j] * (given[r, j] + surprise[j]) + 0.5 * surprise[j] * change[j]
                total -= np.log(inner[j, j])
                m[r, i, j] += change[j]
            evidence[r, i] = total
    return m, v, evidence


@njit(**OPTIONS)
def selected(log_weight: np.ndarray, n: int, uniform: float) -> tuple[np.ndarray, np.ndarray]:
    """Keep n particles of each trial, the weights being unbiased (Fearnhead & Clifford 2003, JRSSB 65:887).

    A weight above 1 / c stays as it is; of the others so many are kept, by systematic resampling, that n
    are left, each with weight 1 / c, where sum_i min(c w_i, 1) = n.

    Parameters
    ----------
    log_weight : (trial, particle), more than n.
    uniform : in [0, 1), of all trials.

    Returns
    -------
    kept : (trial, n), positions.
    weight : (trial, n), their log weights, which sum to as much as before.
    """
    n_trials = len(log_weight)
    kept, weight = np.empty((n_trials, n), np.int64), np.empty((n_trials, n))
    for r in range(n_trials):
        total = _log_sum(log_weight[r])
        w = np.exp(log_weight[r] - total)
        order = np.argsort(-w, kind="mergesort")
        tail, a = w.sum(), 0  # the a largest stay; c = (n - a) / tail
        while a < n - 1 and w[order[a]] * (n - a) > tail:
            tail -= w[order[a]]
            a += 1
        tail = w[order[a:]].sum()
        for j in range(a):
            kept[r, j], weight[r, j] = order[j], log_weight[r, order[j]]
        rest, step, at, j = np.sort(order[a:]), tail / (n - a), 0.0, a
        for i in rest:
            at += w[i]
            while j < n and (uniform + j - a) * step < at:
                kept[r, j], weight[r, j] = i, total + np.log(step)
                j += 1
        while j < n:  # rounding
            kept[r, j], weight[r, j] = rest[-1], total + np.log(step)
            j += 1
    return kept, weight


@njit(**OPTIONS)
def resampled(log_weight: np.ndarray, n: int, uniform: np.ndarray) -> np.ndarray:
    """Return the positions (trial, n) of n particles of equal weight: stratified resampling.

    uniform : (n,), in [0, 1), of each stratum. One number for all of them would favour the same branch of
    every particle where weights are alike.
    """
    kept = np.empty((len(log_weight), n), np.int64)
    for r in range(len(log_weight)):
        w = np.exp(log_weight[r] - _log_sum(log_weight[r]))
        j, at = 0, 0.0
        for i in range(len(w)):
            at += w[i]
            while j < n and (uniform[j] + j) / n < at:
                kept[r, j] = i
                j += 1
        kept[r, j:] = len(w) - 1
    return kept


@njit(**OPTIONS)
def updated_poisson(
    mean: np.ndarray,
    covariance: np.ndarray,
    loading: np.ndarray,
    level: np.ndarray,
    y: np.ndarray,
    lowest: float,
    highest: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `assumed.updated` does for Poisson counts, for every particle of every trial.

    Parameters
    ----------
    loading, level : (unit, latent) and (unit,), C and d.
    y : (trial, unit).
    lowest, highest : between which log rates are held.
    """
    n_trials, n_particles, n = mean.shape
    m, v, evidence = mean.copy(), np.empty(covariance.shape), np.empty((n_trials, n_particles))
    low, inner, square, root = np.zeros((n, n)), np.zeros((n, n)), np.empty((n, n)), np.empty((n, n))
    base, eta, x, step = np.empty(len(level)), np.empty(len(level)), np.empty((n, 1)), np.empty((n, 1))
    for r in range(n_trials):
        for i in range(n_particles):
            _factorise(covariance[r, i], low)
            reach = np.dot(loading, low)
            base[:] = level
            _add_product(loading, mean[r, i], 1.0, base)
            x[:], value = 0.0, _poisson(base, y[r], lowest, highest, eta)
            for _ in range(_STEPS):
                _curvature(reach, eta, y[r], x, square, step)
                _factorise(square, inner)
                _forward_substitute(inner, step)
                _back_substitute(inner, step)
                value, size = _climbed(reach, base, y[r], x, step, value, eta, lowest, highest)
                if size < _SMALL:
                    break
            root[:] = low.T
            _forward_substitute(inner, root)
            np.dot(root.T, root, v[r, i])
            _add_product(low, x[:, 0], 1.0, m[r, i])
            evidence[r, i] = value
            for j in range(n):
                evidence[r, i] -= np.log(inner[j, j])
    return m, v, evidence


@njit(**OPTIONS)
def _poisson(log_rate: np.ndarray, y: np.ndarray, lowest: float, highest: float, eta: np.ndarray) -> float:
    """Return the log-likelihood of counts without ln y!, and write the log rates, held in range, to `eta`."""
    total = 0.0
    for u in range(len(y)):
        eta[u] = min(max(log_rate[u], lowest), highest)
        total += y[u] * eta[u] - np.exp(eta[u])
    return total


@njit(**OPTIONS)
def _curvature(
    reach: np.ndarray, eta: np.ndarray, y: np.ndarray, x: np.ndarray, square: np.ndarray, toward: np.ndarray
) -> None:
    """Write I + reach' diag(rate) reach to `square`, and the gradient by x to `toward`."""
    n = len(x)
    for i in range(n):
        toward[i, 0] = -x[i, 0]
        square[i, : i + 1] = 0.0
        square[i, i] = 1.0
    for u in range(len(y)):
        rate = np.exp(eta[u])
        for i in range(n):
            toward[i, 0] += reach[u, i] * (y[u] - rate)
            f = rate * reach[u, i]
            for j in range(i + 1):
                square[i, j] += f * reach[u, j]


@njit(**OPTIONS)
def _climbed(
    reach: np.ndarray,
    base: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    step: np.ndarray,
    value: float,
    eta: np.ndarray,
    lowest: float,
    highest: float,
) -> tuple[float, float]:
    """Add `step` to x, halved until it is an ascent; return the value there and the size of the step."""
    there = np.empty(len(y))
    for _ in range(_HALVINGS):
        there[:] = base
        reached, size = 0.0, 0.0
        for i in range(len(x)):
            at = x[i, 0] + step[i, 0]
            reached -= 0.5 * at * at
            size = max(size, abs(step[i, 0]))
            for u in range(len(y)):
                there[u] += reach[u, i] * at
        reached += _poisson(there, y, lowest, highest, eta)
        if reached >= value - _ROUNDING * abs(value):
            for i in range(len(x)):
                x[i, 0] += step[i, 0]
            return reached, size
        for i in range(len(x)):
            step[i, 0] *= 0.5
    return value, 0.0
