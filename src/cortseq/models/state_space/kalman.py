"""Filtering and smoothing of a linear-Gaussian latent, compiled.

    z_t = A z_{t-1} + offset_t + w_t,  w_t ~ N(0, Q),    z_0 ~ N(offset_0, P_0)

What a bin says about its latent enters as a Gaussian factor exp(h_t . z - z . J_t z / 2): for Gaussian
channels J = C' R^-1 C and h = C' R^-1 (y - d); for counts it is the second-order expansion of the
log-likelihood. Covariances depend on the J alone: they are worked out once for every row of J, and trials
share a row where their J are equal. This is the information form of Kalman's filter (1960, J Basic Eng 82:35)
and of the smoother of Rauch, Tung & Striebel (1965, AIAA J 3:1445).

Shapes: A, Q, P_0 (latent, latent); `which` (row, time) is the position of J_t in `info` (n, latent, latent),
-1 where the bin says nothing; `row` (trial,) is the row of each trial.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS


@njit(**OPTIONS)
def _factorise(a: np.ndarray, low: np.ndarray) -> None:
    """Write the Cholesky factor of `a` into `low`; a pivot that rounding made negative counts as tiny."""
    n = len(a)
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i > j:
                low[i, j] = s / low[j, j]
            else:
                low[i, i] = np.sqrt(max(s, 1e-14 * a[i, i] + 1e-300))
        low[i, i + 1 :] = 0.0


@njit(**OPTIONS)
def _forward_substitute(low: np.ndarray, b: np.ndarray) -> None:
    """Replace b (latent, column) by low^-1 b."""
    for i in range(len(low)):
        for j in range(i):
            f = low[i, j]
            for k in range(b.shape[1]):
                b[i, k] -= f * b[j, k]
        f = 1.0 / low[i, i]
        for k in range(b.shape[1]):
            b[i, k] *= f


@njit(**OPTIONS)
def _back_substitute(low: np.ndarray, b: np.ndarray) -> None:
    """Replace b (latent, column) by low'^-1 b."""
    for i in range(len(low) - 1, -1, -1):
        for j in range(i + 1, len(low)):
            f = low[j, i]
            for k in range(b.shape[1]):
                b[i, k] -= f * b[j, k]
        f = 1.0 / low[i, i]
        for k in range(b.shape[1]):
            b[i, k] *= f


@njit(**OPTIONS)
def covariances(
    transition: np.ndarray, noise: np.ndarray, start: np.ndarray, info: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted and filtered covariances and log |I + P_t J_t|.

    The covariances are (row, time, latent, latent), the last (row, time).
    """
    n_rows, n_time = which.shape
    n = len(transition)
    predicted, filtered = np.empty((n_rows, n_time, n, n)), np.empty((n_rows, n_time, n, n))
    log_det = np.zeros((n_rows, n_time))
    low, inner, products = np.zeros((n, n)), np.zeros((n, n)), np.empty((n, n))
    root, moved = np.empty((n, n)), np.empty((n, n))
    transposed = transition.T.copy()
    for u in range(n_rows):
        predicted[u, 0] = start
        for t in range(n_time):
            _factorise(predicted[u, t], low)
            root[:] = low.T
            if which[u, t] >= 0:
                np.dot(info[which[u, t]], low, products)
                np.dot(root, products, moved)
                for i in range(n):
                    moved[i, i] += 1.0
                _factorise(moved, inner)
                for i in range(n):
                    log_det[u, t] += 2.0 * np.log(inner[i, i])
                _forward_substitute(inner, root)
            np.dot(root.T, root, filtered[u, t])
            if t + 1 < n_time:
                np.dot(root, transposed, moved)
                np.dot(moved.T, moved, predicted[u, t + 1])
                predicted[u, t + 1] += noise
    return predicted, filtered, log_det


@njit(**OPTIONS)
def means(
    transition: np.ndarray,
    offset: np.ndarray,
    filtered: np.ndarray,
    info: np.ndarray,
    which: np.ndarray,
    given: np.ndarray,
    row: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and filtered means (trial, time, latent).

    `offset` and `given`, the vectors h, are (trial, time, latent); `filtered` are the covariances.
    """
    n_trials, n_time, n = offset.shape
    predicted, updated, surprise = offset.copy(), np.empty(offset.shape), np.empty(n)
    for r in range(n_trials):
        u = row[r]
        for t in range(n_time):
            if t > 0:
                _add_product(transition, updated[r, t - 1], 1.0, predicted[r, t])
            updated[r, t] = predicted[r, t]
            k = which[u, t]
            if k >= 0:
                surprise[:] = given[r, t]
                _add_product(info[k], predicted[r, t], -1.0, surprise)
                _add_product(filtered[u, t], surprise, 1.0, updated[r, t])
    return predicted, updated


@njit(**OPTIONS)
def _add_product(matrix: np.ndarray, vector: np.ndarray, factor: float, total: np.ndarray) -> None:
    """Add `factor` times matrix @ vector to `total`, without an array in between."""
    for i in range(len(total)):
        s = 0.0
        for j in range(len(vector)):
            s += matrix[i, j] * vector[j]
        total[i] += factor * s


@njit(**OPTIONS)
def gains(transition: np.ndarray, predicted: np.ndarray, filtered: np.ndarray) -> np.ndarray:
    """Return G_t = V_t A' P_{t+1}^-1, (row, time - 1, latent, latent)."""
    n_rows, n_time, n, _ = predicted.shape
    found, low, product = np.empty((n_rows, n_time - 1, n, n)), np.zeros((n, n)), np.empty((n, n))
    for u in range(n_rows):
        for t in range(n_time - 1):
            _factorise(predicted[u, t + 1], low)
            np.dot(transition, filtered[u, t], product)
            _forward_substitute(low, product)
            _back_substitute(low, product)
            found[u, t] = product.T
    return found


@njit(**OPTIONS)
def smoothed_means(
    predicted: np.ndarray, updated: np.ndarray, gain: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Return E[z_t | all y], (trial, time, latent), of what `means` and `gains` return."""
    found, change = updated.copy(), np.empty(updated.shape[2])
    for r in range(len(updated)):
        for t in range(updated.shape[1] - 2, -1, -1):
            for i in range(len(change)):
                change[i] = found[r, t + 1, i] - predicted[r, t + 1, i]
            _add_product(gain[row[r], t], change, 1.0, found[r, t])
    return found


@njit(**OPTIONS)
def smoothed_covariances(predicted: np.ndarray, filtered: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return Cov[z_t | all y], (row, time, latent, latent); G_t times the next: Cov[z_t, z_{t+1} | all y]."""
    found = filtered.copy()
    n = predicted.shape[2]
    change, product, added = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    for u in range(len(filtered)):
        for t in range(filtered.shape[1] - 2, -1, -1):
            change[:] = found[u, t + 1] - predicted[u, t + 1]
            np.dot(gain[u, t], change, product)
            np.dot(product, gain[u, t].T, added)
            found[u, t] += 0.5 * (added + added.T)
    return found
